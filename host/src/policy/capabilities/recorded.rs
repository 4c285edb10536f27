//! The capabilities with an observer: each call is made as ever, then told with its arguments and its answer.
//! Only a stand links these.

use super::LINE;
use crate::policy::bindings::postern::policy::types::{
    self, HeaderField, HttpRequest, HttpResponse, Part, Signature, Verdict,
};
use crate::policy::bindings::postern::policy::{
    auth, clock, config, directory, dns, edit, http, kv, log, message, mime, random, session,
};
use crate::policy::guest::Guest;
use crate::policy::observer::HostCall;
use std::fmt::Write as _;
use wasmtime::Result;
use wasmtime::component::HasData;

/// Characters of a text, and entries of a list, that are shown.
const SHOWN: usize = 64;
const ENTRIES: usize = 8;

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
    fn tell<T: Shown>(&self, interface: &str, function: &str, arguments: &[&dyn Shown], answer: &Result<T>) {
        let Some(observer) = &self.0.call.observer else {
            return;
        };
        let arguments: Vec<String> = arguments.iter().map(|argument| argument.shown()).collect();
        observer.called(HostCall {
            function: format!("{interface}.{}", function.replace('_', "-")),
            arguments: arguments.join(", "),
            answer: match answer {
                Ok(answer) => answer.shown(),
                Err(error) => format!("the call ends: {}", super::line(&error.to_string(), LINE)),
            },
        });
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
            let answer = $interface::Host::$function(self.0, $($argument.clone()),*);
            self.tell(stringify!($interface), stringify!($function), &[$(&$argument),*], &answer);
            answer
        }
    };
    (@later $interface:ident $function:ident ($($argument:ident: $type:ty),*) $answer:ty) => {
        async fn $function(&mut self, $($argument: $type),*) -> Result<$answer> {
            let answer = $interface::Host::$function(self.0, $($argument.clone()),*).await;
            self.tell(stringify!($interface), stringify!($function), &[$(&$argument),*], &answer);
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
        now is_local_domain(domain: String) -> Answer<bool>;
        now mailbox_of(address: String) -> Answer<Option<String>>;
        now aliases_of(address: String) -> Answer<Vec<String>>;
        now attribute(mailbox: String, name: String) -> Answer<Option<String>>;
    }
    clock {
        now now() -> u64;
    }
    random {
        now bytes(len: u32) -> Octets;
    }
    http {
        now send(request: HttpRequest) -> Answer<HttpResponse>;
    }
}

impl types::Host for Recorded<'_> {}

/// As a person reads it, on one line. Long texts and lists are cut.
trait Shown: Send + Sync {
    fn shown(&self) -> String;
}

macro_rules! shown_as_written {
    ($($type:ty)+) => {
        $(impl Shown for $type {
            fn shown(&self) -> String {
                self.to_string()
            }
        })+
    };
}

shown_as_written! { u32 u64 i64 bool }

impl Shown for () {
    fn shown(&self) -> String {
        String::new()
    }
}

impl Shown for String {
    fn shown(&self) -> String {
        let mut characters = self.chars();
        let text: String = characters.by_ref().take(SHOWN).collect();
        match characters.next() {
            None => format!("{text:?}"),
            Some(_) => format!("{text:?}… ({} octets)", self.len()),
        }
    }
}

/// Text where they are printable text, else in hexadecimal.
impl Shown for Octets {
    fn shown(&self) -> String {
        let controls = |c: char| c.is_control() && !c.is_ascii_whitespace();
        match std::str::from_utf8(self) {
            Ok(text) if !text.contains(controls) => text.to_owned().shown(),
            _ => {
                let mut text = "0x".to_owned();
                for octet in self.iter().take(SHOWN / 2) {
                    let _ = write!(text, "{octet:02x}");
                }
                match self.len() > SHOWN / 2 {
                    true => format!("{text}… ({} octets)", self.len()),
                    false => text,
                }
            }
        }
    }
}

impl<T: Shown> Shown for Vec<T> {
    fn shown(&self) -> String {
        let mut entries: Vec<String> = self.iter().take(ENTRIES).map(Shown::shown).collect();
        if let more @ 1.. = self.len().saturating_sub(ENTRIES) {
            entries.push(format!("… ({more} more)"));
        }
        format!("[{}]", entries.join(", "))
    }
}

impl<T: Shown> Shown for Option<T> {
    fn shown(&self) -> String {
        self.as_ref().map_or_else(|| "none".to_owned(), Shown::shown)
    }
}

impl<T: Shown> Shown for Answer<T> {
    fn shown(&self) -> String {
        match self {
            Ok(value) => value.shown(),
            Err(error) => format!("error {}", error.shown()),
        }
    }
}

impl Shown for HeaderField {
    fn shown(&self) -> String {
        format!("{}: {}", self.name, self.value.shown())
    }
}

impl Shown for Part {
    fn shown(&self) -> String {
        let name = self.name.shown();
        format!(
            "#{} {} {name} ({} octets)",
            self.index, self.media_type, self.size
        )
    }
}

impl Shown for Signature {
    fn shown(&self) -> String {
        format!("{} {} {}", self.status, self.domain, self.selector)
    }
}

impl Shown for Verdict {
    fn shown(&self) -> String {
        match self {
            Self::Accept => "accept".to_owned(),
            Self::Reject(reply) => format!("reject {}", reply.shown()),
            Self::Defer(reply) => format!("defer {}", reply.shown()),
            Self::Discard => "discard".to_owned(),
            Self::Quarantine(reason) => format!("quarantine {}", reason.shown()),
        }
    }
}

impl Shown for types::Reply {
    fn shown(&self) -> String {
        format!("{} {} {}", self.code, self.enhanced, self.text.shown())
    }
}

impl Shown for HttpRequest {
    fn shown(&self) -> String {
        format!("{} {}", self.method, self.url.shown())
    }
}

impl Shown for HttpResponse {
    fn shown(&self) -> String {
        format!("{} {}", self.status, self.body.shown())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_and_lists_are_cut_and_say_so() {
        assert_eq!("a\n".to_owned().shown(), r#""a\n""#);
        let edge = "\u{e9}".repeat(SHOWN);
        assert_eq!(edge.shown(), format!("{edge:?}"));
        assert_eq!(format!("{edge}x").shown(), format!("{edge:?}… (129 octets)"));
        let many = |count| vec![1_u32; count].shown();
        assert_eq!(many(ENTRIES), "[1, 1, 1, 1, 1, 1, 1, 1]");
        assert_eq!(many(ENTRIES + 1), "[1, 1, 1, 1, 1, 1, 1, 1, … (1 more)]");
    }

    #[test]
    fn octets_are_text_where_they_are_text() {
        assert_eq!(b"abc\r\n".to_vec().shown(), r#""abc\r\n""#);
        assert_eq!(vec![0_u8, 255].shown(), "0x00ff");
        assert_eq!(
            vec![255_u8; SHOWN / 2].shown(),
            format!("0x{}", "ff".repeat(SHOWN / 2))
        );
        let cut = format!("0x{}… (33 octets)", "ff".repeat(SHOWN / 2));
        assert_eq!(vec![255_u8; SHOWN / 2 + 1].shown(), cut);
    }

    #[test]
    fn values_errors_and_what_is_not_there_are_told_apart() {
        let shown = |answer: Answer<Option<Octets>>| answer.shown();
        assert_eq!(shown(Ok(Some(b"x".to_vec()))), r#""x""#);
        assert_eq!(shown(Ok(None)), "none");
        assert_eq!(shown(Err("not granted".to_owned())), r#"error "not granted""#);
    }
}
