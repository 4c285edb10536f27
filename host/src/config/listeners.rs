//! Listeners: what each may say for its role, and that no two claim the same name or address.

use super::check::networks;
use super::fault::Collector;
use super::raw;
use super::{Listener, Role, TlsMode};
use postern_proto::smtp;
use std::collections::HashSet;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

pub(super) fn check(raw: Vec<Option<raw::Listener>>, faults: &mut Collector) -> Vec<Listener> {
    if raw.is_empty() && !faults.has("listeners") {
        let mend = "missing; write at least one, such as { role: mx, address: \"127.0.0.1:2525\" }";
        faults.add("listeners", mend);
    }
    let mut taken = Taken::default();
    let mut listeners = Vec::new();
    for (index, listener) in raw.into_iter().enumerate() {
        let path = format!("listeners[{index}]");
        match listener {
            Some(listener) => listeners.extend(one(listener, &path, &mut taken, faults)),
            None if faults.has(&path) => {}
            None => faults.add(path, "empty; write a role and an address or remove it"),
        }
    }
    listeners
}

/// Names and addresses that listeners before this one have.
#[derive(Default)]
struct Taken {
    names: HashSet<String>,
    addresses: HashSet<SocketAddr>,
}

fn one(raw: raw::Listener, path: &str, taken: &mut Taken, faults: &mut Collector) -> Vec<Listener> {
    let addresses = addresses(raw.address.as_deref(), path, taken, faults);
    let Some(role) = raw.role else {
        let key = format!("{path}.role");
        if !faults.has(&key) {
            faults.add(key, "missing; write mx, submission, lmtp, pop3 or admin");
        }
        return Vec::new();
    };
    let tls = tls(&raw, role, path, faults);
    let auth = auth(&raw, role, path, faults);
    plaintext(&raw, auth, tls, path, faults);
    role_options(&raw, role, path, faults);
    let port = addresses.first().map_or(0, SocketAddr::port);
    let name = name(raw.name.clone(), role, port, path, taken, faults);
    let proxy = networks(&format!("{path}.proxy"), raw.proxy, faults);
    let listen = |address| Listener {
        name: name.clone(),
        role: spoken(role),
        address,
        tls,
        plaintext_auth: raw.plaintext_auth.unwrap_or(false),
        auth,
        proxy: proxy.clone(),
        reject_early_talkers: raw.reject_early_talkers.unwrap_or(false),
    };
    addresses.into_iter().map(listen).collect()
}

fn spoken(role: raw::Role) -> Role {
    match role {
        raw::Role::Mx => Role::Smtp(smtp::Role::Mx),
        raw::Role::Submission => Role::Smtp(smtp::Role::Submission),
        raw::Role::Lmtp => Role::Smtp(smtp::Role::Lmtp),
        raw::Role::Pop3 => Role::Pop3,
        raw::Role::Admin => Role::Admin,
    }
}

/// `host:port`, or `*:port` for every IPv4 and every IPv6 address.
fn addresses(raw: Option<&str>, path: &str, taken: &mut Taken, faults: &mut Collector) -> Vec<SocketAddr> {
    let path = format!("{path}.address");
    let Some(text) = raw else {
        if !faults.has(&path) {
            faults.add(path, "missing; write host:port");
        }
        return Vec::new();
    };
    let parsed = match text.strip_prefix("*:") {
        Some(port) => port.parse().ok().map(|port| {
            vec![
                SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port),
                SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port),
            ]
        }),
        None => text.parse().ok().map(|address| vec![address]),
    };
    let Some(addresses) = parsed else {
        faults.add(path, format!("`{text}` is not an address with a port; write host:port, such as 127.0.0.1:2525, [::1]:2525 or *:25"));
        return Vec::new();
    };
    for address in &addresses {
        // Port 0 is a free port each time.
        if address.port() != 0 && !taken.addresses.insert(*address) {
            faults.add(
                path.clone(),
                format!("`{text}` is taken by a listener above; write another port or remove one"),
            );
        }
    }
    addresses
}

fn tls(raw: &raw::Listener, role: raw::Role, path: &str, faults: &mut Collector) -> TlsMode {
    match (role, raw.tls) {
        (raw::Role::Admin, Some(raw::TlsMode::None) | None) => TlsMode::None,
        (raw::Role::Admin, Some(_)) => {
            faults.add(
                format!("{path}.tls"),
                "the admin listener speaks plain HTTP; write tls: none and keep it on a private address",
            );
            TlsMode::None
        }
        (_, Some(raw::TlsMode::StartTls) | None) => TlsMode::StartTls,
        (_, Some(raw::TlsMode::Implicit)) => TlsMode::Implicit,
        (_, Some(raw::TlsMode::None)) => TlsMode::None,
    }
}

/// Whether clients may log in here; only `mx` has the choice.
fn auth(raw: &raw::Listener, role: raw::Role, path: &str, faults: &mut Collector) -> bool {
    let always = matches!(role, raw::Role::Submission | raw::Role::Pop3);
    match (role, raw.auth) {
        (raw::Role::Mx, auth) => auth.unwrap_or(false),
        (_, Some(auth)) if auth != always => {
            let text = if always {
                "this role is useless without logins"
            } else {
                "this role has no logins"
            };
            faults.add(format!("{path}.auth"), format!("{text}; remove the key"));
            always
        }
        _ => always,
    }
}

/// Passwords before TLS are allowed only where somebody said so, and a listener on which nobody could ever
/// log in is a mistake.
fn plaintext(raw: &raw::Listener, auth: bool, tls: TlsMode, path: &str, faults: &mut Collector) {
    let path = format!("{path}.plaintext_auth");
    match (auth, raw.plaintext_auth, tls) {
        (false, Some(true), _) => faults.add(path, "there are no logins on this listener; remove the key"),
        (true, Some(true), TlsMode::Implicit) => {
            faults.add(
                path,
                "with tls: implicit nothing is ever in clear; remove the key",
            );
        }
        (true, None | Some(false), TlsMode::None) => {
            let mend = "with tls: none nobody could log in; write tls: starttls, or plaintext_auth: true if the network is trusted";
            faults.add(path, mend);
        }
        _ => {}
    }
}

fn role_options(raw: &raw::Listener, role: raw::Role, path: &str, faults: &mut Collector) {
    if raw.reject_early_talkers == Some(true) && role != raw::Role::Mx {
        faults.add(
            format!("{path}.reject_early_talkers"),
            "only role mx greets strangers; remove the key",
        );
    }
    if role == raw::Role::Admin && raw.proxy.as_ref().is_some_and(|list| !list.is_empty()) {
        faults.add(
            format!("{path}.proxy"),
            "the admin listener takes no PROXY header; remove the key",
        );
    }
}

/// The name that was given, or `role-port`; with a number behind it where that is taken already, as for the
/// same port on two addresses.
fn name(
    given: Option<String>,
    role: raw::Role,
    port: u16,
    path: &str,
    taken: &mut Taken,
    faults: &mut Collector,
) -> String {
    if let Some(name) = given {
        let path = format!("{path}.name");
        if name.is_empty()
            || !name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        {
            faults.add(
                path,
                format!("`{name}` is no name; write letters, digits, - _ and ."),
            );
        } else if !taken.names.insert(name.clone()) {
            faults.add(
                path,
                format!("`{name}` is taken by a listener above; write another"),
            );
        }
        return name;
    }
    let role = match role {
        raw::Role::Mx => "mx",
        raw::Role::Submission => "submission",
        raw::Role::Lmtp => "lmtp",
        raw::Role::Pop3 => "pop3",
        raw::Role::Admin => "admin",
    };
    let plain = format!("{role}-{port}");
    let numbered = (2..).map(|number| format!("{plain}-{number}"));
    let free = |name: &String| !taken.names.contains(name);
    let name = std::iter::once(plain.clone())
        .chain(numbered)
        .find(free)
        .unwrap_or(plain);
    taken.names.insert(name.clone());
    name
}
