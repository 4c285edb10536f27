//! message: some domains take smaller messages than the gateway does; other recipients get theirs.
//! settings: { domains: [example.org, example.net], most: 1000000 }

use crate::postern::policy::{
    config, edit, message, session,
    types::{Reply, Verdict},
};

pub fn on_message() -> Verdict {
    let most: u32 = config::get("most")
        .and_then(|text| text.parse().ok())
        .unwrap_or(u32::MAX);
    if message::size() <= most {
        return Verdict::Accept;
    }
    let domains: Vec<String> = (0..)
        .map_while(|place| config::get(&format!("domains.{place}")))
        .collect();
    for recipient in session::rcpt_to() {
        let domain = recipient.rsplit_once('@').map_or("", |(_, domain)| domain);
        if domains.iter().any(|limited| limited == domain) {
            let reply = Reply {
                code: 552,
                enhanced: "5.3.4".into(),
                text: format!("{domain} takes {most} octets at most"),
            };
            edit::recipient_verdict(&recipient, &Verdict::Reject(reply));
        }
    }
    Verdict::Accept
}
