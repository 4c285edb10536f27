//! Routes by who writes, to whom, and at what hour: the board's mail to a mailbox that is read first, the
//! office's mail to whoever is on duty in the evening.
//!
//! The first route whose conditions hold decides; what none is for is passed on. A sender is what the
//! client said it was, unless SPF has to have passed. Settings that cannot be read refuse the component when it is loaded.

use bindings::exports::postern::policy::{lifecycle, router};
use bindings::postern::policy::types::Route;
use bindings::postern::policy::{auth, clock, config, session};
use hours::{Day, Hours, Offset};
use serde::Deserialize;
use settings::{OneOrMany, matches};

mod bindings {
    #![allow(unsafe_code, unreachable_pub, reason = "generated")]
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package example:vip-router;
            world plugin {
                import postern:policy/auth@0.1.0;
                import postern:policy/clock@0.1.0;
                import postern:policy/config@0.1.0;
                import postern:policy/session@0.1.0;
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

mod hours;
#[cfg(test)]
mod tests;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    routes: Vec<Rule>,
    /// What local time is ahead of UTC.
    utc_offset: Offset,
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
    days: Option<OneOrMany<Day>>,
    local: Option<String>,
    rewrite: Option<OneOrMany<String>>,
}

/// What conditions look at.
#[derive(Debug, Clone, Copy)]
struct Mail<'a> {
    from: &'a str,
    to: &'a str,
    authenticated: bool,
    spf: &'a str,
    /// Seconds since 1970, local time.
    now: i64,
}

impl Rule {
    fn holds(&self, mail: Mail<'_>) -> bool {
        let one_of = |patterns: &Option<OneOrMany<String>>, address: &str| {
            let fits =
                |all: &OneOrMany<String>| all.as_slice().iter().any(|pattern| matches(pattern, address));
            patterns.as_ref().is_none_or(fits)
        };
        one_of(&self.from, mail.from)
            && one_of(&self.to, mail.to)
            && self
                .authenticated
                .is_none_or(|wanted| wanted == mail.authenticated)
            && one_of(&self.spf, mail.spf)
            && self.hours.is_none_or(|hours| hours.contains(mail.now))
            && (self.days.as_ref()).is_none_or(|days| days.as_slice().contains(&Day::of(mail.now)))
    }

    fn route(&self) -> Option<Route> {
        let rewrite = || {
            self.rewrite
                .as_ref()
                .map(|to| Route::Rewrite(to.as_slice().to_vec()))
        };
        self.local.clone().map(Route::Local).or_else(rewrite)
    }

    fn check(&self, place: usize) -> Result<(), String> {
        let targets = self
            .local
            .iter()
            .chain(self.rewrite.iter().flat_map(OneOrMany::as_slice));
        let targets: Vec<&String> = targets.collect();
        if self.local.is_some() == self.rewrite.is_some() || targets.is_empty() {
            return Err(format!(
                "routes: number {place} needs one of `local` and `rewrite`, with an address"
            ));
        }
        if let Some(wrong) = targets
            .iter()
            .find(|target| settings::domain_of(target).is_empty())
        {
            return Err(format!(
                "routes: number {place} leads to `{wrong}`, which is not an address"
            ));
        }
        let conditions = [
            self.from.is_some(),
            self.to.is_some(),
            self.authenticated.is_some(),
        ];
        match conditions.contains(&true) {
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
        let here = |target: &String| target.to_lowercase() == mail.to.to_lowercase();
        let rule = self.routes.iter().find(|rule| rule.holds(mail));
        match rule.and_then(Rule::route) {
            Some(Route::Rewrite(to)) if to.iter().all(here) => Route::Pass,
            Some(route) => route,
            None => Route::Pass,
        }
    }

    fn check(&self) -> Result<(), String> {
        let mut numbered = self.routes.iter().zip(1..);
        numbered.try_for_each(|(rule, place)| rule.check(place))
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
            now: settings.utc_offset.local(clock::now()),
        })
    }
}

impl lifecycle::Guest for Plugin {
    fn validate() -> Result<(), String> {
        settings::parse::<Settings>(&config::json())?.check()
    }
}
