//! `postal` and `rabid`: what their command lines ask for, as published.
//!
//! As postal 0.76 does: texts from -M to -m KiB, each size as likely; 1 to -c messages a connection; one command
//! after another; turns spread evenly over the minute, and not made up for. As rabid does: any process any
//! user; LIST, then RETR and DELE of each.

use crate::ledger::Work;
use crate::message::Size;
use crate::options::{Telling, above_zero};
use crate::pace::{self, Pace};
use crate::process::files_for;
use crate::reader::{Order, Reader, Visit};
use crate::recipients;
use crate::smtp::{Manner, PerConnection, Protocol, Sender};
use crate::target::{Target, Tls};
use anyhow::Context as _;
use clap::Parser as _;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// A minute; what both say when -r is left out.
const USUAL_RATE: f64 = 24_000.0;
const KIB: usize = 1024;

#[derive(Debug, clap::Args)]
pub(crate) struct Postal {
    /// Smallest text in KiB
    #[arg(short = 'M', default_value_t = 0)]
    smallest: usize,
    /// Largest text in KiB
    #[arg(short = 'm', default_value_t = 10)]
    largest: usize,
    /// Connections
    #[arg(short = 't', default_value_t = 1)]
    threads: usize,
    /// Messages of a connection: 1 to so many; -1 keeps it, 0 says QUIT at once
    #[arg(short = 'c', default_value = "1", allow_negative_numbers = true)]
    messages_per_connection: PerConnection,
    /// Messages a minute, at most
    #[arg(short = 'r', default_value_t = USUAL_RATE, value_parser = above_zero, allow_negative_numbers = true)]
    rate: f64,
    /// LMTP
    #[arg(short = 'L')]
    lmtp: bool,
    /// host, or [host]port
    server: String,
    /// An address a line
    users: PathBuf,
    /// It goes on until Ctrl-C, or for so long
    #[arg(long)]
    seconds: Option<u64>,
    #[command(flatten)]
    telling: Telling,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Rabid {
    /// Connections
    #[arg(short = 'p', default_value_t = 1)]
    processes: usize,
    /// Connections a minute, at most
    #[arg(short = 'r', default_value_t = USUAL_RATE, value_parser = above_zero, allow_negative_numbers = true)]
    rate: f64,
    /// The most messages that are read in a session; -1 reads all
    #[arg(short = 'c', default_value = "-1", allow_negative_numbers = true)]
    messages_per_connection: PerConnection,
    /// Percent that are read, and percent of those that are deleted
    #[arg(short = 'd', default_value = "100:100")]
    download: Shares,
    /// host, or [host]port
    server: String,
    /// An address, a blank and its password a line
    users: PathBuf,
    /// It goes on until Ctrl-C, or for so long
    #[arg(long)]
    seconds: Option<u64>,
    #[command(flatten)]
    telling: Telling,
}

/// Of -d; what is not named is 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shares(u8, u8);

impl FromStr for Shares {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (read, delete) = text.split_once(':').unwrap_or((text, "100"));
        let percent = |text: &str| text.parse().ok().filter(|percent| *percent <= 100_u8);
        match (percent(read), percent(delete)) {
            (Some(read), Some(delete)) => Ok(Self(read, delete)),
            _ => Err(format!("`{text}` are no percentages: write 100 or 100:50")),
        }
    }
}

/// `host` with the usual port, or `[host]port`.
fn target(server: &str, usual: u16) -> anyhow::Result<Target> {
    let place = match server.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => format!("{host}:{usual}"),
        Some((host, port)) => format!("{host}:{port}"),
        None => format!("{server}:{usual}"),
    };
    Target::new(&place, &Tls::default()).with_context(|| format!("`{server}` is no server: write [host]port"))
}

/// Longer than anyone waits for it.
const FOR_GOOD: Duration = Duration::from_secs(30 * 24 * 3600);

async fn run<C: pace::Client>(
    clients: Vec<C>,
    rate: f64,
    (seconds, telling): (Option<u64>, Telling),
    target: &Target,
) -> anyhow::Result<()> {
    files_for(clients.len())?;
    let observer = pace::progress("postal");
    observer.stop_at_interrupt();
    let length = seconds.map_or(FOR_GOOD, Duration::from_secs);
    let work = pace::run(clients, capped(rate), length, &observer);
    let outcome = telling.measured(&observer, work, &target.traffic).await?;
    telling.show(&outcome)
}

/// Of turns a minute.
fn capped(rate: f64) -> Pace {
    Pace::Capped(rate / 60.0)
}

impl Postal {
    /// Its clients for this server and these users.
    fn clients(&self, target: &Target, users: Vec<String>) -> Vec<Sender> {
        let size = Size::Text(self.smallest * KIB, self.largest * KIB);
        let work = Work::new(users, size).choosing(recipients::Choice::Uniform);
        let manner = Manner {
            protocol: if self.lmtp { Protocol::Lmtp } else { Protocol::Smtp },
            per_connection: self.messages_per_connection,
            in_turn: true,
            expected: Vec::new(),
        };
        let sender = Sender::mannered(target.clone(), &Arc::new(work.forgetting()), manner);
        vec![sender; self.threads]
    }
}

impl Rabid {
    /// Its clients for this server and these users with their passwords.
    fn clients(&self, target: &Target, users: Vec<(String, String)>) -> Vec<Reader> {
        let Shares(read, delete) = self.download;
        let visit = Visit {
            stat: false,
            list: true,
            read,
            delete,
            most: match self.messages_per_connection {
                PerConnection::All => usize::MAX,
                PerConnection::UpTo(most) => most as usize,
            },
            at_once: 1,
            kept: false,
        };
        Reader::fleet(self.processes, target, (users, Order::Random), &visit, None)
    }
}

#[derive(Debug, clap::Parser)]
enum Line {
    Postal(Postal),
    Rabid(Rabid),
}

/// Senders or readers, and their pace.
#[derive(Debug)]
pub(crate) enum Clients {
    Send(Vec<Sender>, Pace),
    Read(Vec<Reader>, Pace),
}

/// Those of a command line.
pub(crate) fn of_line(words: &[&str]) -> anyhow::Result<Clients> {
    let line = Line::try_parse_from(std::iter::once("load").chain(words.iter().copied()))?;
    Ok(match line {
        Line::Postal(options) => {
            let users = recipients::of_file(&options.users)?;
            let users = users.into_iter().map(|(user, _)| user).collect();
            let clients = options.clients(&target(&options.server, 25)?, users);
            Clients::Send(clients, capped(options.rate))
        }
        Line::Rabid(options) => {
            let users = recipients::of_file(&options.users)?;
            let clients = options.clients(&target(&options.server, 110)?, users);
            Clients::Read(clients, capped(options.rate))
        }
    })
}

pub(crate) async fn postal(options: Postal) -> anyhow::Result<()> {
    let target = target(&options.server, 25)?;
    let users = recipients::of_file(&options.users)?;
    let users = users.into_iter().map(|(user, _)| user).collect();
    let clients = options.clients(&target, users);
    run(clients, options.rate, (options.seconds, options.telling), &target).await
}

pub(crate) async fn rabid(options: Rabid) -> anyhow::Result<()> {
    let target = target(&options.server, 110)?;
    let users = recipients::of_file(&options.users)?;
    let clients = options.clients(&target, users);
    run(clients, options.rate, (options.seconds, options.telling), &target).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_command_lines_are_read_as_they_are() {
        let line = "load postal -M50 -m500 -t32 [127.0.0.1]2525 users";
        let Line::Postal(options) = Line::try_parse_from(line.split(' ')).unwrap() else {
            panic!("postal");
        };
        assert_eq!(
            (options.smallest, options.largest, options.threads),
            (50, 500, 32)
        );
        assert_eq!(options.messages_per_connection, PerConnection::UpTo(1));
        assert!((options.rate - 24_000.0).abs() < 0.1);
        let line = "load rabid -p 4 -r 600 -c 3 -d 100:50 localhost users";
        let Line::Rabid(options) = Line::try_parse_from(line.split(' ')).unwrap() else {
            panic!("rabid");
        };
        assert_eq!((options.processes, options.download), (4, Shares(100, 50)));
        assert_eq!(options.messages_per_connection, PerConnection::UpTo(3));
        let line = "load postal -c -1 -r 120000 localhost users";
        let Line::Postal(options) = Line::try_parse_from(line.split(' ')).unwrap() else {
            panic!("postal");
        };
        assert_eq!(options.messages_per_connection, PerConnection::All);
        assert!("101".parse::<Shares>().is_err());
        for line in ["postal -r 0", "postal -r -5", "rabid -r 0"] {
            let words = format!("load {line} localhost users");
            let fault = Line::try_parse_from(words.split(' ')).unwrap_err().to_string();
            assert!(fault.contains("it is to be above 0"), "{fault}");
        }
    }

    #[test]
    fn a_port_follows_the_bracket() {
        let address = |text| target(text, 25).unwrap().address;
        assert_eq!(address("[127.0.0.1]2525"), ([127, 0, 0, 1], 2525).into());
        assert_eq!(address("127.0.0.1"), ([127, 0, 0, 1], 25).into());
        assert!(target("[127.0.0.1]x", 25).is_err());
    }
}
