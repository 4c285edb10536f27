use super::content::{kind, octets};
use super::*;

fn settings(json: &str) -> Settings {
    settings::parse(json).unwrap()
}

#[test]
fn names_are_read_as_a_desktop_would() {
    for (name, plain) in [
        ("report.pdf", "report.pdf"),
        ("report.pdf.exe", "report.pdf.exe"),
        ("setup.exe. . .", "setup.exe"),
        ("setup.exe\u{a0}", "setup.exe"),
        ("  setup.exe  ", "setup.exe"),
        ("..\\..\\setup.exe", "setup.exe"),
        ("/tmp/setup.exe", "setup.exe"),
        ("setup.exe::$DATA", "setup.exe"),
        ("invoice\u{202e}fdp.exe", "invoicefdp.exe"),
        ("set\u{200b}up.e\u{ad}xe\0", "setup.exe"),
        ("...", ""),
        ("", ""),
    ] {
        assert_eq!(name::plain(name), plain, "{name:?}");
    }
}

#[test]
fn a_name_is_refused_by_its_last_extension() {
    let settings = settings("{}");
    for name in [
        "a.exe",
        "A.EXE",
        "a.pdf.exe",
        "a.scr.",
        "x.js ",
        "\u{202e}fdp.vbs",
    ] {
        assert!(settings.bad_name(name).is_some(), "{name:?} was let through");
    }
    for name in ["a.exe.txt", "exe", "a.json", "a.docx", "", "my.exemption"] {
        assert_eq!(settings.bad_name(name), None, "{name:?}");
    }
}

#[test]
fn the_lists_are_the_administrators() {
    let settings = settings(r#"{"names": ["invoice-*.html"], "kinds": ["zip"]}"#);
    assert_eq!(settings.check(), Ok(()));
    assert!(settings.bad_name("Invoice-7.html").is_some());
    assert_eq!(settings.bad_name("a.exe"), None);
    assert!(settings.bad_content(b"PK\x03\x04rest", "x").is_some());
    assert_eq!(settings.bad_content(b"\x7fELF", "x"), None);
}

#[test]
fn content_is_known_by_its_first_bytes() {
    let pe = [b"MZ\x90\0".as_slice(), &[b'x'; 60]].concat();
    for (head, expected) in [
        (pe.as_slice(), Some("pe")),
        (
            b"MZ is the first word of this text and no zero byte follows it at all",
            None,
        ),
        (b"\x7fELF\x02\x01", Some("elf")),
        (b"\xfe\xed\xfa\xcf\0", Some("mach-o")),
        (b"\xce\xfa\xed\xfe\0", Some("mach-o")),
        (b"\xca\xfe\xba\xbe\0\0\0\x2c", Some("mach-o")),
        (b"\xca\xfe\xba\xbe\0\0\0\x2d", Some("java")),
        (b"\xca\xfe\xba\xbe", Some("java")),
        (b"\x4c\0\0\0\x01\x14\x02\0", Some("lnk")),
        (b"#!/bin/sh\n", Some("script")),
        (b"#! /bin/sh\n", Some("script")),
        (b"#!everyone, hello", None),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", Some("ole")),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a", None),
        (b"MSCF\0\0", Some("cab")),
        (b"Rar!\x1a\x07\x01", Some("rar")),
        (b"7z\xbc\xaf\x27\x1c", Some("7z")),
        (b"%PDF-1.7", None),
        (b"M", None),
        (b"", None),
    ] {
        assert_eq!(kind(head), expected, "{head:?}");
    }
}

#[test]
fn the_zero_byte_of_a_program_counts_up_to_the_64th() {
    let head = |zero: usize| {
        let mut head = [b'x'; 80];
        head[..2].copy_from_slice(b"MZ");
        head[zero] = 0;
        kind(&head)
    };
    assert_eq!(head(63), Some("pe"));
    assert_eq!(head(64), None);
}

#[test]
fn scripts_and_archives_are_refused_only_if_listed() {
    let default = settings("{}");
    assert_eq!(default.bad_content(b"#!/bin/sh", "x"), None);
    assert_eq!(default.bad_content(b"PK\x03\x04", "x.zip"), None);
    let strict = settings(r#"{"kinds": ["script"]}"#);
    assert_eq!(
        strict.bad_content(b"#!/bin/sh", "run").as_deref(),
        Some("the attachment \"run\" (content: script)")
    );
}

#[test]
fn own_signatures_are_hexadecimal() {
    let settings = settings(r#"{"signatures": {"onenote": "e4 52 5c 7b"}}"#);
    assert_eq!(settings.check(), Ok(()));
    assert!(
        settings
            .bad_content(b"\xe4\x52\x5c\x7b\x8c", "x")
            .unwrap()
            .contains("onenote")
    );
    assert_eq!(settings.bad_content(b"\xe4\x52\x5c", "x"), None);
    assert_eq!(octets("4d5a"), Some(b"MZ".to_vec()));
    assert_eq!(octets(&"00".repeat(64)).map(|all| all.len()), Some(64));
    for wrong in ["", "4d", "4d5", "4d5g", &"00".repeat(65)] {
        assert_eq!(octets(wrong), None, "{wrong}");
    }
}

#[test]
fn wrong_settings_are_named() {
    for (json, word) in [
        (r#"{"kinds": ["exe"]}"#, "`exe` is not known; known are pe"),
        (r#"{"signatures": {"x": "zz"}}"#, "`zz` of `x`"),
        (r#"{"names": [" "]}"#, "empty pattern"),
        (r#"{"action": "defer"}"#, "write reject or quarantine"),
        (r#"{"action": "accept"}"#, "write reject or quarantine"),
    ] {
        let error = settings(json).check().unwrap_err();
        assert!(error.contains(word), "{error}");
    }
    assert!(settings::parse::<Settings>(r#"{"action": "drop"}"#).is_err());
    assert_eq!(Settings::default().check(), Ok(()));
}

#[test]
fn both_header_fields_are_read_for_names() {
    for (field, names) in [
        ("attachment; filename=\"a;b.exe\"", &["a;b.exe"][..]),
        ("application/pdf; NAME=evil.exe", &["evil.exe"]),
        (
            "attachment; filename=ok.txt; filename*=utf-8''evil%2Eexe",
            &["ok.txt", "evil.exe"],
        ),
        ("attachment; filename*0=\"evil.e\"; filename*1=xe", &["evil.exe"]),
        (
            "attachment; filename*0*=utf-8'en'na%C3%AFve; filename*1=.exe",
            &["naïve.exe"],
        ),
        ("attachment; filename*=100%; size=7", &["100"]),
        ("text/plain; charset=x.exe", &[]),
        ("inline", &[]),
        ("", &[]),
    ] {
        assert_eq!(name::named(field), names, "{field}");
    }
}

#[test]
fn the_action_decides_reply_or_quarantine() {
    let reply = settings(r#"{"advice": "Use the portal."}"#).refusal("the attachment \"a.exe\" (*.exe)");
    let Verdict::Reject(reply) = reply else {
        panic!("{reply:?}")
    };
    assert_eq!((reply.code, reply.enhanced.as_str()), (550, "5.7.1"));
    assert_eq!(
        reply.text,
        "the attachment \"a.exe\" (*.exe) is not allowed here. Use the portal."
    );
    let kept = settings(r#"{"action": "quarantine"}"#).refusal("x");
    assert_eq!(kept, Verdict::Quarantine("x is not allowed".to_owned()));
}

#[test]
fn a_reply_shows_names_as_printable_ascii_only() {
    assert_eq!(name::shown("Übung \"1\"\r\n.exe"), "?bung ?1???.exe");
    assert_eq!(name::shown(&"a".repeat(61)).len(), 60);
}

#[test]
fn what_was_not_seen_is_refused_as_attachments_are_unless_something_else_is_said() {
    let unseen = |json| settings(json).unseen();
    let Verdict::Reject(reply) = unseen(r#"{"advice": "Use the portal."}"#) else {
        panic!("refused as attachments are");
    };
    assert_eq!((reply.code, reply.enhanced.as_str()), (550, "5.7.1"));
    assert!(
        reply.text.ends_with("to be looked through. Use the portal."),
        "{}",
        reply.text
    );
    let kept = unseen(r#"{"action": "quarantine"}"#);
    assert!(matches!(kept, Verdict::Quarantine(reason) if reason.ends_with("to be looked through")));
    let deferred = unseen(r#"{"incomplete": "defer"}"#);
    assert!(matches!(deferred, Verdict::Defer(reply) if reply.code == 451));
    assert_eq!(unseen(r#"{"incomplete": "accept"}"#), Verdict::Accept);
}

#[test]
fn of_a_name_longer_than_any_file_has_the_end_counts() {
    assert_eq!(name::plain(&"\u{e4}".repeat(1000)).chars().count(), 1000);
    let long = name::plain(&format!("{}.exe", "\u{e4}".repeat(600_000)));
    assert!(long.ends_with("\u{e4}.exe") && long.chars().count() == 1000);
}
