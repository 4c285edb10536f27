//! SCRAM-SHA-256 and SCRAM-SHA-256-PLUS, the server's side (RFC 5802, RFC 7677), with the channel binding
//! `tls-exporter` (RFC 9266).
//!
//! Refuses: extensions it does not know, an authorization identity, a client that says it saw no channel
//! binding where it was offered (§6: somebody removed it), nonces that are not ours, a proof that comes out
//! wrong. An unknown login runs through the same steps with made-up keys and ends as a wrong proof does.

use super::{Question, ScramKeys, prepare, same};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

/// Which of the two mechanisms runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Variant {
    Plain,
    Plus,
}

/// Why a message is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Error {
    /// Not of the grammar of RFC 5802 §7.
    Grammar,
    InvalidEncoding,
    InvalidUsername,
    /// `m=`, or an authorization identity.
    Extension,
    BindingOffered,
    BindingNotSupported,
    BindingType,
    BindingMismatch,
    InvalidProof,
    Other,
}

impl Error {
    /// The `server-error-value` of RFC 5802 §7; None where no SCRAM exchange has begun.
    pub(super) fn attribute(self) -> Option<&'static str> {
        Some(match self {
            Self::Grammar => return None,
            Self::InvalidEncoding => "invalid-encoding",
            Self::InvalidUsername => "invalid-username-encoding",
            Self::Extension => "extensions-not-supported",
            Self::BindingOffered => "server-does-support-channel-binding",
            Self::BindingNotSupported => "channel-binding-not-supported",
            Self::BindingType => "unsupported-channel-binding-type",
            Self::BindingMismatch => "channel-bindings-dont-match",
            Self::InvalidProof => "invalid-proof",
            Self::Other => "other-error",
        })
    }
}

/// The client's first message, read.
pub(super) struct Offer {
    pub(super) login: String,
    /// What the final message's `c=` must decode to: the gs2 header and the binding.
    binding_input: Vec<u8>,
    first_bare: String,
    client_nonce: String,
}

impl Offer {
    /// `client-first-message = gs2-header client-first-message-bare`.
    pub(super) fn parse(message: &[u8], variant: Variant, binding: Option<&[u8]>) -> Result<Self, Error> {
        let message = std::str::from_utf8(message).map_err(|_| Error::Grammar)?;
        let (flag, rest) = message.split_once(',').ok_or(Error::Grammar)?;
        let (authzid, bare) = rest.split_once(',').ok_or(Error::Grammar)?;
        let bound = bound(flag, variant, binding)?;
        if bare.starts_with("m=") {
            return Err(Error::Extension);
        }
        let mut attributes = bare.split(',');
        let name = attribute(attributes.next(), "n=").ok_or(Error::Grammar)?;
        let client_nonce = attribute(attributes.next(), "r=").ok_or(Error::Grammar)?;
        if client_nonce.is_empty() || !client_nonce.bytes().all(printable) {
            return Err(Error::Grammar);
        }
        authorization(authzid, name)?;
        let login = unescape(name).and_then(|name| prepare(&name));
        let mut binding_input = format!("{flag},{authzid},").into_bytes();
        binding_input.extend_from_slice(bound);
        Ok(Self {
            login: login.ok_or(Error::InvalidUsername)?,
            binding_input,
            first_bare: bare.to_owned(),
            client_nonce: client_nonce.to_owned(),
        })
    }

    /// The keys are known: what is awaited now is the client's final message.
    pub(super) fn accept(self, keys: ScramKeys, account: Option<String>, server_nonce: &str) -> Awaited {
        let nonce = format!("{}{server_nonce}", self.client_nonce);
        let salt = BASE64.encode(&keys.salt);
        let server_first = format!("r={nonce},s={salt},i={}", keys.iterations);
        Awaited {
            offer: self,
            keys,
            account,
            nonce,
            server_first,
        }
    }
}

/// RFC 5802 §6 and §7: what the gs2 flag says against what is offered; the octets to bind.
fn bound<'a>(flag: &str, variant: Variant, binding: Option<&'a [u8]>) -> Result<&'a [u8], Error> {
    match (variant, flag, binding) {
        (Variant::Plus, _, None) => Err(Error::BindingNotSupported),
        (Variant::Plus, "p=tls-exporter", Some(binding)) => Ok(binding),
        (Variant::Plus, flag, _) if flag.starts_with("p=") => Err(Error::BindingType),
        // The client can bind and thinks that we cannot: the list of mechanisms it saw was not ours.
        (Variant::Plain, "y", Some(_)) => Err(Error::BindingOffered),
        (Variant::Plain, "y", None) | (Variant::Plain, "n", _) => Ok(&[]),
        _ => Err(Error::Grammar),
    }
}

/// Nobody acts for another account here.
fn authorization(authzid: &str, name: &str) -> Result<(), Error> {
    if authzid.is_empty() {
        return Ok(());
    }
    match authzid.strip_prefix("a=") {
        Some(other) if other == name => Ok(()),
        Some(_) => Err(Error::Other),
        None => Err(Error::Grammar),
    }
}

/// Keys and nonces are agreed on; the proof is awaited.
pub(super) struct Awaited {
    offer: Offer,
    keys: ScramKeys,
    account: Option<String>,
    nonce: String,
    server_first: String,
}

impl Awaited {
    /// `server-first-message`.
    pub(super) fn challenge(&self) -> Vec<u8> {
        self.server_first.clone().into_bytes()
    }

    /// `client-final-message = channel-binding "," nonce ["," extensions] "," proof`.
    pub(super) fn judge(self, message: &[u8]) -> Result<(Verified, Question), Error> {
        let message = std::str::from_utf8(message).map_err(|_| Error::Grammar)?;
        let (without_proof, proof) = message.rsplit_once(",p=").ok_or(Error::Grammar)?;
        let mut attributes = without_proof.split(',');
        let binding = attribute(attributes.next(), "c=").ok_or(Error::Grammar)?;
        let nonce = attribute(attributes.next(), "r=").ok_or(Error::Grammar)?;
        let binding = BASE64.decode(binding).map_err(|_| Error::InvalidEncoding)?;
        let proof = BASE64.decode(proof).map_err(|_| Error::InvalidEncoding)?;
        if !same(&binding, &self.offer.binding_input) {
            return Err(Error::BindingMismatch);
        }
        if !same(nonce.as_bytes(), self.nonce.as_bytes()) {
            return Err(Error::Other);
        }
        let signed = format!("{},{},{without_proof}", self.offer.first_bare, self.server_first);
        let right = proves(&self.keys, signed.as_bytes(), &proof);
        let verified = Verified(hmac(&self.keys.server_key, signed.as_bytes()));
        let account = self.account.filter(|_| right);
        let login = self.offer.login;
        Ok((verified, Question::Proof { login, account }))
    }
}

/// The server's signature.
pub(super) struct Verified([u8; 32]);

impl Verified {
    /// `server-final-message`.
    pub(super) fn message(&self) -> Vec<u8> {
        format!("v={}", BASE64.encode(self.0)).into_bytes()
    }
}

/// RFC 5802 §3: `ClientKey := ClientProof XOR ClientSignature` must hash to the stored key.
fn proves(keys: &ScramKeys, signed: &[u8], proof: &[u8]) -> bool {
    let signature = hmac(&keys.stored_key, signed);
    let client_key: Vec<u8> = proof.iter().zip(signature).map(|(a, b)| a ^ b).collect();
    proof.len() == signature.len() && same(&Sha256::digest(&client_key), &keys.stored_key)
}

/// RFC 5802 §3: salted password, stored key and server key.
pub(super) fn derive(password: &str, salt: Vec<u8>, iterations: u32) -> ScramKeys {
    let prepared = prepare(password).unwrap_or_else(|| password.to_owned());
    let salted = pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(prepared.as_bytes(), &salt, iterations);
    ScramKeys {
        salt,
        iterations,
        stored_key: Sha256::digest(hmac(&salted, b"Client Key")).into(),
        server_key: hmac(&salted, b"Server Key"),
    }
}

fn hmac(key: &[u8; 32], message: &[u8]) -> [u8; 32] {
    // RFC 2104 §2: a key shorter than the hash's block is filled up with zeros.
    let mut block = [0; 64];
    for (to, from) in block.iter_mut().zip(key) {
        *to = *from;
    }
    Hmac::<Sha256>::new(&block.into())
        .chain_update(message)
        .finalize()
        .into_bytes()
        .into()
}

fn attribute<'a>(part: Option<&'a str>, name: &str) -> Option<&'a str> {
    part?.strip_prefix(name)
}

/// RFC 5802 §7 `printable`: no comma, no space.
fn printable(byte: u8) -> bool {
    matches!(byte, 0x21..=0x2b | 0x2d..=0x7e)
}

/// RFC 5802 §5.1: `=2C` is a comma, `=3D` an equals sign, any other `=` is a fault.
fn unescape(name: &str) -> Option<String> {
    let mut plain = String::with_capacity(name.len());
    let mut rest = name;
    while let Some((before, after)) = rest.split_once('=') {
        plain.push_str(before);
        let (char, behind) = match (after.strip_prefix("2C"), after.strip_prefix("3D")) {
            (Some(behind), _) => (',', behind),
            (_, Some(behind)) => ('=', behind),
            _ => return None,
        };
        plain.push(char);
        rest = behind;
    }
    plain.push_str(rest);
    Some(plain)
}
