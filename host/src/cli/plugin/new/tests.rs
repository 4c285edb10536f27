use super::*;
use std::collections::BTreeSet;

#[test]
fn a_name_is_one_for_all_languages() {
    let longest = "a".repeat(LONGEST);
    for good in ["mine", "no-spam", "sha256", &longest] {
        assert_eq!(name(good).as_deref(), Ok(good));
    }
    for (wrong, said) in [
        ("", "write small letters"),
        ("No", "write small letters"),
        ("no_spam", "write small letters"),
        ("../no", "write small letters"),
        ("no--spam", "write small letters"),
        ("-no", "write small letters"),
        ("no-", "write small letters"),
        ("no-1", "write small letters"),
        ("grüße", "write small letters"),
        (&(longest.clone() + "a"), "it has 41 letters; 40 are the most"),
        (
            "list",
            "`list` is a word of WIT; take another, such as `list-policy`",
        ),
    ] {
        let told = name(wrong).expect_err(wrong);
        assert!(told.starts_with(said), "{wrong}: {told}");
    }
}

#[test]
fn a_project_has_its_own_name_everywhere() {
    for &language in <Language as clap::ValueEnum>::value_variants() {
        for &kind in <Kind as clap::ValueEnum>::value_variants() {
            let mut paths = BTreeSet::new();
            for (path, text) in template::files(language, kind) {
                assert!(paths.insert(filled(path, "no-spam")), "{path} twice");
                let filled = filled(text, "no-spam").to_lowercase();
                for left in ["example-policy", "example_policy"] {
                    assert!(!filled.contains(left), "{language:?} {kind:?} {path} has {left}");
                }
            }
            for wanted in [
                "README.md",
                ".gitignore",
                "60-no-spam.yaml",
                "cases/no-spam.yaml",
                "wit/plugin.wit",
            ] {
                assert!(paths.contains(wanted), "{language:?} {kind:?} lacks {wanted}");
            }
        }
    }
}

#[test]
fn capitals_are_those_of_a_header_field() {
    assert_eq!(
        filled("X-Example-Policy: example-policy", "no-spam2"),
        "X-No-Spam2: no-spam2"
    );
}

#[test]
fn nothing_that_is_here_is_written_over() {
    let desk = tempfile::tempdir().expect("a folder");
    let folder = desk.path().join("mine");
    write(&folder, "mine", Language::C, Kind::Router).expect("a project");
    let told = write(&folder, "mine", Language::Go, Kind::Filter).expect_err("it is here");
    assert_eq!(
        told.to_string(),
        format!(
            "{} is here already: take another name, or remove it",
            folder.display()
        )
    );
    assert!(!folder.join("go.mod").exists());
}

#[test]
fn the_whole_contract_is_in_a_project() {
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit");
    let files: Vec<_> = template::files(Language::C, Kind::Filter).collect();
    for entry in fs::read_dir(wit).expect("the contract") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "wit") {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let there = format!("wit/deps/postern-policy/{name}");
            let text = files
                .iter()
                .find(|(path, _)| *path == there)
                .map(|(_, text)| *text);
            assert_eq!(
                text,
                Some(fs::read_to_string(&path).expect("text").as_str()),
                "{name}"
            );
        }
    }
}
