//! message: takes out header fields whose names begin so, be they of trackers or of programs that tell too much.
//! settings: { prefixes: [X-Campaign, X-Originating-IP] }

use crate::postern::policy::{config, edit, message, types::Verdict};

pub fn on_message() -> Verdict {
    let prefixes: Vec<String> = (0..)
        .map_while(|place| config::get(&format!("prefixes.{place}")))
        .collect();
    let begins = |name: &str, prefix: &str| {
        name.get(..prefix.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    let mut names: Vec<String> = message::headers().into_iter().map(|field| field.name).collect();
    names.retain(|name| prefixes.iter().any(|prefix| begins(name, prefix)));
    names.sort();
    names.dedup_by(|one, other| one.eq_ignore_ascii_case(other));
    for name in names {
        edit::remove_header(&name);
    }
    Verdict::Accept
}
