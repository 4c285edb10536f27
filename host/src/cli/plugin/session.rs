//! The session and envelope that a policy is told of: what an author says, and the rest as it usually is.
//!
//! What a gateway does not know yet at a question is left out, whoever said it.

use crate::policy::stand::Question;
use crate::policy::{AuthFacts, Facts};
use postern_proto::Address;
use serde::Deserialize;

pub(super) const SENDER: &str = "sender@example.com";
pub(super) const RECIPIENT: &str = "recipient@example.org";
const CLIENT_IP: &str = "192.0.2.1";
const HELO: &str = "client.example.com";
const LISTENER: &str = "mx";
const QUEUE_ID: &str = "00000000000000000000000000";

/// By the contract's names. None: as usual.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Session {
    pub(super) queue_id: Option<String>,
    pub(super) listener: Option<String>,
    pub(super) protocol: Option<String>,
    pub(super) client_ip: Option<String>,
    pub(super) client_name: Option<String>,
    pub(super) helo: Option<String>,
    pub(super) tls_version: Option<String>,
    pub(super) tls_cipher: Option<String>,
    pub(super) auth_user: Option<String>,
    /// Empty for `<>`.
    pub(super) mail_from: Option<String>,
    pub(super) rcpt_to: Option<Vec<String>>,
    pub(super) tags: Option<Vec<String>>,
    /// What the host would have found of the sender.
    #[serde(skip)]
    pub(super) auth: AuthFacts,
}

impl Session {
    /// What is known when that question is asked.
    pub(super) fn facts(&self, question: Question) -> Facts {
        let usual = |said: &Option<String>, usual: &str| said.clone().unwrap_or_else(|| usual.to_owned());
        if question == Question::Validate {
            return Facts::default();
        }
        let connected = Facts {
            listener: usual(&self.listener, LISTENER),
            protocol: usual(&self.protocol, &self.usual_protocol(question)),
            client_ip: usual(&self.client_ip, CLIENT_IP),
            client_name: usual(&self.client_name, ""),
            tls_version: self.tls_version.clone(),
            tls_cipher: self.tls_cipher.clone(),
            ..Facts::default()
        };
        if question == Question::Connect {
            return connected;
        }
        let before: &[&str] = match question {
            Question::Message | Question::Quota => &[RECIPIENT],
            _ => &[],
        };
        let before = || before.iter().map(|address| (*address).to_owned()).collect();
        Facts {
            queue_id: usual(&self.queue_id, QUEUE_ID),
            helo: usual(&self.helo, HELO),
            auth_user: self.auth_user.clone(),
            mail_from: usual(&self.mail_from, SENDER),
            rcpt_to: match question {
                Question::Mail => Vec::new(),
                _ => self.rcpt_to.clone().unwrap_or_else(before),
            },
            tags: self.tags.clone().unwrap_or_default(),
            auth: match question {
                Question::Message | Question::Quota => self.auth.clone(),
                _ => self.auth.at_envelope(),
            },
            ..connected
        }
    }

    fn usual_protocol(&self, question: Question) -> String {
        let greeted = question != Question::Connect;
        let mut protocol = if greeted { "esmtp" } else { "smtp" }.to_owned();
        if self.tls_version.is_some() {
            protocol.push('s');
        }
        if greeted && self.auth_user.is_some() {
            protocol.push('a');
        }
        protocol
    }
}

/// As a gateway writes it.
pub(super) fn address(text: &str) -> Result<String, String> {
    match Address::parse(text) {
        Ok(address) => Ok(address.to_string()),
        Err(error) => Err(format!("`{text}` is no address: {error}; write local@domain")),
    }
}

/// A return path, which may be empty: `<>`.
pub(super) fn sender(text: &str) -> Result<String, String> {
    match text {
        "" | "<>" => Ok(String::new()),
        text => address(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_yet_is_left_out() {
        let session = Session {
            helo: Some("h.example".to_owned()),
            tls_version: Some("TLSv1.3".to_owned()),
            auth_user: Some("ann@example.org".to_owned()),
            rcpt_to: Some(vec!["bob@example.org".to_owned()]),
            tags: Some(vec!["odd".to_owned()]),
            ..Session::default()
        };
        assert_eq!(session.facts(Question::Validate), Facts::default());
        let connect = session.facts(Question::Connect);
        assert_eq!((connect.protocol.as_str(), connect.helo.as_str()), ("smtps", ""));
        assert_eq!((connect.auth_user, connect.tags.len()), (None, 0));
        let mail = session.facts(Question::Mail);
        assert_eq!((mail.protocol.as_str(), mail.rcpt_to.len()), ("esmtpsa", 0));
        assert_eq!(
            (mail.helo.as_str(), mail.mail_from.as_str()),
            ("h.example", SENDER)
        );
        assert_eq!(session.facts(Question::Rcpt).rcpt_to, ["bob@example.org"]);
    }

    #[test]
    fn a_message_has_a_recipient_also_where_none_is_named() {
        let session = Session::default();
        assert!(session.facts(Question::Rcpt).rcpt_to.is_empty());
        assert_eq!(session.facts(Question::Message).rcpt_to, [RECIPIENT]);
        assert_eq!(session.facts(Question::Message).client_ip, CLIENT_IP);
    }

    #[test]
    fn addresses_are_checked_and_a_sender_may_be_none() {
        assert_eq!(address("Ann@EXAMPLE.org").as_deref(), Ok("Ann@example.org"));
        assert!(address("ann").unwrap_err().contains("write local@domain"));
        assert_eq!(sender("<>").as_deref(), Ok(""));
        assert!(sender("ann").is_err());
    }
}
