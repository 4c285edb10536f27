//! Part f: one maildrop that is filled and emptied 10,000 times: deliver, list, delete; how long the listing takes
//! cycle by cycle, with the low-water cursor and without.
//!
//! A gateway moves the cursor past ids that are an hour old. Here the bare driver gives the messages ids of two
//! hours ago and moves it as the gateway then would, so that both ways can be compared in minutes.

use super::lab::Warm;
use super::{Bench, median};
use crate::driver::{Driver, Layout, Place, Writing};
use crate::message::{Pool, Size};
use serde_json::json;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;
use uuid::Uuid;

const CYCLES: usize = 10_000;
/// Cycles of one line.
const STEP: usize = 500;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cursor {
    Moves,
    Stays,
}

fn id(cursor: Cursor, cycles: usize) -> String {
    format!("f/{}/{cycles}", name(cursor))
}

fn name(cursor: Cursor) -> &'static str {
    match cursor {
        Cursor::Moves => "with the cursor",
        Cursor::Stays => "without",
    }
}

pub(super) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    // The tombstones of a part that was broken off are gone with its cluster: it begins anew.
    let last = id(Cursor::Stays, CYCLES);
    let Some((_lab, site)) = Warm::with_one_gateway(bench, [last]).await? else {
        return Ok(());
    };
    let since = SystemTime::now().duration_since(UNIX_EPOCH)? - Duration::from_secs(7200);
    let mut maildrops = [Cursor::Moves, Cursor::Stays].map(|cursor| Maildrop::new(cursor, since));
    let pool = Pool::new();
    for cycles in (STEP..=CYCLES).step_by(STEP) {
        if !bench.fits(Duration::from_secs(60)) {
            bench.left.push(format!("f from cycle {cycles}"));
            return Ok(());
        }
        for maildrop in &mut maildrops {
            let mut listings = Vec::new();
            for _ in 0..STEP {
                listings.push(maildrop.cycle(&site.driver, &pool).await?);
            }
            let longest = listings.iter().copied().fold(0.0, f64::max);
            let figures = json!({
                "part": "f", "subject": "churn", "variant": name(maildrop.cursor), "cycles": cycles,
                "listing_ms": median(listings), "longest_ms": longest,
            });
            let id = id(maildrop.cursor, cycles);
            bench.say(&id);
            if !bench.runs.has(&id) {
                bench.runs.add(&id, &[&figures])?;
            }
        }
    }
    Ok(())
}

struct Maildrop {
    name: String,
    cursor: Cursor,
    low: Uuid,
    /// Milliseconds of the next message's id.
    next: u64,
}

impl Maildrop {
    fn new(cursor: Cursor, since: Duration) -> Self {
        Self {
            name: format!("churn-{}@example.org", name(cursor).replace(' ', "-")),
            cursor,
            low: Uuid::nil(),
            next: since.as_millis() as u64,
        }
    }

    /// One message comes, is listed and is deleted; answers the milliseconds of its listing.
    async fn cycle(&mut self, driver: &Driver, pool: &Pool) -> anyhow::Result<f64> {
        let place = Place::at(id_of(self.next));
        self.next += 1;
        let message = pool.message(self.next, &self.name, Size::Fixed(4096));
        driver
            .deliver(&self.name, place, &message, Writing::USUAL)
            .await?;
        let begun = Instant::now();
        let ids = driver
            .list(Layout::Ours, &self.name, place.epoch, self.low)
            .await?;
        let took = begun.elapsed().as_secs_f64() * 1000.0;
        anyhow::ensure!(
            ids == [place.id],
            "{} lists {ids:?} instead of {}",
            self.name,
            place.id
        );
        driver.remove(&self.name, place.epoch, &ids).await?;
        if self.cursor == Cursor::Moves {
            self.low = id_of(self.next);
            driver.put_low(&self.name, place.epoch, self.low).await?;
        }
        Ok(took)
    }
}

/// A UUIDv7 of a moment, the lowest one.
fn id_of(millis: u64) -> Uuid {
    Uuid::from_u128(u128::from(millis) << 80 | 7 << 76 | 0b10 << 62)
}
