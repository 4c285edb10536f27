//! What a lightweight transaction answers: whether it was applied, and if not what was found instead.
//!
//! Cassandra and ScyllaDB give different columns, so they are read by name. A transaction whose answer was lost is
//! sent again and may then find what it wrote itself: [`Decided::made`] tells that from another's write.

use super::CassandraStore;
use super::cluster::{Earlier, Statement, unreadable};
use crate::store::Result;
use scylla::response::query_result::QueryResult;
use scylla::serialize::row::SerializeRow;
use scylla::value::{CqlValue, Row};

/// A row with the names of its columns.
#[derive(Debug, Default)]
pub(super) struct NamedRow(Vec<(String, Option<CqlValue>)>);

impl NamedRow {
    /// The rows of an answer; none where it has none.
    pub(super) fn all(answer: QueryResult) -> std::result::Result<Vec<Self>, String> {
        let rows = answer.into_rows_result().map_err(|error| error.to_string())?;
        let specs = rows.column_specs();
        let names: Vec<String> = specs.iter().map(|column| column.name().to_owned()).collect();
        let mut all = Vec::new();
        for row in rows.rows::<Row>().map_err(|error| error.to_string())? {
            let row = row.map_err(|error| error.to_string())?;
            all.push(Self(names.iter().cloned().zip(row.columns).collect()));
        }
        Ok(all)
    }

    pub(super) fn get(&self, name: &str) -> Option<&CqlValue> {
        self.0.iter().find(|(found, _)| found == name)?.1.as_ref()
    }

    pub(super) fn is_applied(&self) -> bool {
        self.get("[applied]") == Some(&CqlValue::Boolean(true))
    }
}

/// How a transaction ended.
#[derive(Debug)]
pub(super) struct Decided {
    found: NamedRow,
    earlier: Earlier,
}

impl Decided {
    pub(super) fn is_applied(&self) -> bool {
        self.found.is_applied()
    }

    /// Whether the row that was to be made is there by this request. Where no attempt failed, a row that is there
    /// is another's, whatever is in it; otherwise it is this one's if it has what was to be written. Two who write
    /// the very same at once, and both lose an answer, may both be told so.
    pub(super) fn made(&self, written: &[(&str, Option<CqlValue>)]) -> bool {
        let same = || {
            let mut columns = written.iter();
            columns.all(|(name, value)| self.found.get(name) == value.as_ref())
        };
        self.is_applied() || (self.earlier == Earlier::Unclear && same())
    }

    /// Whether the row that was to be removed is gone by this request; `column` is one that each such row has. Where
    /// an attempt failed, one that is not there any more was removed by that, or by another at the same time.
    pub(super) fn removed(&self, column: &str) -> bool {
        self.is_applied() || (self.earlier == Earlier::Unclear && self.found.get(column).is_none())
    }
}

impl CassandraStore {
    pub(super) async fn decide(
        &self,
        statement: &Statement,
        values: impl SerializeRow + Sync,
    ) -> Result<Decided> {
        let (answer, earlier) = self.cluster.conclude(statement, values).await?;
        let found = NamedRow::all(answer).map_err(unreadable)?.into_iter().next();
        let found = found.ok_or_else(|| unreadable("a transaction says nothing"))?;
        match found.get("[applied]") {
            Some(CqlValue::Boolean(_)) => Ok(Decided { found, earlier }),
            _ => Err(unreadable("a transaction does not say whether it was applied")),
        }
    }

    /// Whether a transaction was applied.
    pub(super) async fn transact(
        &self,
        statement: &Statement,
        values: impl SerializeRow + Sync,
    ) -> Result<bool> {
        Ok(self.decide(statement, values).await?.is_applied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Option<CqlValue> {
        Some(CqlValue::Text(text.to_owned()))
    }

    fn decided(applied: bool, earlier: Earlier, password: Option<CqlValue>) -> Decided {
        let columns = [
            ("[applied]", Some(CqlValue::Boolean(applied))),
            ("key", text("ann@x.org")),
            ("password", password),
        ];
        let columns = columns.map(|(name, value)| (name.to_owned(), value));
        Decided {
            found: NamedRow(columns.to_vec()),
            earlier,
        }
    }

    #[test]
    fn a_row_is_ones_own_only_where_an_answer_was_lost_and_all_of_it_is_what_was_written() {
        let written = [("key", text("ann@x.org")), ("password", text("hash"))];
        let made = |applied, earlier, password| decided(applied, earlier, password).made(&written);
        assert!(made(true, Earlier::None, None), "applied");
        assert!(made(true, Earlier::Unclear, None), "applied at last");
        assert!(
            !made(false, Earlier::None, text("hash")),
            "another wrote the same before"
        );
        assert!(
            made(false, Earlier::Unclear, text("hash")),
            "the retry found its own"
        );
        assert!(
            !made(false, Earlier::Unclear, text("other")),
            "the retry found another's"
        );
        assert!(!made(false, Earlier::Unclear, None), "or an emptier one");
        let nothing = [("password", None)];
        assert!(
            decided(false, Earlier::Unclear, None).made(&nothing),
            "null is null"
        );
        assert!(!decided(false, Earlier::Unclear, text("hash")).made(&nothing));
    }

    #[test]
    fn a_row_that_is_gone_was_ones_own_to_remove_only_where_an_answer_was_lost() {
        let removed = |applied, earlier, column| decided(applied, earlier, None).removed(column);
        assert!(removed(true, Earlier::None, "key"));
        assert!(
            !removed(false, Earlier::None, "password"),
            "it was not there before"
        );
        assert!(
            removed(false, Earlier::Unclear, "password"),
            "the first attempt removed it"
        );
        assert!(!removed(false, Earlier::Unclear, "key"), "it is there");
    }
}
