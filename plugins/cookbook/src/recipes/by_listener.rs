//! message: a header field says by which listener a message came.
//! settings: { header: X-Came-By }

use crate::postern::policy::{config, edit, session, types::Verdict};

pub fn on_message() -> Verdict {
    let name = config::get("header").unwrap_or_else(|| "X-Came-By".into());
    // One that the sender wrote would be believed.
    edit::remove_header(&name);
    edit::add_header(
        &name,
        &format!("{} over {}", session::listener(), session::protocol()),
    );
    Verdict::Accept
}
