//! IP networks, what a client counts as, and how DNS names it.

use serde::Deserialize;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

/// An IP network, `192.0.2.0/24`; an address alone is a network of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4() && base(address, self.prefix) == self.address
    }

    /// `127.0.0.0/8` and `::1`: the machine itself.
    #[must_use]
    pub fn loopback() -> Vec<Self> {
        ["127.0.0.0/8", "::1"]
            .iter()
            .filter_map(|text| text.parse().ok())
            .collect()
    }

    /// Networks whose addresses say nothing of who is there: the machine itself, private ones (RFC 1918,
    /// RFC 6598, RFC 4193) and the link (RFC 3927, RFC 4291).
    #[must_use]
    pub fn private() -> Vec<Self> {
        const PRIVATE: [&str; 7] = [
            "10.0.0.0/8",
            "172.16.0.0/12",
            "192.168.0.0/16",
            "100.64.0.0/10",
            "169.254.0.0/16",
            "fc00::/7",
            "fe80::/10",
        ];
        let mut all = Self::loopback();
        all.extend(PRIVATE.iter().filter_map(|text| text.parse::<Self>().ok()));
        all
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a network: write 192.0.2.0/24, 2001:db8::/32 or an address");
        let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
        let address: IpAddr = address.trim().parse().map_err(|_| wrong())?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix
            .map_or(Ok(width), |p| p.trim().parse())
            .map_err(|_| wrong())?;
        if prefix > width {
            return Err(wrong());
        }
        Ok(Self {
            address: base(address, prefix),
            prefix,
        })
    }
}

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// The first address of the network of that prefix.
fn base(address: IpAddr, prefix: u8) -> IpAddr {
    let prefix = u32::from(prefix);
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(prefix)).unwrap_or(0);
            IpAddr::V4((v4.to_bits() & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(prefix)).unwrap_or(0);
            IpAddr::V6((v6.to_bits() & mask).into())
        }
    }
}

/// What a client counts as: its IPv4 network of prefix `v4`, or its IPv6 /64, in which one customer may
/// choose addresses at will. Text that is no address counts as itself.
#[must_use]
pub fn neighbourhood(client: &str, v4: u8) -> String {
    match client.parse() {
        Ok(address @ IpAddr::V4(_)) => base(address, v4).to_string(),
        Ok(address) => base(address, 64).to_string(),
        Err(_) => client.to_owned(),
    }
}

/// Does a client's address lie in one of these networks?
#[must_use]
pub fn listed(networks: &[Network], client: &str) -> bool {
    client
        .parse()
        .is_ok_and(|address| networks.iter().any(|network| network.contains(address)))
}

/// Octets or nibbles of an address, the last first, with dots between them: how DNS names what it says of
/// addresses (RFC 1035 §3.5, RFC 3596 §2.5, RFC 5782 §2).
#[must_use]
pub fn reversed(address: IpAddr) -> String {
    let labels: Vec<String> = match address {
        IpAddr::V4(v4) => v4.octets().iter().rev().map(ToString::to_string).collect(),
        IpAddr::V6(v6) => (0..32)
            .map(|place| format!("{:x}", v6.to_bits() >> (4 * place) & 15))
            .collect(),
    };
    labels.join(".")
}

/// An answer of a DNS list, if it is one: in 127.0.0.0/8 (RFC 5782 §2.1). Elsewhere leads a domain that was sold;
/// 127.255.255.0/24 is how lists say that they do not answer us.
#[must_use]
pub fn listing(answer: &str) -> Option<Ipv4Addr> {
    let answer: Ipv4Addr = answer.parse().ok()?;
    let [first, second, third, _] = answer.octets();
    (first == 127 && (second, third) != (255, 255)).then_some(answer)
}
