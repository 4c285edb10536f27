//! message: quarantine for archives that hold programs, by the names in them.
//! settings: { endings: [.exe, .scr, .js] }

use crate::postern::policy::{config, mime, types::Verdict};

pub fn on_message() -> Verdict {
    let endings: Vec<String> = (0..)
        .map_while(|place| config::get(&format!("endings.{place}")))
        .collect();
    for part in mime::parts() {
        // A zip lists its files at its end: "PK\1\2", 42 octets of which two are the name's length, the name.
        let tail = mime::part_read(part.index, part.size.saturating_sub(64 << 10), 64 << 10);
        let entries = tail
            .windows(46)
            .enumerate()
            .filter(|(_, entry)| entry.starts_with(b"PK\x01\x02"));
        for (at, _) in entries {
            let octet = |place: usize| usize::from(tail.get(at + place).copied().unwrap_or_default());
            let length = octet(28) + 256 * octet(29);
            let name = tail.iter().skip(at + 46).take(length).copied().collect();
            let name = String::from_utf8(name).unwrap_or_default().to_lowercase();
            if endings.iter().any(|ending| name.ends_with(ending)) {
                return Verdict::Quarantine(format!("{} holds the program {name}", part.name));
            }
        }
    }
    Verdict::Accept
}
