//! Trace: what this hop writes before a message, what earlier hops wrote, and the loops that shows.
//!
//! What is written is ASCII unless a local part is not: a message that needs no SMTPUTF8 does not come to
//! need it by passing here.

use super::{MessageId, head};
use postern_proto::Address;
use std::collections::HashSet;
use std::fmt::Write;
use std::net::IpAddr;

/// One message's passage through this host.
#[derive(Debug, Clone)]
pub struct Hop<'a> {
    pub id: MessageId,
    pub helo: &'a str,
    /// By DNS; empty where it is not known.
    pub client_name: &'a str,
    pub client: IpAddr,
    pub hostname: &'a str,
    /// The `with` clause: `ESMTPSA` (RFC 3848, RFC 6531 §4.3).
    pub protocol: &'a str,
    pub cipher: Option<&'a str>,
    /// Seconds since 1970.
    pub at: u64,
}

impl Hop<'_> {
    /// The `Received` field (RFC 5321 §4.4). `recipient` is named only where there is no other one to see it.
    pub fn received(&self, recipient: Option<&Address>) -> String {
        let mut field = format!("Received: from {} (", said(self.helo));
        if !self.client_name.is_empty() {
            let _ = write!(field, "{} ", said(self.client_name));
        }
        let _ = match self.client {
            IpAddr::V4(v4) => write!(field, "[{v4}])"),
            IpAddr::V6(v6) => write!(field, "[IPv6:{v6}])"),
        };
        let _ = write!(
            field,
            "\r\n\tby {} with {} id {}",
            self.hostname, self.protocol, self.id
        );
        if let Some(recipient) = recipient {
            let _ = write!(field, "\r\n\tfor <{}>", path(recipient));
        }
        // RFC 8314 §4.3 registers this clause; such clauses are the last (RFC 5321 §4.4).
        if let Some(cipher) = self.cipher {
            let _ = write!(field, "\r\n\ttls {}", said(cipher));
        }
        let _ = write!(field, ";\r\n\t{}\r\n", date(self.at));
        field
    }
}

/// RFC 5321 §4.4: written once, at delivery.
pub fn return_path(sender: Option<&Address>) -> String {
    let sender = sender.map(path).unwrap_or_default();
    format!("Return-Path: <{sender}>\r\n")
}

pub fn delivered_to(mailbox: &str) -> String {
    format!("Delivered-To: {}\r\n", mailbox_path(mailbox))
}

/// The mailboxes that a message was delivered to before it came here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Before(HashSet<String>);

impl Before {
    /// As the fields of `head` tell.
    pub fn of(head: &[u8]) -> Self {
        let fields = head::fields(head).filter(|field| field.is("Delivered-To"));
        Self(fields.map(|field| field.value().to_lowercase()).collect())
    }

    /// Whether this mailbox is one of them: the message is going round.
    pub fn has(&self, mailbox: &str) -> bool {
        !self.0.is_empty()
            && (self.0.contains(mailbox) || self.0.contains(&mailbox_path(mailbox).to_lowercase()))
    }
}

/// How many hosts have passed the message on (RFC 5321 §6.3).
pub fn hops(head: &[u8]) -> usize {
    head::fields(head).filter(|field| field.is("Received")).count()
}

/// `Date` and `Message-ID`, where a submitted message has none (RFC 6409 §8.2 and §8.3).
pub fn missing_fields(head: &[u8], id: MessageId, hostname: &str, at: u64) -> String {
    let has = |name: &str| head::fields(head).any(|field| field.is(name));
    let mut missing = String::new();
    if !has("Date") {
        let _ = write!(missing, "Date: {}\r\n", date(at));
    }
    if !has("Message-ID") {
        let _ = write!(missing, "Message-ID: <{id}@{hostname}>\r\n");
    }
    missing
}

/// The date and time of RFC 5322 §3.3, in UTC.
pub fn date(seconds: u64) -> String {
    mail_parser::DateTime::from_timestamp(i64::try_from(seconds).unwrap_or_default()).to_rfc822()
}

/// An address as it is written in a trace field.
fn path(address: &Address) -> String {
    let text = address.to_string();
    match text.rsplit_once('@') {
        Some((local, domain)) if local.is_ascii() && !domain.is_ascii() => {
            let ascii = idna::domain_to_ascii(domain).unwrap_or_else(|_| domain.to_owned());
            format!("{local}@{ascii}")
        }
        _ => text,
    }
}

fn mailbox_path(mailbox: &str) -> String {
    Address::parse(mailbox).map_or_else(|_| mailbox.to_owned(), |address| path(&address))
}

/// What a client said of itself, so that it can neither end the field nor look like another clause.
fn said(text: &str) -> String {
    let text = match text.is_ascii() {
        true => text.to_owned(),
        false => idna::domain_to_ascii(text).unwrap_or_default(),
    };
    if text.is_empty() {
        return "unknown".to_owned();
    }
    let harmless = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    text.chars().map(|c| if harmless(c) { c } else { '?' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hop() -> Hop<'static> {
        Hop {
            id: MessageId::from_bytes([1; 16]),
            helo: "mail.example.net",
            client_name: "",
            client: "192.0.2.7".parse().unwrap(),
            hostname: "mx.example.org",
            protocol: "ESMTPS",
            cipher: Some("TLS_AES_128_GCM_SHA256"),
            at: 1_700_000_000,
        }
    }

    #[test]
    fn received_names_all_that_is_known_and_the_only_recipient() {
        let recipient = Address::parse("ann@example.org").unwrap();
        let id = MessageId::from_bytes([1; 16]);
        assert_eq!(
            hop().received(Some(&recipient)),
            format!(
                "Received: from mail.example.net ([192.0.2.7])\r\n\tby mx.example.org with ESMTPS id {id}\r\n\
                 \tfor <ann@example.org>\r\n\ttls TLS_AES_128_GCM_SHA256;\r\n\tTue, 14 Nov 2023 22:13:20 +0000\r\n"
            )
        );
        assert!(!hop().received(None).contains("for <"));
    }

    #[test]
    fn an_address_of_version_6_has_its_tag_and_a_name_by_dns_stands_before_it() {
        let hop = Hop {
            client: "2001:db8::1".parse().unwrap(),
            client_name: "client.example",
            cipher: None,
            ..hop()
        };
        let field = hop.received(None);
        assert!(
            field.starts_with("Received: from mail.example.net (client.example [IPv6:2001:db8::1])\r\n\tby"),
            "{field}"
        );
    }

    #[test]
    fn a_helo_cannot_write_trace_of_its_own() {
        let hop = Hop {
            helo: "a (b)\r\nX: y;",
            ..hop()
        };
        assert!(
            hop.received(None)
                .starts_with("Received: from a??b???X:?y? ([192.0.2.7])")
        );
        let silent = Hop { helo: "", ..hop };
        assert!(silent.received(None).starts_with("Received: from unknown ("));
    }

    #[test]
    fn trace_is_ascii_unless_a_local_part_is_not() {
        let unicode_domain = Address::parse("ann@bücher.example").unwrap();
        assert_eq!(
            return_path(Some(&unicode_domain)),
            "Return-Path: <ann@xn--bcher-kva.example>\r\n"
        );
        assert_eq!(
            delivered_to("ann@bücher.example"),
            "Delivered-To: ann@xn--bcher-kva.example\r\n"
        );
        assert_eq!(
            delivered_to("jürgen@example.org"),
            "Delivered-To: jürgen@example.org\r\n"
        );
        assert_eq!(return_path(None), "Return-Path: <>\r\n");
    }

    #[test]
    fn a_mailbox_that_is_named_by_an_earlier_delivery_is_recognised() {
        let head = b"Delivered-To: Bob@Example.org\r\nDelivered-To: ann@xn--bcher-kva.example\r\nTo: eve@example.org\r\n\r\n";
        let before = Before::of(head);
        assert!(before.has("bob@example.org"));
        assert!(before.has("ann@bücher.example"));
        assert!(!before.has("eve@example.org"));
    }

    #[test]
    fn hops_are_received_fields_only() {
        assert_eq!(
            hops(b"Received: a\r\n b\r\nX-Received: c\r\nreceived: d\r\n\r\nReceived: e\r\n"),
            2
        );
    }

    #[test]
    fn only_what_is_missing_is_added() {
        let id = MessageId::from_bytes([1; 16]);
        assert_eq!(
            missing_fields(b"message-id: <x@y>\r\n\r\n", id, "h.example", 0),
            "Date: Thu, 1 Jan 1970 00:00:00 +0000\r\n"
        );
        assert_eq!(
            missing_fields(b"Date: today\r\n\r\n", id, "h.example", 0),
            format!("Message-ID: <{id}@h.example>\r\n")
        );
        assert_eq!(
            missing_fields(b"Date: a\r\nMessage-Id: b\r\n\r\n", id, "h.example", 0),
            ""
        );
    }
}
