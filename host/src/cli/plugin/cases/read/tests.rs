use super::*;

fn faults(text: &str) -> Vec<String> {
    let file = Path::new("/nowhere/case.yaml");
    match read(file, text) {
        Ok(cases) => panic!("{cases:?}"),
        Err(Faults(faults)) => faults.iter().map(ToString::to_string).collect(),
    }
}

fn cases(text: &str) -> Vec<Case> {
    match read(Path::new("/nowhere/case.yaml"), text) {
        Ok(cases) => cases,
        Err(faults) => panic!("{faults}"),
    }
}

#[test]
fn a_file_has_one_case_or_a_list_of_them() {
    let one = "name: a\nask: connect\nexpect: { verdict: accept }\n";
    assert_eq!(cases(one).len(), 1);
    let list = "- name: a\n  ask: connect\n  expect: { verdict: accept }\n\
                - name: b\n  ask: validate\n  expect: { valid: true }\n";
    let names: Vec<String> = cases(list).into_iter().map(|case| case.name).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(cases("[]").len(), 0);
}

#[test]
fn everything_that_may_be_written_is_taken() {
    let text = "name: all of it
session: { client-ip: 198.51.100.7, helo: h.example, mail-from: <>, rcpt-to: [Ann@EXAMPLE.org], tags: [odd] }
settings: { most: 3 }
kv: { a: text, b: 7, c: { hex: \"00ff\" } }
now: 2026-01-31T12:00:00Z
message: |
  Subject: x

  text
ask: message
expect:
  verdict: accept
  edits: [ { add-header: { name: X, value: \"1\" } }, { tag: odd }, { remove-header: Y } ]
  kv: {}
  log: [ \"warn: \" ]
  calls: [ kv.get ]
";
    let case = cases(text).remove(0);
    assert_eq!(case.ask, Ask::Message);
    assert_eq!(case.facts.mail_from, "");
    assert_eq!(case.facts.rcpt_to, ["Ann@example.org"]);
    assert_eq!(case.facts.tags, ["odd"]);
    assert_eq!(case.setup.now, Some(1_769_860_800_000));
    assert_eq!(case.setup.kv["c"], &[0, 255][..]);
    assert_eq!(case.setup.settings.unwrap().values["most"], 3);
    assert_eq!(case.message.as_deref(), Some(b"Subject: x\n\ntext\n".as_slice()));
    let edits: Vec<String> = case
        .expect
        .edits
        .iter()
        .flatten()
        .map(super::super::raw::RawEdit::shown)
        .collect();
    assert_eq!(edits, ["add-header X: 1", "tag odd", "remove-header Y"]);
}

#[test]
fn questions_carry_their_arguments() {
    let ask = |ask: &str, expect: &str| {
        cases(&format!("name: a\nask: {ask}\nexpect: {{ {expect} }}\n"))
            .remove(0)
            .ask
    };
    let ann = || "ann@example.org".to_owned();
    assert_eq!(
        ask("{ rcpt: ann@example.org }", "verdict: accept"),
        Ask::Rcpt(ann())
    );
    assert_eq!(
        ask("{ route: ann@example.org }", "route: pass"),
        Ask::Route(ann())
    );
    let quota = "{ quota: { mailbox: ann@example.org, bytes: 1KiB, messages: 2, incoming: 3B } }";
    let usage = Usage {
        bytes: 1024,
        messages: 2,
    };
    let expected = Ask::Quota {
        mailbox: ann(),
        usage,
        incoming: 3,
    };
    assert_eq!(ask(quota, "quota: allow"), expected);
    assert_eq!(ask("message\nmessage: x", "failure: trap"), Ask::Message);
}

#[test]
fn all_that_is_wrong_is_named_at_once_with_its_line() {
    let text = "- name: a
  ask: message
  massage: x
  expect: { verdit: accept }
- name: b
  session: { helo: h, client_ip: x, client-ip: y }
  ask: { rcpt: ann }
  now: noon
  expect:
    verdict: acept
    route: pass
- ask: { rcptt: ann@example.org }
-
";
    let found = faults(text);
    for begin in [
        "[0].massage: unknown field `massage`",
        "[0].message: missing; write its text, or message-file",
        "[0].expect.verdit: unknown field `verdit`",
        "[1].session.client_ip: unknown field `client_ip`",
        "[1].session.client-ip: `y` is no IP address",
        "[1].ask.rcpt: `ann` is no address",
        "[1].now: `noon` is no time",
        "[1].expect.verdict: `acept` is none; write one of accept, reject, defer, discard, quarantine",
        "[1].expect.route: is nothing that rcpt can come to; write verdict",
        "[2].name: missing",
        "[2].ask: unknown variant `rcptt`",
        "[3]: nothing is written; write a case",
    ] {
        let fault = found.iter().find(|fault| fault.starts_with(begin));
        let fault = fault.unwrap_or_else(|| panic!("{begin}: {found:#?}"));
        assert!(fault.ends_with(')') && fault.contains("(line "), "{fault}");
    }
    let line = |begin: &str| found.iter().find(|fault| fault.starts_with(begin)).unwrap();
    assert!(line("[0].massage").ends_with("(line 3)"));
    assert!(line("[1].expect.verdict").ends_with("(line 10)"));
    let at = |begin: &str| found.iter().position(|fault| fault.starts_with(begin)).unwrap();
    assert!(at("[0].massage") < at("[0].message"), "{found:#?}");
    assert!(
        at("[0].message") < at("[1].ask") && at("[1].ask") < at("[2].name"),
        "{found:#?}"
    );
}

#[test]
fn what_a_case_cannot_do_without_is_named() {
    assert_eq!(
        faults(""),
        [
            "name: missing; write what the case is about",
            "ask: missing; write a question: connect, mail, { rcpt: ADDRESS }, message, …",
        ]
    );
    let text = "name: a\nask: mail\n";
    assert_eq!(
        faults(text),
        ["expect.verdict: missing; write what is to be answered"]
    );
    assert!(faults("name: [\n")[0].starts_with("this is not YAML"));
}

#[test]
fn a_message_is_there_once_and_only_where_it_is_asked_about() {
    let with = |ask: &str, more: &str| {
        faults(&format!(
            "name: a\nask: {ask}\n{more}\nexpect: {{ verdict: accept }}\n"
        ))
        .remove(0)
    };
    assert!(with("mail", "message: x").starts_with("message: only the question message is about one"));
    assert!(
        with("message", "message: x\nmessage-file: y")
            .starts_with("message-file: there is a message already")
    );
    let missing = with("message", "message-file: none.eml");
    assert!(
        missing.starts_with("message-file: /nowhere/none.eml: cannot be read: "),
        "{missing}"
    );
    assert!(missing.ends_with("(line 3)"), "{missing}");
}

#[test]
fn files_of_a_folder_are_read_in_the_order_of_their_names_and_others_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let case = |name: &str| format!("name: {name}\nask: mail\nexpect: {{ verdict: accept }}\n");
    write("b.yaml", &case("second"));
    write("a.yaml", &case("first"));
    write("c.eml", "no case");
    let names: Vec<String> = super::folder(folder.path())
        .unwrap()
        .unwrap()
        .into_iter()
        .map(|case| case.name)
        .collect();
    assert_eq!(names, ["first", "second"]);
    let one = super::folder(&folder.path().join("b.yaml")).unwrap().unwrap();
    assert_eq!((one.len(), one[0].name.as_str()), (1, "second"));
    write("b.yaml", "nam: x\n");
    let error = super::folder(folder.path()).unwrap().unwrap_err().join("\n");
    let place = format!(
        "{}: nam: unknown field `nam`",
        folder.path().join("b.yaml").display()
    );
    assert!(
        error
            .lines()
            .any(|line| line.starts_with(&place) && line.ends_with("(line 1)")),
        "{error}"
    );
    let gone = super::folder(&folder.path().join("gone")).unwrap_err();
    assert!(
        format!("{gone:#}").starts_with("cannot read the folder of cases "),
        "{gone:#}"
    );
}

#[test]
fn what_the_host_found_of_the_sender_is_told_when_a_gateway_knows_it() {
    let text = |ask: &str, more: &str| {
        format!(
            "name: a
auth: {{ spf: softfail, spf-domain: example.com, dmarc: fail, dmarc-policy: reject, arc: none,
         dkim: [ {{ status: pass, domain: d.example, selector: s }} ] }}
ask: {ask}
expect: {{ verdict: accept }}
{more}"
        )
    };
    let auth = |ask, more| cases(&text(ask, more)).remove(0).facts.auth;
    let whole = auth("message", "message: x\n");
    assert_eq!(
        (whole.spf.as_str(), whole.spf_domain.as_str()),
        ("softfail", "example.com")
    );
    assert_eq!(
        (whole.dmarc.as_str(), whole.dmarc_policy.as_str()),
        ("fail", "reject")
    );
    assert_eq!(
        (whole.dkim[0].selector.as_str(), whole.arc.as_str()),
        ("s", "none")
    );
    let envelope = auth("mail", "");
    assert_eq!((envelope.spf.as_str(), envelope.dmarc.as_str()), ("softfail", ""));
    assert!(envelope.dkim.is_empty());
    assert!(auth("connect", "").is_empty());
}

#[tokio::test]
async fn dns_answers_what_the_case_says_and_nothing_else_exists() {
    use crate::dns::Lookup as _;
    let text = "name: a
dns:
  addresses: { 2.0.0.127.Zen.example: [127.0.0.2] }
  txt: { example.org: [v=spf1 -all], down.example: { error: no answer } }
  names: { \"::ffff:192.0.2.1\": [mx.example.org] }
ask: connect
expect: { verdict: accept }
";
    let zone = cases(text).remove(0).setup.dns;
    let found = zone.addresses("2.0.0.127.zen.example").await.unwrap();
    assert_eq!(found, ["127.0.0.2"]);
    assert_eq!(zone.txt("Example.org").await.unwrap(), ["v=spf1 -all"]);
    assert_eq!(zone.txt("down.example").await.unwrap_err().0, "no answer");
    assert_eq!(zone.mx("example.org").await, Ok(Vec::new()));
    let names = zone.names("192.0.2.1".parse().unwrap()).await.unwrap();
    assert_eq!(names, ["mx.example.org"]);
}

#[test]
fn what_is_wrong_with_dns_and_authentication_is_named() {
    let text = "name: a
auth:
  spf: passs
  dkim: [ { status: none } ]
  dmarc-policy: discard
dns:
  addresses: { example.org: 192.0.2.1 }
  txt: { a..b: [] }
  names: { example.org: [] }
ask: connect
expect: { verdict: accept }
";
    let faults = faults(text);
    for begin in [
        "auth.spf: `passs` is none; write one of none, neutral, pass",
        "auth.dkim[0].status: `none` is none; write one of pass, fail",
        "auth.dmarc-policy: `discard` is none; write one of none, quarantine, reject",
        "dns.addresses.example.org: `\"192.0.2.1\"` is no answer; write a list",
        "dns.txt.a..b: is no name; write one",
        "dns.names.example.org: is no IP address; write one",
    ] {
        assert!(
            faults.iter().any(|fault| fault.starts_with(begin)),
            "{begin}: {faults:#?}"
        );
    }
}

#[test]
fn a_directory_and_answers_are_read_in_the_form_that_policies_ask_in() {
    let text = "name: a
directory:
  domains: [EXAMPLE.org]
  mailboxes: { Info@example.org: Ann@example.org }
  aliases: { Team@example.org: [ann@example.org, bob@shop.example] }
  attributes: { ann@example.org: { quota-bytes: 7, login: none } }
http:
  - { url: \"https://a.example/x\", method: POST, status: 201, headers: { x-a: \"1\" }, body: yes }
  - { url: \"https://a.example/\" }
ask: connect
expect: { verdict: accept }
";
    let setup = cases(text).remove(0).setup;
    assert!(setup.directory.domains.contains("example.org"));
    assert_eq!(setup.directory.mailboxes["info@example.org"], "ann@example.org");
    assert_eq!(
        setup.directory.aliases["team@example.org"],
        ["ann@example.org", "bob@shop.example"]
    );
    let told: Vec<_> = setup.directory.attributes["ann@example.org"].values().collect();
    assert_eq!(told, ["none", "7"]);
    let answers: Vec<_> = setup
        .http
        .iter()
        .map(|answer| (answer.status, &*answer.body))
        .collect();
    assert_eq!(answers, [(201, &b"yes"[..]), (200, b"")]);
    assert_eq!(setup.http[0].method.as_deref(), Some("POST"));
}

#[test]
fn what_is_wrong_in_a_directory_or_an_answer_has_its_place() {
    let text = "name: a
directory:
  domains: [\"a b\"]
  mailboxes: { ann: ann@example.org }
  aliases: { team@example.org: [nobody] }
  attributes: { ann@example.org: { password: x } }
http:
  - { url: here, status: 99 }
ask: connect
expect: { verdict: accept }
";
    let told = faults(text);
    for (fault, begin) in told.iter().zip([
        "directory.domains[0]: `a b` is no domain",
        "directory.mailboxes.ann: `ann` is no address",
        "directory.aliases.team@example.org[0]: ",
        "directory.attributes.ann@example.org.password: there is no such attribute; write one of address,",
        "http[0].url: `here` is no URL",
        "http[0].status: 99 ends no exchange",
    ]) {
        assert!(fault.starts_with(begin), "{fault}");
    }
    assert_eq!(told.len(), 6, "{told:#?}");
}
