//! The capabilities as they are linked: each call is made as ever, and noted. A gateway's call has a trail that keeps
//! the names, and facts of the session; that of a stand has an observer, which is told arguments and answer.

use super::LINE;
use crate::policy::bindings::postern::policy::types::{
    self, HeaderField, HttpRequest, HttpResponse, Part, Signature, Verdict,
};
use crate::policy::bindings::postern::policy::{
    auth, clock, config, directory, dns, edit, http, kv, log, message, mime, random, session,
};
use crate::policy::guest::Guest;
use crate::policy::observer::HostCall;
use crate::policy::trail;
use std::fmt::Write as _;
use wasmtime::Result;
use wasmtime::component::HasData;

/// Characters of a text, and entries of a list, that are shown.
const SHOWN: usize = 64;
const ENTRIES: usize = 8;
/// The same where cases compare them.
const WHOLE: Most = Most {
    characters: 64 << 10,
    entries: 10_000,
};
const USUAL: Most = Most {
    characters: SHOWN,
    entries: ENTRIES,
};

/// How much is shown.
#[derive(Debug, Clone, Copy)]
struct Most {
    characters: usize,
    entries: usize,
}

/// What is noted of a call before it is made: its arguments are gone afterwards.
struct Noted {
    /// For the trail.
    asked: Option<String>,
    /// For the observer: as they are shown, and whole.
    arguments: Option<(String, String)>,
}

/// For the linker: what it gives to each call.
#[derive(Debug)]
pub(super) struct Recording;

impl HasData for Recording {
    type Data<'a> = Recorded<'a>;
}

/// See the module.
#[derive(Debug)]
pub(super) struct Recorded<'a>(pub(super) &'a mut Guest);

impl Recorded<'_> {
    fn note(&self, interface: &str, arguments: &[&dyn Shown]) -> Noted {
        let shown = |most: Most| -> String {
            let each: Vec<String> = arguments.iter().map(|argument| argument.shown(most)).collect();
            each.join(", ")
        };
        let is_asked = self.0.trail.is_some() && trail::tells_arguments(interface) && !arguments.is_empty();
        Noted {
            asked: is_asked.then(|| shown(USUAL)),
            arguments: self
                .0
                .call
                .observer
                .is_some()
                .then(|| (shown(USUAL), shown(WHOLE))),
        }
    }

    fn tell<T: Shown>(&mut self, name: (&'static str, &'static str), noted: Noted, answer: &Result<T>) {
        let answered = || match answer {
            Ok(answer) => answer.shown(USUAL),
            Err(error) => format!("the call ends: {}", super::line(&error.to_string(), LINE)),
        };
        if let Some(trail) = &mut self.0.trail {
            trail.called(name, noted.asked, answered);
        }
        if let (Some(observer), Some((arguments, whole))) = (&self.0.call.observer, noted.arguments) {
            observer.called(HostCall {
                function: format!("{}.{}", name.0, name.1).replace('_', "-"),
                whole: (whole != arguments).then_some(whole),
                arguments,
                answer: answered(),
            });
        }
    }
}

/// `now` answers from memory, `later` waits for something.
macro_rules! recorded {
    ($($interface:ident {
        $($kind:ident $function:ident($($argument:ident: $type:ty),*) -> $answer:ty;)+
    })+) => {
        $(impl $interface::Host for Recorded<'_> {
            $(recorded!(@$kind $interface $function ($($argument: $type),*) $answer);)+
        })+
    };
    (@now $interface:ident $function:ident ($($argument:ident: $type:ty),*) $answer:ty) => {
        fn $function(&mut self, $($argument: $type),*) -> Result<$answer> {
            let noted = self.note(stringify!($interface), &[$(&$argument),*]);
            let answer = $interface::Host::$function(self.0, $($argument),*);
            self.tell((stringify!($interface), stringify!($function)), noted, &answer);
            answer
        }
    };
    (@later $interface:ident $function:ident ($($argument:ident: $type:ty),*) $answer:ty) => {
        async fn $function(&mut self, $($argument: $type),*) -> Result<$answer> {
            let noted = self.note(stringify!($interface), &[$(&$argument),*]);
            self.0.waits.begin();
            let answer = $interface::Host::$function(self.0, $($argument),*).await;
            self.0.waits.end();
            self.tell((stringify!($interface), stringify!($function)), noted, &answer);
            answer
        }
    };
}

/// What the contract gives as a value or an error.
type Answer<T> = std::result::Result<T, String>;
type Octets = Vec<u8>;

recorded! {
    session {
        now queue_id() -> String;
        now listener() -> String;
        now protocol() -> String;
        now client_ip() -> String;
        now client_name() -> String;
        now helo() -> String;
        now tls_version() -> Option<String>;
        now tls_cipher() -> Option<String>;
        now auth_user() -> Option<String>;
        now mail_from() -> String;
        now rcpt_to() -> Vec<String>;
        now tags() -> Vec<String>;
    }
    auth {
        now spf() -> String;
        now spf_domain() -> String;
        now dkim() -> Vec<Signature>;
        now dmarc() -> String;
        now dmarc_policy() -> String;
        now arc() -> String;
    }
    message {
        now size() -> u32;
        now headers() -> Vec<HeaderField>;
        now get_header(name: String) -> Vec<Octets>;
        now header_text(name: String) -> Option<String>;
        now body_offset() -> u32;
        later read(offset: u32, len: u32) -> Octets;
    }
    mime {
        later parts() -> Vec<Part>;
        later complete() -> bool;
        later part_header(index: u32, name: String) -> Option<String>;
        later part_read(index: u32, offset: u32, len: u32) -> Octets;
        later part_text(index: u32, max: u32) -> String;
    }
    edit {
        later add_header(name: String, value: String) -> ();
        later insert_header(name: String, value: String) -> ();
        later remove_header(name: String) -> ();
        later add_recipient(address: String) -> ();
        later remove_recipient(address: String) -> ();
        later redirect(address: String) -> ();
        later tag(name: String) -> ();
        later recipient_verdict(recipient: String, verdict: Verdict) -> ();
    }
    log {
        now debug(text: String) -> ();
        now info(text: String) -> ();
        now warn(text: String) -> ();
        now error(text: String) -> ();
    }
    config {
        now get(path: String) -> Option<String>;
        now json() -> String;
    }
    kv {
        later get(key: String) -> Answer<Option<Octets>>;
        later set(key: String, value: Octets, ttl: u32) -> Answer<()>;
        later remove(key: String) -> Answer<()>;
        later increment(key: String, by: i64, ttl: u32) -> Answer<i64>;
        later compare_and_set(key: String, expected: Option<Octets>, value: Octets, ttl: u32) -> Answer<bool>;
    }
    dns {
        later addresses(name: String) -> Answer<Vec<String>>;
        later txt(name: String) -> Answer<Vec<String>>;
        later mx(name: String) -> Answer<Vec<String>>;
        later names(address: String) -> Answer<Vec<String>>;
    }
    directory {
        later is_local_domain(domain: String) -> Answer<bool>;
        later mailbox_of(address: String) -> Answer<Option<String>>;
        later aliases_of(address: String) -> Answer<Vec<String>>;
        later attribute(mailbox: String, name: String) -> Answer<Option<String>>;
    }
    clock {
        now now() -> u64;
    }
    random {
        now bytes(len: u32) -> Octets;
    }
    http {
        later send(request: HttpRequest) -> Answer<HttpResponse>;
    }
}

impl types::Host for Recorded<'_> {}

/// As a person reads it, on one line. Long texts and lists are cut.
trait Shown: Send + Sync {
    fn shown(&self, most: Most) -> String;
}

macro_rules! shown_as_written {
    ($($type:ty)+) => {
        $(impl Shown for $type {
            fn shown(&self, _: Most) -> String {
                self.to_string()
            }
        })+
    };
}

shown_as_written! { u32 u64 i64 bool }

impl Shown for () {
    fn shown(&self, _: Most) -> String {
        String::new()
    }
}

impl Shown for String {
    fn shown(&self, most: Most) -> String {
        let text = cut(self, most);
        match text.len() == self.len() {
            true => format!("{text:?}"),
            false => format!("{text:?}… ({} octets)", self.len()),
        }
    }
}

/// So much of a text as is shown.
fn cut(text: &str, most: Most) -> &str {
    let end = text.char_indices().nth(most.characters);
    let end = end.map_or(text.len(), |(end, _)| end);
    text.get(..end).unwrap_or(text)
}

/// A word as it is, for a text that a guest or a message has; one that is no short word is shown as a text.
fn word(text: &str, most: Most) -> String {
    match text.len() <= most.characters && !text.contains(char::is_control) {
        true => text.to_owned(),
        false => text.to_owned().shown(most),
    }
}

/// Text where they are printable text, else in hexadecimal.
impl Shown for Octets {
    fn shown(&self, most: Most) -> String {
        let controls = |c: char| c.is_control() && !c.is_ascii_whitespace();
        match std::str::from_utf8(self) {
            Ok(text) if !text.contains(controls) => text.to_owned().shown(most),
            _ => {
                let mut text = "0x".to_owned();
                for octet in self.iter().take(most.characters / 2) {
                    let _ = write!(text, "{octet:02x}");
                }
                match self.len() > most.characters / 2 {
                    true => format!("{text}… ({} octets)", self.len()),
                    false => text,
                }
            }
        }
    }
}

impl<T: Shown> Shown for Vec<T> {
    fn shown(&self, most: Most) -> String {
        let mut entries: Vec<String> = self
            .iter()
            .take(most.entries)
            .map(|entry| entry.shown(most))
            .collect();
        if let more @ 1.. = self.len().saturating_sub(most.entries) {
            entries.push(format!("… ({more} more)"));
        }
        format!("[{}]", entries.join(", "))
    }
}

impl<T: Shown> Shown for Option<T> {
    fn shown(&self, most: Most) -> String {
        self.as_ref()
            .map_or_else(|| "none".to_owned(), |value| value.shown(most))
    }
}

impl<T: Shown> Shown for Answer<T> {
    fn shown(&self, most: Most) -> String {
        match self {
            Ok(value) => value.shown(most),
            Err(error) => format!("error {}", error.shown(most)),
        }
    }
}

impl Shown for HeaderField {
    fn shown(&self, most: Most) -> String {
        format!("{}: {}", word(&self.name, most), self.value.shown(most))
    }
}

impl Shown for Part {
    fn shown(&self, most: Most) -> String {
        let name = self.name.shown(most);
        format!(
            "#{} {} {name} ({} octets)",
            self.index,
            word(&self.media_type, most),
            self.size
        )
    }
}

impl Shown for Signature {
    fn shown(&self, most: Most) -> String {
        [&self.status, &self.domain, &self.selector]
            .map(|text| word(text, most))
            .join(" ")
    }
}

impl Shown for Verdict {
    fn shown(&self, most: Most) -> String {
        match self {
            Self::Accept => "accept".to_owned(),
            Self::Reject(reply) => format!("reject {}", reply.shown(most)),
            Self::Defer(reply) => format!("defer {}", reply.shown(most)),
            Self::Discard => "discard".to_owned(),
            Self::Quarantine(reason) => format!("quarantine {}", reason.shown(most)),
        }
    }
}

impl Shown for types::Reply {
    fn shown(&self, most: Most) -> String {
        format!(
            "{} {} {}",
            self.code,
            word(&self.enhanced, most),
            self.text.shown(most)
        )
    }
}

impl Shown for HttpRequest {
    fn shown(&self, most: Most) -> String {
        format!("{} {}", word(&self.method, most), self.url.shown(most))
    }
}

impl Shown for HttpResponse {
    fn shown(&self, most: Most) -> String {
        format!("{} {}", self.status, self.body.shown(most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_and_lists_are_cut_and_say_so() {
        assert_eq!("a\n".to_owned().shown(USUAL), r#""a\n""#);
        let edge = "\u{e9}".repeat(SHOWN);
        assert_eq!(edge.shown(USUAL), format!("{edge:?}"));
        assert_eq!(format!("{edge}x").shown(USUAL), format!("{edge:?}… (129 octets)"));
        let many = |count| vec![1_u32; count].shown(USUAL);
        assert_eq!(many(ENTRIES), "[1, 1, 1, 1, 1, 1, 1, 1]");
        assert_eq!(many(ENTRIES + 1), "[1, 1, 1, 1, 1, 1, 1, 1, … (1 more)]");
    }

    #[test]
    fn short_words_stand_bare_and_long_ones_are_cut_wherever_they_stand() {
        let (edge, long) = ("m".repeat(SHOWN), "m".repeat(SHOWN + 1));
        let cut = format!("{edge:?}… (65 octets)");
        let request = |method: &str| HttpRequest {
            method: method.to_owned(),
            url: String::new(),
            headers: Vec::new(),
            body: Vec::new(),
            timeout_ms: 0,
        };
        assert_eq!(request(&edge).shown(USUAL), format!("{edge} \"\""));
        assert_eq!(request(&long).shown(USUAL), format!("{cut} \"\""));
        let field = |name: &str| {
            HeaderField {
                name: name.to_owned(),
                value: Vec::new(),
            }
            .shown(USUAL)
        };
        assert_eq!(field(&edge), format!("{edge}: \"\""));
        assert_eq!(field(&long), format!("{cut}: \"\""));
        let reply = |enhanced: &str| types::Reply {
            code: 550,
            enhanced: enhanced.to_owned(),
            text: String::new(),
        };
        assert_eq!(reply("5.7.1").shown(USUAL), "550 5.7.1 \"\"");
        assert_eq!(reply(&long).shown(USUAL), format!("550 {cut} \"\""));
        let part = Part {
            index: 0,
            parent: 0,
            media_type: long.clone(),
            name: String::new(),
            size: 1,
        };
        assert_eq!(part.shown(USUAL), format!("#0 {cut} \"\" (1 octets)"));
        let signature = Signature {
            status: "pass".to_owned(),
            domain: long.clone(),
            selector: long,
        };
        assert_eq!(signature.shown(USUAL), format!("pass {cut} {cut}"));
        assert_eq!(word("a\nb", USUAL), r#""a\nb""#);
    }

    #[test]
    fn octets_are_text_where_they_are_text() {
        assert_eq!(b"abc\r\n".to_vec().shown(USUAL), r#""abc\r\n""#);
        assert_eq!(vec![0_u8, 255].shown(USUAL), "0x00ff");
        assert_eq!(
            vec![255_u8; SHOWN / 2].shown(USUAL),
            format!("0x{}", "ff".repeat(SHOWN / 2))
        );
        let cut = format!("0x{}… (33 octets)", "ff".repeat(SHOWN / 2));
        assert_eq!(vec![255_u8; SHOWN / 2 + 1].shown(USUAL), cut);
    }

    #[test]
    fn values_errors_and_what_is_not_there_are_told_apart() {
        let shown = |answer: Answer<Option<Octets>>| answer.shown(USUAL);
        assert_eq!(shown(Ok(Some(b"x".to_vec()))), r#""x""#);
        assert_eq!(shown(Ok(None)), "none");
        assert_eq!(shown(Err("not granted".to_owned())), r#"error "not granted""#);
    }
}
