use super::*;
use crate::policy::engine;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::sync::Mutex;
use std::time::Duration;
use tempfile::TempDir;

const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

fn files(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect()
}

fn permit(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// A folder, the cache in it and its engine.
struct Place(TempDir, Engine);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap(), engine::on_demand().unwrap())
    }

    fn folder(&self) -> PathBuf {
        self.0.path().join("compiled")
    }

    fn of(&self, whose: Whose) -> Cache {
        let keep = Keep {
            whose,
            ..Keep::alone(self.folder())
        };
        Cache::open(&keep, &self.1)
    }

    /// Whether it was compiled before.
    fn takes(&self, cache: &Cache, digest: &str) -> bool {
        let found = cache.find(&self.1, digest).is_some();
        if !found {
            let wasm = (Path::new("a.wasm"), EMPTY);
            cache.compile(&self.1, wasm, digest).unwrap();
        }
        found
    }
}

#[test]
fn a_component_is_compiled_once_and_found_again() {
    let (place, digest) = (Place::new(), digest(EMPTY));
    assert!(!place.takes(&place.of(Whose::Gateway), &digest));
    let written = files(&place.folder());
    assert_eq!(written.len(), 1, "nothing is left aside: {written:?}");
    let before = std::fs::metadata(&written[0]).unwrap();
    assert_eq!(before.mode() & 0o777, 0o600);
    assert!(place.takes(&place.of(Whose::Gateway), &digest));
    let after = std::fs::metadata(&written[0]).unwrap();
    assert_eq!(after.ino(), before.ino(), "not written again");
}

#[test]
fn a_file_that_is_no_compiled_component_is_compiled_anew() {
    let (place, digest) = (Place::new(), digest(EMPTY));
    let cache = place.of(Whose::Gateway);
    let path = cache.path(&digest).unwrap();
    std::fs::write(&path, b"rubbish").unwrap();
    permit(&path, 0o600);
    assert!(!place.takes(&cache, &digest));
    assert!(place.takes(&cache, &digest));
}

#[test]
fn a_folder_that_others_may_use_is_not_used() {
    let (place, digest) = (Place::new(), digest(EMPTY));
    std::fs::create_dir(place.folder()).unwrap();
    for (mode, is_used) in [(0o770, false), (0o701, false), (0o700, true)] {
        permit(&place.folder(), mode);
        assert!(!place.takes(&place.of(Whose::Commands), &digest));
        assert_eq!(files(&place.folder()).len(), usize::from(is_used), "{mode:o}");
    }
}

#[test]
fn a_file_that_others_may_write_to_is_not_loaded_and_the_reason_is_told() {
    static TOLD: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let (place, digest) = (Place::new(), digest(EMPTY));
    let keep = Keep {
        hear: |notice| TOLD.lock().unwrap().push(format!("{notice:?}")),
        ..Keep::alone(place.folder())
    };
    let cache = Cache::open(&keep, &place.1);
    let path = cache.path(&digest).unwrap();
    let told = || std::mem::take(&mut *TOLD.lock().unwrap()).join("\n");
    place.takes(&cache, &digest);
    told();
    for (mode, is_loaded) in [(0o644, true), (0o664, false), (0o602, false)] {
        permit(&path, mode);
        assert_eq!(place.takes(&cache, &digest), is_loaded, "{mode:o}");
        assert_eq!(told().contains("others may write to it"), !is_loaded, "{mode:o}");
        assert!(place.takes(&cache, &digest), "it was replaced");
    }
    std::fs::rename(&path, place.0.path().join("elsewhere")).unwrap();
    symlink(place.0.path().join("elsewhere"), &path).unwrap();
    assert!(!place.takes(&cache, &digest));
    let said = told();
    assert!(
        said.contains("is no file") && said.contains("Compiling { file: \"a.wasm\""),
        "{said}"
    );
}

#[test]
fn where_it_cannot_be_kept_that_is_told_and_it_is_compiled() {
    static TOLD: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let place = Place::new();
    std::fs::write(place.folder(), "").unwrap();
    let keep = Keep {
        hear: |notice| TOLD.lock().unwrap().push(format!("{notice:?}")),
        ..Keep::alone(place.folder())
    };
    let cache = Cache::open(&keep, &place.1);
    for digest in ["a", "b"] {
        assert!(!place.takes(&cache, digest));
    }
    let told = TOLD.lock().unwrap();
    let not_kept = told.iter().filter(|told| told.contains("NotKept"));
    assert_eq!(not_kept.count(), 1, "{told:?}");
    assert!(told[0].contains("compiled"), "{told:?}");
}

#[test]
fn of_commands_the_newest_are_kept_and_no_more() {
    let place = Place::new();
    let cache = place.of(Whose::Commands);
    let begun = SystemTime::now();
    let digests = ["a", "b", "c"].map(|name| digest(name.as_bytes()));
    for (age, digest) in digests.iter().enumerate() {
        place.takes(&cache, digest);
        let file = File::options().append(true).open(cache.path(digest).unwrap());
        let made = begun - Duration::from_secs(60 + age as u64);
        file.unwrap().set_modified(made).unwrap();
    }
    let kept = || {
        digests
            .each_ref()
            .map(|digest| cache.path(digest).unwrap().exists())
    };
    cache.keep_newest(3);
    assert_eq!(kept(), [true, true, true]);
    assert!(place.takes(&cache, &digests[2]), "what is used is new again");
    cache.keep_newest(2);
    assert_eq!(kept(), [true, false, true]);
}

#[test]
fn commands_keep_what_no_policy_of_theirs_uses_as_far_as_there_is_room() {
    let place = Place::new();
    let cache = place.of(Whose::Commands);
    let digests: Vec<String> = (0..=KEPT)
        .map(|number| digest(number.to_string().as_bytes()))
        .collect();
    for digest in &digests[..KEPT] {
        place.takes(&cache, digest);
    }
    cache.prune(&HashSet::new());
    assert_eq!(files(&place.folder()).len(), KEPT);
    place.takes(&cache, &digests[KEPT]);
    cache.prune(&digests.iter().map(String::as_str).collect());
    assert_eq!(
        files(&place.folder()).len(),
        KEPT + 1,
        "a command keeps all of its own"
    );
    cache.prune(&HashSet::new());
    assert_eq!(files(&place.folder()).len(), KEPT);
}

#[test]
fn what_was_not_put_there_is_left_alone() {
    for whose in [Whose::Gateway, Whose::Commands] {
        let place = Place::new();
        let cache = place.of(whose);
        let name = digest(EMPTY);
        for other in ["id_ed25519", "a.cwasm", "a.new", &format!("{name}.cwasm"), &name] {
            std::fs::write(place.folder().join(other), "").unwrap();
        }
        place.takes(&cache, &name);
        cache.prune(&HashSet::new());
        cache.keep_newest(0);
        assert_eq!(files(&place.folder()).len(), 5, "{whose:?}");
    }
}

#[test]
fn a_folder_that_others_can_put_another_in_the_place_of_is_not_used() {
    let place = Place::new();
    let (above, folder) = (place.0.path(), place.folder());
    let why = || private(&folder).map_err(|error| error.to_string());
    assert_eq!(why(), Ok(()));
    permit(above, 0o777);
    assert!(why().unwrap_err().contains("open to all"));
    permit(above, 0o1777);
    assert_eq!(why(), Ok(()));
    permit(above, 0o700);
    let (there, other) = (folder.clone(), above.join("other"));
    std::fs::rename(&there, &other).unwrap();
    symlink(&other, &there).unwrap();
    assert!(why().unwrap_err().contains("is a link"));
}

#[test]
fn of_a_gateway_what_no_policy_uses_any_more_is_removed() {
    let (place, digest) = (Place::new(), digest(EMPTY));
    let cache = place.of(Whose::Gateway);
    place.takes(&cache, &digest);
    cache.prune(&HashSet::from([digest.as_str()]));
    assert_eq!(files(&place.folder()).len(), 1);
    cache.prune(&HashSet::new());
    assert!(files(&place.folder()).is_empty());
}

#[test]
fn what_is_being_written_is_left_alone_and_what_was_left_behind_goes() {
    for whose in [Whose::Gateway, Whose::Commands] {
        let place = Place::new();
        let cache = place.of(whose);
        let path = cache.path("a").unwrap();
        let file = aside(&path).unwrap();
        cache.prune(&HashSet::new());
        assert_eq!(files(&place.folder()), [file.path()]);
        file.as_file().unlock().unwrap();
        cache.prune(&HashSet::new());
        assert!(files(&place.folder()).is_empty(), "{whose:?}");
    }
}
