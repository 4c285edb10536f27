mod compiling;

use super::super::load::Ended;
use super::super::load::tests::{ACCEPT, Folder as Dir, REFUSES_SETTINGS, REJECT, filter};
use super::Site::{Gone, Missing, Refused, There};
use super::*;
use crate::config::PolicyLimits;
use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::time::{Duration, Instant};

/// A folder on disk, and what is known of it.
struct Shop {
    dir: Dir,
    shelf: Shelf,
}

impl Shop {
    fn open(dir: Dir) -> (Self, Look) {
        Self::open_with(dir, |_| {})
    }

    fn open_with(dir: Dir, adapt: impl FnOnce(&mut PolicyLimits)) -> (Self, Look) {
        let mut options = dir.options(Duration::from_secs(5));
        adapt(&mut options.limits);
        let (shelf, look) = Shelf::open(dir.0.path(), options).unwrap();
        (Self { dir, shelf }, look)
    }

    fn root(&self) -> PathBuf {
        self.dir.0.path().to_owned()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), content).unwrap();
    }

    /// Another component each time that `body` is another.
    fn place(&self, name: &str, body: &str) {
        self.write(&format!("{name}.wasm"), wat::parse_str(filter(body, "")).unwrap());
    }

    fn remove(&self, name: &str) {
        std::fs::remove_file(self.path(name)).unwrap();
    }

    fn mode(&self, name: &str, mode: u32) {
        std::fs::set_permissions(self.path(name), Permissions::from_mode(mode)).unwrap();
    }

    fn look(&mut self) -> Look {
        self.shelf.look_through(Which::Changed)
    }
}

impl Shelf {
    /// Looks until nothing is left to be compiled.
    pub(in crate::policy) fn look_through(&mut self, which: Which) -> Look {
        loop {
            let look = self.look(which);
            match look.uncompiled {
                Some(uncompiled) => uncompiled.compile(),
                None => return look,
            }
        }
    }
}

/// The folder of one policy, `20-strict`, and what it was at its load.
fn strict() -> (Shop, Arc<Plugin>) {
    let (site, look) = Shop::open(Dir::new().with("20-strict", &filter(REJECT, "")));
    let plugin = Arc::clone(&look.policies.plugins[0]);
    (site, plugin)
}

fn names(look: &Look) -> Vec<&str> {
    look.policies.plugins.iter().map(|plugin| &*plugin.name).collect()
}

fn states(look: &Look) -> Vec<String> {
    let states = look.policies.list().iter();
    states
        .map(|listed| format!("{} {}", listed.name, listed.state))
        .collect()
}

fn is(look: &Look, plugin: &Arc<Plugin>) -> bool {
    look.policies
        .plugins
        .iter()
        .any(|found| Arc::ptr_eq(found, plugin))
}

/// What was told in a look, one line each.
fn told(look: &Look) -> Vec<String> {
    let lines = look.news.iter();
    lines.map(|news| news.fault.text.clone()).collect()
}

#[test]
fn what_did_not_change_keeps_its_very_policy_whatever_changes_beside_it() {
    let (mut site, strict) = strict();
    let look = site.look();
    assert!(is(&look, &strict) && look.changes.are_none());
    site.place("10-lax", ACCEPT);
    site.write("30-broken.wasm", "noise");
    site.mode("20-strict.wasm", 0o600);
    let look = site.look();
    assert_eq!(names(&look), ["10-lax", "20-strict"]);
    assert!(is(&look, &strict), "no new compilation, and its statistics stay");
    assert_eq!(look.changes.added.len(), 1);
    assert!(look.changes.added[0].starts_with("10-lax "), "{:?}", look.changes);
    assert!(look.changes.replaced.is_empty() && look.changes.removed.is_empty());
}

#[test]
fn other_octets_and_another_manifest_are_another_version() {
    let (mut site, strict) = strict();
    site.place("20-strict", "(i32.const 64) nop");
    let look = site.look();
    assert!(!is(&look, &strict));
    let second = Arc::clone(&look.policies.plugins[0]);
    let [old, new] = [&strict, &second].map(|plugin| short(&plugin.digest).to_owned());
    assert_eq!(look.changes.replaced, [format!("20-strict {old} → {new}")]);
    site.write("20-strict.yaml", "limits: { deadline: 7s }\n");
    let look = site.look();
    assert_eq!(look.changes.replaced, [format!("20-strict {new}, its .yaml")]);
    assert_eq!(look.policies.list()[0].deadline, Duration::from_secs(7));
    site.remove("20-strict.yaml");
    assert_eq!(site.look().changes.replaced.len(), 1);
}

#[test]
fn the_last_good_version_serves_on_under_its_old_manifest_until_there_is_a_new_one() {
    let (mut site, strict) = strict();
    let digest = strict.digest.clone();
    for broken in ["", "noise", "more noise"] {
        site.write("20-strict.wasm", broken);
        site.write("20-strict.yaml", "limits: { deadline: 7s }\n");
        let look = site.look();
        assert!(is(&look, &strict) && look.changes.are_none());
        let listed = &look.policies.list()[0];
        assert_eq!(listed.serving.as_deref(), Some(&*digest));
        assert_eq!(
            listed.digest,
            cache::digest(broken.as_bytes()),
            "the file as it is"
        );
        assert_eq!(listed.deadline, Duration::from_secs(5), "the old manifest");
        assert_eq!(listed.answers, ["connect"]);
        let begin = format!(
            "earlier version {} serves on; refused: is no WebAssembly",
            short(&digest)
        );
        assert!(listed.state.to_string().starts_with(&begin), "{}", listed.state);
        assert_eq!(look.news.len(), 1, "each change is told");
        assert_eq!(look.news[0].instead, Instead::Earlier(digest.clone()));
        assert!(site.look().news.is_empty(), "and once");
    }
    site.place("20-strict", ACCEPT);
    let look = site.look();
    assert!(!is(&look, &strict));
    assert_eq!(look.changes.replaced.len(), 1);
    assert_eq!(look.policies.list()[0].state, State::Loaded);
    assert!(look.faults.is_empty());
}

#[test]
fn a_faulty_manifest_leaves_the_last_good_version_and_what_was_before_is_the_very_same_again() {
    let (mut site, strict) = strict();
    for fault in ["enabeld: true\n", "settings: {\n", "\u{fffd}"] {
        site.write("20-strict.yaml", fault);
        let look = site.look();
        assert!(is(&look, &strict), "{fault}");
        assert_eq!(look.faults[0].path, site.path("20-strict.yaml"));
    }
    site.write("20-strict.yaml", [0xff]);
    assert!(site.look().faults[0].text.contains("is no text"));
    site.remove("20-strict.yaml");
    let look = site.look();
    assert!(is(&look, &strict) && look.changes.are_none());
    assert_eq!(states(&look), ["20-strict loaded"]);
}

#[test]
fn one_whose_file_is_gone_goes_and_so_does_one_that_is_disabled() {
    let (mut site, strict) = strict();
    site.place("30-second", ACCEPT);
    site.look();
    site.remove("20-strict.wasm");
    let look = site.look();
    assert_eq!(names(&look), ["30-second"]);
    assert_eq!(
        look.changes.removed,
        [format!("20-strict {}", short(&strict.digest))]
    );
    site.write("30-second.yaml", "enabled: false\n");
    let look = site.look();
    assert!(names(&look).is_empty());
    assert_eq!(states(&look), ["30-second disabled"]);
    assert_eq!(look.policies.list()[0].serving, None);
    std::fs::remove_dir_all(site.dir.0.path()).unwrap();
    assert!(site.look().policies.list().is_empty());
}

#[test]
fn a_new_one_that_is_wrong_is_not_there_and_is_tried_again_when_it_changes_or_somebody_asks() {
    let (mut site, look) = Shop::open(Dir::new().with("10-settings", REFUSES_SETTINGS));
    assert_eq!(told(&look), ["settings: no rules yet; mend them there"]);
    assert!(names(&look).is_empty());
    let look = site.look();
    assert!(told(&look).is_empty());
    assert_eq!(look.faults.len(), 1, "it is still wrong");
    assert_eq!(look.policies.list()[0].answers, ["validate"], "and still listed");
    assert_eq!(told(&site.shelf.look(Which::All)).len(), 1);
    site.write("10-settings.yaml", "settings: { a: 1 }\n");
    assert_eq!(told(&site.look()).len(), 1);
    site.place("10-settings", REJECT);
    let look = site.look();
    assert_eq!(names(&look), ["10-settings"]);
}

#[test]
fn a_folder_that_comes_later_and_an_empty_one_are_as_good_as_any() {
    let (mut site, look) = Shop::open(Dir::new());
    assert!(look.policies.list().is_empty());
    site.place("10-strict", REJECT);
    assert_eq!(names(&site.look()), ["10-strict"]);
    site.remove("10-strict.wasm");
    assert_eq!(site.look().changes.removed.len(), 1);
}

/// What is known at run time and what a start makes of the same folder.
fn same_at_a_start(mut site: Shop, names_in_force: &[&str]) -> Shop {
    let look = site.look();
    assert_eq!(names(&look), names_in_force);
    let running = states(&look);
    let (site, look) = Shop::open(site.dir);
    assert_eq!(names(&look), names_in_force);
    assert_eq!(states(&look), running);
    site
}

#[test]
fn the_first_in_the_order_that_is_right_has_a_name_at_run_time_and_at_a_start() {
    let (site, _) = strict();
    site.write("10-strict.wasm", "noise");
    let site = same_at_a_start(site, &["20-strict"]);
    site.place("10-strict", ACCEPT);
    site.write("10-strict.yaml", "enabled: false\n");
    let site = same_at_a_start(site, &["20-strict"]);
    site.remove("10-strict.yaml");
    let mut site = same_at_a_start(site, &["10-strict"]);
    let look = site.look();
    assert_eq!(look.faults[0].path, site.path("20-strict.wasm"));
    assert_eq!(
        look.faults[0].text,
        "another policy has this name behind its number, 10-strict; rename one of them"
    );
    site.write("20-strict.yaml", "enabeld: true\n");
    let site = same_at_a_start(site, &["10-strict"]);
    site.remove("20-strict.yaml");
    site.remove("10-strict.wasm");
    same_at_a_start(site, &["20-strict"]);
}

#[test]
fn a_faulty_manifest_hides_no_digest() {
    let (mut site, strict) = strict();
    site.write("20-strict.yaml", "enabeld: true\n");
    site.write("20-strict.wasm", "noise");
    let noise = cache::digest(b"noise");
    assert_eq!(site.look().policies.list()[0].digest, noise);
    let (_, look) = Shop::open(site.dir);
    assert_eq!(look.policies.list()[0].digest, noise);
    assert_ne!(noise, strict.digest);
}

#[test]
fn one_that_is_right_again_by_its_old_octets_is_told_once() {
    let (mut site, strict) = strict();
    site.write("20-strict.yaml", "enabeld: true\n");
    assert!(site.look().mended.is_empty());
    site.remove("20-strict.yaml");
    let known = format!("20-strict {}", short(&strict.digest));
    assert_eq!(site.look().mended, [known]);
    assert!(site.look().mended.is_empty());
    site.write("20-strict.wasm", "noise");
    site.look();
    site.place("20-strict", ACCEPT);
    assert!(site.look().mended.is_empty(), "that one is told as replaced");
}

#[test]
fn a_folder_that_goes_is_told_once_and_one_that_never_was_is_another_thing() {
    let (mut site, _) = strict();
    assert_eq!(site.look().site, There);
    let aside = tempfile::tempdir().unwrap();
    let away = aside.path().join("away");
    std::fs::rename(site.root(), &away).unwrap();
    let look = site.look();
    assert_eq!((&look.site, names(&look).len()), (&Gone, 0));
    assert_eq!(site.look().site, Missing);
    std::fs::rename(&away, site.root()).unwrap();
    let look = site.look();
    assert_eq!((&look.site, names(&look).len()), (&There, 1));
}

#[test]
fn a_folder_that_is_a_link_to_nothing_is_refused_and_the_set_before_serves_on() {
    let (mut site, strict) = strict();
    let aside = tempfile::tempdir().unwrap();
    std::fs::rename(site.root(), aside.path().join("away")).unwrap();
    symlink(aside.path().join("nothing"), site.root()).unwrap();
    let look = site.look();
    assert!(is(&look, &strict) && look.changes.are_none());
    assert!(matches!(look.site, Refused(_)));
    assert_eq!(
        told(&look),
        ["is a link to nothing; link it to a folder, or remove it"]
    );
    assert_eq!(look.news[0].instead, Instead::All);
    std::fs::remove_file(site.root()).unwrap();
    assert_eq!(site.look().site, Gone);
}

#[test]
fn what_may_be_over_is_tried_again_though_nothing_changed() {
    let dir = Dir::new().with("10-lax", &filter(ACCEPT, ""));
    let (mut site, _) = Shop::open_with(dir, |limits| {
        limits.instances = 1;
        (limits.trial, limits.deadline) = (Duration::from_secs(1), Duration::from_secs(1));
    });
    let guests = Arc::clone(&site.shelf.loader.as_ref().unwrap().guests);
    let place = guests.places.try_acquire().unwrap();
    site.place("20-strict", REJECT);
    let look = site.look();
    assert!(look.faults[0].passes && look.is_new);
    let look = site.look();
    assert!(look.faults[0].passes && !look.is_new, "it is told once");
    drop(place);
    let look = site.look();
    assert_eq!(names(&look), ["10-lax", "20-strict"]);
    assert!(look.faults.is_empty());
}

#[test]
fn a_component_and_the_file_beside_it_have_a_size() {
    let component = wat::parse_str(filter(REJECT, "")).unwrap();
    let size = component.len() as u64;
    let (mut site, _) = Shop::open_with(Dir::new(), |limits| limits.file = size);
    site.write("20-strict.wasm", &component);
    let comment = "#".repeat(usize::try_from(YAML.most).unwrap());
    site.write("20-strict.yaml", &comment);
    assert_eq!(names(&site.look()), ["20-strict"]);
    site.write("20-strict.yaml", format!("{comment}#"));
    assert_eq!(told(&site.look()), ["has more than 1MiB; make it smaller"]);
    site.remove("20-strict.yaml");
    site.write("20-strict.wasm", [component, vec![0]].concat());
    let said = told(&site.look());
    assert!(
        said[0].ends_with("; make it smaller, or raise policy.file"),
        "{said:?}"
    );
}

#[test]
fn compiled_code_is_refused_and_takes_no_name() {
    let (site, _) = strict();
    site.write("20-strict.cwasm", "code");
    let (_, look) = Shop::open(site.dir);
    assert_eq!(names(&look), ["20-strict"]);
    assert!(states(&look)[0].starts_with("20-strict.cwasm refused: is compiled code, which is never loaded"));
}

#[test]
fn what_everybody_may_write_to_is_refused_and_the_version_before_serves_on() {
    let (mut site, strict) = strict();
    site.write("20-strict.yaml", "");
    for name in ["20-strict.wasm", "20-strict.yaml"] {
        site.mode(name, 0o666);
        let look = site.look();
        assert!(is(&look, &strict));
        assert_eq!(look.faults[0].path, site.path(name));
        assert_eq!(told(&look), ["everybody may write to it; chmod o-w it"]);
        site.mode(name, 0o664);
        let look = site.look();
        assert!(is(&look, &strict) && look.faults.is_empty());
    }
    let fresh = Dir::new().with("20-strict", &filter(REJECT, ""));
    std::fs::set_permissions(
        fresh.0.path().join("20-strict.wasm"),
        Permissions::from_mode(0o602),
    )
    .unwrap();
    let (_, look) = Shop::open(fresh);
    assert!(names(&look).is_empty());
    assert_eq!(
        states(&look),
        ["20-strict refused: everybody may write to it; chmod o-w it"]
    );
}

#[test]
fn in_a_folder_that_everybody_may_write_to_nothing_changes() {
    let (mut site, strict) = strict();
    site.place("10-lax", ACCEPT);
    site.remove("20-strict.wasm");
    site.mode("", 0o777);
    let look = site.look();
    assert!(is(&look, &strict) && look.changes.are_none());
    let said = format!("chmod o-w {}", site.path("").canonicalize().unwrap().display());
    assert!(
        told(&look)[0].ends_with(&said),
        "{:?} does not say {said}",
        told(&look)
    );
    assert_eq!(
        look.policies.list().len(),
        2,
        "the folder's own line stands behind the policies"
    );
    assert!(site.look().news.is_empty());
    site.mode("", 0o775);
    let look = site.look();
    assert_eq!(names(&look), ["10-lax"]);
    site.mode("", 0o707);
    let (_, look) = Shop::open(site.dir);
    assert!(names(&look).is_empty());
    assert_eq!(look.faults.len(), 1);
}

#[test]
fn links_lead_where_they_like_in_the_folder_and_not_out_of_it() {
    let (site, _) = strict();
    let outside = tempfile::tempdir().unwrap();
    let component = outside.path().join("x.wasm");
    std::fs::copy(site.path("20-strict.wasm"), &component).unwrap();
    std::fs::create_dir(site.path("data-1")).unwrap();
    std::fs::rename(&component, site.path("data-1/x")).unwrap();
    symlink("data-1", site.path("..data")).unwrap();
    symlink("..data/x", site.path("10-linked.wasm")).unwrap();
    std::fs::copy(site.path("20-strict.wasm"), &component).unwrap();
    symlink(&component, site.path("30-outside.wasm")).unwrap();
    symlink("nothing", site.path("40-nothing.wasm")).unwrap();
    std::fs::write(outside.path().join("settings"), "").unwrap();
    symlink(outside.path().join("settings"), site.path("20-strict.yaml")).unwrap();
    std::fs::create_dir(site.path("50-folder.wasm")).unwrap();
    let (mut site, look) = Shop::open(site.dir);
    assert_eq!(names(&look), ["10-linked"]);
    let said = told(&look);
    assert!(
        said[0].contains("which is not in this folder; put the file itself here"),
        "{said:?}"
    );
    assert!(
        said[1].starts_with("is a link to ") && said[1].contains("x.wasm"),
        "{said:?}"
    );
    assert!(said[2].starts_with("is a link to nothing"), "{said:?}");
    assert_eq!(said[3], "is no file; put a file here");
    assert_eq!(look.faults[0].path, site.path("20-strict.yaml"));

    site.mode("data-1", 0o777);
    assert!(
        site.look().faults[0]
            .text
            .starts_with("lies where everybody may write; chmod o-w ")
    );
    site.mode("data-1", 0o755);
    assert_eq!(names(&site.look()), ["10-linked"]);
}

#[test]
fn a_folder_may_be_a_link_that_is_exchanged() {
    let outer = tempfile::tempdir().unwrap();
    for (set, body) in [("a", REJECT), ("b", ACCEPT)] {
        std::fs::create_dir(outer.path().join(set)).unwrap();
        let component = wat::parse_str(filter(body, "")).unwrap();
        std::fs::write(outer.path().join(set).join("10-one.wasm"), component).unwrap();
    }
    let link = outer.path().join("plugins.d");
    symlink("a", &link).unwrap();
    let options = Dir::new().options(Duration::from_secs(5));
    let (mut shelf, look) = Shelf::open(&link, options).unwrap();
    assert_eq!(look.faults, []);
    let first = Arc::clone(&look.policies.plugins[0]);
    symlink("b", outer.path().join("new")).unwrap();
    std::fs::rename(outer.path().join("new"), &link).unwrap();
    let look = shelf.look_through(Which::Changed);
    assert!(!is(&look, &first));
    assert_eq!(look.changes.replaced.len(), 1);
}

#[tokio::test]
async fn one_set_is_asked_to_its_end_when_another_has_taken_its_place() {
    use crate::policy::{Facts, InForce, Verdict};
    let (mut site, _) = strict();
    let in_force = InForce::new(site.look().policies);
    let begun = in_force.now();
    site.place("20-strict", ACCEPT);
    let look = tokio::task::spawn_blocking(move || site.look()).await.unwrap();
    in_force.put(look.policies);
    let facts = Facts::default();
    assert!(matches!(begun.connect(&facts).await.verdict, Verdict::Reject(_)));
    assert_eq!(in_force.now().connect(&facts).await.verdict, Verdict::Accept);
}

/// A component whose start never ends.
fn hanging(site: &Shop) {
    site.place(
        "10-hangs",
        &format!("{ACCEPT}) (func $start (loop (br 0))) (start $start"),
    );
}

#[test]
fn a_trial_that_had_no_end_is_tried_again_later_and_later_and_told_once() {
    let (mut site, _) = Shop::open_with(Dir::new(), |limits| {
        (limits.trial, limits.deadline) = (Duration::from_secs(1), Duration::from_secs(1));
    });
    hanging(&site);
    let file = site.path("10-hangs.wasm");
    let stuck = |site: &Shop| site.shelf.files[&file].wrong.as_ref().unwrap().stuck.unwrap();
    let look = site.look();
    assert!(look.faults[0].passes && look.is_new);
    let first = stuck(&site);
    assert_eq!(first.trials, 1);
    let look = site.look();
    assert!(look.faults[0].passes && !look.is_new && look.news.is_empty());
    assert_eq!(
        (stuck(&site).trials, stuck(&site).next),
        (1, first.next),
        "it rests"
    );
    let entry = site.shelf.files.get_mut(&file).unwrap();
    entry.wrong.as_mut().unwrap().stuck.as_mut().unwrap().next = Instant::now();
    assert!(site.look().news.is_empty(), "it was tried, and ended alike");
    assert_eq!(stuck(&site).trials, 2);
    assert_eq!(
        site.shelf.look(Which::All).news.len(),
        1,
        "who asks has it tried and is told"
    );
    assert_eq!(stuck(&site).trials, 3);
    site.write("10-hangs.yaml", "settings: { a: 1 }\n");
    assert_eq!(site.look().news.len(), 1, "another version is another matter");
    assert_eq!(stuck(&site).trials, 1);
    site.place("10-hangs", ACCEPT);
    assert_eq!(names(&site.look()), ["10-hangs"]);
}

#[test]
fn pauses_double_up_to_ten_minutes_and_only_a_trial_without_an_end_has_one() {
    let now = Instant::now();
    let fault = |ending| Fault {
        ending: Some(ending),
        ..passing(Path::new("10-x.wasm"), "x")
    };
    let (mut before, mut pauses) = (None, Vec::new());
    for _ in 0..9 {
        before = Stuck::after(&fault(Ended::TimeOut), before, now);
        pauses.push((before.unwrap().next - now).as_secs());
    }
    assert_eq!(pauses, [8, 16, 32, 64, 128, 256, 512, 600, 600]);
    assert!(Stuck::after(&fault(Ended::Busy), before, now).is_none());
    assert!(Stuck::after(&passing(Path::new("10-x.wasm"), "x"), before, now).is_none());
}

#[test]
fn one_version_that_says_something_else_at_each_trial_is_the_same_fault() {
    let evidence = |digest: &str| Evidence {
        digest: digest.to_owned(),
        manifest: String::new(),
    };
    let told = |text: &str, ending, version: Option<&str>| {
        let fault = Fault {
            ending,
            ..passing(Path::new("10-x.wasm"), text)
        };
        known(&(fault, version.map(evidence)))
    };
    let said = |text, version| told(text, Some(Ended::Failed), Some(version));
    assert_eq!(
        said("does not run: at 12:00", "a"),
        said("does not run: at 12:01", "a")
    );
    assert_ne!(
        said("does not run: at 12:00", "a"),
        said("does not run: at 12:00", "b")
    );
    assert_ne!(said("x", "a"), told("x", Some(Ended::TimeOut), Some("a")));
    assert_ne!(told("x", None, Some("a")), told("y", None, Some("a")));
    assert_ne!(
        told("x", Some(Ended::Failed), None),
        told("y", Some(Ended::Failed), None)
    );
}
