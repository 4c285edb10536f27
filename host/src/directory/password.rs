//! Password hashes: those that people come with, and argon2id, which all of them become.
//!
//! Read are argon2id, bcrypt, SHA-512-crypt and PBKDF2 in Dovecot's spelling (`{ARGON2ID}`, `{BLF-CRYPT}`,
//! `{SHA512-CRYPT}`, `{PBKDF2}`, and `{CRYPT}` before either crypt form) and in the PHC string format.
//! Refused are other schemes, fields that do not parse, and parameters so costly that one login would
//! take seconds or gigabytes; a hash that was read can always be computed.

use argon2::password_hash::{PasswordVerifier, phc};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD as BASE64;
use sha_crypt::ShaCrypt;
use subtle::ConstantTimeEq as _;

/// argon2id passes over memory, in KiB: 1 GiB read four times is seconds already.
const MOST_ARGON2_WORK: u64 = 4 * 1024 * 1024;
/// bcrypt's cost is an exponent: 16 takes about five seconds.
const MOST_BCRYPT_COST: u32 = 16;
/// bcrypt's cost of a hash that is taken: 12 is a quarter of a second, half the time of a denial.
const MOST_IMPORTED_BCRYPT_COST: u32 = 12;
/// Rounds of SHA-512-crypt and PBKDF2.
const MOST_ROUNDS: u32 = 10_000_000;

/// Why a text is no hash that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    #[error("unknown hash scheme {0} (argon2id, bcrypt, SHA-512-crypt and PBKDF2 are read)")]
    Scheme(String),
    #[error("not a well-formed {0} hash")]
    Malformed(&'static str),
    #[error("the {0} hash costs too much to compute at each login")]
    Costly(&'static str),
    /// Kept where it is, but not taken anew.
    #[error(
        "bcrypt of cost {0} takes longer than a refusal may show; cost 12 is the most: give a new password"
    )]
    Slow(u32),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Argon2id,
    Bcrypt,
    Sha512Crypt,
    /// HMAC-SHA-1, `$1$salt$rounds$hex`.
    Pbkdf2Dovecot,
    /// HMAC-SHA-256 or -512, `$pbkdf2-sha256$i=…,l=…$salt$hash`.
    Pbkdf2Phc,
}

/// What a new argon2id hash costs.
#[derive(Debug, Clone)]
pub(super) struct Cost(Params);

impl Default for Cost {
    /// 19 MiB, two passes, one lane.
    fn default() -> Self {
        Self(Params::DEFAULT)
    }
}

#[cfg(test)]
impl Cost {
    /// As little as argon2 allows.
    pub(crate) fn least() -> Self {
        Self(Params::new(8, 1, 1, Some(32)).unwrap())
    }
}

/// What argon2 computes in, kept from one hash to the next.
#[derive(Debug, Default)]
pub(super) struct Memory(Vec<Block>);

/// Blocks that are kept: what new hashes take, with room for those of other sites.
const KEPT: usize = (32 << 20) / Block::SIZE;

impl Memory {
    /// Fills `output` with the hash of `password`.
    fn fill(&mut self, argon2: &Argon2<'_>, password: &[u8], salt: &[u8], output: &mut [u8]) -> Option<()> {
        let count = argon2.params().block_count();
        if self.0.len() < count {
            // First the old, then the new: never both.
            self.0 = Vec::new();
            self.0 = vec![Block::new(); count];
        }
        let blocks = self.0.get_mut(..count)?;
        let filled = argon2.hash_password_into_with_memory(password, salt, output, blocks);
        if self.0.len() > KEPT {
            self.0 = Vec::new();
        }
        filled.ok()
    }
}

/// A hash that can be computed.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash {
    scheme: Scheme,
    text: String,
}

/// Shows no hash.
impl std::fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PasswordHash({:?})", self.scheme)
    }
}

/// Whether `text` has the form of a hash, known or not: `{SCHEME}…` or `$scheme$…`.
pub fn is_hash(text: &str) -> bool {
    let of = |text: &str, close: char| {
        text.split_once(close)
            .is_some_and(|(name, _)| !name.is_empty() && name.bytes().all(is_scheme_octet))
    };
    match (text.strip_prefix('{'), text.strip_prefix('$')) {
        (Some(rest), _) => of(rest, '}'),
        (_, Some(rest)) => of(rest, '$'),
        _ => false,
    }
}

fn is_scheme_octet(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')
}

impl PasswordHash {
    /// Reads a hash in any of the spellings.
    pub fn parse(text: &str) -> Result<Self, HashError> {
        let (scheme, text) = scheme(text)?;
        match scheme {
            Scheme::Argon2id => check_argon2(text),
            Scheme::Bcrypt => check_bcrypt(text),
            Scheme::Sha512Crypt => check_sha512_crypt(text),
            Scheme::Pbkdf2Dovecot => dovecot_pbkdf2(text).map(|_| ()),
            Scheme::Pbkdf2Phc => check_pbkdf2(text),
        }?;
        let text = text.to_owned();
        Ok(Self { scheme, text })
    }

    /// Reads a hash that is to be taken from elsewhere. Refused is bcrypt that takes longer than any denial does: by
    /// the time of a wrong password the account could be told from an unknown one until it logs in.
    pub fn import(text: &str) -> Result<Self, HashError> {
        let hash = Self::parse(text)?;
        if hash.scheme == Scheme::Bcrypt {
            let parts: Result<bcrypt::HashParts, _> = hash.text.parse();
            let cost = parts.map_err(|_| HashError::Malformed("bcrypt"))?.get_cost();
            if cost > MOST_IMPORTED_BCRYPT_COST {
                return Err(HashError::Slow(cost));
            }
        }
        Ok(hash)
    }

    /// Hashes a password by argon2id.
    pub(super) fn create(password: &str, cost: &Cost, memory: &mut Memory) -> Result<Self, HashError> {
        let (salt, mut output): ([u8; 16], [u8; 32]) = (rand::random(), [0; 32]);
        memory
            .fill(&argon2id(cost), password.as_bytes(), &salt, &mut output)
            .ok_or(HashError::Malformed("argon2id"))?;
        Ok(Self::argon2id(cost, &salt, &output))
    }

    fn argon2id(Cost(params): &Cost, salt: &[u8; 16], output: &[u8; 32]) -> Self {
        Self {
            scheme: Scheme::Argon2id,
            text: format!(
                "$argon2id$v=19$m={},t={},p={}${}${}",
                params.m_cost(),
                params.t_cost(),
                params.p_cost(),
                BASE64.encode(salt),
                BASE64.encode(output)
            ),
        }
    }

    /// A hash that no password has, which costs what [`PasswordHash::create`] costs.
    pub(super) fn decoy(cost: &Cost) -> Self {
        Self::argon2id(cost, &rand::random(), &rand::random())
    }

    /// The PHC or crypt spelling, without a `{SCHEME}` in front where the text says it alone.
    pub fn text(&self) -> String {
        match self.scheme {
            // `$1$` alone would be MD5-crypt.
            Scheme::Pbkdf2Dovecot => format!("{{PBKDF2}}{}", self.text),
            _ => self.text.clone(),
        }
    }

    /// Whether this is the hash of `password`. Computed in full whatever the outcome.
    pub(super) fn verify(&self, password: &str, memory: &mut Memory) -> bool {
        let password = password.as_bytes();
        match self.scheme {
            Scheme::Argon2id => verify_argon2(&self.text, password, memory).unwrap_or(false),
            Scheme::Bcrypt => bcrypt::verify(password, &self.text).unwrap_or(false),
            Scheme::Sha512Crypt => ShaCrypt::SHA512
                .verify_password(password, self.text.as_str())
                .is_ok(),
            Scheme::Pbkdf2Dovecot => dovecot_pbkdf2(&self.text).is_ok_and(|known| known.verify(password)),
            Scheme::Pbkdf2Phc => phc::PasswordHash::new(&self.text)
                .is_ok_and(|hash| pbkdf2::Pbkdf2::default().verify_password(password, &hash).is_ok()),
        }
    }

    /// Whether it is argon2id and costs no less than new ones do.
    pub(super) fn is_current(&self, cost: &Cost) -> bool {
        self.scheme == Scheme::Argon2id
            && argon2_params(&self.text)
                .is_ok_and(|it| it.m_cost() >= cost.0.m_cost() && it.t_cost() >= cost.0.t_cost())
    }
}

fn argon2id(cost: &Cost) -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, cost.0.clone())
}

/// None: the text is no such hash.
fn verify_argon2(text: &str, password: &[u8], memory: &mut Memory) -> Option<bool> {
    let hash = phc::PasswordHash::new(text).ok()?;
    let (salt, known) = (hash.salt?, hash.hash?);
    let version = hash.version.map_or(Ok(Version::default()), Version::try_from);
    let argon2 = Argon2::new(Algorithm::Argon2id, version.ok()?, Params::try_from(&hash).ok()?);
    let mut output = vec![0; known.as_bytes().len()];
    memory.fill(&argon2, password, salt.as_ref(), &mut output)?;
    Some(output.ct_eq(known.as_bytes()).into())
}

/// The scheme, and the hash without Dovecot's `{SCHEME}`.
fn scheme(text: &str) -> Result<(Scheme, &str), HashError> {
    let prefixed = text.strip_prefix('{').and_then(|rest| rest.split_once('}'));
    let Some((name, bare)) = prefixed else {
        return Ok((scheme_of(text)?, text));
    };
    let claimed = name.to_ascii_uppercase();
    let scheme = match (claimed.as_str(), bare) {
        ("PBKDF2", bare) if bare.starts_with("$1$") => Scheme::Pbkdf2Dovecot,
        (_, bare) => scheme_of(bare).map_err(|_| HashError::Scheme(format!("{{{name}}}")))?,
    };
    let fits = match scheme {
        Scheme::Argon2id => claimed == "ARGON2ID",
        Scheme::Bcrypt => claimed == "BLF-CRYPT" || claimed == "CRYPT",
        Scheme::Sha512Crypt => claimed == "SHA512-CRYPT" || claimed == "CRYPT",
        Scheme::Pbkdf2Dovecot | Scheme::Pbkdf2Phc => claimed == "PBKDF2",
    };
    if fits {
        Ok((scheme, bare))
    } else {
        Err(HashError::Scheme(format!("{{{name}}}")))
    }
}

fn scheme_of(text: &str) -> Result<Scheme, HashError> {
    let name = text.strip_prefix('$').and_then(|rest| rest.split('$').next());
    match name {
        Some("argon2id") => Ok(Scheme::Argon2id),
        Some("2a" | "2b" | "2x" | "2y") => Ok(Scheme::Bcrypt),
        Some("6") => Ok(Scheme::Sha512Crypt),
        Some("pbkdf2-sha256" | "pbkdf2-sha512") => Ok(Scheme::Pbkdf2Phc),
        Some(other) => Err(HashError::Scheme(format!("${}$", other.escape_default()))),
        None => Err(HashError::Scheme("of no name".to_owned())),
    }
}

fn argon2_params(text: &str) -> Result<Params, HashError> {
    const MALFORMED: HashError = HashError::Malformed("argon2id");
    let hash = phc::PasswordHash::new(text).map_err(|_| MALFORMED)?;
    if hash.salt.is_none() || hash.hash.is_none() {
        return Err(MALFORMED);
    }
    Params::try_from(&hash).map_err(|_| MALFORMED)
}

fn check_argon2(text: &str) -> Result<(), HashError> {
    let params = argon2_params(text)?;
    let work = u64::from(params.m_cost()) * u64::from(params.t_cost());
    bounded(
        work <= MOST_ARGON2_WORK && params.m_cost() <= 1024 * 1024,
        "argon2id",
    )
}

fn check_bcrypt(text: &str) -> Result<(), HashError> {
    let parts: bcrypt::HashParts = text.parse().map_err(|_| HashError::Malformed("bcrypt"))?;
    bounded(parts.get_cost() <= MOST_BCRYPT_COST, "bcrypt")
}

fn check_sha512_crypt(text: &str) -> Result<(), HashError> {
    const NAME: &str = "SHA-512-crypt";
    let mut fields: Vec<&str> = text.split('$').skip(2).collect();
    if let Some(rounds) = fields.first().and_then(|field| field.strip_prefix("rounds=")) {
        let rounds: u32 = rounds.parse().map_err(|_| HashError::Malformed(NAME))?;
        sha_crypt::Params::new(rounds).map_err(|_| HashError::Malformed(NAME))?;
        bounded(rounds <= MOST_ROUNDS, NAME)?;
        fields.remove(0);
    }
    // 64 octets in crypt's base64.
    match fields.as_slice() {
        [salt, hash] if salt.len() <= 16 && hash.len() == 86 => Ok(()),
        _ => Err(HashError::Malformed(NAME)),
    }
}

fn check_pbkdf2(text: &str) -> Result<(), HashError> {
    const MALFORMED: HashError = HashError::Malformed("PBKDF2");
    let hash = phc::PasswordHash::new(text).map_err(|_| MALFORMED)?;
    if hash.salt.is_none() || hash.hash.is_none() {
        return Err(MALFORMED);
    }
    let params = pbkdf2::Params::try_from(&hash).map_err(|_| MALFORMED)?;
    bounded(params.rounds() <= MOST_ROUNDS, "PBKDF2")
}

fn bounded(within: bool, name: &'static str) -> Result<(), HashError> {
    if within {
        Ok(())
    } else {
        Err(HashError::Costly(name))
    }
}

/// Dovecot's `$1$salt$rounds$hex`: the salt is used as it is written.
struct DovecotPbkdf2<'a> {
    salt: &'a str,
    rounds: u32,
    key: [u8; 20],
}

impl DovecotPbkdf2<'_> {
    fn verify(&self, password: &[u8]) -> bool {
        let key = pbkdf2::pbkdf2_hmac_array::<sha1::Sha1, 20>(password, self.salt.as_bytes(), self.rounds);
        key.ct_eq(&self.key).into()
    }
}

fn dovecot_pbkdf2(text: &str) -> Result<DovecotPbkdf2<'_>, HashError> {
    const MALFORMED: HashError = HashError::Malformed("PBKDF2");
    let fields: Vec<&str> = text.split('$').collect();
    let ["", "1", salt, rounds, key] = fields.as_slice() else {
        return Err(MALFORMED);
    };
    let rounds: u32 = rounds.parse().map_err(|_| MALFORMED)?;
    let key = hex(key).ok_or(MALFORMED)?;
    if rounds == 0 {
        return Err(MALFORMED);
    }
    bounded(rounds <= MOST_ROUNDS, "PBKDF2")?;
    Ok(DovecotPbkdf2 { salt, rounds, key })
}

fn hex(text: &str) -> Option<[u8; 20]> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .map(|digit| digit.to_digit(16).and_then(|value| u8::try_from(value).ok()))
        .collect();
    let octets: Vec<u8> = digits?
        .chunks_exact(2)
        .map(|pair| pair.iter().fold(0, |octet, digit| octet << 4 | digit))
        .collect();
    octets.try_into().ok().filter(|_| text.len() == 40)
}

#[cfg(test)]
pub(super) mod tests;
