//! `postern plugin run`: one session with one message, step by step.
//!
//! Every question that the component answers is put, in the order of a session; the session goes on after a
//! refusal, so that all is seen. Exit code 1 where a call failed.

use super::session::{self, RECIPIENT, Session};
use super::words;
use crate::cli::output;
use crate::config::decode::decode;
use crate::config::fault::Collector;
use crate::config::units::ByteSize;
use crate::policy::stand::{self, Ask, Heard, Mail, Said, Seat, Settings, Setup, Stand};
use crate::policy::{Edit, MessageSource, Route, Verdict};
use crate::store::Usage;
use anyhow::Context as _;
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// Calls of capabilities that are printed of one question.
const CALLS: usize = 100;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    /// The component.
    file: PathBuf,
    /// The message: header section, empty line, text.
    #[arg(long, value_name = "FILE")]
    message: PathBuf,
    /// Its own file, with settings, grants and limits; without it, the .yaml beside the component.
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// Settings in place of those of its own file.
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// The return path; `<>` for none.
    #[arg(long, value_name = "ADDRESS", value_parser = session::sender)]
    from: Option<String>,
    /// A recipient; may be said several times.
    #[arg(long, value_name = "ADDRESS", value_parser = session::address)]
    to: Vec<String>,
    #[arg(long, value_name = "ADDRESS")]
    client_ip: Option<IpAddr>,
    #[arg(long, value_name = "NAME")]
    helo: Option<String>,
    #[arg(long, value_name = "USER")]
    auth_user: Option<String>,
    /// What each mailbox holds when quota is asked about.
    #[arg(long, value_name = "SIZE", default_value = "0B", value_parser = str::parse::<ByteSize>)]
    usage_bytes: ByteSize,
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    usage_messages: u64,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let fault = |fault: crate::policy::Fault| anyhow::anyhow!("{fault}");
    let message = stand::message(&arguments.message).map_err(fault)?;
    let setup = Setup {
        settings: arguments.settings.as_deref().map(settings).transpose()?,
        ..Setup::default()
    };
    let mut stand =
        Stand::open(&arguments.file, arguments.manifest.as_deref(), &super::keep()).map_err(fault)?;
    let seat = stand.seat(&setup).map_err(fault)?;
    let mut out = io::BufWriter::new(io::stdout());
    let mut play = Play {
        seat: &seat,
        session: arguments.session(),
        edits: Vec::new(),
        failures: 0,
        out: &mut out,
    };
    play.through(arguments, Mail::new(message))?;
    let failures = play.failures;
    out.flush()?;
    Ok(match failures {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

/// A YAML map of settings alone.
fn settings(file: &Path) -> anyhow::Result<Settings> {
    let shown = file.display();
    let text = stand::text(file).map_err(|fault| anyhow::anyhow!("{fault}"))?;
    let mut faults = Collector::new(&text);
    let read = decode(&text, &mut faults).and_then(|values| faults.unless_any(Some(values)));
    Ok(Settings {
        values: read.with_context(|| format!("{shown} is no map of settings"))?,
        file: file.to_owned(),
    })
}

impl Arguments {
    fn session(&self) -> Session {
        Session {
            client_ip: self.client_ip.map(|address| address.to_canonical().to_string()),
            helo: self.helo.clone(),
            auth_user: self.auth_user.clone(),
            mail_from: self.from.clone(),
            rcpt_to: Some(Vec::new()),
            ..Session::default()
        }
    }
}

/// A session in progress.
struct Play<'a, W> {
    seat: &'a Seat,
    session: Session,
    /// Of all stages so far.
    edits: Vec<Edit>,
    failures: usize,
    out: W,
}

impl<W: Write> Play<'_, W> {
    fn through(&mut self, arguments: &Arguments, message: Arc<Mail>) -> io::Result<()> {
        let usual = [RECIPIENT.to_owned()];
        let recipients = match arguments.to.as_slice() {
            [] => &usual,
            named => named,
        };
        self.ask(&Ask::Validate, None)?;
        for ask in [Ask::Connect, Ask::Mail] {
            if let Some(Said::Verdict { edits, .. }) = self.ask(&ask, None)? {
                self.edit(edits);
            }
        }
        let mut mailboxes = Vec::new();
        for recipient in recipients {
            if let Some(address) = self.recipient(recipient)? {
                let said = self.ask(&Ask::Route(address.clone()), None)?;
                let to = led_to(said, &address);
                // One that is refused is no recipient of the message.
                if let Some(to) = to {
                    self.session.rcpt_to.get_or_insert_default().push(address);
                    mailboxes.extend(
                        to.into_iter()
                            .filter(|mailbox| !mailboxes.contains(mailbox))
                            .collect::<Vec<_>>(),
                    );
                }
            }
        }
        self.ask(&Ask::Message, Some(Arc::clone(&message) as _))?;
        for mailbox in mailboxes {
            let ask = Ask::Quota {
                mailbox,
                usage: Usage {
                    bytes: arguments.usage_bytes.0,
                    messages: arguments.usage_messages,
                },
                incoming: message.size(),
            };
            self.ask(&ask, None)?;
        }
        Ok(())
    }

    /// The recipient as a policy left it; None if it was refused or taken away.
    fn recipient(&mut self, named: &str) -> io::Result<Option<String>> {
        let said = self.ask(&Ask::Rcpt(named.to_owned()), None)?;
        let Some(Said::Verdict { verdict, edits }) = said else {
            return Ok(Some(named.to_owned()));
        };
        let mut address = match verdict {
            Verdict::Accept | Verdict::Quarantine(_) => Some(named.to_owned()),
            Verdict::Reject(_) | Verdict::Defer(_) | Verdict::Discard => None,
        };
        let mut later = Vec::new();
        for edit in edits {
            match edit {
                // At RCPT these concern that recipient alone.
                Edit::Redirect(to) => address = Some(to),
                Edit::RemoveRecipient(removed) if removed == named => address = None,
                other => later.push(other),
            }
        }
        self.edit(later);
        Ok(address)
    }

    fn edit(&mut self, edits: Vec<Edit>) {
        let tags = edits.iter().filter_map(|edit| match edit {
            Edit::Tag(name) => Some(name.clone()),
            _ => None,
        });
        self.session.tags.get_or_insert_default().extend(tags);
        self.edits.extend(edits);
    }

    /// None where the component does not answer it.
    fn ask(&mut self, ask: &Ask, message: Option<Arc<dyn MessageSource>>) -> io::Result<Option<Said>> {
        if !self.seat.answers(ask.question()) {
            return Ok(None);
        }
        let facts = self.session.facts(ask.question());
        let heard = self.seat.ask(ask, &facts, message, &self.edits);
        self.failures += usize::from(heard.seen.failure.is_some());
        writeln!(self.out, "{}", output::printable(&title(ask)))?;
        for (key, text) in told(ask, &heard) {
            writeln!(self.out, "  {key:<9}{}", output::printable(&text))?;
        }
        Ok(Some(heard.said))
    }
}

/// The mailboxes that a route leads to, each taken to be one; None: it refuses the recipient.
fn led_to(said: Option<Said>, address: &str) -> Option<Vec<String>> {
    match said {
        Some(Said::Route(Route::Local(mailbox))) => Some(vec![mailbox]),
        Some(Said::Route(Route::Rewrite(to))) => Some(to),
        Some(Said::Route(Route::Discard)) => Some(Vec::new()),
        Some(Said::Route(Route::Reject(_) | Route::Defer(_))) => None,
        _ => Some(vec![address.to_owned()]),
    }
}

fn title(ask: &Ask) -> String {
    let word = ask.question().word();
    match ask {
        Ask::Connect | Ask::Mail | Ask::Message | Ask::Validate => word.to_owned(),
        Ask::Rcpt(recipient) | Ask::Route(recipient) => format!("{word} {recipient}"),
        Ask::Quota {
            mailbox,
            usage,
            incoming,
        } => format!(
            "{word} {mailbox}, which holds {} in {} messages, for {}",
            ByteSize(usage.bytes),
            usage.messages,
            ByteSize(*incoming)
        ),
    }
}

/// What is printed of one answer, a key and its text each.
fn told(ask: &Ask, heard: &Heard) -> Vec<(&'static str, String)> {
    let mut told = Vec::new();
    match &heard.seen.failure {
        None => told.push(("said", words::said(&heard.said))),
        Some(ending) => {
            told.push(("failed", format!("{}: {}", ending.word, ending.text)));
            let written = ending.last_words.lines();
            told.extend(written.map(|line| ("wrote", line.to_owned())));
            told.push(("comes to", words::said(&heard.said)));
        }
    }
    told.extend(
        words::mended(&heard.seen)
            .into_iter()
            .map(|line| ("mended", line)),
    );
    if let Said::Verdict { edits, .. } = &heard.said {
        told.extend(edits.iter().map(|edit| ("edit", words::edit(edit))));
    }
    let lines = heard.seen.lines.iter();
    told.extend(lines.map(|line| ("log", format!("{}: {}", line.level, line.text))));
    let calls = heard.seen.calls.iter().take(CALLS);
    told.extend(calls.map(|call| {
        let answer = match call.answer.as_str() {
            "" => String::new(),
            answer => format!(" -> {answer}"),
        };
        ("call", format!("{}({}){answer}", call.function, call.arguments))
    }));
    if let more @ 1.. = heard.seen.calls.len().saturating_sub(CALLS) + heard.seen.more {
        told.push(("call", format!("… and {more} more")));
    }
    if *ask != Ask::Validate {
        told.push(("time", format!("{:.1} ms", heard.took.as_secs_f64() * 1000.0)));
    }
    told
}
