//! Reading: RETR, logins, and a maildrop of many messages.

use super::{Bench, SIZE, Trial, mailboxes, say};
use crate::ceiling::{Script, aside, echo, hashes, threads};
use crate::gateway::{Gateway, PASSWORD};
use crate::ledger::Work;
use crate::message::{LEAST, Size};
use crate::options::merge;
use crate::pace::{Client as _, Pace};
use crate::pop3::Session;
use crate::process::Meter;
use crate::reader::{Order, Reader, Visit};
use crate::smtp::Sender;
use crate::target::Target;
use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Messages that RETR reads again and again.
const READ: usize = 1000;
const PIPELINED: usize = 32;
const POLLING: usize = 16;

fn users(names: &[String]) -> Vec<(String, String)> {
    names
        .iter()
        .map(|name| (name.clone(), PASSWORD.to_owned()))
        .collect()
}

/// So many messages for one mailbox, whose owner has logged in before.
async fn filled(bench: &Bench, count: usize, size: usize) -> anyhow::Result<(Gateway, String)> {
    let mailbox = "user0@example.org".to_owned();
    let gateway = bench.gateway(std::slice::from_ref(&mailbox), &[])?;
    let mut session = Session::login(&gateway.pop3.into(), &mailbox, PASSWORD).await?;
    session.ask("QUIT").await?;
    fill(&gateway, std::slice::from_ref(&mailbox), count, size).await?;
    Ok((gateway, mailbox))
}

/// So many messages for these mailboxes, in turn.
pub(super) async fn fill(
    gateway: &Gateway,
    mailboxes: &[String],
    count: usize,
    size: usize,
) -> anyhow::Result<()> {
    const AT_ONCE: usize = 64;
    let work = Work::new(mailboxes.to_vec(), Size::Fixed(size)).forgetting();
    let sender = Sender::new(gateway.mx, &Arc::new(work));
    let mut senders = vec![sender; AT_ONCE.min(count)];
    let mut left = count;
    while left > 0 {
        let turns = senders.iter_mut().take(left).map(|sender| sender.once());
        left -= futures_util::future::try_join_all(turns).await?.len();
    }
    Ok(())
}

pub(super) async fn retr(bench: &mut Bench) -> anyhow::Result<()> {
    let trial =
        |at_once: usize, subject, round| Trial::new("retr", subject, json!({ "at_once": at_once }), round);
    let rounds = (1..=bench.rounds).flat_map(|round| [1, PIPELINED].map(|at_once| (round, at_once)));
    let rounds: Vec<_> = rounds.collect();
    let wanted: Vec<_> = rounds
        .iter()
        .map(|(round, at_once)| trial(*at_once, "gateway", *round).id())
        .collect();
    if !bench.lacks(&wanted) {
        return Ok(());
    }
    let (gateway, mailbox) = filled(bench, READ, SIZE).await?;
    let target = Target::from(gateway.pop3);
    for (round, at_once) in rounds {
        let loopback = trial(at_once, "echo", round);
        if bench.lacks(&[loopback.id()]) {
            say(&loopback.id());
            let figures = echo(&Script::reading(SIZE, at_once), 1, bench.round).await?;
            bench.add(&loopback, &figures)?;
        }
        let visit = Visit {
            at_once,
            kept: true,
            ..Visit::STAT
        };
        let user = users(std::slice::from_ref(&mailbox));
        let clients = Reader::fleet(1, &target, (user, Order::Turn), &visit, None);
        bench
            .load(
                &trial(at_once, "gateway", round),
                &gateway,
                (clients, Pace::Closed),
            )
            .await?;
    }
    Ok(())
}

/// Clients that poll: each has logged in before, as one has that comes again.
pub(super) async fn login(bench: &mut Bench) -> anyhow::Result<()> {
    let trial = |subject, round| Trial::new("login", subject, json!({ "connections": POLLING }), round);
    let wanted: Vec<_> = (1..=bench.rounds)
        .map(|round| trial("gateway", round).id())
        .collect();
    if !bench.lacks(&wanted) {
        return Ok(());
    }
    let gateway = bench.gateway(&mailboxes(), &[])?;
    let target = Target::from(gateway.pop3);
    for (user, password) in users(&mailboxes()) {
        Session::login(&target, &user, &password)
            .await?
            .ask("QUIT")
            .await?;
    }
    for round in 1..=bench.rounds {
        let password = trial("argon2id", round);
        if bench.lacks(&[password.id()]) {
            say(&password.id());
            let (cores, length) = (threads().max().unwrap_or(1), bench.round);
            let figures = aside(move || hashes(cores, length)).await?;
            bench.add(&password, &figures)?;
        }
        let loopback = trial("echo", round);
        if bench.lacks(&[loopback.id()]) {
            say(&loopback.id());
            bench.add(&loopback, &echo(&Script::login(), POLLING, bench.round).await?)?;
        }
        let users = (users(&mailboxes()), Order::Turn);
        let clients = Reader::fleet(POLLING, &target, users, &Visit::STAT, None);
        bench
            .load(&trial("gateway", round), &gateway, (clients, Pace::Closed))
            .await?;
    }
    Ok(())
}

pub(super) async fn large(bench: &mut Bench) -> anyhow::Result<()> {
    for count in bench.maildrops.clone() {
        visits(bench, count).await?;
    }
    Ok(())
}

async fn visits(bench: &mut Bench, count: usize) -> anyhow::Result<()> {
    let trial = |round| Trial::new("maildrop", "gateway", json!({ "messages_there": count }), round);
    let wanted: Vec<_> = (1..=bench.rounds).map(|round| trial(round).id()).collect();
    if !bench.lacks(&wanted) {
        return Ok(());
    }
    say(&format!("{} is filled", trial(1).name()));
    let (gateway, mailbox) = filled(bench, count, LEAST).await?;
    let meter = Meter::of([("gateway".to_owned(), gateway.pid())]);
    for round in 1..=bench.rounds {
        let trial = trial(round);
        if bench.lacks(&[trial.id()]) {
            say(&trial.id());
            let before = meter.read()?;
            let mut figures = visit(&gateway.pop3.into(), &mailbox, count).await?;
            merge(&mut figures, meter.since(&before, 1, 1)?);
            bench.add(&trial, &figures)?;
        }
    }
    Ok(())
}

/// A client that comes, looks and goes.
async fn visit(target: &Target, mailbox: &str, count: usize) -> anyhow::Result<Value> {
    let millis = |took: Duration| took.as_secs_f64() * 1000.0;
    let mut session = Session::connect(target).await?;
    session.ask(&format!("USER {mailbox}")).await?;
    let begun = Instant::now();
    session.ask(&format!("PASS {PASSWORD}")).await?;
    let login = begun.elapsed();
    let begun = Instant::now();
    let counted = session.count().await?;
    let stat = begun.elapsed();
    let begun = Instant::now();
    let listed = memchr::memchr_iter(b'\n', session.block("UIDL").await?).count();
    let uidl = begun.elapsed();
    session.ask("QUIT").await.context("QUIT")?;
    ensure!(
        counted == count && listed == count,
        "{mailbox} has {counted} and lists {listed} of {count} messages"
    );
    Ok(json!({
        "login_ms": millis(login), "stat_ms": millis(stat), "uidl_ms": millis(uidl),
        "login_stat_ms": millis(login + stat),
    }))
}
