//! The recipes of `plugins/README.md` in one component: the setting `recipe` says which one answers.
//!
//! It is there to be tried by its cases. Each recipe is a file that knows nothing of the others.

#![allow(
    unsafe_code,
    unreachable_pub,
    missing_debug_implementations,
    reason = "generated"
)]

use exports::postern::policy::{message_filter, quota, recipient_filter, router, sender_filter};
use postern::policy::config;
use postern::policy::types::{Ceiling, QuotaDecision, Route, Usage, Verdict};

wit_bindgen::generate!({
    path: "../../wit",
    inline: "
        package example:cookbook;
        world plugin {
            include postern:policy/capabilities@0.1.0;
            export postern:policy/message-filter@0.1.0;
            export postern:policy/quota@0.1.0;
            export postern:policy/recipient-filter@0.1.0;
            export postern:policy/router@0.1.0;
            export postern:policy/sender-filter@0.1.0;
        }
    ",
    generate_all,
});

mod recipes {
    pub(crate) mod account_rate;
    pub(crate) mod blocked_domains;
    pub(crate) mod business_hours;
    pub(crate) mod by_listener;
    pub(crate) mod catch_all;
    pub(crate) mod plus_tag;
    pub(crate) mod quota_by_attribute;
    pub(crate) mod size_by_domain;
    pub(crate) mod strip_fields;
    pub(crate) mod zipped_programs;
}
use recipes::*;

struct Cookbook;
export!(Cookbook);

fn wanted() -> String {
    config::get("recipe").unwrap_or_default()
}

impl sender_filter::Guest for Cookbook {
    fn on_mail() -> Verdict {
        match wanted().as_str() {
            "account-rate" => account_rate::on_mail(),
            "blocked-domains" => blocked_domains::on_mail(),
            _ => Verdict::Accept,
        }
    }
}

impl recipient_filter::Guest for Cookbook {
    fn on_rcpt(recipient: String) -> Verdict {
        match wanted().as_str() {
            "plus-tag" => plus_tag::on_rcpt(recipient),
            _ => Verdict::Accept,
        }
    }
}

impl message_filter::Guest for Cookbook {
    fn on_message() -> Verdict {
        match wanted().as_str() {
            "by-listener" => by_listener::on_message(),
            "size-by-domain" => size_by_domain::on_message(),
            "strip-fields" => strip_fields::on_message(),
            "zipped-programs" => zipped_programs::on_message(),
            _ => Verdict::Accept,
        }
    }
}

impl router::Guest for Cookbook {
    fn resolve(recipient: String) -> Route {
        match wanted().as_str() {
            "business-hours" => business_hours::resolve(recipient),
            "catch-all" => catch_all::resolve(recipient),
            _ => Route::Pass,
        }
    }
}

impl quota::Guest for Cookbook {
    fn check(mailbox: String, current: Usage, incoming: u64) -> QuotaDecision {
        match wanted().as_str() {
            "quota-by-attribute" => quota_by_attribute::check(mailbox, current, incoming),
            _ => QuotaDecision::Allow(Ceiling {
                bytes: None,
                messages: None,
            }),
        }
    }
}
