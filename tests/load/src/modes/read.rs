//! `pop3`: maildrops are polled, or read over sessions that are kept.

use crate::options::Load;
use crate::reader::{Order, Reader, Visit};
use crate::recipients;
use crate::target::{Target, Tls};
use std::path::Path;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// host:port of POP3
    server: String,
    /// Users: names, `user{0..63}@example.org`, or `@FILE` with a name and its password a line
    #[arg(long, required = true, value_delimiter = ',')]
    users: Vec<String>,
    /// Of all users that have none in a file
    #[arg(long, default_value = "")]
    password: String,
    /// Any client any maildrop, as rabid does, instead of each its own
    #[arg(long)]
    random: bool,
    #[command(flatten)]
    visit: Visits,
    /// Log in once, and let each turn read the next messages
    #[arg(long)]
    kept: bool,
    #[command(flatten)]
    tls: Tls,
    #[command(flatten)]
    load: Load,
}

/// A visit logs in, says STAT, and what it is told here.
#[derive(Debug, clap::Args)]
pub(crate) struct Visits {
    /// Ask for LIST
    #[arg(long)]
    list: bool,
    /// Percent of the messages that are read
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=100))]
    read: u8,
    /// Percent of those that are deleted
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=100))]
    delete: u8,
    /// The most that a visit looks at
    #[arg(long)]
    most: Option<usize>,
    /// RETR and DELE that are asked for in one go
    #[arg(long, default_value_t = 1)]
    at_once: usize,
}

impl Visits {
    pub(crate) fn visit(&self, kept: bool) -> Visit {
        Visit {
            stat: true,
            list: self.list,
            read: self.read,
            delete: self.delete,
            most: self.most.unwrap_or(usize::MAX),
            at_once: self.at_once.max(1),
            kept,
        }
    }
}

/// With their passwords.
pub(crate) fn users(words: &[String], password: &str) -> anyhow::Result<Vec<(String, String)>> {
    let mut users = Vec::new();
    for word in words {
        match word.strip_prefix('@') {
            Some(file) => users.extend(recipients::of_file(Path::new(file))?),
            None => {
                let names = recipients::expand(std::slice::from_ref(word))?;
                users.extend(names.into_iter().map(|name| (name, String::new())));
            }
        }
    }
    for (_, own) in &mut users {
        if own.is_empty() {
            password.clone_into(own);
        }
    }
    Ok(users)
}

pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let target = Target::new(&options.server, &options.tls)?;
    let users = users(&options.users, &options.password)?;
    let order = if options.random {
        Order::Random
    } else {
        Order::Turn
    };
    let visit = options.visit.visit(options.kept);
    let clients = Reader::fleet(options.load.connections, &target, (users, order), &visit, None);
    let outcome = options.load.run(clients, &target.traffic).await?;
    options.load.telling.show(&outcome)
}
