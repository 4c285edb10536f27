//! mail: an account sends so many messages an hour, whatever it connects from.
//! settings: { most: 100 }        grants: { kv: {} }

use crate::postern::policy::{
    config, kv, log, session,
    types::{Reply, Verdict},
};

pub fn on_mail() -> Verdict {
    let Some(user) = session::auth_user() else {
        return Verdict::Accept;
    };
    let most: i64 = config::get("most")
        .and_then(|text| text.parse().ok())
        .unwrap_or(100);
    // The hour begins with the first message: only then is the time to live set.
    match kv::increment(&format!("sent {}", user.to_lowercase()), 1, 3600) {
        Ok(sent) if sent > most => Verdict::Defer(Reply {
            code: 451,
            enhanced: "4.7.1".into(),
            text: format!("{user} has sent {most} messages within the hour, please wait"),
        }),
        Ok(_) => Verdict::Accept,
        Err(error) => {
            log::warn(&format!("messages of {user} are not counted: {error}"));
            Verdict::Accept
        }
    }
}
