//! Routes by who writes, to whom, and at what hour: the board's mail to a mailbox that is read first, the
//! office's mail to whoever is on duty in the evening.
//!
//! The first route whose conditions hold decides; what none is for is passed on. A sender is what the
//! client said it was, unless SPF has to have passed. Settings that cannot be read refuse the component when it is loaded.

use bindings::exports::postern::policy::{lifecycle, router};
use bindings::postern::policy::types::Route;
use bindings::postern::policy::{auth, clock, config, session};
use chrono::{DateTime, Datelike, FixedOffset, NaiveTime, Weekday};
use serde::Deserialize;
use settings::{Address, OneOrMany, same};

mod bindings {
    #![allow(unsafe_code, unreachable_pub, reason = "generated")]
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package example:vip-router;
            world plugin {
                include postern:policy/capabilities@0.1.0;
                export postern:policy/lifecycle@0.1.0;
                export postern:policy/router@0.1.0;
            }
        ",
        generate_all,
        additional_derives: [PartialEq],
    });
    export!(Plugin with_types_in self);
    use super::Plugin;
}

#[cfg(test)]
mod tests;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    routes: Vec<Rule>,
    utc_offset: Option<Offset>,
}

/// All conditions that are written must hold. One of `local` and `rewrite` says where the mail goes.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Rule {
    /// Patterns of envelope senders.
    from: Option<OneOrMany<String>>,
    /// Patterns of recipients.
    to: Option<OneOrMany<String>>,
    authenticated: Option<bool>,
    /// Results of SPF (RFC 8601 §2.7.2), `pass`.
    spf: Option<OneOrMany<String>>,
    hours: Option<Hours>,
    days: Option<OneOrMany<Weekday>>,
    local: Option<Address>,
    rewrite: Option<OneOrMany<Address>>,
}

/// What local time is ahead of UTC: `+01:00`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
struct Offset(FixedOffset);

/// `18:00-08:00`: from the first on and before the second, over midnight if need be; without a second, `24:00`, to the
/// end of the day.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
struct Hours(NaiveTime, Option<NaiveTime>);

/// What conditions look at.
#[derive(Debug, Clone, Copy)]
struct Mail<'a> {
    from: &'a str,
    to: &'a str,
    authenticated: bool,
    spf: &'a str,
    now: DateTime<FixedOffset>,
}

impl TryFrom<String> for Offset {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.parse::<FixedOffset>() {
            // What is behind an offset is no fault to the library.
            Ok(offset) if offset.to_string() == text => Ok(Self(offset)),
            _ => Err(format!("`{text}` is no offset: write +01:00 or -05:30")),
        }
    }
}

impl TryFrom<String> for Hours {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let time = |text: &str| NaiveTime::parse_from_str(text.trim(), "%H:%M").ok();
        let read = text.split_once('-').and_then(|(from, to)| match to.trim() {
            "24:00" => Some(Self(time(from)?, None)),
            to => Some(Self(time(from)?, Some(time(to)?))),
        });
        match read.filter(|Self(from, to)| Some(*from) != *to) {
            Some(hours) => Ok(hours),
            None => Err(format!("`{text}` are no hours: write 18:00-08:00")),
        }
    }
}

impl Hours {
    fn contain(self, time: NaiveTime) -> bool {
        let Self(from, to) = self;
        match to {
            None => from <= time,
            Some(to) if from < to => from <= time && time < to,
            Some(to) => from <= time || time < to,
        }
    }
}

impl Rule {
    fn holds(&self, mail: Mail<'_>) -> bool {
        let one_of = |patterns: &Option<OneOrMany<String>>, text: &str| {
            patterns.as_ref().is_none_or(|patterns| patterns.matches(text))
        };
        one_of(&self.from, mail.from)
            && one_of(&self.to, mail.to)
            && one_of(&self.spf, mail.spf)
            && (self.authenticated).is_none_or(|wanted| wanted == mail.authenticated)
            && self.hours.is_none_or(|hours| hours.contain(mail.now.time()))
            && (self.days.as_ref()).is_none_or(|days| days.contains(&mail.now.weekday()))
    }

    fn check(&self, place: usize) -> Result<(), String> {
        let targets = (&self.local, self.rewrite.as_deref());
        if !matches!(targets, (Some(_), None) | (None, Some([_, ..]))) {
            return Err(format!(
                "routes: number {place} needs one of `local` and `rewrite`, with an address"
            ));
        }
        match self.from.is_some() || self.to.is_some() || self.authenticated.is_some() {
            true => Ok(()),
            false => Err(format!(
                "routes: number {place} would take everybody's mail; say `from`, `to` or `authenticated`"
            )),
        }
    }
}

impl Settings {
    /// A route that leads only to where the mail is has nothing to say.
    fn route(&self, mail: Mail<'_>) -> Route {
        let Some(rule) = self.routes.iter().find(|rule| rule.holds(mail)) else {
            return Route::Pass;
        };
        match (&rule.local, &rule.rewrite) {
            (Some(mailbox), _) => Route::Local(mailbox.to_string()),
            (None, Some(to)) if !to.iter().all(|to| same(to, mail.to)) => {
                Route::Rewrite(to.iter().map(|to| to.to_string()).collect())
            }
            _ => Route::Pass,
        }
    }

    fn check(&self) -> Result<(), String> {
        let mut numbered = self.routes.iter().zip(1..);
        numbered.try_for_each(|(rule, place)| rule.check(place))
    }

    /// The time on the wall, of milliseconds since 1970.
    fn local(&self, now: u64) -> DateTime<FixedOffset> {
        let now = DateTime::from_timestamp_millis(now.cast_signed()).unwrap_or_default();
        self.utc_offset
            .map_or(now.fixed_offset(), |offset| now.with_timezone(&offset.0))
    }
}

struct Plugin;

impl router::Guest for Plugin {
    fn resolve(recipient: String) -> Route {
        let Ok(settings) = settings::parse::<Settings>(&config::json()) else {
            return Route::Pass; // `validate` has refused these
        };
        settings.route(Mail {
            from: &session::mail_from(),
            to: &recipient,
            authenticated: session::auth_user().is_some(),
            spf: &auth::spf(),
            now: settings.local(clock::now()),
        })
    }
}

impl lifecycle::Guest for Plugin {
    fn validate() -> Result<(), String> {
        settings::parse::<Settings>(&config::json())?.check()
    }
}
