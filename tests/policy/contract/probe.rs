//! Every capability as a guest sees it, and the system behind it, of which there is nothing to see.

use crate::folder::{Folder, Mail, facts, load};
use postern::policy::{AuthFacts, Edit, Facts, Policies, SignatureFacts};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const LETTER: &[u8] = b"From: <bob@shop.example>\r\nSubject: =?utf-8?q?caf=C3=A9?=\r\n\
    Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nhello\r\n\
    --b\r\nContent-Type: application/zip; name=x.zip\r\nContent-Transfer-Encoding: base64\r\n\r\nUEsDBA==\r\n--b--\r\n";

/// The report of the probe, one line for each answer that it got.
pub(crate) fn lines(edits: &[Edit]) -> Vec<String> {
    let report = edits.iter().filter_map(|edit| match edit {
        Edit::AddHeader { name, value } if name == "X-Probe" => Some(value.clone()),
        _ => None,
    });
    report.collect()
}

async fn report(policies: &Policies, facts: &Facts) -> Vec<String> {
    let decision = policies.message(facts, Mail::new(LETTER), &[]).await;
    let report = lines(&decision.edits);
    assert!(!report.is_empty(), "{decision:?}");
    report
}

/// The lines of a report about one capability.
fn about<'a>(report: &'a [String], capability: &str) -> Vec<&'a str> {
    let start = format!("{capability}.");
    let lines = report.iter().filter_map(|line| line.strip_prefix(&start));
    lines.collect()
}

async fn seen(manifest: &str) -> Vec<String> {
    let policies = load(&Folder::new().with("10-probe", "probe", manifest)).await;
    let facts = Facts {
        client_name: "mail.shop.example".to_owned(),
        tls_cipher: Some("TLS13_AES_256_GCM_SHA384".to_owned()),
        auth_user: Some("ann@example.org".to_owned()),
        tags: vec!["odd".to_owned()],
        ..facts()
    };
    report(&policies, &facts).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_facts_of_the_session_are_those_that_the_gateway_knows() {
    let report = seen("").await;
    assert_eq!(
        about(&report, "session"),
        [
            r#"queue-id="0001""#,
            r#"listener="mx-25""#,
            r#"protocol="esmtps""#,
            r#"client-ip="192.0.2.7""#,
            r#"client-name="mail.shop.example""#,
            r#"helo="mail.shop.example""#,
            r#"tls-version=Some("TLSv1.3")"#,
            r#"tls-cipher=Some("TLS13_AES_256_GCM_SHA384")"#,
            r#"auth-user=Some("ann@example.org")"#,
            r#"mail-from="bob@shop.example""#,
            r#"rcpt-to=["ann@example.org"]"#,
            r#"tags=["odd"]"#,
        ]
    );
    assert_eq!(
        about(&report, "auth"),
        [
            r#"spf="""#,
            r#"spf-domain="""#,
            "dkim=0",
            r#"dmarc="""#,
            r#"dmarc-policy="""#,
            r#"arc="""#
        ],
        "empty where the gateway did not check the sender"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_message_is_seen_whole_and_as_a_tree() {
    let report = seen("").await;
    let size = LETTER.len();
    let body = LETTER
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .expect("a body")
        + 4;
    assert_eq!(
        about(&report, "message"),
        [
            format!("size={size}"),
            r#"headers=["From", "Subject", "Content-Type"]"#.to_owned(),
            r#"get-header=["=?utf-8?q?caf=C3=A9?="]"#.to_owned(),
            "header-text=Some(\"caf\u{e9}\")".to_owned(),
            format!("body-offset={body}"),
            r#"read="--b\r\nContent-Typ""#.to_owned(),
            format!("read at most={size}"),
            "read behind the end=0".to_owned(),
        ]
    );
    let text = LETTER.len() - body;
    assert_eq!(
        about(&report, "mime"),
        [
            format!(
                "parts=[\"0<0 multipart/mixed '' {text}\", \"1<0 text/plain '' 5\", \"2<0 application/zip 'x.zip' 4\"]"
            ),
            "complete=true".to_owned(),
            r#"part-header=Some("application/zip; name=x.zip")"#.to_owned(),
            r#"part-read="PK\u{3}\u{4}""#.to_owned(),
            r#"part-text="PK\u{3}\u{4}""#.to_owned(),
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_granted_says_so() {
    let report = seen("").await;
    for capability in ["kv", "dns", "directory", "http"] {
        let lines = about(&report, capability);
        assert!(!lines.is_empty(), "{capability}");
        for line in lines {
            assert!(line.ends_with(r#"=Err("not granted")"#), "{capability}.{line}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_granted_works() {
    let report = seen("grants: { kv: {} }").await;
    assert_eq!(
        about(&report, "kv"),
        [
            "set=Ok(())",
            "get=Ok(Some(3))",
            "compare-and-set=Ok(true)",
            "compare-and-set again=Ok(false)",
            "increment=Ok(2)",
            "remove=Ok(())",
            "get removed=Ok(false)",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn granted_look_ups_are_made_within_the_grant() {
    let report = seen("grants: { dns: { types: [TXT, A], suffixes: [example.org] } }").await;
    assert_eq!(
        about(&report, "dns"),
        [
            "addresses=Ok([])",
            "txt=Ok([])",
            r#"mx=Err("MX is not in grants.dns.types")"#,
            r#"names=Err("PTR is not in grants.dns.types")"#,
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_gateway_found_of_the_sender_is_told() {
    let policies = load(&Folder::new().with("10-probe", "probe", "")).await;
    let facts = Facts {
        auth: AuthFacts {
            spf: "softfail".to_owned(),
            spf_domain: "shop.example".to_owned(),
            dkim: vec![SignatureFacts::default()],
            dmarc: "fail".to_owned(),
            dmarc_policy: "quarantine".to_owned(),
            arc: "none".to_owned(),
        },
        ..facts()
    };
    assert_eq!(
        about(&report(&policies, &facts).await, "auth"),
        [
            r#"spf="softfail""#,
            r#"spf-domain="shop.example""#,
            "dkim=1",
            r#"dmarc="fail""#,
            r#"dmarc-policy="quarantine""#,
            r#"arc="none""#
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn each_grant_gives_its_own_capability_and_no_other() {
    let report = seen("grants: { directory: {} }").await;
    assert_eq!(
        about(&report, "directory"),
        [
            "is-local-domain=Ok(true)",
            r#"mailbox-of=Ok(Some("ann@example.org"))"#,
            r#"aliases-of=Ok(["ann@example.org"])"#,
            r#"attribute=Ok(Some("1024"))"#,
        ]
    );
    for other in ["kv", "dns", "http"] {
        let refused = about(&report, other)
            .iter()
            .all(|line| line.ends_with(r#"=Err("not granted")"#));
        assert!(refused, "{other}: {report:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_goes_to_a_granted_host_and_to_no_other() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let host = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = b"HTTP/1.1 204 No Content\r\n\r\n";
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(answer).await;
        }
    });
    let granted = |hosts: &str| {
        format!("settings: {{ url: \"{host}/x\" }}\ngrants: {{ http: {{ hosts: [\"{hosts}\"] }} }}\n")
    };
    let report = seen(&granted(&host)).await;
    assert_eq!(about(&report, "http"), ["send=Ok(204)"]);
    for other in ["kv", "dns", "directory"] {
        let refused = about(&report, other)
            .iter()
            .all(|line| line.ends_with(r#"=Err("not granted")"#));
        assert!(refused, "{other}: {report:?}");
    }
    let report = seen(&granted("api.example.com")).await;
    let error = format!(r#"send=Err("not granted: {host} is not in grants.http.hosts")"#);
    assert_eq!(about(&report, "http"), [error]);
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_clock_and_randomness_are_always_there() {
    let report = seen("settings: { nested: { value: 7 } }").await;
    assert_eq!(
        about(&report, "config"),
        [r#"get=Some("7")"#, r#"json="{\"nested\":{\"value\":7}}""#]
    );
    assert_eq!(about(&report, "clock"), ["now is the same twice=true"]);
    assert_eq!(about(&report, "random"), ["bytes=(16, true)"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_no_environment_no_file_and_no_network() {
    let report = seen("grants: { kv: {} }").await;
    assert_eq!(
        about(&report, "system"),
        [
            "environment=0",
            "arguments=0",
            "folder=false",
            "file=false",
            "connect=false",
            "bind=false",
            "resolve=false",
            "input=false",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_probe_is_to_use_it_uses_or_it_traps() {
    for (grants, word) in [
        ("kv: {}, directory: {}", "accept"),
        ("kv: {}", "trap"),
        ("directory: {}", "trap"),
    ] {
        let manifest = format!(
            "settings: {{ report: none, uses: kv-increment 3; directory }}\ngrants: {{ {grants} }}\n"
        );
        let policies = load(&Folder::new().with("10-probe", "probe", &manifest)).await;
        let decision = policies.message(&facts(), Mail::new(LETTER), &[]).await;
        assert_eq!(decision.opinions[0].word, word, "{grants}: {decision:?}");
    }
}
