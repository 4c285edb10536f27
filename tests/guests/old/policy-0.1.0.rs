//! A policy against `postern:policy@0.1.0` as it was first served. Its component is kept beside it, and never built
//! anew: what it proves is that it runs as it is.

use bindings::exports::postern::policy::{lifecycle, message_filter, sender_filter};
use bindings::postern::policy::types::{Reply, Verdict};
use bindings::postern::policy::{config, edit, kv, message, session};

mod bindings {
    wit_bindgen::generate!({
        path: "wit",
        inline: "
            package tests:old;
            world plugin {
                import postern:policy/config@0.1.0;
                import postern:policy/edit@0.1.0;
                import postern:policy/kv@0.1.0;
                import postern:policy/message@0.1.0;
                import postern:policy/session@0.1.0;
                export postern:policy/lifecycle@0.1.0;
                export postern:policy/message-filter@0.1.0;
                export postern:policy/sender-filter@0.1.0;
            }
        ",
        generate_all,
    });
    export!(Old with_types_in self);
    use super::Old;
}

struct Old;

impl lifecycle::Guest for Old {
    fn validate() -> Result<(), String> {
        match config::get("refused") {
            Some(_) => Ok(()),
            None => Err("write whom to refuse".to_owned()),
        }
    }
}

impl sender_filter::Guest for Old {
    fn on_mail() -> Verdict {
        if config::get("refused").is_some_and(|refused| refused == session::mail_from()) {
            return Verdict::Reject(Reply {
                code: 550,
                enhanced: "5.7.1".to_owned(),
                text: "not you".to_owned(),
            });
        }
        Verdict::Accept
    }
}

impl message_filter::Guest for Old {
    fn on_message() -> Verdict {
        let subject = message::header_text("Subject").unwrap_or_default();
        let count = match kv::increment("messages", 1, 0) {
            Ok(count) => count.to_string(),
            Err(error) => error,
        };
        edit::add_header("X-Old", &format!("{subject}, from {}, {count}", session::helo()));
        Verdict::Accept
    }
}
