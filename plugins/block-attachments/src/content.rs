//! What an attachment is, by its first bytes.

/// What the first bytes say. `MZ` and `#!` alone may begin an honest text: a program of the one has a zero
/// byte in its first 64 (the offset of its real header), one of the other names its interpreter's path.
pub(crate) fn kind(head: &[u8]) -> Option<&'static str> {
    Some(match head {
        [b'M', b'Z', rest @ ..] if rest.iter().take(62).any(|octet| *octet == 0) => "pe",
        [0x7f, b'E', b'L', b'F', ..] => "elf",
        [0xfe, 0xed, 0xfa, 0xce | 0xcf, ..] | [0xce | 0xcf, 0xfa, 0xed, 0xfe, ..] => "mach-o",
        // Both share four bytes: then come the number of architectures, or a version that began at 45.
        [0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 0..45, ..] => "mach-o",
        [0xca, 0xfe, 0xba, 0xbe, ..] => "java",
        [0x4c, 0, 0, 0, 1, 0x14, 2, 0, ..] => "lnk",
        [b'#', b'!', b'/', ..] | [b'#', b'!', b' ', b'/', ..] => "script",
        [0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1, ..] => "ole",
        [b'M', b'S', b'C', b'F', 0, ..] => "cab",
        [b'P', b'K', 3, 4, ..] => "zip",
        [b'R', b'a', b'r', b'!', 0x1a, 7, ..] => "rar",
        [b'7', b'z', 0xbc, 0xaf, 0x27, 0x1c, ..] => "7z",
        _ => return None,
    })
}

/// Bytes written as hexadecimal digits, 2 to 64 of them.
pub(crate) fn octets(hex: &str) -> Option<Vec<u8>> {
    let digits: Vec<u32> = hex
        .chars()
        .filter(|c| *c != ' ')
        .map(|c| c.to_digit(16))
        .collect::<Option<_>>()?;
    let pairs = digits.chunks(2).map(|pair| match pair {
        [high, low] => u8::try_from(high * 16 + low).ok(),
        _ => None,
    });
    pairs
        .collect::<Option<Vec<u8>>>()
        .filter(|all| (2..=64).contains(&all.len()))
}
