use super::*;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

const SERVER_NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const DIFFERENT: &str = "3rfcNHYJY1ZVvWVs7j";

fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    Hmac::<Sha256>::new_from_slice(key)
        .unwrap()
        .chain_update(message)
        .finalize()
        .into_bytes()
        .into()
}

/// The client's side of SCRAM, written from RFC 5802 §3 apart from the server's.
struct Client<'a> {
    gs2: &'a str,
    binding: &'a [u8],
    login: &'a str,
    password: &'a str,
    nonce: &'a str,
}

impl Client<'_> {
    fn first_bare(&self) -> String {
        let name = self.login.replace('=', "=3D").replace(',', "=2C");
        format!("n={name},r={}", self.nonce)
    }

    fn first(&self) -> Vec<u8> {
        format!("{}{}", self.gs2, self.first_bare()).into_bytes()
    }

    /// The final message, and the server's final message that a true server answers.
    fn last(&self, server_first: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let server_first = std::str::from_utf8(server_first).unwrap();
        let part = |name: &str| {
            let found = server_first.split(',').find_map(|p| p.strip_prefix(name));
            found.unwrap().to_owned()
        };
        let salt = BASE64.decode(part("s=")).unwrap();
        let password = prepare(self.password).unwrap_or(self.password.to_owned());
        let rounds = part("i=").parse().unwrap();
        let salted = pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(password.as_bytes(), &salt, rounds);
        let mut bound = self.gs2.as_bytes().to_vec();
        bound.extend_from_slice(self.binding);
        let bare = format!("c={},r={}", BASE64.encode(bound), part("r="));
        let signed = format!("{},{server_first},{bare}", self.first_bare());
        let client_key = hmac(&salted, b"Client Key");
        let signature = hmac(&Sha256::digest(client_key), signed.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(signature).map(|(a, b)| a ^ b).collect();
        let server = hmac(&hmac(&salted, b"Server Key"), signed.as_bytes());
        (
            format!("{bare},p={}", BASE64.encode(proof)).into_bytes(),
            format!("v={}", BASE64.encode(server)).into_bytes(),
        )
    }
}

fn client<'a>(gs2: &'a str, binding: &'a [u8]) -> Client<'a> {
    Client {
        gs2,
        binding,
        login: "user",
        password: "pencil",
        nonce: "rOprNGfwEbeRWgbNEkqO",
    }
}

fn rfc_keys() -> ScramKeys {
    ScramKeys::derive("pencil", BASE64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap(), 4096)
}

fn keys_answer(keys: ScramKeys, account: Option<&str>) -> Answer {
    Answer::Keys {
        keys,
        account: account.map(str::to_owned),
        server_nonce: SERVER_NONCE.to_owned(),
    }
}

/// Runs a whole exchange; the directory grants what the proof grants.
fn run(client: &Client<'_>, mechanism: Mechanism, binding: Option<&[u8]>, answer: Answer) -> Step {
    let (mut exchange, step) = Exchange::start(mechanism, Some(client.first()), binding.map(<[u8]>::to_vec));
    let Step::Ask(Question::Keys { .. }) = step else {
        return step;
    };
    let Step::Challenge(server_first) = exchange.answer(answer) else {
        panic!("no server-first-message");
    };
    let (last, expected) = client.last(&server_first);
    let Step::Ask(Question::Proof { account, .. }) = exchange.respond(&last) else {
        return Step::Fail(Failure::Malformed);
    };
    let granted = account.is_some();
    let judged = account.map_or(Answer::Denied, |account| Answer::Granted { account });
    let Step::Challenge(server_final) = exchange.answer(judged) else {
        panic!("no server-final-message");
    };
    if granted {
        assert_eq!(server_final, expected);
    } else {
        assert_eq!(server_final, b"e=invalid-proof");
    }
    exchange.respond(b"")
}

fn done(account: &str) -> Step {
    Step::Done {
        account: account.to_owned(),
    }
}

fn refused(step: &Step) -> &str {
    let Step::Challenge(bytes) = step else {
        panic!("{step:?}");
    };
    std::str::from_utf8(bytes).unwrap().strip_prefix("e=").unwrap()
}

#[test]
fn scram_sha_256_answers_as_the_published_example_of_rfc_7677() {
    let first = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO".to_vec();
    let (mut exchange, step) = Exchange::start(Mechanism::ScramSha256, Some(first), None);
    assert_eq!(step, Step::Ask(Question::Keys { login: "user".into() }));
    assert_eq!(
        exchange.answer(keys_answer(rfc_keys(), Some("user@example.org"))),
        Step::Challenge(
            b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
                .to_vec()
        )
    );
    let step = exchange.respond(
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
          p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
    );
    let account = Some("user@example.org".to_owned());
    let login = "user".to_owned();
    assert_eq!(step, Step::Ask(Question::Proof { login, account }));
    let granted = Answer::Granted {
        account: "user@example.org".into(),
    };
    assert_eq!(
        exchange.answer(granted),
        Step::Challenge(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=".to_vec())
    );
    assert_eq!(exchange.respond(b""), done("user@example.org"));
}

#[test]
fn an_unknown_login_runs_to_the_same_end_as_a_wrong_password() {
    let unknown = run(
        &client("n,,", b""),
        Mechanism::ScramSha256,
        None,
        keys_answer(rfc_keys(), None),
    );
    let wrong = Client {
        password: "crayon",
        ..client("n,,", b"")
    };
    let wrong = run(
        &wrong,
        Mechanism::ScramSha256,
        None,
        keys_answer(rfc_keys(), Some("a@b")),
    );
    assert_eq!(unknown, Step::Fail(Failure::Denied));
    assert_eq!(unknown, wrong);
}

#[test]
fn plus_binds_the_channel() {
    let keys = || keys_answer(rfc_keys(), Some("a@b"));
    let honest = client("p=tls-exporter,,", b"exported");
    let plus = Mechanism::ScramSha256Plus;
    assert_eq!(run(&honest, plus, Some(b"exported"), keys()), done("a@b"));

    let (mut exchange, _) = Exchange::start(plus, Some(honest.first()), Some(b"another".to_vec()));
    let Step::Challenge(server_first) = exchange.answer(keys()) else {
        panic!("no challenge");
    };
    let step = exchange.respond(&honest.last(&server_first).0);
    assert_eq!(refused(&step), "channel-bindings-dont-match");
    assert_eq!(exchange.respond(b""), Step::Fail(Failure::Denied));
}

#[test]
fn a_client_that_missed_the_offered_binding_was_downgraded() {
    let offered = Some(b"exported".to_vec());
    let first = |gs2| Some(client(gs2, b"").first());
    let (mut exchange, step) = Exchange::start(Mechanism::ScramSha256, first("y,,"), offered.clone());
    assert_eq!(refused(&step), "server-does-support-channel-binding");
    assert_eq!(exchange.respond(b""), Step::Fail(Failure::Denied));

    for (gs2, binding) in [("y,,", None), ("n,,", offered)] {
        let (_, step) = Exchange::start(Mechanism::ScramSha256, first(gs2), binding);
        assert!(matches!(step, Step::Ask(Question::Keys { .. })), "{gs2}");
    }
}

/// Mechanism, first message, binding, error attribute.
type Refusal<'a> = (Mechanism, &'a [u8], Option<Vec<u8>>, &'a str);

#[test]
fn first_messages_that_are_refused_say_why() {
    let bound = Some(b"exported".to_vec());
    let (plain, plus) = (Mechanism::ScramSha256, Mechanism::ScramSha256Plus);
    let refusals: [Refusal<'_>; 6] = [
        (plain, b"n,,m=x,n=user,r=abc", None, "extensions-not-supported"),
        (plain, b"n,a=other,n=user,r=abc", None, "other-error"),
        (plain, b"n,,n=us=2er,r=abc", None, "invalid-username-encoding"),
        (plain, b"n,,n=us\x07er,r=abc", None, "invalid-username-encoding"),
        (
            plus,
            b"p=tls-unique,,n=user,r=abc",
            bound,
            "unsupported-channel-binding-type",
        ),
        (
            plus,
            b"p=tls-exporter,,n=user,r=abc",
            None,
            "channel-binding-not-supported",
        ),
    ];
    for (mechanism, first, binding, error) in refusals {
        let (_, step) = Exchange::start(mechanism, Some(first.to_vec()), binding);
        assert_eq!(refused(&step), error);
    }
    let malformed: [&[u8]; 9] = [
        b"",
        b"n,,",
        b"n,,n=user",
        b"n,,n=user,r=",
        b"n,,n=user,r=a b",
        b"n,x=user,n=user,r=abc",
        b"x,,n=user,r=abc",
        b"p=tls-exporter,,n=user,r=abc",
        b"n,,n=\xff,r=abc",
    ];
    for first in malformed {
        let (_, step) = Exchange::start(plain, Some(first.to_vec()), None);
        assert_eq!(step, Step::Fail(Failure::Malformed), "{}", first.escape_ascii());
    }
    let bound = Some(b"exported".to_vec());
    let (_, step) = Exchange::start(plus, Some(b"n,,n=user,r=abc".to_vec()), bound);
    assert_eq!(step, Step::Fail(Failure::Malformed));
}

#[test]
fn final_messages_that_are_refused_say_why() {
    let honest = client("n,,", b"");
    let finish = |change: &dyn Fn(String) -> String| {
        let (mut exchange, _) = Exchange::start(Mechanism::ScramSha256, Some(honest.first()), None);
        let Step::Challenge(server_first) = exchange.answer(keys_answer(rfc_keys(), Some("a@b"))) else {
            panic!("no challenge");
        };
        let last = String::from_utf8(honest.last(&server_first).0).unwrap();
        exchange.respond(change(last).as_bytes())
    };
    assert_eq!(
        refused(&finish(&|m| m.replace(SERVER_NONCE, DIFFERENT))),
        "other-error"
    );
    assert_eq!(refused(&finish(&|m| m.replace(SERVER_NONCE, ""))), "other-error");
    assert_eq!(
        refused(&finish(&|m| m.replace("c=biws", "c=eSws"))),
        "channel-bindings-dont-match"
    );
    assert_eq!(
        refused(&finish(&|m| m.replace("c=biws", "c=!"))),
        "invalid-encoding"
    );
    let no_proof = finish(&|m| m.split(",p=").next().unwrap().to_owned());
    assert_eq!(no_proof, Step::Fail(Failure::Malformed));
    let short = finish(&|m| format!("{},p=AAAA", m.split(",p=").next().unwrap()));
    assert!(matches!(short, Step::Ask(Question::Proof { account: None, .. })));
}

#[test]
fn an_authorization_identity_may_only_repeat_the_login() {
    let (_, step) = Exchange::start(
        Mechanism::ScramSha256,
        Some(b"n,a=user,n=user,r=abc".to_vec()),
        None,
    );
    assert!(matches!(step, Step::Ask(Question::Keys { login }) if login == "user"));

    let start = |message: &[u8]| Exchange::start(Mechanism::Plain, Some(message.to_vec()), None).1;
    let asked = Step::Ask(Question::Password {
        login: "ann@example.org".into(),
        password: "secret".into(),
    });
    assert_eq!(start(b"\0ann@example.org\0secret"), asked);
    assert_eq!(start(b"ann@example.org\0ann@example.org\0secret"), asked);
    let other = start(b"bob@example.org\0ann@example.org\0secret");
    assert_eq!(other, Step::Fail(Failure::Denied));
}

#[test]
fn plain_wants_three_parts_and_prompts_with_nothing() {
    let (mut exchange, step) = Exchange::start(Mechanism::Plain, None, None);
    assert_eq!(step, Step::Challenge(Vec::new()));
    assert!(matches!(
        exchange.respond(b"\0ann\0pw"),
        Step::Ask(Question::Password { .. })
    ));
    let account = "ann@example.org".to_owned();
    assert_eq!(
        exchange.answer(Answer::Granted { account }),
        done("ann@example.org")
    );

    for bad in [
        &b""[..],
        b"ann",
        b"\0ann",
        b"\0ann\0",
        b"\0\0pw",
        b"\0ann\0pw\0",
        b"\0\xff\0pw",
    ] {
        let (_, step) = Exchange::start(Mechanism::Plain, Some(bad.to_vec()), None);
        assert_eq!(step, Step::Fail(Failure::Malformed), "{}", bad.escape_ascii());
    }
}

#[test]
fn login_prompts_twice_or_takes_the_name_at_once() {
    let (mut exchange, step) = Exchange::start(Mechanism::Login, None, None);
    assert_eq!(step, Step::Challenge(b"Username:".to_vec()));
    assert_eq!(exchange.respond(b"ann"), Step::Challenge(b"Password:".to_vec()));
    let asked = Step::Ask(Question::Password {
        login: "ann".into(),
        password: "pw".into(),
    });
    assert_eq!(exchange.respond(b"pw"), asked);
    assert_eq!(exchange.answer(Answer::Denied), Step::Fail(Failure::Denied));

    let (mut exchange, step) = Exchange::start(Mechanism::Login, Some(b"ann".to_vec()), None);
    assert_eq!(step, Step::Challenge(b"Password:".to_vec()));
    assert_eq!(exchange.respond(b""), Step::Fail(Failure::Malformed));
}

#[test]
fn our_own_trouble_is_unavailable_at_every_question() {
    let first = Some(client("n,,", b"").first());
    let (mut exchange, _) = Exchange::start(Mechanism::ScramSha256, first, None);
    assert_eq!(
        exchange.answer(Answer::Unavailable),
        Step::Fail(Failure::Unavailable)
    );
    let (mut exchange, _) = Exchange::start(Mechanism::Plain, Some(b"\0a\0b".to_vec()), None);
    assert_eq!(
        exchange.answer(Answer::Unavailable),
        Step::Fail(Failure::Unavailable)
    );
}

#[test]
fn nothing_secret_is_shown_by_debug() {
    let first = Some(b"\0ann\0open sesame".to_vec());
    let (exchange, step) = Exchange::start(Mechanism::Plain, first, None);
    assert!(!format!("{exchange:?}{step:?}").contains("sesame"));
}

#[test]
fn saslprep_maps_and_prohibits_as_rfc_4013_shows() {
    assert_eq!(prepare("I\u{ad}X").as_deref(), Some("IX"));
    assert_eq!(prepare("\u{aa}").as_deref(), Some("a"));
    assert_eq!(prepare("\u{2168}").as_deref(), Some("IX"));
    assert_eq!(prepare("\u{7}"), None);
    assert_eq!(prepare(""), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_login_and_password_that_agree_are_let_in_and_others_are_not(
        login in "[a-zA-Z0-9=,@.+é]{1,24}",
        password in "[ -~äß日]{1,24}",
        other in "[ -~]{1,24}",
        nonce in "[!-+\\--~]{1,32}",
        salt in proptest::collection::vec(any::<u8>(), 1..32),
        rounds in 1u32..8,
        binding in proptest::option::of(proptest::collection::vec(any::<u8>(), 32)),
    ) {
        let (gs2, mechanism) = match binding {
            Some(_) => ("p=tls-exporter,,", Mechanism::ScramSha256Plus),
            None => ("n,,", Mechanism::ScramSha256),
        };
        let client = Client {
            gs2,
            binding: binding.as_deref().unwrap_or_default(),
            login: &login,
            password: &password,
            nonce: &nonce,
        };
        let right = ScramKeys::derive(&password, salt.clone(), rounds);
        let step = run(&client, mechanism, binding.as_deref(), keys_answer(right, Some("a@b")));
        prop_assert_eq!(step, done("a@b"));
        prop_assume!(prepare(&other) != prepare(&password));
        let wrong = ScramKeys::derive(&other, salt, rounds);
        let step = run(&client, mechanism, binding.as_deref(), keys_answer(wrong, Some("a@b")));
        prop_assert_eq!(step, Step::Fail(Failure::Denied));
    }

    #[test]
    fn no_client_message_makes_an_exchange_panic_or_succeed(
        which in 0usize..4,
        messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..64), 1..4),
    ) {
        let mechanism =
            [Mechanism::Plain, Mechanism::Login, Mechanism::ScramSha256, Mechanism::ScramSha256Plus][which];
        let (mut exchange, mut step) = Exchange::start(mechanism, None, Some(vec![1; 32]));
        for message in messages {
            step = match step {
                Step::Ask(Question::Keys { .. }) => exchange.answer(keys_answer(rfc_keys(), None)),
                Step::Ask(_) => exchange.answer(Answer::Denied),
                _ => exchange.respond(&message),
            };
            let done = matches!(step, Step::Done { .. });
            prop_assert!(!done);
        }
    }
}
