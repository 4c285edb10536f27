//! Silent sessions: what a gateway keeps for each, in clear and over TLS.

use super::{Bench, Trial, say};
use crate::modes::idle::{Speaks, hold};
use crate::target::{Target, Tls, When};
use serde_json::json;

/// Of the most, so that a picture has points, and a quick bench one to be compared with.
const SHARES: [usize; 4] = [10, 5, 2, 1];
/// Seconds in which nothing happens.
const SILENT: u64 = 1;

/// Each number of sessions on a gateway of its own, whose memory nobody has used before.
pub(super) async fn idle(bench: &mut Bench) -> anyhow::Result<()> {
    let kinds = [
        ("SMTP in clear", Speaks::Smtp, "mx", When::None),
        ("SMTP over TLS", Speaks::Smtp, "mxs", When::Starttls),
        ("POP3 in clear", Speaks::Pop3, "pop3", When::None),
        ("POP3 over TLS", Speaks::Pop3, "pop3s", When::Implicit),
    ];
    for (kind, speaks, listener, when) in kinds {
        let shares = SHARES.iter().filter(|share| **share == 1 || !bench.quick);
        for share in shares.copied().collect::<Vec<_>>() {
            let sessions = bench.sessions / share;
            let varied = json!({ "kind": kind, "sessions": sessions });
            let trial = Trial::new("idle", "gateway", varied, 1);
            if !bench.lacks(&[trial.id()]) {
                continue;
            }
            say(&trial.id());
            let gateway = bench.gateway(&["user0@example.org".to_owned()], &[])?;
            let tls = Tls { tls: when, ca: None };
            let place = gateway.listener(listener)?.to_string();
            let target = Target::new(&place, &tls)?.frugal();
            // What a first session makes for all is not a session's.
            hold(&target, speaks, 1, 0, &[]).await?;
            let figures = hold(&target, speaks, sessions, SILENT, &[gateway.pid()]).await?;
            bench.add(&trial, &figures)?;
        }
    }
    Ok(())
}
