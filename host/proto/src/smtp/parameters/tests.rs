use super::*;

fn refused(text: &str) -> Reply {
    mail(text).unwrap_err()
}

#[test]
fn what_mail_may_say() {
    assert_eq!(mail("").unwrap(), MailParameters::default());
    let all = mail(" SIZE=10 body=8BitMime SMTPUTF8  AUTH=<> ").unwrap();
    assert_eq!(all.size, Some(10));
    assert_eq!(all.body, BodyType::EightBitMime);
    assert!(all.smtputf8);
    assert_eq!(
        mail("BODY=7BIT AUTH=ann+40b.example").unwrap(),
        MailParameters::default()
    );
}

#[test]
fn a_size_has_at_most_twenty_digits() {
    assert_eq!(mail("SIZE=18446744073709551615").unwrap().size, Some(u64::MAX));
    assert_eq!(mail("SIZE=99999999999999999999").unwrap().size, Some(u64::MAX));
    for bad in [
        "SIZE=100000000000000000000",
        "SIZE=-1",
        "SIZE=+1",
        "SIZE=1k",
        "SIZE=",
        "SIZE",
    ] {
        assert_eq!(refused(bad), Reply::bad_parameter(), "{bad}");
    }
}

#[test]
fn what_is_malformed_or_said_twice_is_refused() {
    for bad in [
        "BODY=9BIT",
        "BODY",
        "SMTPUTF8=1",
        "AUTH=a+4",
        "AUTH=a+4g",
        "SIZE=1 size=1",
        "=1",
        "-A=1",
        "A=B=C",
    ] {
        assert_eq!(refused(bad), Reply::bad_parameter(), "{bad}");
    }
}

#[test]
fn what_is_not_offered_is_not_recognised() {
    for unknown in [
        "FUTURE",
        "FUTURE=1",
        "BODY=BINARYMIME",
        "REQUIRETLS",
        "NOTIFY=NEVER",
    ] {
        assert_eq!(refused(unknown), Reply::unknown_parameter(), "{unknown}");
    }
    assert_eq!(rcpt("SIZE=1").unwrap_err(), Reply::unknown_parameter());
    assert_eq!(rcpt(""), Ok(()));
}

#[test]
fn dsn_parameters_are_read_before_they_are_refused() {
    for good in ["RET=FULL", "ret=hdrs", "ENVID=a+2Bb"] {
        assert_eq!(refused(good), Reply::unknown_parameter(), "{good}");
    }
    for bad in ["RET=HALF", "RET", "ENVID=a+2b", "ENVID="] {
        assert_eq!(refused(bad), Reply::bad_parameter(), "{bad}");
    }
    for good in [
        "NOTIFY=NEVER",
        "NOTIFY=SUCCESS,failure,DELAY",
        "ORCPT=rfc822;a+2Bb@c.example",
        "ORCPT=utf-8;ü@c",
    ] {
        assert_eq!(rcpt(good).unwrap_err(), Reply::unknown_parameter(), "{good}");
    }
    for bad in [
        "NOTIFY=",
        "NOTIFY=NEVER,DELAY",
        "NOTIFY=DELAY,",
        "ORCPT=rfc822",
        "ORCPT=rfc822;",
        "ORCPT=;a",
        "ORCPT",
    ] {
        assert_eq!(rcpt(bad).unwrap_err(), Reply::bad_parameter(), "{bad}");
    }
}

#[test]
fn the_lengths_of_dsn_parameters_are_bounded() {
    assert_eq!(
        refused(&format!("ENVID={}", "a".repeat(100))),
        Reply::unknown_parameter()
    );
    assert_eq!(
        refused(&format!("ENVID={}", "a".repeat(101))),
        Reply::bad_parameter()
    );
    let orcpt = |length: usize| rcpt(&format!("ORCPT=rfc822;{}", "a".repeat(length - 7))).unwrap_err();
    assert_eq!(orcpt(500), Reply::unknown_parameter());
    assert_eq!(orcpt(501), Reply::bad_parameter());
}
