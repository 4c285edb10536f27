//! rcpt: ann+shop@example.org gives mail the label `+shop`, and a header field that the owner can sort by.
//! settings: { header: X-Detail }

use crate::postern::policy::{config, edit, types::Verdict};

pub fn on_rcpt(recipient: String) -> Verdict {
    let local = recipient.rsplit_once('@').map_or("", |(local, _)| local);
    if let Some((owner, detail)) = local.split_once('+').filter(|(_, detail)| !detail.is_empty()) {
        edit::tag(&format!("+{detail}"));
        let name = config::get("header").unwrap_or_else(|| "X-Detail".into());
        edit::add_header(&name, &format!("{detail}; for={owner}"));
    }
    Verdict::Accept
}
