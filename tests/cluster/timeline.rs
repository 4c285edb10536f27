//! What senders met, second by second, for `timeline.py` to draw: written where `POSTERN_TIMELINE` names a folder.

use crate::load::Sent;
use crate::mail::Fate;
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};

/// Something that was done to the cluster.
pub(crate) struct Mark<'a> {
    what: &'a str,
    at: Instant,
}

impl<'a> Mark<'a> {
    pub(crate) fn new(what: &'a str, at: Instant) -> Self {
        Self { what, at }
    }
}

/// The transactions that ended in one second.
#[derive(Default)]
struct Second {
    waits: Vec<Duration>,
    deferred: usize,
    broken: usize,
}

impl Second {
    fn count(&mut self, sent: &Sent) {
        match &sent.fate {
            Fate::Kept(_) => self.waits.push(sent.ended - sent.begun),
            Fate::Refused(_) => self.deferred += 1,
            Fate::Broken => self.broken += 1,
        }
    }

    fn written(mut self, nth: usize) -> Value {
        self.waits.sort_unstable();
        let place = (self.waits.len() as f64 * 0.99) as usize;
        let p99 = self.waits.get(place).map(Duration::as_millis);
        json!({
            "second": nth,
            "acked": self.waits.len(),
            "deferred": self.deferred,
            "without_reply": self.broken,
            "p99_ms": p99.map(|millis| millis as u64),
        })
    }
}

pub(crate) fn write(name: &str, sent: &[Sent], marks: &[Mark<'_>]) {
    let Some(folder) = std::env::var_os("POSTERN_TIMELINE") else {
        return;
    };
    let begun = sent.iter().map(|sent| sent.begun).min().unwrap();
    let mut seconds: Vec<Second> = Vec::new();
    for sent in sent {
        let nth = (sent.ended - begun).as_secs() as usize;
        if seconds.len() <= nth {
            seconds.resize_with(nth + 1, Second::default);
        }
        seconds[nth].count(sent);
    }
    let mark = |mark: &Mark<'_>| json!({ "what": mark.what, "at": (mark.at - begun).as_secs_f64() });
    let seconds = seconds.into_iter().enumerate();
    let timeline = json!({
        "marks": marks.iter().map(mark).collect::<Vec<_>>(),
        "seconds": seconds.map(|(nth, second)| second.written(nth)).collect::<Vec<_>>(),
    });
    let file = Path::new(&folder).join(format!("{name}.json"));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(file, format!("{timeline:#}\n")).unwrap();
}
