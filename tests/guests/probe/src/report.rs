//! What the guest saw of each capability, as lines of text.

use super::bindings::postern::policy::types::HttpRequest;
use super::bindings::postern::policy::{
    auth, clock, config, directory, dns, http, kv, log, message, mime, random, session,
};
use std::fmt::Debug;

pub(super) fn all() -> Vec<String> {
    let mut lines = Vec::new();
    facts(&mut lines);
    content(&mut lines);
    parts(&mut lines);
    granted(&mut lines);
    always(&mut lines);
    system(&mut lines);
    lines
}

fn add(lines: &mut Vec<String>, name: &str, answer: impl Debug) {
    lines.push(format!("{name}={answer:?}"));
}

fn facts(lines: &mut Vec<String>) {
    add(lines, "session.queue-id", session::queue_id());
    add(lines, "session.listener", session::listener());
    add(lines, "session.protocol", session::protocol());
    add(lines, "session.client-ip", session::client_ip());
    add(lines, "session.client-name", session::client_name());
    add(lines, "session.helo", session::helo());
    add(lines, "session.tls-version", session::tls_version());
    add(lines, "session.tls-cipher", session::tls_cipher());
    add(lines, "session.auth-user", session::auth_user());
    add(lines, "session.mail-from", session::mail_from());
    add(lines, "session.rcpt-to", session::rcpt_to());
    add(lines, "session.tags", session::tags());
    add(lines, "auth.spf", auth::spf());
    add(lines, "auth.spf-domain", auth::spf_domain());
    add(lines, "auth.dkim", auth::dkim().len());
    add(lines, "auth.dmarc", auth::dmarc());
    add(lines, "auth.dmarc-policy", auth::dmarc_policy());
    add(lines, "auth.arc", auth::arc());
}

fn content(lines: &mut Vec<String>) {
    add(lines, "message.size", message::size());
    let names: Vec<String> = message::headers().into_iter().map(|field| field.name).collect();
    add(lines, "message.headers", names);
    let values = message::get_header("subject");
    let values: Vec<_> = values
        .iter()
        .map(|value| String::from_utf8_lossy(value))
        .collect();
    add(lines, "message.get-header", values);
    add(lines, "message.header-text", message::header_text("Subject"));
    add(lines, "message.body-offset", message::body_offset());
    let body = message::read(message::body_offset(), 16);
    add(lines, "message.read", String::from_utf8_lossy(&body));
    add(lines, "message.read at most", message::read(0, u32::MAX).len());
    add(
        lines,
        "message.read behind the end",
        message::read(message::size(), 1).len(),
    );
}

fn parts(lines: &mut Vec<String>) {
    let parts = mime::parts();
    let tree: Vec<String> = parts
        .iter()
        .map(|part| {
            format!(
                "{}<{} {} '{}' {}",
                part.index, part.parent, part.media_type, part.name, part.size
            )
        })
        .collect();
    add(lines, "mime.parts", tree);
    add(lines, "mime.complete", mime::complete());
    if let Some(last) = parts.last() {
        add(
            lines,
            "mime.part-header",
            mime::part_header(last.index, "content-type"),
        );
        let start = mime::part_read(last.index, 0, 16);
        add(lines, "mime.part-read", String::from_utf8_lossy(&start));
        add(lines, "mime.part-text", mime::part_text(last.index, 16));
    }
}

fn granted(lines: &mut Vec<String>) {
    add(lines, "kv.set", kv::set("probe", b"one", 0));
    add(
        lines,
        "kv.get",
        kv::get("probe").map(|value| value.map(|value| value.len())),
    );
    add(
        lines,
        "kv.compare-and-set",
        kv::compare_and_set("probe", Some(b"one"), b"two", 60),
    );
    add(
        lines,
        "kv.compare-and-set again",
        kv::compare_and_set("probe", Some(b"one"), b"three", 60),
    );
    add(lines, "kv.increment", kv::increment("probes", 2, 60));
    add(lines, "kv.remove", kv::remove("probe"));
    add(
        lines,
        "kv.get removed",
        kv::get("probe").map(|value| value.is_some()),
    );
    add(lines, "dns.addresses", dns::addresses("example.org"));
    add(lines, "dns.txt", dns::txt("example.org"));
    add(lines, "dns.mx", dns::mx("example.org"));
    add(lines, "dns.names", dns::names("192.0.2.1"));
    add(
        lines,
        "directory.is-local-domain",
        directory::is_local_domain("example.org"),
    );
    add(
        lines,
        "directory.mailbox-of",
        directory::mailbox_of("ann@example.org"),
    );
    add(
        lines,
        "directory.aliases-of",
        directory::aliases_of("info@example.org"),
    );
    add(
        lines,
        "directory.attribute",
        directory::attribute("ann@example.org", "quota-bytes"),
    );
    let request = HttpRequest {
        method: "GET".to_owned(),
        url: config::get("url").unwrap_or_else(|| "http://127.0.0.1/".to_owned()),
        headers: Vec::new(),
        body: Vec::new(),
        timeout_ms: 1000,
    };
    add(
        lines,
        "http.send",
        http::send(&request).map(|response| response.status),
    );
}

fn always(lines: &mut Vec<String>) {
    log::debug("debug of the probe");
    log::info("info of the probe");
    log::warn("warn of the probe");
    log::error("error of the probe");
    add(lines, "config.get", config::get("nested.value"));
    add(lines, "config.json", config::json());
    add(
        lines,
        "clock.now is the same twice",
        clock::now() == clock::now() && clock::now() > 0,
    );
    let (one, other) = (random::bytes(16), random::bytes(16));
    add(lines, "random.bytes", (one.len(), one != other));
}

/// What a guest would find if the sandbox had a hole.
fn system(lines: &mut Vec<String>) {
    println!("the probe writes to its output");
    eprintln!("the probe writes to its error output");
    add(lines, "system.environment", std::env::vars_os().count());
    add(lines, "system.arguments", std::env::args_os().count());
    add(lines, "system.folder", std::fs::read_dir("/").is_ok());
    add(lines, "system.file", std::fs::write("/probe", b"x").is_ok());
    add(
        lines,
        "system.connect",
        std::net::TcpStream::connect("127.0.0.1:1").is_ok(),
    );
    add(
        lines,
        "system.bind",
        std::net::TcpListener::bind("127.0.0.1:0").is_ok(),
    );
    let names = std::net::ToSocketAddrs::to_socket_addrs("localhost:1");
    add(lines, "system.resolve", names.is_ok());
    let mut line = String::new();
    let read = std::io::stdin().read_line(&mut line);
    add(lines, "system.input", matches!(read, Ok(octets) if octets > 0));
}
