//! Which addresses are public: those that a name may lead to that is not granted as private.
//!
//! What is not public by the registries of IANA for special purposes (RFC 6890) is refused, and so is an IPv6
//! address that carries such an IPv4 address to whoever translates it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address is one of the public network.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => match carried(address) {
            Some(inner) => is_public_v4(inner),
            None => is_public_v6(address),
        },
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let special = match address.octets() {
        // This network, private, loopback (RFC 1122, RFC 1918).
        [0 | 10 | 127, ..] => true,
        // Shared by carriers (RFC 6598).
        [100, 64..=127, ..] => true,
        // Link-local (RFC 3927).
        [169, 254, ..] => true,
        [172, 16..=31, ..] | [192, 168, ..] => true,
        // Protocol assignments; documentation (RFC 5737); relays of 6to4 (RFC 7526).
        [192, 0, 0 | 2, _] | [198, 51, 100, _] | [203, 0, 113, _] | [192, 88, 99, _] => true,
        // Benchmarks (RFC 2544).
        [198, 18 | 19, ..] => true,
        // Multicast, reserved, broadcast.
        [224..=255, ..] => true,
        _ => false,
    };
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    match address.segments() {
        // Protocol assignments: Teredo, ORCHID, benchmarks (RFC 2928); documentation (RFC 3849, RFC 9637).
        [0x2001, 0..=0x01ff, ..] | [0x2001, 0x0db8, ..] | [0x3fff, 0..=0x0fff, ..] => false,
        // All that is given out as global unicast (RFC 4291 §2.4).
        [0x2000..=0x3fff, ..] => true,
        _ => false,
    }
}

/// The IPv4 address in one of IPv6: mapped (RFC 4291 §2.5.5.2), translated (RFC 2765), NAT64 (RFC 6052), 6to4 (RFC 3056).
fn carried(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let of = |high: u16, low: u16| Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => of(high, low),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_of_each_range_are_told_apart() {
        let public = "1.0.0.0 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 \
             169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 191.255.255.255 192.0.1.0 \
             192.0.3.0 192.88.98.255 192.88.100.0 192.167.255.255 192.169.0.0 198.17.255.255 \
             198.20.0.0 198.51.99.255 198.51.101.0 203.0.112.255 203.0.114.0 223.255.255.255 \
             2001:200:: 2001:db7:ffff:: 2001:db9:: 2000:: 3fff:1000:: 2606:4700::1111 \
             64:ff9b::1.1.1.1 2002:101:101::1 ::ffff:1.1.1.1 ::ffff:0:1.1.1.1";
        let special = "0.0.0.0 0.255.255.255 10.0.0.0 10.255.255.255 100.64.0.0 100.127.255.255 127.0.0.1 \
             127.255.255.255 169.254.0.0 169.254.169.254 172.16.0.0 172.31.255.255 192.0.0.0 \
             192.0.0.255 192.0.2.1 192.88.99.1 192.168.0.0 192.168.255.255 198.18.0.0 \
             198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.0 \
             255.255.255.255 :: ::1 ::127.0.0.1 fe80::1 febf:: fec0::1 fc00::1 fdff:: ff02::1 \
             2001::1 2001:1ff:ffff:: 2001:db8::1 3fff::1 3fff:fff:: 64:ff9b:1::1 100::1 5f00::1 \
             1fff:: 4000:: ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:0:127.0.0.1 64:ff9b::127.0.0.1 \
             64:ff9b::a9fe:a9fe 2002:7f00:1::1 2002:a00:1::";
        for (texts, expected) in [(public, true), (special, false)] {
            for text in texts.split_whitespace() {
                assert_eq!(is_public(text.parse().unwrap()), expected, "{text}");
            }
        }
    }
}
