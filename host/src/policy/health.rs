//! Whether a version of a policy is in service: its breaker and, for a canary, its share. Each change is logged
//! once and counted.

use super::breaker::{Breaker, Change, Course};
use super::canary::Canary;
use super::load::short;
use super::manifest::{Manifest, Mode};
use metrics::{counter, gauge};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

#[derive(Debug)]
pub(super) struct Health {
    policy: Arc<str>,
    digest: String,
    breaker: Breaker,
    canary: Option<Canary>,
    /// It is the version in force of its name, which the gauge tells of.
    in_force: Mutex<bool>,
}

impl Health {
    pub(super) fn new(policy: &Arc<str>, digest: &str, manifest: &Manifest) -> Self {
        let canary = match manifest.mode {
            Mode::Canary(bounds) => Some(Canary::new(bounds)),
            Mode::Enforce | Mode::Shadow => None,
        };
        Self {
            policy: Arc::clone(policy),
            digest: short(digest).to_owned(),
            breaker: Breaker::new(manifest.breaker, Instant::now()),
            canary,
            in_force: Mutex::new(false),
        }
    }

    /// It is in force from here on.
    pub(super) fn begin(&self) {
        let mut in_force = self.in_force();
        *in_force = true;
        self.gauge(&in_force, self.breaker.trouble().is_some());
    }

    /// Another version has its name, or none.
    pub(super) fn end(&self) {
        let mut in_force = self.in_force();
        self.gauge(&in_force, false);
        *in_force = false;
    }

    fn in_force(&self) -> MutexGuard<'_, bool> {
        self.in_force.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it may be called now; the one call after its pause may.
    pub(super) fn admits(&self) -> bool {
        self.breaker.admits(Instant::now())
    }

    /// Whether it is a canary that decides about this key of a transaction or a connection.
    pub(super) fn has_share(&self, key: &str) -> bool {
        let canary = self.canary.as_ref();
        !key.is_empty() && canary.is_some_and(|canary| canary.decides(&self.policy, key))
    }

    /// Takes how a call went.
    pub(super) fn heard(&self, course: Course) {
        let change = self.breaker.heard(course, Instant::now());
        let fell = self.canary.as_ref().and_then(|canary| match &change {
            Some(Change::Opened(why)) => canary.fall(why.clone()),
            _ => canary.heard(course.failed, course.took),
        });
        match change {
            Some(Change::Opened(why)) => self.tell_opened(&why),
            Some(Change::Closed) => self.tell_closed(),
            None => {}
        }
        if let Some(why) = fell {
            self.tell_fallen(&why, if course.failed { "failures" } else { "p99" });
        }
    }

    /// Takes that nothing is heard of a call that began then: a trial is made again after another pause.
    pub(super) fn abandoned(&self, begun: Instant) {
        self.breaker.abandoned(begun, Instant::now());
    }

    /// Takes whether the enforced version said something else.
    pub(super) fn compared(&self, differed: bool) {
        let canary = self.canary.as_ref();
        if let Some(why) = canary.and_then(|canary| canary.compared(differed)) {
            self.tell_fallen(&why, "drift");
        }
    }

    /// Puts it back into service; answers whether it was out of it.
    pub(super) fn reset(&self) -> bool {
        let opened = self.breaker.reset(Instant::now());
        if opened {
            self.tell_closed();
        }
        let fallen = self.canary.as_ref().is_some_and(Canary::reset);
        opened || fallen
    }

    /// What keeps it from deciding, for a person.
    pub(super) fn trouble(&self) -> Option<String> {
        let fallen = self.canary.as_ref().and_then(Canary::fallen);
        let fallen = fallen.map(|why| format!("fell back: {why}"));
        fallen.or_else(|| Some(format!("out of service: {}", self.breaker.trouble()?)))
    }

    /// A call that was not made.
    pub(super) fn refused(&self) {
        counter!("postern_plugin_breaker_refused_total", "plugin" => self.policy.to_string()).increment(1);
    }

    fn tell_opened(&self, why: &str) {
        tracing::error!(plugin = %self.policy, digest = self.digest, why,
            "a policy is out of service; its earlier version decides or, where there is none, its failure policy");
        counter!("postern_plugin_breaker_opened_total", "plugin" => self.policy.to_string()).increment(1);
        self.measure(true);
    }

    fn tell_closed(&self) {
        tracing::info!(plugin = %self.policy, digest = self.digest, "a policy is back in service");
        self.measure(false);
    }

    fn measure(&self, is_open: bool) {
        self.gauge(&self.in_force(), is_open);
    }

    /// While it is known that no other version comes into force.
    fn gauge(&self, in_force: &MutexGuard<'_, bool>, is_open: bool) {
        if **in_force {
            let open = f64::from(u8::from(is_open));
            gauge!("postern_plugin_breaker_open", "plugin" => self.policy.to_string()).set(open);
        }
    }

    fn tell_fallen(&self, why: &str, reason: &'static str) {
        tracing::error!(plugin = %self.policy, digest = self.digest, why,
            "a canary falls back: it decides no longer, and the enforced version does");
        counter!(
            "postern_plugin_canary_fallbacks_total",
            "plugin" => self.policy.to_string(), "reason" => reason
        )
        .increment(1);
    }
}
