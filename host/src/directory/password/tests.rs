use super::*;

/// A hash of each kind and spelling, and the password it is of. Made by other programs.
pub(in crate::directory) const KNOWN: [(&str, &str); 12] = [
    // The reference implementation's test vector.
    (
        "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
        "password",
    ),
    (
        "{ARGON2ID}$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
        "password",
    ),
    (
        "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
        "U*U",
    ),
    (
        "{BLF-CRYPT}$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
        "U*U",
    ),
    (
        "{CRYPT}$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
        "U*U",
    ),
    (
        "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
        "Hello world!",
    ),
    (
        "{SHA512-CRYPT}$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
        "Hello world!",
    ),
    (
        "{sha512-crypt}$6$rounds=10000$saltstringsaltst$OW1/O6BYHV6BcXZu8QVeXbDWra3Oeqh0sbHbbMCVNSnCM/UrjmM0Dp8vOuZeHBy/YTBmSK6H9qs/y3RnOaw5v.",
        "Hello world!",
    ),
    (
        "{PBKDF2}$1$w5xMpbvXPYdmWCmr$5000$51632a23f8022521d2ace8c35c130e1dd2dd69f7",
        "secret",
    ),
    (
        "$pbkdf2-sha256$i=2000,l=32$MDEyMzQ1Njc4OWFiY2RlZg$MNNTwnCaMAYmrmE7v5+nTtN5kMiuSDOXHq5jqsVOVS8",
        "secret",
    ),
    (
        "{PBKDF2}$pbkdf2-sha256$i=2000,l=32$MDEyMzQ1Njc4OWFiY2RlZg$MNNTwnCaMAYmrmE7v5+nTtN5kMiuSDOXHq5jqsVOVS8",
        "secret",
    ),
    (
        "$pbkdf2-sha512$i=2000,l=32$MDEyMzQ1Njc4OWFiY2RlZg$7oxRi4wixeRecWQtK3sLhV84CI8SXwhQS281PMotkec",
        "secret",
    ),
];

#[test]
fn every_kind_and_spelling_is_read_computed_and_kept_readable() {
    for (text, password) in KNOWN {
        assert!(is_hash(text), "{text}");
        let hash = PasswordHash::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert!(hash.verify(password, &mut Memory::default()), "{text}");
        assert!(!hash.verify("another", &mut Memory::default()), "{text}");
        assert_eq!(PasswordHash::parse(&hash.text()), Ok(hash), "{text}");
    }
}

#[test]
fn a_new_hash_is_of_its_password_and_salted() {
    let cost = Cost::least();
    let (one, two) = (
        PasswordHash::create("secret", &cost, &mut Memory::default()).unwrap(),
        PasswordHash::create("secret", &cost, &mut Memory::default()).unwrap(),
    );
    assert_ne!(one, two);
    assert!(one.verify("secret", &mut Memory::default()) && two.verify("secret", &mut Memory::default()));
    assert!(!one.verify("Secret", &mut Memory::default()));
    assert_eq!(PasswordHash::parse(&one.text()), Ok(one));
}

#[test]
fn only_argon2id_of_todays_cost_is_current() {
    let weak = PasswordHash::create("secret", &Cost::least(), &mut Memory::default()).unwrap();
    assert!(weak.is_current(&Cost::least()));
    assert!(!weak.is_current(&Cost::default()));
    let stronger = PasswordHash::parse(KNOWN[0].0).unwrap();
    assert!(stronger.is_current(&Cost::default()));
    assert!(
        !PasswordHash::parse(KNOWN[2].0)
            .unwrap()
            .is_current(&Cost::least())
    );
}

#[test]
fn the_decoy_costs_what_new_hashes_cost_and_is_of_no_password() {
    let decoy = PasswordHash::decoy(&Cost::default());
    assert_eq!(PasswordHash::parse(&decoy.text()), Ok(decoy.clone()));
    assert!(decoy.is_current(&Cost::default()));
    assert!(!decoy.verify("", &mut Memory::default()));
}

#[test]
fn what_cannot_be_computed_or_costs_too_much_is_refused() {
    let refused = |text: &str| PasswordHash::parse(text).unwrap_err();
    let hash = "CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
    let argon2 = |cost: &str| format!("$argon2id$v=19${cost}$c29tZXNhbHQ${hash}");
    assert!(PasswordHash::parse(&argon2("m=1048576,t=4,p=1")).is_ok());
    assert_eq!(
        refused(&argon2("m=1048576,t=5,p=1")),
        HashError::Costly("argon2id")
    );
    assert_eq!(
        refused(&argon2("m=1048577,t=1,p=1")),
        HashError::Costly("argon2id")
    );
    assert_eq!(
        refused("$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ"),
        HashError::Malformed("argon2id")
    );

    let bcrypt = |cost: u32| format!("$2a${cost:02}$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW");
    assert!(PasswordHash::parse(&bcrypt(16)).is_ok());
    assert_eq!(refused(&bcrypt(17)), HashError::Costly("bcrypt"));
    assert!(PasswordHash::import(&bcrypt(12)).is_ok());
    assert_eq!(PasswordHash::import(&bcrypt(13)), Err(HashError::Slow(13)));

    let sha512 = |rounds: u32| format!("$6$rounds={rounds}$salt${}", "a".repeat(86));
    assert!(PasswordHash::parse(&sha512(10_000_000)).is_ok());
    assert_eq!(refused(&sha512(10_000_001)), HashError::Costly("SHA-512-crypt"));
    assert_eq!(refused("$6$salt$short"), HashError::Malformed("SHA-512-crypt"));

    let pbkdf2 = |rounds: u32| format!("{{PBKDF2}}$1$salt${rounds}${}", "0".repeat(40));
    assert!(PasswordHash::parse(&pbkdf2(10_000_000)).is_ok());
    assert_eq!(refused(&pbkdf2(10_000_001)), HashError::Costly("PBKDF2"));
    for bad in [
        "{PBKDF2}$1$salt$0$00",
        "{PBKDF2}$1$salt$5000$0g",
        "{PBKDF2}$1$salt$5000",
    ] {
        assert_eq!(refused(bad), HashError::Malformed("PBKDF2"), "{bad}");
    }

    for unknown in [
        "$1$salt$hash",
        "{SSHA}abc",
        "{PLAIN}secret",
        "$argon2i$v=19$x",
        "{BLF-CRYPT}$6$salt$x",
        "secret",
    ] {
        assert!(matches!(refused(unknown), HashError::Scheme(_)), "{unknown}");
    }
}

#[test]
fn passwords_are_not_taken_for_hashes() {
    for password in [
        "secret",
        "$ecret",
        "{",
        "$$",
        "{}x",
        "{a b}x",
        "pa$$word$",
        "$5,000$",
    ] {
        assert!(!is_hash(password), "{password}");
    }
    for unknown in ["{SSHA}abc", "$1$salt$hash"] {
        assert!(is_hash(unknown), "{unknown}");
    }
}

#[test]
fn the_memory_of_a_usual_hash_is_kept_and_that_of_a_costly_one_is_not() {
    let mut memory = Memory::default();
    let usual = PasswordHash::create("secret", &Cost::default(), &mut memory).unwrap();
    let (first, kept) = (memory.0.as_ptr(), memory.0.len());
    assert_eq!(kept * Block::SIZE, 19 << 20);
    assert!(usual.verify("secret", &mut memory));
    let least = PasswordHash::create("secret", &Cost::least(), &mut memory).unwrap();
    assert!(least.verify("secret", &mut memory) && !least.verify("Secret", &mut memory));
    assert_eq!(
        (memory.0.as_ptr(), memory.0.len()),
        (first, kept),
        "computed in place"
    );
    // 64 MiB.
    let (text, password) = KNOWN[0];
    assert!(PasswordHash::parse(text).unwrap().verify(password, &mut memory));
    assert_eq!(memory.0.capacity(), 0);
}
