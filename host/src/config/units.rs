//! Values with units as they are written in YAML: sizes (`50MiB`), times (`30m`), networks
//! (`10.0.0.0/8`) and secrets (`file:…`, `env:…`). A number without its unit is refused: nobody can
//! read `limits.transfer: 30` and know whether it means seconds.

use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};
use std::fmt;
use std::marker::PhantomData;
use std::net::IpAddr;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

/// A number of octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

/// A span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

/// An IPv4 or IPv6 network, `10.0.0.0/8`; a lone address is a network of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    pub address: IpAddr,
    pub prefix: u8,
}

/// Where a secret is found; it is never written in the configuration itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretReference {
    /// `file:PATH`: the file's content without its last line end.
    File(String),
    /// `env:NAME`: a variable of the process's environment.
    Environment(String),
}

/// A secret that was read. It has no way to be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

const SIZES: [(&str, u64); 9] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("B", 1),
];

const SPANS: [(&str, u64); 5] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

/// `number` and `unit` of a text like `50MiB`, multiplied; None if it is not of that form or too large.
fn with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let factor = units.iter().find(|(name, _)| *name == unit.trim_start())?.1;
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// The largest unit in which `value` is a whole number, and that number.
fn in_largest_unit(f: &mut fmt::Formatter<'_>, value: u64, units: &[(&'static str, u64)]) -> fmt::Result {
    let whole = |(_, factor): &&(&str, u64)| value >= *factor && value.is_multiple_of(*factor);
    let unit = units.iter().filter(whole).max_by_key(|(_, factor)| *factor);
    match unit {
        Some((name, factor)) => write!(f, "{}{name}", value / factor),
        None => write!(f, "{value}{}", units.first().map_or("", |(name, _)| *name)),
    }
}

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        with_unit(text, &SIZES).map(Self).ok_or_else(|| {
            format!("`{text}` is not a size; write a whole number and B, KiB, MiB or GiB, such as 50MiB")
        })
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [kib, mib, gib, tib, .., octets] = SIZES;
        in_largest_unit(f, self.0, &[octets, kib, mib, gib, tib])
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        with_unit(text, &SPANS)
            .map(|millis| Self(Duration::from_millis(millis)))
            .ok_or_else(|| {
                format!("`{text}` is not a time; write a whole number and ms, s, m, h or d, such as 30m")
            })
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        in_largest_unit(f, millis, &SPANS)
    }
}

impl Network {
    /// Whether `address` is in it; a mapped IPv4 address counts as the IPv4 address it is.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                let mask = high_bits(self.prefix, 32) as u32;
                ours.to_bits() & mask == theirs.to_bits() & mask
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => {
                let mask = high_bits(self.prefix, 128);
                ours.to_bits() & mask == theirs.to_bits() & mask
            }
            _ => false,
        }
    }

    /// The network with every bit behind the prefix cleared.
    fn cleared(self) -> Self {
        let address = match self.address {
            IpAddr::V4(v4) => IpAddr::V4((v4.to_bits() & high_bits(self.prefix, 32) as u32).into()),
            IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & high_bits(self.prefix, 128)).into()),
        };
        Self { address, ..self }
    }
}

/// A mask of `prefix` ones at the upper end of `width` bits.
fn high_bits(prefix: u8, width: u32) -> u128 {
    let zeros = width.saturating_sub(u32::from(prefix));
    let ones = u128::MAX.checked_shl(zeros).unwrap_or(0);
    ones & u128::MAX.checked_shr(128 - width).unwrap_or(0)
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mend =
            || format!("`{text}` is not a network; write it like 10.0.0.0/8, 2001:db8::/32 or 192.0.2.7");
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| mend())?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let prefix: u8 = match prefix {
            Some(digits) => digits.parse().map_err(|_| mend())?,
            None => width,
        };
        if prefix > width {
            return Err(mend());
        }
        // What connects so is an IPv4 address here, and the network would hold nobody.
        if let (IpAddr::V6(v6), Some(bits)) = (address, prefix.checked_sub(96))
            && let Some(v4) = v6.to_ipv4_mapped()
        {
            return Err(format!("`{text}` is an IPv4 network; write {v4}/{bits}"));
        }
        let network = Self { address, prefix };
        if network.cleared() != network {
            return Err(format!(
                "`{text}` has bits behind its prefix; write {}",
                network.cleared()
            ));
        }
        Ok(network)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl FromStr for SecretReference {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(path.to_owned())),
            Some(("env", name)) if !name.is_empty() => Ok(Self::Environment(name.to_owned())),
            // The text is not repeated: it may be the secret itself.
            _ => Err("a secret is not written here; write file:PATH or env:NAME".to_owned()),
        }
    }
}

impl fmt::Display for SecretReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{path}"),
            Self::Environment(name) => write!(f, "env:{name}"),
        }
    }
}

impl SecretReference {
    /// Reads the secret; paths are relative to `base`. An empty one is refused.
    pub fn read(&self, base: &Path) -> Result<Secret, String> {
        let text = match self {
            Self::File(path) => std::fs::read_to_string(base.join(path)).map_err(|error| {
                format!("cannot read the secret in `{path}`: {error}; make the file readable")
            })?,
            Self::Environment(name) => std::env::var(name)
                .map_err(|_| format!("the environment has no variable `{name}`; set it before the start"))?,
        };
        let text = text.trim_end_matches(['\r', '\n']);
        if text.is_empty() {
            return Err(format!("the secret at `{self}` is empty; put it there"));
        }
        Ok(Secret(text.to_owned()))
    }
}

impl Secret {
    /// The secret itself, for the one place that compares or sends it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Decodes a string by `FromStr`, and answers a bare number with that type's mend.
struct Spelled<T>(PhantomData<T>);

impl<T: FromStr<Err = String>> Visitor<'_> for Spelled<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        match number.to_string().parse::<T>() {
            Err(mend) => Err(E::custom(mend)),
            Ok(_) => Err(E::invalid_type(Unexpected::Unsigned(number), &self)),
        }
    }
}

macro_rules! spelled_in_yaml {
    ($($name:ty),*) => {$(
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(Spelled(PhantomData))
            }
        }

        #[cfg(test)]
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    )*};
}

spelled_in_yaml!(ByteSize, Span, Network, SecretReference);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_need_their_unit_and_are_printed_in_the_largest_that_is_exact() {
        for (text, octets) in [
            ("50MiB", 50 << 20),
            ("1 GiB", 1 << 30),
            ("3kB", 3000),
            ("7B", 7),
            ("0B", 0),
        ] {
            assert_eq!(text.parse(), Ok(ByteSize(octets)));
        }
        for text in ["50", "MiB", "", "5 mib", "-1B", "1.5GiB", "99999999999TiB"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
        for (text, millis) in [
            ("500ms", 500),
            ("30s", 30_000),
            ("30m", 1_800_000),
            ("2h", 7_200_000),
            ("30d", 2_592_000_000),
        ] {
            assert_eq!(text.parse(), Ok(Span(Duration::from_millis(millis))));
            assert_eq!(Span(Duration::from_millis(millis)).to_string(), text);
        }
        for text in ["30", "m", "1w", "1m30s"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
        assert_eq!(ByteSize(50 << 20).to_string(), "50MiB");
        assert_eq!(ByteSize((1 << 20) + 1).to_string(), "1048577B");
        assert_eq!(ByteSize(0).to_string(), "0B");
    }

    #[test]
    fn a_network_holds_what_shares_its_prefix_and_nothing_else() {
        let network = |text: &str| text.parse::<Network>().unwrap();
        let held = |text: &str, address: &str| network(text).contains(address.parse().unwrap());
        assert!(held("10.0.0.0/8", "10.255.0.1") && !held("10.0.0.0/8", "11.0.0.0"));
        assert!(
            held("10.0.0.0/8", "::ffff:10.1.2.3"),
            "a mapped address is the IPv4 address it maps"
        );
        assert!(held("192.0.2.7", "192.0.2.7") && !held("192.0.2.7", "192.0.2.6"));
        assert!(held("0.0.0.0/0", "203.0.113.9") && !held("0.0.0.0/0", "2001:db8::1"));
        assert!(held("2001:db8::/32", "2001:db8:1::1") && !held("2001:db8::/32", "2001:db9::1"));
        assert!(held("::/0", "2001:db8::1"));
    }

    #[test]
    fn a_network_with_host_bits_is_refused_with_the_network_that_was_meant() {
        assert!(
            "10.0.0.1/8"
                .parse::<Network>()
                .unwrap_err()
                .contains("write 10.0.0.0/8")
        );
        for text in [
            "10.0.0.0/33",
            "2001:db8::/129",
            "host/8",
            "10.0.0.0/",
            "10.0.0.0/x",
        ] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_mapped_network_would_hold_nobody_and_is_refused_with_the_one_that_was_meant() {
        for (text, meant) in [
            ("::ffff:10.0.0.0/104", "write 10.0.0.0/8"),
            ("::ffff:192.0.2.7", "write 192.0.2.7/32"),
        ] {
            let mend = text.parse::<Network>().unwrap_err();
            assert!(mend.contains(meant), "{mend}");
        }
        assert!("::/0".parse::<Network>().is_ok());
    }

    #[test]
    fn a_secret_is_read_from_a_file_or_the_environment_and_never_printed() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), "s3cret\n").unwrap();
        let secret = "file:token"
            .parse::<SecretReference>()
            .unwrap()
            .read(folder.path())
            .unwrap();
        assert_eq!(secret.reveal(), "s3cret");
        assert!(!format!("{secret:?}").contains("s3cret"));
        assert!(
            "env:PATH"
                .parse::<SecretReference>()
                .unwrap()
                .read(folder.path())
                .is_ok()
        );
        assert!(
            "env:NO_SUCH_VARIABLE"
                .parse::<SecretReference>()
                .unwrap()
                .read(folder.path())
                .is_err()
        );
        let refused = "hunter2".parse::<SecretReference>().unwrap_err();
        assert!(refused.contains("file:PATH") && !refused.contains("hunter2"));
    }
}
