//! Messages on their way from and to another store.
//!
//! A copy into a keyspace leaves a mark there until it has ended: rows with old ids are written, whose bodies come
//! before them, and nobody may deliver, read or sweep in between. Who opens the store meanwhile is refused.

use super::CassandraStore;
use super::kv;
use super::mail::{self, Plan, Step};
use super::quarantine;
use super::rows::{self, Body};
use super::suspect::{Lister, Suspect};
use crate::store::copying::{Listed, Movable, Value};
use crate::store::{Entry, Mailbox, Moved, Result, StoreError};
use async_trait::async_trait;
use tokio::sync::mpsc;
use uuid::Uuid;

/// References that are looked for at once.
const LOOKS: usize = 64;

type Row = (
    String,
    Uuid,
    Option<i64>,
    Option<i64>,
    Option<Vec<u8>>,
    Option<String>,
    Option<i8>,
);

fn entry((mailbox, msg, size, size7, trace, uidl, body): Row) -> Option<((Mailbox, Entry), Body)> {
    let (entry, body) = mail::read_entry((msg, size, size7, trace, uidl, body))?;
    Some(((mailbox.into(), entry), body))
}

impl CassandraStore {
    /// Fails while a copy into this keyspace has not ended.
    pub(super) async fn is_whole(&self) -> Result<()> {
        match self.is_marked().await? {
            false => Ok(()),
            true => Err(StoreError::Engine(
                "a copy into this keyspace has not ended: run `postern store copy` again".to_owned(),
            )),
        }
    }

    async fn is_marked(&self) -> Result<bool> {
        let mark: Option<(String,)> = self.cluster.row(&self.statements.copying, ()).await?;
        Ok(mark.is_some())
    }

    /// Marks the keyspace, unless it has mail of its own or has served.
    pub async fn begin_copy(&self) -> Result<()> {
        let goes_on = self.is_marked().await?;
        self.has_served_nobody(goes_on).await?;
        self.transact(&self.statements.begin_copy, ()).await.map(|_| ())
    }

    /// A gateway that was running before the copy does not see its mark, and may have moved a low-water mark past
    /// what was copied.
    async fn has_served_nobody(&self, goes_on: bool) -> Result<()> {
        let s = &self.statements;
        for range in self.ranges() {
            let mut pages = self.pages(&s.every_epoch, range);
            while let Some(page) = pages.next::<(String, i32, Option<Uuid>)>().await? {
                let served = |(mailbox, _, low): &(String, i32, Option<Uuid>)| {
                    (!goes_on || low.is_some()).then(|| mailbox.clone())
                };
                if let Some(mailbox) = page.iter().find_map(served) {
                    return Err(StoreError::Engine(format!(
                        "the keyspace has mail of its own ({mailbox}): copy into one that has served nobody yet"
                    )));
                }
            }
        }
        Ok(())
    }

    /// Takes the mark away: all is there.
    pub async fn end_copy(&self) -> Result<()> {
        self.has_served_nobody(true).await?;
        self.transact(&self.statements.end_copy, ()).await.map(|_| ())
    }

    /// Messages that one mailbox lists: beside the row or of its own.
    async fn walk_entries(&self, show: &mpsc::Sender<Listed>) -> Result<()> {
        for range in self.ranges() {
            let mut pages = self.pages(&self.statements.listed, range);
            while let Some(page) = pages.next::<Row>().await? {
                let whole = page.into_iter().filter_map(entry);
                for (listed, _) in whole.filter(|(_, body)| *body != Body::Shared) {
                    let listed = Listed {
                        id: listed.1.id,
                        entries: vec![listed],
                        copies: Vec::new(),
                    };
                    if show.send(listed).await.is_err() {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// What is listed without a reference a walk over references would leave out.
    async fn are_sound(&self, listed: Vec<Suspect>) -> Result<()> {
        for few in listed.chunks(LOOKS) {
            if let Some(fault) = self.confirmed(few.to_vec()).await?.first() {
                return Err(StoreError::Engine(format!(
                    "{fault}: run `postern store check --mend` before a copy"
                )));
            }
        }
        Ok(())
    }

    async fn entries_are_sound(&self) -> Result<()> {
        for range in self.ranges() {
            let mut pages = self.pages(&self.statements.every_entry, range);
            while let Some(page) = pages.next::<(String, i32, Uuid, Option<i8>)>().await? {
                let shared = page
                    .into_iter()
                    .filter(|(.., body)| body.map(Body::read) == Some(Body::Shared))
                    .map(|(mailbox, _, msg, _)| Suspect::NoReference {
                        lister: Lister::Mailbox(mailbox),
                        body: rows::id(msg),
                    });
                self.are_sound(shared.collect()).await?;
            }
        }
        Ok(())
    }

    async fn held_are_sound(&self) -> Result<()> {
        for range in self.ranges() {
            let mut pages = self.pages(&self.statements.every_held, range);
            while let Some(page) = pages.next::<(i32, Uuid, Option<Uuid>)>().await? {
                let held = page.into_iter().filter_map(|(_, copy, body)| {
                    Some(Suspect::NoReference {
                        lister: Lister::Copy(rows::id(copy)),
                        body: rows::id(body?),
                    })
                });
                self.are_sound(held.collect()).await?;
            }
        }
        Ok(())
    }

    /// Messages whose body has references: those of one body follow each other.
    async fn walk_shared(&self, show: &mpsc::Sender<Listed>) -> Result<()> {
        for range in self.ranges() {
            let mut pages = self.pages(&self.statements.every_ref, range);
            let mut gathered: Option<Listed> = None;
            while let Some(page) = pages.next::<(Uuid, String)>().await? {
                for (blob, holder) in page {
                    let id = rows::id(blob);
                    if gathered.as_ref().is_none_or(|listed| listed.id != id) {
                        let new = Listed {
                            id,
                            entries: Vec::new(),
                            copies: Vec::new(),
                        };
                        if let Some(whole) = gathered.replace(new)
                            && show.send(whole).await.is_err()
                        {
                            return Ok(());
                        }
                    }
                    if let Some(listed) = &mut gathered {
                        self.gather(listed, &holder).await?;
                    }
                }
            }
            if let Some(whole) = gathered
                && show.send(whole).await.is_err()
            {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn gather(&self, listed: &mut Listed, holder: &str) -> Result<()> {
        match Lister::of(holder) {
            Lister::Mailbox(mailbox) => {
                let key = (mailbox, rows::epoch(listed.id), rows::uuid(listed.id));
                let found: Vec<Row> = self.seek(&self.statements.listed_one, key).await?;
                let found = found.into_iter().filter_map(|row| Some(entry(row)?.0));
                listed.entries.extend(found);
            }
            Lister::Copy(id) => match self.held_row(id).await {
                Ok(row) => listed.copies.push(quarantine::quarantined(row)),
                Err(StoreError::NotFound) => {}
                Err(error) => return Err(error),
            },
        }
        Ok(())
    }

    /// Writes a message under its old id, with all who list it.
    async fn admit(&self, moved: &Moved) -> Result<()> {
        let delivery = moved.as_delivery();
        let ids = moved.copies.iter().map(|copy| copy.id);
        let plan = Plan {
            step: Step::First,
            entries: delivery.entries.iter().collect(),
            copies: ids.zip(&delivery.quarantine).collect(),
        };
        self.arriving.matches(&delivery)?;
        self.write(&delivery, &plan).await?;
        self.arriving.forget(moved.id);
        Ok(())
    }

    async fn lists_all(&self, listed: &Listed) -> Result<bool> {
        let entries = listed
            .entries
            .iter()
            .map(|(mailbox, _)| (Lister::Mailbox(mailbox.to_string()), listed.id));
        let copies = listed
            .copies
            .iter()
            .map(|copy| (Lister::Copy(copy.id), listed.id));
        for (lister, id) in entries.chain(copies) {
            if !self.is_listed(&lister, id).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

#[async_trait]
impl Movable for CassandraStore {
    async fn shows_all(&self) -> Result<()> {
        self.entries_are_sound().await?;
        self.held_are_sound().await
    }

    async fn walk(&self, show: mpsc::Sender<Listed>) -> Result<()> {
        self.walk_entries(&show).await?;
        self.walk_shared(&show).await
    }

    async fn walk_values(&self, show: mpsc::Sender<Value>) -> Result<()> {
        for range in self.ranges() {
            let mut pages = self.pages(&self.statements.every_value, range);
            while let Some(page) = pages.next::<kv::KeyedColumns>().await? {
                for (namespace, key, value, version, over_at) in page {
                    let Some((value, _, over_at)) = kv::whole((value, version, over_at)) else {
                        continue;
                    };
                    let value = Value {
                        namespace,
                        key,
                        value: value.into(),
                        over_at: rows::size(over_at),
                    };
                    if show.send(value).await.is_err() {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    async fn has(&self, listed: &Listed) -> Result<bool> {
        self.lists_all(listed).await
    }

    async fn admit(&self, moved: Moved) -> Result<()> {
        Self::admit(self, &moved).await
    }
}
