//! `directory` and `http`, with and without their grants.

use super::*;
use crate::policy::grants::tests::granted;
use crate::policy::http::Written;
use crate::policy::stand::DirectoryTable;
use crate::policy::{Attribute, DirectorySource};
use crate::store::StoreError;
use futures_util::FutureExt as _;
use postern_proto::Address;

const NOT_GRANTED: &str = "not granted";

fn request() -> types::HttpRequest {
    types::HttpRequest {
        method: "GET".to_owned(),
        url: "https://a.example/".to_owned(),
        headers: Vec::new(),
        body: Vec::new(),
        timeout_ms: 1,
    }
}

/// What each function of `directory` says about these, errors as they are.
async fn told(guest: &mut Guest, domain: &str, address: &str, attribute: &str) -> [String; 4] {
    let (domain, address) = (domain.to_owned(), address.to_owned());
    let shown = |answer: String| answer;
    [
        shown(format!(
            "{:?}",
            directory::Host::is_local_domain(guest, domain).await.unwrap()
        )),
        shown(format!(
            "{:?}",
            directory::Host::mailbox_of(guest, address.clone()).await.unwrap()
        )),
        shown(format!(
            "{:?}",
            directory::Host::aliases_of(guest, address.clone()).await.unwrap()
        )),
        shown(format!(
            "{:?}",
            directory::Host::attribute(guest, address, attribute.to_owned())
                .await
                .unwrap()
        )),
    ]
}

#[tokio::test]
async fn nothing_is_told_without_its_grant() {
    let mut guest = Guest::new(call());
    let refused = format!("Err({NOT_GRANTED:?})");
    let told = told(&mut guest, "example.org", "ann@example.org", "bytes").await;
    assert_eq!(told, [(); 4].map(|()| refused.clone()));
    assert_eq!(
        http::Host::send(&mut guest, request())
            .await
            .unwrap()
            .err()
            .as_deref(),
        Some(NOT_GRANTED)
    );
}

fn table() -> DirectoryTable {
    let ann = "ann@example.org".to_owned();
    DirectoryTable {
        domains: ["b\u{fc}cher.example".to_owned()].into(),
        mailboxes: [(ann.clone(), ann.clone())].into(),
        aliases: [(ann.clone(), vec!["bob@shop.example".to_owned()])].into(),
        attributes: [(ann, [(Attribute::Bytes, "7".to_owned())].into())].into(),
    }
}

fn knowing(directory: impl DirectorySource + 'static) -> Guest {
    Guest::new(Call {
        directory: Some(Arc::new(directory)),
        ..call()
    })
}

#[tokio::test]
async fn the_directory_is_asked_in_the_form_that_addresses_have() {
    let mut guest = knowing(table());
    let all = told(&mut guest, "xn--bcher-kva.EXAMPLE", "Ann@EXAMPLE.org", "bytes").await;
    let some = "Ok(Some(\"ann@example.org\"))";
    assert_eq!(
        all,
        ["Ok(true)", some, "Ok([\"bob@shop.example\"])", "Ok(Some(\"7\"))"]
    );
    let none = told(&mut guest, "example.org", "bob@example.org", "bytes").await;
    assert_eq!(none, ["Ok(false)", "Ok(None)", "Ok([])", "Ok(None)"]);
    let odd = told(&mut guest, "a b", "ann", "password").await;
    assert_eq!(odd[0], "Err(\"`a b` is no domain\")");
    let no_address = "Err(\"`ann` is no address: not of the form local@domain\")";
    assert_eq!(&odd[1..], [no_address; 3]);
    let [.., unknown] = told(&mut guest, "", "ann@example.org", "password").await;
    assert!(
        unknown.starts_with("Err(\"no attribute is called `password`; there are address, login,"),
        "{unknown}"
    );
    assert!(!guest.store_failed);
}

/// A directory whose store is away.
#[derive(Debug)]
struct Away;

#[async_trait]
impl DirectorySource for Away {
    async fn is_local_domain(&self, _: &str) -> store::Result<bool> {
        Err(StoreError::Engine("secret words".to_owned()))
    }

    async fn mailbox_of(&self, _: &Address) -> store::Result<Option<String>> {
        Err(StoreError::Engine("secret words".to_owned()))
    }

    async fn aliases_of(&self, _: &Address) -> store::Result<Vec<String>> {
        Err(StoreError::Engine("secret words".to_owned()))
    }

    async fn attribute(&self, _: &Address, _: Attribute) -> store::Result<Option<String>> {
        Err(StoreError::Engine("secret words".to_owned()))
    }
}

#[tokio::test]
async fn our_trouble_is_an_error_in_few_words_and_no_trap() {
    let mut guest = knowing(Away);
    let away = "Err(\"the directory is out of reach\")".to_owned();
    let all = told(&mut guest, "example.org", "ann@example.org", "bytes").await;
    assert_eq!(all, [(); 4].map(|()| away.clone()));
    assert!(guest.store_failed);
}

/// A directory that never answers.
#[derive(Debug)]
struct Hanging;

#[async_trait]
impl DirectorySource for Hanging {
    async fn is_local_domain(&self, _: &str) -> store::Result<bool> {
        std::future::pending().await
    }

    async fn mailbox_of(&self, _: &Address) -> store::Result<Option<String>> {
        std::future::pending().await
    }

    async fn aliases_of(&self, _: &Address) -> store::Result<Vec<String>> {
        std::future::pending().await
    }

    async fn attribute(&self, _: &Address, _: Attribute) -> store::Result<Option<String>> {
        std::future::pending().await
    }
}

#[tokio::test]
async fn a_call_that_ends_while_the_directory_is_waited_for_ends_by_its_trouble() {
    let (domain, ann) = (|| "example.org".to_owned(), || "ann@example.org".to_owned());
    let mut guest = knowing(Hanging);
    let mut hung = Vec::new();
    assert!(
        directory::Host::is_local_domain(&mut guest, domain())
            .now_or_never()
            .is_none()
    );
    hung.push(std::mem::take(&mut guest.store_failed));
    assert!(
        directory::Host::mailbox_of(&mut guest, ann())
            .now_or_never()
            .is_none()
    );
    hung.push(std::mem::take(&mut guest.store_failed));
    assert!(
        directory::Host::aliases_of(&mut guest, ann())
            .now_or_never()
            .is_none()
    );
    hung.push(std::mem::take(&mut guest.store_failed));
    let attribute = directory::Host::attribute(&mut guest, ann(), "login".to_owned());
    assert!(attribute.now_or_never().is_none());
    hung.push(guest.store_failed);
    assert_eq!(hung, [true; 4]);
}

#[tokio::test]
async fn a_counter_of_another_kind_is_the_policys_own_error() {
    let mut guest = Guest::new(Call {
        kv: Some(KvGrant {
            namespace: "x".to_owned(),
            bytes: 1 << 20,
        }),
        ..call()
    });
    let key = || "k".to_owned();
    kv::Host::set(&mut guest, key(), b"seven".to_vec(), 0)
        .await
        .unwrap()
        .unwrap();
    let error = kv::Host::increment(&mut guest, key(), 1, 0)
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!(error, "the value has 5 octets and is no counter of 8");
    assert!(!guest.store_failed, "trying again would not help");
}

fn sending(grant: &str, body: usize, limits: Limits) -> Guest {
    let written = Written {
        method: None,
        url: "https://a.example/".to_owned(),
        status: 200,
        headers: vec![("x".to_owned(), "y".to_owned())],
        body: vec![0; body],
    };
    let client = Client::written(granted(grant).unwrap(), Arc::new([written]));
    Guest::new(Call {
        http: Some(Arc::new(client)),
        limits,
        ..call()
    })
}

#[tokio::test]
async fn one_call_sends_so_many_requests_and_no_more() {
    let mut guest = sending("{ hosts: [a.example], requests: 2 }", 0, limits());
    for _ in 0..2 {
        let (met, answer) = hits_of(Limit::HttpRequests, http::Host::send(&mut guest, request())).await;
        assert_eq!((met, answer.unwrap().unwrap().status), (0, 200));
    }
    let (met, answer) = hits_of(Limit::HttpRequests, http::Host::send(&mut guest, request())).await;
    let error = answer.unwrap().unwrap_err();
    assert_eq!(
        (met, &*error),
        (1, "one call sends at most 2 requests (grants.http.requests)")
    );
    let again = guest.call.clone();
    guest.begin(again);
    assert!(
        http::Host::send(&mut guest, request()).await.unwrap().is_ok(),
        "another call of the instance"
    );
}

#[tokio::test]
async fn answers_count_against_what_a_call_may_read() {
    for (read, ends) in [(102, false), (101, true)] {
        let limits = Limits { read, ..limits() };
        let mut guest = sending("{ hosts: [a.example] }", 100, limits);
        assert_eq!(
            http::Host::send(&mut guest, request()).await.is_err(),
            ends,
            "{read}"
        );
    }
}

#[tokio::test]
async fn nothing_of_one_call_is_left_to_the_next_of_its_instance() {
    let mail = Mail::new("Subject: x\r\n\r\ntext\r\n");
    let mut guest = about(mail, Vec::new());
    guest.call.facts.helo = "secret".to_owned();
    edit::Host::tag(&mut guest, "odd".to_owned()).await.unwrap();
    guest.budget.read(1000).unwrap();
    (guest.store_failed, guest.requests) = (true, 3);
    let limits = Limits { read: 10, ..limits() };
    guest.begin(Call { limits, ..call() });
    assert_eq!(session::Host::helo(&mut guest).unwrap(), "");
    assert_eq!(message::Host::size(&mut guest).unwrap(), 0);
    assert!(guest.edits.is_empty() && !guest.store_failed && guest.requests == 0);
    assert!(
        guest.budget.read(10).is_ok() && guest.budget.read(1).is_err(),
        "a budget of its own"
    );
}
