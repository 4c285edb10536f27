//! SCRAM keys as accounts keep them, and made-up ones for logins that have none.

use super::secret::Secret;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use postern_proto::sasl::ScramKeys;

/// Octets of a salt.
const SALT: usize = 16;

/// Keys of a new password with a random salt.
pub(super) fn create(password: &str, iterations: u32) -> ScramKeys {
    let salt: [u8; SALT] = rand::random();
    ScramKeys::derive(password, salt.to_vec(), iterations)
}

/// `iterations:salt:stored:server`.
pub(super) fn write(keys: &ScramKeys) -> String {
    format!(
        "{}:{}:{}:{}",
        keys.iterations,
        BASE64.encode(&keys.salt),
        BASE64.encode(keys.stored_key),
        BASE64.encode(keys.server_key)
    )
}

pub(super) fn read(text: &str) -> Option<ScramKeys> {
    let mut parts = text.split(':');
    let (iterations, salt, stored, server) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    Some(ScramKeys {
        salt: BASE64.decode(salt).ok()?,
        iterations: iterations.parse().ok()?,
        stored_key: BASE64.decode(stored).ok()?.try_into().ok()?,
        server_key: BASE64.decode(server).ok()?.try_into().ok()?,
    })
}

/// Keys that no password has, always the same for one login (RFC 5802 §9: the salt must not tell an
/// unknown login from a known one, today or tomorrow).
pub(super) fn made_up(secret: &Secret, login: &str, iterations: u32) -> ScramKeys {
    let of = |purpose: &[u8]| secret.hash(&[purpose, login.as_bytes()]);
    ScramKeys {
        salt: of(b"salt").into_iter().take(SALT).collect(),
        iterations,
        stored_key: of(b"stored"),
        server_key: of(b"server"),
    }
}

/// The server's part of the nonce (RFC 5802 §5.1: printable, no comma).
pub(super) fn nonce() -> String {
    let octets: [u8; 18] = rand::random();
    BASE64.encode(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_written_and_read_back() {
        let keys = create("secret", 3);
        assert_eq!(read(&write(&keys)), Some(keys));
        assert_eq!(read("4096:AAAA:AAAA:AAAA"), None);
        assert_eq!(read("nothing"), None);
    }

    #[test]
    fn made_up_keys_are_stable_and_differ_by_login() {
        let secret = Secret::random();
        let ann = made_up(&secret, "ann@example.org", 600_000);
        assert_eq!(ann, made_up(&secret, "ann@example.org", 600_000));
        assert_ne!(ann.salt, made_up(&secret, "bob@example.org", 600_000).salt);
        assert_eq!(ann.salt.len(), create("secret", 1).salt.len());
    }
}
