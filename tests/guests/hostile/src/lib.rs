//! A guest that does what a policy must not: settings name the deed (`do`) and the question it is done in
//! (`at`: connect, mail, rcpt, message, route, quota, validate). Every other question is answered at once
//! with no objection.
//!
//! `do`: loop, grow, recurse, storm, logs, huge, trap, sleep, stdout. With the setting `much` it does so much of
//! one thing and then answers: `calls`, `read`, `linger` (milliseconds), `answer` (octets of a reply's text).

use bindings::exports::postern::policy::{
    connection_filter, lifecycle, message_filter, quota, recipient_filter, router, sender_filter,
};
use bindings::postern::policy::types::{Ceiling, QuotaDecision, Reply, Route, Usage, Verdict};
use bindings::postern::policy::{config, log, random, session};
use std::hint::black_box;
use std::io::Write;
use std::time::Duration;

mod bindings {
    #![allow(unsafe_code, unreachable_pub, reason = "generated")]
    wit_bindgen::generate!({
        path: "../../../wit",
        inline: "
            package tests:hostile;
            world plugin {
                import postern:policy/config@0.1.0;
                import postern:policy/log@0.1.0;
                import postern:policy/random@0.1.0;
                import postern:policy/session@0.1.0;
                export postern:policy/connection-filter@0.1.0;
                export postern:policy/lifecycle@0.1.0;
                export postern:policy/message-filter@0.1.0;
                export postern:policy/quota@0.1.0;
                export postern:policy/recipient-filter@0.1.0;
                export postern:policy/router@0.1.0;
                export postern:policy/sender-filter@0.1.0;
            }
        ",
        generate_all,
    });
    export!(Hostile with_types_in self);
    use super::Hostile;
}

struct Hostile;

/// Host calls of [`misbehave`] up to the deed: `at`, `do`, `much`.
const SETTINGS_READ: usize = 3;
/// What a huge answer is made of: far above what any answer may hold, below what the guest's memory may.
const HUGE: usize = 24 << 20;

/// Does the deed if this is the question for it; answers whether a huge answer is to be given.
fn misbehave(question: &str) -> bool {
    if config::get("at").as_deref() != Some(question) {
        return false;
    }
    match config::get("do").unwrap_or_default().as_str() {
        "loop" => spin(),
        "grow" => grow(),
        "recurse" => drop(black_box(recurse(black_box(1)))),
        "storm" => storm(),
        "logs" => flood_the_log(),
        "huge" => return true,
        "trap" => panic!("a trap, as the settings say"),
        "sleep" => std::thread::sleep(Duration::from_secs(3600)),
        "stdout" => flood_the_outputs(),
        "calls" => call(much()),
        "read" => read(much()),
        "linger" => std::thread::sleep(Duration::from_millis(much() as u64)),
        "answer" => return true,
        unknown => panic!("nothing is known that is called `{unknown}`"),
    }
    false
}

fn much() -> usize {
    config::get("much")
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}

/// The three that found out what to do, and these, make `many` host calls.
fn call(many: usize) {
    for _ in SETTINGS_READ..many {
        black_box(session::queue_id());
    }
}

/// Besides the settings.
fn read(octets: usize) {
    let mut left = octets;
    while left > 0 {
        let piece = left.min(64 << 10);
        black_box(random::bytes(piece as u32));
        left -= piece;
    }
}

fn spin() {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

/// Every page is written, so that it costs the host real memory.
fn grow() {
    let mut hoard: Vec<Vec<u8>> = Vec::new();
    loop {
        hoard.push(black_box(vec![1; 1 << 20]));
    }
}

#[allow(unconditional_recursion, reason = "that is the deed")]
fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 16]);
    black_box(recurse(depth + frame.iter().sum::<u64>() % 3)) + 1
}

fn storm() {
    loop {
        black_box(session::queue_id());
    }
}

fn flood_the_log() {
    let line = "x".repeat(64 << 10);
    loop {
        log::error(&line);
    }
}

fn flood_the_outputs() {
    let chunk = vec![b'x'; 64 << 10];
    for _ in 0..128 {
        // A full sink is not the guest's business: it goes on, and answers.
        let _ = std::io::stdout().write_all(&chunk);
        let _ = std::io::stderr().write_all(&chunk);
    }
}

fn huge() -> String {
    "x".repeat(match much() {
        0 => HUGE,
        octets => octets,
    })
}

fn huge_reply() -> Reply {
    Reply {
        code: 550,
        enhanced: "5.7.1".to_owned(),
        text: huge(),
    }
}

fn verdict(question: &str) -> Verdict {
    match misbehave(question) {
        true => Verdict::Reject(huge_reply()),
        false => Verdict::Accept,
    }
}

impl connection_filter::Guest for Hostile {
    fn on_connect() -> Verdict {
        verdict("connect")
    }
}

impl sender_filter::Guest for Hostile {
    fn on_mail() -> Verdict {
        verdict("mail")
    }
}

impl recipient_filter::Guest for Hostile {
    fn on_rcpt(_recipient: String) -> Verdict {
        verdict("rcpt")
    }
}

impl message_filter::Guest for Hostile {
    fn on_message() -> Verdict {
        verdict("message")
    }
}

impl router::Guest for Hostile {
    fn resolve(_recipient: String) -> Route {
        match misbehave("route") {
            true => Route::Rewrite(vec![String::new(); HUGE / 8]),
            false => Route::Pass,
        }
    }
}

impl quota::Guest for Hostile {
    fn check(_mailbox: String, _current: Usage, _incoming: u64) -> QuotaDecision {
        match misbehave("quota") {
            true => QuotaDecision::Deny(huge_reply()),
            false => QuotaDecision::Allow(Ceiling {
                bytes: None,
                messages: None,
            }),
        }
    }
}

impl lifecycle::Guest for Hostile {
    fn validate() -> Result<(), String> {
        match misbehave("validate") {
            true => Err(huge()),
            false => Ok(()),
        }
    }
}
