//! What becomes of a folder while a component of it is compiled.

use super::*;
use crate::policy::{Keep, Notice};
use std::sync::atomic::{AtomicUsize, Ordering};

/// What no compiler takes, though it begins as a component does.
const NOISE: &[u8] = b"\0asm\x0d\0\x01\0noise";

impl Shop {
    /// One look, which leaves to the test what is to be compiled.
    fn glance(&mut self) -> Look {
        self.shelf.look(Which::Changed)
    }

    fn keeping(dir: Dir, keep: Keep) -> Self {
        let options = LoadOptions {
            keep,
            ..dir.options(Duration::from_secs(5))
        };
        let (shelf, _) = Shelf::open(dir.0.path(), options).unwrap();
        Self { dir, shelf }
    }

    fn copy(&self, from: &str, to: &str) {
        std::fs::copy(self.path(from), self.path(to)).unwrap();
    }
}

/// The name of the file that is to be compiled next.
fn next(look: &Look) -> Option<String> {
    let file = &look.uncompiled.as_ref()?.file;
    Some(file.file_stem().unwrap().to_string_lossy().into_owned())
}

fn compile(look: Look) {
    look.uncompiled.unwrap().compile();
}

fn deadline(look: &Look, name: &str) -> Duration {
    let mut listed = look.policies.list().iter();
    listed.find(|listed| listed.name == name).unwrap().deadline
}

#[test]
fn what_needs_no_compiler_is_in_force_while_another_file_is_compiled() {
    let (mut site, _) = strict();
    site.place("30-second", ACCEPT);
    site.look();
    site.place("10-new", "(i32.const 64) nop");
    let begun = site.glance();
    assert_eq!(next(&begun).as_deref(), Some("10-new"));
    assert_eq!(names(&begun), ["20-strict", "30-second"]);
    assert!(begun.changes.are_none() && begun.faults.is_empty());
    assert_eq!(begun.policies.list().len(), 2);

    site.remove("20-strict.wasm");
    site.write("30-second.yaml", "limits: { deadline: 7s }\n");
    site.copy("30-second.wasm", "40-third.wasm");
    let look = site.glance();
    assert_eq!(names(&look), ["30-second", "40-third"]);
    assert_eq!(deadline(&look, "30-second"), Duration::from_secs(7));
    assert_eq!(
        next(&look).as_deref(),
        Some("10-new"),
        "it is still to be compiled"
    );

    compile(begun);
    let look = site.glance();
    assert_eq!(names(&look), ["10-new", "30-second", "40-third"]);
    assert_eq!((look.changes.added.len(), next(&look)), (1, None));
}

#[test]
fn what_was_removed_disabled_or_changed_while_it_was_compiled_is_never_in_force_as_it_was() {
    let (mut site, _) = Shop::open(Dir::new());
    let begun = |site: &mut Shop, body: &str| {
        site.place("10-new", body);
        let look = site.glance();
        assert_eq!((names(&look).len(), next(&look).as_deref()), (0, Some("10-new")));
        look
    };
    let look = begun(&mut site, "(i32.const 0) nop");
    site.remove("10-new.wasm");
    compile(look);
    let look = site.glance();
    assert_eq!((look.policies.list().len(), next(&look)), (0, None));

    let look = begun(&mut site, "(i32.const 0) nop nop");
    site.write("10-new.yaml", "enabled: false\n");
    compile(look);
    let look = site.glance();
    assert_eq!(
        (states(&look), next(&look)),
        (vec!["10-new disabled".to_owned()], None)
    );
    site.remove("10-new.wasm");
    site.remove("10-new.yaml");
    site.look();

    let look = begun(&mut site, "(i32.const 0) nop nop nop");
    site.place("10-new", REJECT);
    compile(look);
    let look = site.glance();
    assert_eq!((names(&look).len(), next(&look).as_deref()), (0, Some("10-new")));
    site.write("10-new.yaml", "limits: { deadline: 7s }\n");
    compile(look);
    let look = site.glance();
    let octets = std::fs::read(site.path("10-new.wasm")).unwrap();
    assert_eq!(look.policies.plugins[0].digest, cache::digest(&octets));
    assert_eq!(deadline(&look, "10-new"), Duration::from_secs(7), "as it is now");
}

#[test]
fn the_last_good_version_goes_on_while_the_next_is_compiled_and_goes_when_it_is_removed() {
    let (mut site, strict) = strict();
    site.place("20-strict", ACCEPT);
    let look = site.glance();
    assert!(is(&look, &strict) && look.changes.are_none());
    assert_eq!(states(&look), ["20-strict loaded"]);
    compile(look);
    let look = site.glance();
    assert_eq!((is(&look, &strict), look.changes.replaced.len()), (false, 1));

    site.place("20-strict", "(i32.const 0) nop");
    let look = site.glance();
    site.write("20-strict.yaml", "enabled: false\n");
    assert!(names(&site.glance()).is_empty());
    site.remove("20-strict.yaml");
    site.remove("20-strict.wasm");
    assert!(names(&site.glance()).is_empty());
    compile(look);
    assert!(names(&site.glance()).is_empty());
}

/// A folder that came back with one new component had no policy in force until that was compiled.
#[test]
fn in_a_folder_that_was_away_or_empty_nothing_waits_for_another() {
    let (mut site, _) = strict();
    let elsewhere = tempfile::tempdir().unwrap();
    let (here, away) = (site.root(), elsewhere.path().join("away"));
    std::fs::rename(&here, &away).unwrap();
    assert!(names(&site.glance()).is_empty());
    std::fs::rename(&away, &here).unwrap();
    site.place("10-new", "(i32.const 64) nop");
    let look = site.glance();
    assert_eq!(names(&look), ["20-strict"]);
    assert_eq!(next(&look).as_deref(), Some("10-new"));

    site.remove("10-new.wasm");
    site.remove("20-strict.wasm");
    assert!(names(&site.glance()).is_empty());
    site.place("10-new", "(i32.const 64) nop nop");
    site.place("20-strict", "(i32.const 64) nop nop nop");
    compile(site.glance());
    let look = site.glance();
    assert_eq!(names(&look), ["10-new"]);
    compile(look);
    assert_eq!(names(&site.glance()), ["10-new", "20-strict"]);
}

/// The new name was told to be taken, by a file that was gone.
#[test]
fn a_policy_that_is_renamed_beside_an_uncompiled_one_is_no_fault() {
    let (mut site, strict) = strict();
    site.copy("20-strict.wasm", "25-strict.wasm");
    site.remove("20-strict.wasm");
    site.place("55-new", "(i32.const 64) nop");
    let look = site.glance();
    assert!(is(&look, &strict) && look.faults.is_empty());
    assert_eq!(states(&look), ["20-strict loaded"]);
    compile(look);
    assert_eq!(names(&site.glance()), ["25-strict", "55-new"]);
}

/// It lost its place, and mail had neither policy until the compiler was done.
#[test]
fn what_waits_for_a_file_goes_on_waiting_when_that_is_written_anew() {
    for yaml in [false, true] {
        let (mut site, strict) = strict();
        site.place("10-strict", "(i32.const 64) nop");
        site.remove("20-strict.wasm");
        assert!(is(&site.glance(), &strict));
        match yaml {
            true => site.write("10-strict.yaml", "limits: { deadline: 7s }\n"),
            false => site.place("10-strict", "(i32.const 64) nop nop"),
        }
        let look = site.glance();
        assert!(is(&look, &strict), "there is no moment without it");
        compile(look);
        assert_eq!(names(&site.glance()), ["10-strict"]);
    }
}

#[test]
fn what_one_look_finds_changed_is_in_force_at_once_and_what_changes_again_waits_no_longer() {
    let (mut site, strict) = strict();
    site.place("30-second", ACCEPT);
    site.look();
    let bodies = ["(i32.const 64) nop", "(i32.const 64) nop nop"];
    for (name, body) in ["10-strict", "15-other"].into_iter().zip(bodies) {
        site.place(name, body);
    }
    site.remove("20-strict.wasm");
    site.write("30-second.yaml", "limits: { deadline: 7s }\n");
    for name in ["10-strict", "15-other"] {
        let look = site.glance();
        assert!(is(&look, &strict), "there is no moment without it");
        assert_eq!(names(&look), ["20-strict", "30-second"]);
        assert_eq!(deadline(&look, "30-second"), Duration::from_secs(5));
        assert_eq!(next(&look).as_deref(), Some(name));
        compile(look);
    }
    let look = site.glance();
    assert_eq!(names(&look), ["10-strict", "15-other", "30-second"]);
    let changes = &look.changes;
    assert_eq!(
        (changes.added.len(), changes.replaced.len(), changes.removed.len()),
        (2, 1, 1)
    );

    site.place("40-new", "(i32.const 0) nop");
    site.remove("10-strict.wasm");
    site.write("30-second.yaml", "limits: { deadline: 8s }\n");
    let look = site.glance();
    assert_eq!(deadline(&look, "30-second"), Duration::from_secs(7));
    site.write("30-second.yaml", "limits: { deadline: 9s }\n");
    let look = site.glance();
    assert_eq!(deadline(&look, "30-second"), Duration::from_secs(9));
    assert_eq!(names(&look), ["10-strict", "15-other", "30-second"]);
    site.remove("40-new.wasm");
    assert_eq!(names(&site.glance()), ["15-other", "30-second"]);
}

#[test]
fn what_has_waited_longest_is_compiled_first_though_another_changes_all_the_while() {
    let (mut site, _) = Shop::open(Dir::new());
    site.place("10-restless", "(i32.const 0) nop");
    assert_eq!(next(&site.glance()).as_deref(), Some("10-restless"));
    site.place("20-patient", ACCEPT);
    let look = site.glance();
    assert_eq!(next(&look).as_deref(), Some("10-restless"));
    site.place("10-restless", "(i32.const 0) nop nop");
    compile(look);
    let look = site.glance();
    assert_eq!(
        (names(&look).len(), next(&look).as_deref()),
        (0, Some("20-patient"))
    );
    compile(look);
    let look = site.glance();
    assert_eq!(
        (names(&look), next(&look).as_deref()),
        (vec!["20-patient"], Some("10-restless"))
    );
}

#[test]
fn what_the_compiler_refuses_is_told_once_of_each_file_and_compiled_again_when_somebody_asks() {
    static BEGUN: AtomicUsize = AtomicUsize::new(0);
    let dir = Dir::new();
    let keep = Keep {
        hear: |notice| {
            if let Notice::Compiling { .. } = notice {
                BEGUN.fetch_add(1, Ordering::SeqCst);
            }
        },
        ..Keep::alone(dir.0.path().join("compiled"))
    };
    let mut site = Shop::keeping(dir, keep);
    for name in ["10-bad.wasm", "20-worse.wasm"] {
        site.write(name, NOISE);
    }
    let look = site.glance();
    assert!(look.faults.is_empty() && look.policies.list().is_empty());
    compile(look);
    let look = site.glance();
    assert!(
        told(&look)
            .iter()
            .all(|told| told.starts_with("is no component that runs here"))
    );
    let paths: Vec<_> = look.faults.iter().map(|fault| fault.path.clone()).collect();
    assert_eq!(paths, [site.path("10-bad.wasm"), site.path("20-worse.wasm")]);
    let look = site.glance();
    assert_eq!((look.news.len(), look.faults.len(), next(&look)), (0, 2, None));
    assert_eq!(BEGUN.load(Ordering::SeqCst), 1);

    let look = site.shelf.look(Which::All);
    assert_eq!((look.news.len(), next(&look).as_deref()), (2, Some("10-bad")));
    site.glance();
    compile(look);
    let look = site.glance();
    assert_eq!((look.news.len(), look.faults.len(), next(&look)), (0, 2, None));
    assert_eq!(BEGUN.load(Ordering::SeqCst), 2);
}

#[test]
fn a_compiler_that_panics_costs_that_file() {
    let dir = Dir::new();
    let keep = Keep {
        hear: |notice| assert!(!matches!(notice, Notice::Compiling { .. }), "on purpose"),
        ..Keep::alone(dir.0.path().join("compiled"))
    };
    let mut site = Shop::keeping(dir, keep);
    site.place("10-new", ACCEPT);
    compile(site.glance());
    let look = site.glance();
    assert_eq!(
        told(&look),
        ["the compiler failed on it; build it with another toolchain"]
    );
    assert_eq!((look.faults.len(), next(&look)), (1, None));
}

#[test]
fn compiled_code_that_is_not_on_disk_is_in_memory_as_long_as_its_component_is_there() {
    let dir = Dir::new().with("20-strict", &filter(REJECT, ""));
    let mut site = Shop::keeping(dir, Keep::default());
    site.write("20-strict.yaml", "limits: { deadline: 7s }\n");
    let look = site.glance();
    assert_eq!(
        (deadline(&look, "20-strict"), next(&look)),
        (Duration::from_secs(7), None)
    );
    site.place("10-new", ACCEPT);
    compile(site.glance());
    let look = site.glance();
    assert_eq!((names(&look), next(&look)), (vec!["10-new", "20-strict"], None));
    site.remove("20-strict.wasm");
    site.glance();
    site.place("20-strict", REJECT);
    assert_eq!(next(&site.glance()).as_deref(), Some("20-strict"));

    let (mut site, _) = Shop::open(Dir::new());
    site.place("10-new", ACCEPT);
    compile(site.glance());
    std::fs::remove_dir_all(site.path("compiled")).unwrap();
    let look = site.glance();
    assert_eq!((names(&look), next(&look)), (vec!["10-new"], None));
}

#[test]
fn a_name_has_one_policy_while_another_version_is_compiled() {
    let (mut site, strict) = strict();
    let octets = std::fs::read(site.path("20-strict.wasm")).unwrap();
    site.place("20-strict", ACCEPT);
    let begun = site.glance();
    assert!(is(&begun, &strict));
    site.write("10-strict.wasm", octets);
    let refused = site.path("20-strict.wasm");
    let taken = |look: &Look| {
        assert_eq!(names(look), ["10-strict"]);
        assert_eq!(look.faults[0].path, refused);
    };
    taken(&site.glance());
    let look = site.glance();
    taken(&look);
    assert_eq!(next(&look), None, "a policy whose name is taken is not compiled");
    compile(begun);
    taken(&site.glance());
}

#[test]
fn what_was_compiled_while_the_folder_was_refused_or_away_is_there_when_it_is_back() {
    let (mut site, _) = strict();
    site.place("10-new", ACCEPT);
    let begun = site.glance();
    site.mode("", 0o777);
    assert_eq!(next(&site.glance()), None);
    compile(begun);
    site.mode("", 0o755);
    let look = site.glance();
    assert_eq!((names(&look), next(&look)), (vec!["10-new", "20-strict"], None));

    site.place("10-new", "(i32.const 0) nop");
    let begun = site.glance();
    let aside = tempfile::tempdir().unwrap();
    let away = aside.path().join("away");
    std::fs::rename(site.root(), &away).unwrap();
    let look = site.glance();
    assert_eq!((&look.site, names(&look).len(), next(&look)), (&Gone, 0, None));
    compile(begun);
    std::fs::rename(&away, site.root()).unwrap();
    let look = site.glance();
    assert_eq!((names(&look), next(&look)), (vec!["10-new", "20-strict"], None));
}
