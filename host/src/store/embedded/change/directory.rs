//! Domains, accounts and aliases: compared and written in one step.

use super::Change;
use crate::store::embedded::rows::{self, Space, tag};
use crate::store::{Account, Alias, Created, Domain, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

impl Change<'_> {
    fn has(&self, tag: u8, name: &str) -> Result<bool> {
        Ok(self.get(Space::State, &rows::named_key(tag, name))?.is_some())
    }

    fn record(&mut self, tag: u8, name: &str, record: &impl Serialize) -> Result<()> {
        self.put(Space::State, rows::named_key(tag, name), rows::json_row(record)?)
    }

    fn recorded<T: DeserializeOwned>(&self, tag: u8, name: &str) -> Result<Option<T>> {
        let row = self.get(Space::State, &rows::named_key(tag, name))?;
        row.map(|row| rows::read_json(&row)).transpose()
    }

    /// Removes a record and says whether it was there.
    fn forget(&mut self, tag: u8, name: &str) -> Result<bool> {
        let there = self.has(tag, name)?;
        if there {
            self.delete(Space::State, rows::named_key(tag, name));
        }
        Ok(there)
    }

    pub(in super::super) fn create_domain(&mut self, domain: &Domain) -> Result<Created> {
        if self.has(tag::DOMAIN, &domain.name)? {
            return Ok(Created::Exists);
        }
        self.record(tag::DOMAIN, &domain.name, domain)?;
        Ok(Created::Yes)
    }

    pub(in super::super) fn remove_domain(&mut self, name: &str) -> Result<bool> {
        self.forget(tag::DOMAIN, name)
    }

    pub(in super::super) fn create_account(&mut self, account: &Account) -> Result<Created> {
        let key = account.address.to_lowercase();
        if self.has(tag::ACCOUNT, &key)? || self.has(tag::ALIAS, &key)? {
            return Ok(Created::Exists);
        }
        self.empty(&key)?;
        self.record(tag::ACCOUNT, &key, account)?;
        Ok(Created::Yes)
    }

    pub(in super::super) fn replace_account(&mut self, before: &Account, after: &Account) -> Result<bool> {
        let key = after.address.to_lowercase();
        let unchanged = self.recorded::<Account>(tag::ACCOUNT, &key)?.as_ref() == Some(before);
        if unchanged {
            self.record(tag::ACCOUNT, &key, after)?;
        }
        Ok(unchanged)
    }

    pub(in super::super) fn remove_account(&mut self, key: &str) -> Result<bool> {
        self.empty(key)?;
        self.forget(tag::ACCOUNT, key)
    }

    pub(in super::super) fn create_alias(&mut self, alias: &Alias) -> Result<Created> {
        if self.has(tag::ACCOUNT, &alias.address)? || self.has(tag::ALIAS, &alias.address)? {
            return Ok(Created::Exists);
        }
        self.record(tag::ALIAS, &alias.address, alias)?;
        Ok(Created::Yes)
    }

    pub(in super::super) fn replace_alias(&mut self, before: &Alias, after: &Alias) -> Result<bool> {
        let unchanged = self.recorded::<Alias>(tag::ALIAS, &after.address)?.as_ref() == Some(before);
        if unchanged {
            self.record(tag::ALIAS, &after.address, after)?;
        }
        Ok(unchanged)
    }

    pub(in super::super) fn remove_alias(&mut self, key: &str) -> Result<bool> {
        self.forget(tag::ALIAS, key)
    }
}
