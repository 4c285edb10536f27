//! `postal` and `rabid`: what their command lines ask for, as published.
//!
//! As postal 0.76 does: texts from -M to -m KiB, each size as likely; 1 to -c messages a connection; one command
//! after another; turns spread evenly over the minute, and not made up for. As rabid does: any process any
//! user; LIST, then RETR and DELE of each.

use crate::ledger::Work;
use crate::message::Size;
use crate::options::Telling;
use crate::pace::{self, Pace};
use crate::reader::{Order, Reader, Visit};
use crate::recipients;
use crate::smtp::{Manner, PerConnection, Protocol, Sender};
use crate::target::{Target, Tls};
use anyhow::Context as _;
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
    #[arg(short = 'r', default_value_t = USUAL_RATE)]
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
    #[arg(short = 'r', default_value_t = USUAL_RATE)]
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
    mut clients: Vec<C>,
    rate: f64,
    (seconds, telling): (Option<u64>, Telling),
    target: &Target,
) -> anyhow::Result<()> {
    pace::ready(&mut clients).await;
    let observer = pace::progress("postal");
    observer.stop_at_interrupt();
    let length = seconds.map_or(FOR_GOOD, Duration::from_secs);
    let work = pace::run(clients, Pace::Capped(rate / 60.0), length, &observer);
    let outcome = telling.measured(&observer, work, &target.traffic).await?;
    telling.show(&outcome)
}

pub(crate) async fn postal(options: Postal) -> anyhow::Result<()> {
    let target = target(&options.server, 25)?;
    let users = recipients::of_file(&options.users)?;
    let users = users.into_iter().map(|(user, _)| user).collect();
    let size = Size::Text(options.smallest * KIB, options.largest * KIB);
    let work = Work::new(users, size).choosing(recipients::Choice::Uniform);
    let manner = Manner {
        protocol: if options.lmtp {
            Protocol::Lmtp
        } else {
            Protocol::Smtp
        },
        per_connection: options.messages_per_connection,
        in_turn: true,
        expected: Vec::new(),
    };
    let sender = Sender::mannered(target.clone(), &Arc::new(work.forgetting()), manner);
    let clients = vec![sender; options.threads];
    run(clients, options.rate, (options.seconds, options.telling), &target).await
}

pub(crate) async fn rabid(options: Rabid) -> anyhow::Result<()> {
    let target = target(&options.server, 110)?;
    let users = recipients::of_file(&options.users)?;
    let Shares(read, delete) = options.download;
    let visit = Visit {
        stat: false,
        list: true,
        read,
        delete,
        most: match options.messages_per_connection {
            PerConnection::All => usize::MAX,
            PerConnection::UpTo(most) => most as usize,
        },
        at_once: 1,
        kept: false,
    };
    let clients = Reader::fleet(options.processes, &target, (users, Order::Random), &visit, None);
    run(clients, options.rate, (options.seconds, options.telling), &target).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    #[derive(Debug, clap::Parser)]
    enum Lines {
        Postal(Postal),
        Rabid(Rabid),
    }

    #[test]
    fn published_command_lines_are_read_as_they_are() {
        let line = "load postal -M50 -m500 -t32 [127.0.0.1]2525 users";
        let Lines::Postal(options) = Lines::try_parse_from(line.split(' ')).unwrap() else {
            panic!("postal");
        };
        assert_eq!(
            (options.smallest, options.largest, options.threads),
            (50, 500, 32)
        );
        assert_eq!(options.messages_per_connection, PerConnection::UpTo(1));
        assert!((options.rate - 24_000.0).abs() < 0.1);
        let line = "load rabid -p 4 -r 600 -c 3 -d 100:50 localhost users";
        let Lines::Rabid(options) = Lines::try_parse_from(line.split(' ')).unwrap() else {
            panic!("rabid");
        };
        assert_eq!((options.processes, options.download), (4, Shares(100, 50)));
        assert_eq!(options.messages_per_connection, PerConnection::UpTo(3));
        let line = "load postal -c -1 -r 120000 localhost users";
        let Lines::Postal(options) = Lines::try_parse_from(line.split(' ')).unwrap() else {
            panic!("postal");
        };
        assert_eq!(options.messages_per_connection, PerConnection::All);
        assert!("101".parse::<Shares>().is_err());
    }

    #[test]
    fn a_port_follows_the_bracket() {
        let address = |text| target(text, 25).unwrap().address;
        assert_eq!(address("[127.0.0.1]2525"), ([127, 0, 0, 1], 2525).into());
        assert_eq!(address("127.0.0.1"), ([127, 0, 0, 1], 25).into());
        assert!(target("[127.0.0.1]x", 25).is_err());
    }
}
