use super::*;
use settings::Seconds;
use std::collections::BTreeMap;

fn settings() -> Settings {
    settings::parse(
        r#"{
            "address": {"connections": "3/1m", "messages": ["2/1m", "3/1h"], "recipients": "5/1h"},
            "account": {"messages": "10/1h", "recipients": "50/1h"}
        }"#,
    )
    .unwrap()
}

/// Counters as `kv` keeps them while no window ends.
#[derive(Debug, Default)]
struct Counters(BTreeMap<String, (i64, u32)>);

impl Counters {
    fn offer(&mut self, event: Event, client: &str, user: Option<&str>) -> Option<Rate> {
        let settings = settings();
        let account = settings.account(event, client, user);
        let answer = passed(event, &account, |key, window| {
            let counter = self.0.entry(key.to_owned()).or_insert((0, window));
            counter.0 += 1;
            Ok(counter.0)
        });
        answer.unwrap()
    }
}

fn rate(text: &str) -> Rate {
    text.parse().unwrap()
}

#[test]
fn the_last_that_fits_passes_and_the_next_does_not() {
    let mut counters = Counters::default();
    for _ in 0..3 {
        assert_eq!(counters.offer(Event::Connection, "192.0.2.7", None), None);
    }
    assert_eq!(
        counters.offer(Event::Connection, "192.0.2.7", None),
        Some(rate("3/1m"))
    );
    assert_eq!(
        counters.offer(Event::Connection, "192.0.2.8", None),
        None,
        "another address"
    );
}

#[test]
fn all_windows_count_each_try_and_the_first_passed_is_named() {
    let mut counters = Counters::default();
    let mut offer = || counters.offer(Event::Message, "192.0.2.7", None);
    assert_eq!((offer(), offer()), (None, None));
    assert_eq!(offer(), Some(rate("2/1m")));
    assert_eq!(
        offer(),
        Some(rate("2/1m")),
        "the hour is passed as well, the minute is named"
    );
    assert_eq!(counters.0["messages 1h 192.0.2.7"], (4, 3600));
    assert_eq!(counters.0["messages 1m 192.0.2.7"], (4, 60));
}

#[test]
fn an_account_is_counted_wherever_it_comes_from_and_its_address_is_not() {
    let mut counters = Counters::default();
    for last in 0..10 {
        assert_eq!(
            counters.offer(
                Event::Message,
                &format!("192.0.2.{last}"),
                Some("Anna@example.org")
            ),
            None
        );
    }
    let next = counters.offer(Event::Message, "203.0.113.9", Some("anna@example.org"));
    assert_eq!(next, Some(rate("10/1h")));
    assert_eq!(
        counters.offer(Event::Message, "192.0.2.1", None),
        None,
        "nothing was counted by address"
    );
    assert_eq!(
        counters.0.len(),
        3,
        "one account's hour, one address's minute and hour: {counters:?}"
    );
}

#[test]
fn addresses_of_one_v6_network_count_together() {
    let mut counters = Counters::default();
    for last in 1..=5 {
        assert_eq!(
            counters.offer(Event::Recipient, &format!("2001:db8:1:2::{last}"), None),
            None
        );
    }
    assert_eq!(
        counters.offer(Event::Recipient, "2001:db8:1:2:ffff::", None),
        Some(rate("5/1h"))
    );
    assert_eq!(counters.offer(Event::Recipient, "2001:db8:1:3::1", None), None);
}

#[test]
fn exempt_networks_are_not_counted_by_address_but_their_accounts_are() {
    let settings = settings();
    assert!(
        settings
            .account(Event::Message, "127.0.0.1", None)
            .rates
            .is_empty()
    );
    assert!(settings.account(Event::Connection, "::1", None).rates.is_empty());
    assert_eq!(
        settings.account(Event::Message, "127.0.0.1", Some("a")).rates,
        [rate("10/1h")]
    );
    let open: Settings = settings::parse(r#"{"address": {"messages": "1/1s"}, "exempt": []}"#).unwrap();
    assert_eq!(
        open.account(Event::Message, "127.0.0.1", None).rates,
        [rate("1/1s")]
    );
}

#[test]
fn a_store_that_fails_is_told() {
    let settings = settings();
    let account = settings.account(Event::Connection, "192.0.2.7", None);
    let answer = passed(Event::Connection, &account, |_, _| Err("not granted".to_owned()));
    assert_eq!(answer, Err("not granted".to_owned()));
}

#[test]
fn the_reply_fits_its_command_and_says_the_rate() {
    for (event, code) in [
        (Event::Connection, 421),
        (Event::Message, 451),
        (Event::Recipient, 450),
    ] {
        let Verdict::Defer(reply) = event.refusal("192.0.2.7", rate("100/60m")) else {
            panic!()
        };
        assert_eq!((reply.code, reply.enhanced.as_str()), (code, "4.7.1"));
        assert!(reply.text.contains("from 192.0.2.7: 100 in 1h"), "{}", reply.text);
    }
}

#[test]
fn rates_are_a_number_and_a_window() {
    assert_eq!(
        rate("0/1s"),
        Rate {
            most: 0,
            window: Seconds(1)
        }
    );
    assert_eq!(rate("100 / 1h"), rate("100/60m"));
    for wrong in ["100", "100/h", "-1/1h", "1/0s", "/1h", "4294967296/1h", ""] {
        assert!(wrong.parse::<Rate>().is_err(), "{wrong} was taken");
    }
    let error = settings::parse::<Settings>(r#"{"account": {"connections": "1/1h"}}"#).unwrap_err();
    assert!(
        error.contains("unknown field `connections`"),
        "an account is not known yet: {error}"
    );
}
