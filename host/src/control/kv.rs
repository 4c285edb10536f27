//! What policies keep in the store, read to judge by it again. Nothing here writes.

use super::{ControlContext, Outcome, Record, Records};
use crate::clock::unix_millis;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;

/// One piece of content if there is such a key now, else none.
pub(super) async fn read(
    context: &ControlContext,
    (namespace, key): (&str, &str),
    records: &Records,
) -> Outcome<String> {
    if let Some(value) = context.store.kv_get(namespace, key, unix_millis()).await? {
        records.send(Record::Content(BASE64.encode(value))).await?;
    }
    Ok(String::new())
}
