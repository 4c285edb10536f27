//! mail: domains that may not send here, and all below them.
//! settings: { blocked: [spam.example, ads.example.com] }

use crate::postern::policy::{
    config, session,
    types::{Reply, Verdict},
};

pub fn on_mail() -> Verdict {
    let sender = session::mail_from();
    let domain = sender.rsplit_once('@').map_or("", |(_, domain)| domain);
    let mut blocked = (0..).map_while(|place| config::get(&format!("blocked.{place}")));
    match blocked.find(|name| domain == name || domain.ends_with(&format!(".{name}"))) {
        Some(name) => Verdict::Reject(Reply {
            code: 550,
            enhanced: "5.7.1".into(),
            text: format!("no mail from {name} is taken here"),
        }),
        None => Verdict::Accept,
    }
}
