//! What every engine promises, as tests: an engine calls [`suite!`] with a way to open an empty store whose
//! quarantine holds at most [`QUARANTINE_MAX`] octets, and gets one test for each promise.

use super::*;
use std::future::Future;

pub(crate) mod bodies;
pub(crate) mod delivery;
pub(crate) mod directory;
pub(crate) mod faults;
pub(crate) mod kv;
pub(crate) mod quarantine;

/// The bound that stores under test are opened with.
pub(crate) const QUARANTINE_MAX: u64 = 5000;

/// One test for each function of the contract. `$open` is an expression giving `(guard, store)`: the guard
/// keeps what the store lives in, and the store is anything that derefs to a [`Store`].
macro_rules! suite {
    ($open:expr; $($area:ident :: { $($rule:ident),+ $(,)? })+) => {
        $($(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $rule() {
                let (_guard, store) = $open;
                $crate::store::contract::$area::$rule(store.clone()).await;
            }
        )+)+
    };
}
pub(crate) use suite;

/// Runs the whole contract on an engine.
macro_rules! contract {
    ($open:expr) => {
        $crate::store::contract::suite! { $open;
            delivery::{
                a_delivered_message_is_listed_and_read_back,
                delivering_again_changes_nothing,
                the_same_mailbox_twice_in_one_delivery_counts_once,
                all_delivers_nothing_when_one_is_over_its_ceiling,
                each_delivers_to_those_with_room,
                a_ceiling_admits_its_exact_value_and_not_one_more,
                concurrent_deliveries_never_pass_a_ceiling,
                the_listing_is_in_order_of_ids,
                mailboxes_whose_names_begin_alike_are_apart,
                a_shared_body_goes_with_its_last_holder,
                removal_passes_over_unknown_ids_and_may_be_repeated,
                usage_is_the_sum_of_the_listing,
                a_delivery_to_nobody_leaves_nothing,
                what_an_entry_says_is_kept,
            }
            bodies::{
                content_of_every_size_is_read_back_at_odd_offsets,
                appended_text_is_read_before_and_after_its_commit,
                a_head_longer_than_a_chunk_is_kept,
                discarded_text_is_gone,
                an_appended_text_without_any_holder_is_removed,
                a_text_that_was_not_appended_is_not_delivered,
                a_chunk_outside_its_bounds_is_refused,
                appending_a_chunk_again_changes_nothing,
                an_unknown_message_is_not_found,
            }
            quarantine::{
                a_quarantined_copy_is_listed_read_and_dropped,
                several_copies_of_one_message_are_told_apart,
                quarantine_counts_against_no_mailbox,
                quarantine_is_bounded_at_its_exact_edge,
                all_that_a_copy_keeps_counts_against_the_bound,
                quarantine_is_paged_in_order,
                old_copies_expire,
                quarantining_again_changes_nothing,
                a_mailbox_and_quarantine_share_one_body,
            }
            directory::{
                a_domain_is_created_once,
                an_account_is_created_once_and_updated,
                an_address_is_an_account_or_an_alias,
                accounts_and_aliases_are_paged_by_key,
                removing_an_account_removes_its_mail,
                an_account_begins_without_the_mail_of_an_earlier_one,
                a_removal_that_races_deliveries_leaves_nothing_for_the_next_account,
                of_many_creators_one_succeeds,
            }
            kv::{
                values_are_set_read_and_removed,
                a_value_is_over_at_its_exact_time,
                a_counter_is_a_window,
                a_value_that_is_no_counter_is_an_error,
                compare_and_set_sees_what_get_sees,
                namespaces_are_apart,
                the_quota_admits_its_exact_value,
                expired_values_make_room,
                concurrent_increments_all_count,
            }
            faults::{
                retries_after_failures_before_the_write_do_not_duplicate,
                retries_after_lost_answers_do_not_duplicate,
            }
        }
    };
}
pub(crate) use contract;

/// The mailbox of most tests.
pub(crate) const A: Holder<'static> = Holder::Mailbox("a@x.org");

pub(crate) fn entry(mailbox: &str, size: u64) -> NewEntry {
    NewEntry {
        mailbox: mailbox.into(),
        trace: Bytes::from(format!("Delivered-To: {mailbox}\r\n")),
        size,
        downgraded_size: size,
        ceiling: Ceiling::default(),
        uidl: None,
    }
}

pub(crate) fn bounded(mailbox: &str, size: u64, bytes: u64, messages: u64) -> NewEntry {
    NewEntry {
        ceiling: Ceiling {
            bytes: Some(bytes),
            messages: Some(messages),
        },
        ..entry(mailbox, size)
    }
}

pub(crate) fn delivery(entries: Vec<NewEntry>) -> Delivery {
    Delivery {
        id: MessageId::new(),
        content: Content {
            head: Bytes::from_static(b"Subject: x\r\n\r\n"),
            text: Text::Inline(Bytes::from_static(b"text\r\n")),
        },
        facts: Bytes::from_static(b"facts"),
        entries,
        quarantine: Vec::new(),
        atomicity: Atomicity::All,
    }
}

/// Octets that compress badly and tell every position apart.
pub(crate) fn noise(len: usize) -> Bytes {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let octets = (0..len).map(|_| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed as u8
    });
    octets.collect()
}

pub(crate) async fn append_all(store: &impl Store, id: MessageId, text: &Bytes) -> Text {
    let mut chunks = 0;
    for at in (0..text.len()).step_by(CHUNK) {
        let chunk = text.slice(at..(at + CHUNK).min(text.len()));
        store.append(id, chunks, chunk).await.unwrap();
        chunks += 1;
    }
    Text::Appended {
        size: text.len() as u64,
        chunks,
    }
}

/// The whole content, read in parts of `step`.
pub(crate) async fn read_all(store: &impl Store, holder: Holder<'_>, id: MessageId, step: usize) -> Vec<u8> {
    let mut content = Vec::new();
    loop {
        let part = store.read(holder, id, content.len() as u64, step).await.unwrap();
        content.extend_from_slice(&part);
        if part.len() < step {
            return content;
        }
    }
}

pub(crate) fn is_not_found<T>(result: Result<T>) -> bool {
    matches!(result, Err(StoreError::NotFound))
}

/// Runs all at once and gives their answers.
pub(crate) async fn together<F>(calls: impl IntoIterator<Item = F>) -> Vec<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    let tasks: Vec<_> = calls.into_iter().map(tokio::spawn).collect();
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.unwrap());
    }
    answers
}
