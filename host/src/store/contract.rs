//! What every engine promises, as tests: an engine calls [`suite!`] with a way to open an empty store whose
//! quarantine holds at most [`QUARANTINE_MAX`] octets, and gets one test for each promise.

use super::*;
use futures_util::FutureExt as _;
use std::future::Future;

pub(crate) mod bodies;
pub(crate) mod broken;
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
                a_listing_says_the_same_each_time,
                what_is_listed_can_be_read_at_once,
                an_older_message_is_listed_though_younger_ones_were_removed,
                a_check_finds_nothing_and_a_sweep_takes_nothing_that_is_held,
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
                an_account_is_created_once_and_replaced,
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

/// Shows that the contract is no empty word: over an engine with one fault the case beside it goes red, and over
/// the same engine in the same hands without a fault all are green.
macro_rules! mutants {
    ($open:expr) => {
        $crate::store::contract::mutants! { $open;
            delivery::{
                forgets_what_it_acknowledged: Forgets => a_delivered_message_is_listed_and_read_back,
                delivers_a_retry_again: DeliversAgain => delivering_again_changes_nothing,
                delivers_in_part: DeliversInPart => all_delivers_nothing_when_one_is_over_its_ceiling,
                refuses_all_for_one: RefusesAllForOne => each_delivers_to_those_with_room,
                passes_a_ceiling_by_an_octet: PassesOctets => a_ceiling_admits_its_exact_value_and_not_one_more,
                stops_an_octet_below_a_ceiling: StopsShort => a_ceiling_admits_its_exact_value_and_not_one_more,
                passes_a_ceiling_by_a_message: PassesMessages => a_ceiling_admits_its_exact_value_and_not_one_more,
                decides_and_counts_in_two_steps: DecidesApart => concurrent_deliveries_never_pass_a_ceiling,
                counts_a_recipient_twice: CountsRepeatedRecipients => the_same_mailbox_twice_in_one_delivery_counts_once,
                loses_facts: LosesFacts => a_delivered_message_is_listed_and_read_back,
                cuts_long_traces: CutsTraces => what_an_entry_says_is_kept,
                has_one_size_for_all_clients: EvensSizes => what_an_entry_says_is_kept,
                drops_uidls_that_came_with_mail: DropsUidls => what_an_entry_says_is_kept,
                lists_backwards: ListsBackwards => the_listing_is_in_order_of_ids,
                renames_messages: RenamesMessages => a_listing_says_the_same_each_time,
                lists_before_the_body_is_there: ListsBeforeTheBody => what_is_listed_can_be_read_at_once,
                hides_what_is_older_than_a_removal:
                    HidesTheOlder => an_older_message_is_listed_though_younger_ones_were_removed,
                mixes_mailboxes: MixesMailboxes => mailboxes_whose_names_begin_alike_are_apart,
                removes_nothing: RemovesNothing => removal_passes_over_unknown_ids_and_may_be_repeated,
                removes_all: RemovesAll => removal_passes_over_unknown_ids_and_may_be_repeated,
                frees_no_usage: FreesNothing => usage_is_the_sum_of_the_listing,
                miscounts_usage: MiscountsUsage => usage_is_the_sum_of_the_listing,
                takes_a_body_that_others_list: TakesSharedBodies => a_shared_body_goes_with_its_last_holder,
                keeps_a_body_that_nobody_lists: KeepsBodies => a_shared_body_goes_with_its_last_holder,
                keeps_a_body_for_nobody: KeepsBodies => a_delivery_to_nobody_leaves_nothing,
                sweeps_what_is_held: SweepsTheHeld => a_check_finds_nothing_and_a_sweep_takes_nothing_that_is_held,
                suspects_the_sound: SuspectsTheSound => a_check_finds_nothing_and_a_sweep_takes_nothing_that_is_held,
            }
            bodies::{
                reads_short: ReadsShort => content_of_every_size_is_read_back_at_odd_offsets,
                slips_at_chunks: SlipsAtChunks => content_of_every_size_is_read_back_at_odd_offsets,
                fails_at_the_end: FailsAtTheEnd => content_of_every_size_is_read_back_at_odd_offsets,
                loses_an_end_of_long_heads: SlipsAtChunks => a_head_longer_than_a_chunk_is_kept,
                shows_the_uncommitted: ShowsTheUncommitted => appended_text_is_read_before_and_after_its_commit,
                loses_the_uncommitted: LosesTheUncommitted => appended_text_is_read_before_and_after_its_commit,
                keeps_refused_texts: KeepsRefusedTexts => an_appended_text_without_any_holder_is_removed,
                discards_nothing: DiscardsNothing => discarded_text_is_gone,
                discards_the_committed: DiscardsTheCommitted => appending_a_chunk_again_changes_nothing,
                appends_again: AppendsAgain => appending_a_chunk_again_changes_nothing,
                takes_any_text: TakesAnyText => a_text_that_was_not_appended_is_not_delivered,
                takes_any_chunk: TakesAnyChunk => a_chunk_outside_its_bounds_is_refused,
                knows_the_unknown: KnowsTheUnknown => an_unknown_message_is_not_found,
            }
            quarantine::{
                holds_nothing: HoldsNothing => a_quarantined_copy_is_listed_read_and_dropped,
                drops_nothing: DropsNothing => a_quarantined_copy_is_listed_read_and_dropped,
                holds_one_copy_of_several: HoldsOneCopy => several_copies_of_one_message_are_told_apart,
                charges_what_is_held: ChargesTheHeld => quarantine_counts_against_no_mailbox,
                holds_without_bound: HoldsWithoutBound => quarantine_is_bounded_at_its_exact_edge,
                weighs_content_alone: WeighsContentAlone => all_that_a_copy_keeps_counts_against_the_bound,
                skips_what_is_held: SkipsTheHeld => quarantine_is_paged_in_order,
                expires_early: ExpiresEarly => old_copies_expire,
                holds_a_retry_again: DeliversAgain => quarantining_again_changes_nothing,
                takes_a_body_that_is_held: TakesSharedBodies => a_mailbox_and_quarantine_share_one_body,
            }
            directory::{
                creates_domains_again: CreatesAgain => a_domain_is_created_once,
                removes_absent_domains: RemovesTheAbsent => a_domain_is_created_once,
                creates_accounts_again: CreatesAgain => an_account_is_created_once_and_replaced,
                replaces_the_absent: ReplacesTheAbsent => an_account_is_created_once_and_replaced,
                replaces_the_changed: ReplacesTheChanged => an_account_is_created_once_and_replaced,
                replaces_the_changed_alias: ReplacesTheChanged => an_address_is_an_account_or_an_alias,
                loses_keys: LosesKeys => an_account_is_created_once_and_replaced,
                gives_an_address_to_two: SharesAddresses => an_address_is_an_account_or_an_alias,
                pages_too_much: PagesTooMuch => accounts_and_aliases_are_paged_by_key,
                keeps_mail_of_the_removed: KeepsMailOfTheRemoved => removing_an_account_removes_its_mail,
                inherits_mail: InheritsMail => an_account_begins_without_the_mail_of_an_earlier_one,
                creates_for_many_at_once: CreatesAtOnce => of_many_creators_one_succeeds,
            }
            kv::{
                keeps_removed_values: KeepsValues => values_are_set_read_and_removed,
                outlives_a_value_s_time: OutlivesItsTime => a_value_is_over_at_its_exact_time,
                ends_a_value_early: EndsEarly => a_value_is_over_at_its_exact_time,
                renews_windows: RenewsWindows => a_counter_is_a_window,
                counts_anything: CountsAnything => a_value_that_is_no_counter_is_an_error,
                compares_nothing: ComparesNothing => compare_and_set_sees_what_get_sees,
                mixes_namespaces: MixesNamespaces => namespaces_are_apart,
                passes_the_quota: PassesTheQuota => the_quota_admits_its_exact_value,
                makes_no_room: MakesNoRoom => expired_values_make_room,
                loses_increments: LosesIncrements => concurrent_increments_all_count,
            }
            faults::{
                forgets_after_lost_answers: Forgets => retries_after_lost_answers_do_not_duplicate,
                keeps_bodies_after_failures: KeepsBodies => retries_after_failures_before_the_write_do_not_duplicate,
            }
        }
    };
    ($open:expr; $($area:ident :: { $($name:ident : $fault:ident => $rule:ident),+ $(,)? })+) => {
        /// Each is an engine with this fault, and passes when the contract does not.
        mod broken {
            use super::*;
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    use $crate::store::contract;
                    let (_guard, store) = $open;
                    let fault = contract::broken::Fault::$fault;
                    let store = contract::broken::Broken::new(store, Some(fault));
                    contract::goes_red(contract::$area::$rule(store)).await;
                }
            )+)+
        }
    };
}
pub(crate) use mutants;

/// Fails unless the case does.
pub(crate) async fn goes_red(case: impl Future<Output = ()>) {
    let end = std::panic::AssertUnwindSafe(Box::pin(case)).catch_unwind().await;
    assert!(end.is_err(), "the contract is green over a store that breaks it");
}

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

/// An id that was drawn `age` milliseconds ago.
pub(crate) fn aged(age: u64) -> MessageId {
    let id = MessageId::new();
    let mut bytes = *id.as_bytes();
    bytes[..6].copy_from_slice(&(id.unix_millis() - age).to_be_bytes()[2..]);
    MessageId::from_bytes(bytes)
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

/// The ids of a listing, in its order.
pub(crate) async fn listed_ids(store: &impl Store, mailbox: &str) -> Vec<MessageId> {
    let listed = store.list(mailbox).await.unwrap();
    listed.iter().map(|entry| entry.id).collect()
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

/// The hands that [`mutants!`] puts engines into do nothing by themselves.
mod whole {
    use super::*;

    contract! {
        ((), broken::Broken::new(Arc::new(MemoryStore::with_quarantine_max(QUARANTINE_MAX)), None))
    }
}
