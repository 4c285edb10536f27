//! What is known about session and envelope, in the forms that others want: policies, the `with` clause of
//! `Received`, and the record kept with a message.

use crate::config::Listener;
use crate::explain::{Explanation, size};
use crate::policy::Facts;
use bytes::Bytes;
use postern_proto::smtp::{self, Role};
use std::net::IpAddr;

/// Octets of the kept record beside the recipients.
const KEPT: usize = 2048;

/// Octets of one fact in a record that would be too long: no lawful address, name or cipher has more.
const FACT: usize = 320;

/// The session's part of the facts.
pub(super) fn of_session(listener: &Listener, role: Role, client: IpAddr, session: &smtp::Facts) -> Facts {
    Facts {
        listener: listener.name.clone(),
        protocol: protocol(role, session),
        client_ip: client.to_string(),
        helo: session.helo.clone(),
        tls_version: session.tls.as_ref().map(|tls| tls.version.clone()),
        tls_cipher: session.tls.as_ref().map(|tls| tls.cipher.clone()),
        auth_user: session.user.clone(),
        ..Facts::default()
    }
}

fn protocol(role: Role, session: &smtp::Facts) -> String {
    let base = match (role, session.extended) {
        (Role::Lmtp, _) => "lmtp",
        (Role::Mx | Role::Submission, true) => "esmtp",
        (Role::Mx | Role::Submission, false) => "smtp",
    };
    format!("{base}{}", security(session))
}

/// RFC 3848: `S` for TLS, `A` for authenticated.
fn security(session: &smtp::Facts) -> &'static str {
    match (session.tls.is_some(), session.user.is_some()) {
        (false, false) => "",
        (true, false) => "s",
        (false, true) => "a",
        (true, true) => "sa",
    }
}

/// The `with` clause; RFC 6531 §4.3 has names of its own for transactions with SMTPUTF8.
pub(super) fn with(role: Role, session: &smtp::Facts, smtputf8: bool) -> String {
    if !smtputf8 {
        return protocol(role, session).to_uppercase();
    }
    let base = match role {
        Role::Lmtp => "UTF8LMTP",
        Role::Mx | Role::Submission => "UTF8SMTP",
    };
    format!("{base}{}", security(session).to_uppercase())
}

/// The record kept with a message: all recipients, no more than 2 KiB of everything else, and its explanation, which
/// bounds itself.
pub(super) fn kept(facts: &Facts, explained: Option<&Explanation>) -> Bytes {
    #[derive(serde::Serialize)]
    struct Kept<'a> {
        #[serde(flatten)]
        facts: &'a Facts,
        #[serde(skip_serializing_if = "Option::is_none")]
        explained: Option<&'a Explanation>,
    }
    let facts = &bounded(facts);
    // Strings, numbers and lists of them always have a form in JSON.
    let kept = serde_json::to_vec(&Kept { facts, explained });
    kept.unwrap_or_default().into()
}

fn bounded(facts: &Facts) -> Facts {
    if size(facts) <= KEPT {
        return facts.clone();
    }
    let mut kept = facts.clone();
    let recipients = std::mem::take(&mut kept.rcpt_to);
    for fact in [
        &mut kept.helo,
        &mut kept.client_name,
        &mut kept.mail_from,
        &mut kept.listener,
    ] {
        shorten(fact);
    }
    for fact in [&mut kept.auth_user, &mut kept.tls_cipher, &mut kept.tls_version] {
        fact.iter_mut().for_each(shorten);
    }
    while size(&kept) > KEPT && (kept.auth.dkim.pop().is_some() || kept.tags.pop().is_some()) {}
    kept.rcpt_to = recipients;
    kept
}

fn shorten(fact: &mut String) {
    let end = fact.floor_char_boundary(FACT);
    fact.truncate(end);
}

#[cfg(test)]
mod tests {
    use super::*;
    use postern_proto::smtp::TlsFacts;

    fn session(extended: bool, tls: bool, user: bool) -> smtp::Facts {
        smtp::Facts {
            helo: "h".to_owned(),
            extended,
            tls: tls.then(|| TlsFacts {
                version: "TLSv1.3".to_owned(),
                cipher: "C".to_owned(),
                exporter: None,
            }),
            user: user.then(|| "ann@example.org".to_owned()),
        }
    }

    #[test]
    fn the_with_clause_tells_extension_tls_and_login() {
        assert_eq!(with(Role::Mx, &session(false, false, false), false), "SMTP");
        assert_eq!(with(Role::Mx, &session(true, true, false), false), "ESMTPS");
        assert_eq!(
            with(Role::Submission, &session(true, true, true), false),
            "ESMTPSA"
        );
        assert_eq!(
            with(Role::Submission, &session(true, true, true), true),
            "UTF8SMTPSA"
        );
        assert_eq!(with(Role::Lmtp, &session(true, false, false), false), "LMTP");
        assert_eq!(with(Role::Lmtp, &session(true, false, true), true), "UTF8LMTPA");
    }

    #[test]
    fn the_record_keeps_every_recipient_and_bounds_everything_else() {
        let facts = Facts {
            helo: "é".repeat(4000),
            mail_from: "m".repeat(4000),
            rcpt_to: (0..1000).map(|n| format!("r{n}@example.org")).collect(),
            tags: (0..1000).map(|n| format!("tag-{n}")).collect(),
            ..Facts::default()
        };
        let kept: Facts = serde_json::from_slice(&kept(&facts, None)).unwrap();
        assert_eq!(kept.rcpt_to, facts.rcpt_to);
        assert!(kept.tags.len() > 10, "as many as there is room for");
        let rest = Facts {
            rcpt_to: Vec::new(),
            ..kept
        };
        assert!(size(&rest) <= KEPT);
    }

    #[test]
    fn an_ordinary_record_loses_nothing() {
        let facts = Facts {
            queue_id: "q".to_owned(),
            tags: vec!["spam".to_owned()],
            rcpt_to: vec!["a@example.org".to_owned()],
            ..Facts::default()
        };
        let explained = Explanation {
            replies: vec!["250 ok".to_owned()],
            ..Explanation::default()
        };
        let kept = kept(&facts, Some(&explained));
        let back: Facts = serde_json::from_slice(&kept).unwrap();
        assert_eq!(back, facts);
        let stored: crate::explain::Stored = serde_json::from_slice(&kept).unwrap();
        assert_eq!(stored.explained, Some(explained));
    }
}
