//! Single things that a policy does, as often as is said: for those who measure them.

use super::bindings::postern::policy::{directory, dns, kv, message};

/// Octets of the text that are read at once.
const TEXT: u32 = 4096;

/// `kv-get 10; dns 1`
pub(super) fn all(said: &str) {
    for use_of in said.split(';').map(str::trim).filter(|word| !word.is_empty()) {
        let (word, times) = use_of.split_once(' ').unwrap_or((use_of, "1"));
        let times: u32 = times.parse().expect("a number behind the word");
        (0..times).for_each(|_| once(word));
    }
}

fn once(word: &str) {
    match word {
        "read" => {
            assert!(!message::headers().is_empty());
            let text = message::read(message::body_offset(), TEXT);
            assert_eq!(text.len(), TEXT as usize);
        }
        "kv-get" => assert!(kv::get("kept").expect("the store").is_some()),
        "kv-increment" => assert!(kv::increment("uses", 1, 0).expect("the store") > 0),
        "dns" => assert!(!dns::txt("example.org").expect("an answer").is_empty()),
        "directory" => assert!(directory::mailbox_of("ann@example.org").expect("an answer").is_some()),
        unknown => panic!("no use is called `{unknown}`"),
    }
}
