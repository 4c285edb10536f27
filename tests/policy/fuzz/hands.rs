//! The hands that are in the folder: each operation is one that people and programs make.

use super::components::{self, Smith};
use super::model::{Files, Model, Wasm, Yaml};
use rand::RngExt as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use std::fs::{self, File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

/// One of each line is stirred at a time: what is seen of two at once would depend on when.
const NAMES: [&[&str]; 3] = [&["10-a", "11-a"], &["20-b"], &["30-c"]];
/// They change only with the whole folder, and always together.
const PAIR: [&str; 2] = ["80-left", "81-right"];
const WILD: &str = "90-wild";

const GOOD: [&str; 4] = [
    "# nothing\n",
    "limits: { host_calls: 7 }\n",
    "settings: { a: [1, 2] }\n",
    "failure: { default: skip }\n",
];
const BAD: [&[u8]; 5] = [
    b"enabeld: true\n",
    b"settings: {\n",
    b"limits: { deadline: 5 }\n",
    b"\xff\xfe",
    b"failure: { quota: accept }\n",
];
/// What mutations are made of: a wild one must end soon, and is to be skipped.
const WILD_YAML: &str =
    "limits: { deadline: 100ms, memory: 8MiB }\nfailure: { default: skip }\nsettings: { x: [1, \"a\"] }\n";

/// A folder `live`, which is a link to the folder of its generation.
pub(crate) struct Hands {
    home: tempfile::TempDir,
    pub(crate) model: Model,
    smith: Smith,
    dice: StdRng,
    versions: u32,
    generation: u32,
}

impl Hands {
    pub(crate) fn new(seed: u64, dice: StdRng) -> Self {
        let home = tempfile::TempDir::new().expect("a folder");
        fs::create_dir(home.path().join("generation-0")).expect("a folder");
        symlink("generation-0", home.path().join("live")).expect("a link");
        fs::write(
            home.path().join("outside.wasm"),
            components::quarantines("outside"),
        )
        .expect("a file");
        let mut hands = Self {
            home,
            model: Model::default(),
            smith: Smith::new(seed),
            dice,
            versions: 0,
            generation: 0,
        };
        hands.renew_pair(&hands.folder());
        hands
    }

    pub(crate) fn live(&self) -> PathBuf {
        self.home.path().join("live")
    }

    pub(crate) fn compiled(&self) -> PathBuf {
        self.home.path().join("compiled")
    }

    /// The folder itself.
    fn folder(&self) -> PathBuf {
        self.home.path().join(format!("generation-{}", self.generation))
    }

    /// Writes aside and renames.
    fn put(&self, name: &str, content: &[u8]) {
        put(&self.folder(), name, content);
    }

    /// Tells by its deadline which step a look has seen: it is the first file that is read.
    pub(crate) fn mark(&self, step: u32) {
        self.put(
            "00-mark.yaml",
            format!("limits: {{ deadline: {step}ms }}\n").as_bytes(),
        );
        let mark = self.folder().join("00-mark.wasm");
        if !mark.exists() {
            self.put("00-mark.wasm", &components::idle());
        }
    }

    /// One operation on each line of names, and one on the wild policy.
    pub(crate) fn stir(&mut self) -> Vec<String> {
        let mut done = Vec::new();
        for names in NAMES {
            if self.dice.random_bool(0.6) {
                done.push(self.stir_one(names));
            }
        }
        if self.dice.random_bool(0.5) {
            done.push(self.stir_wild());
        }
        done
    }

    fn stir_one(&mut self, names: &[&str]) -> String {
        let name = *names.choose(&mut self.dice).expect("a name");
        let files = self.model.files(name).clone();
        let is_file = !files.is_link && files.wasm != Wasm::Absent;
        let deed = self.dice.random_range(0..14);
        match deed {
            0..=3 => self.version(name, false),
            4 if is_file => self.version(name, true),
            5 if is_file => self.cut(name),
            6 => self.noise(name),
            7 => self.link(name),
            8 => self.remove(name),
            9 if is_file => self.open(name, !files.is_open),
            10 => self.rename(name, names),
            11..=13 => self.settings(name),
            _ => self.version(name, false),
        }
        format!("{name}: deed {deed}")
    }

    /// A good component, in one piece or in two.
    fn version(&mut self, name: &str, is_torn: bool) {
        self.versions += 1;
        let reason = format!("{name} v{}", self.versions);
        let (octets, path) = (components::quarantines(&reason), format!("{name}.wasm"));
        let files = self.model.files(name);
        files.wasm = Wasm::Good(reason);
        if is_torn {
            let mut file = File::create(self.folder().join(path)).expect("a file");
            let (one, two) = octets.split_at(octets.len() / 2);
            file.write_all(one).and_then(|()| file.flush()).expect("room");
            std::thread::yield_now();
            return file.write_all(two).expect("room");
        }
        (files.is_open, files.is_link) = (false, false);
        self.put(&path, &octets);
    }

    /// Its end is missing.
    fn cut(&mut self, name: &str) {
        let path = self.folder().join(format!("{name}.wasm"));
        let file = File::options().write(true).open(path).expect("the file");
        let length = file.metadata().expect("its length").len();
        file.set_len(self.dice.random_range(0..=length / 2))
            .expect("a shorter file");
        self.model.files(name).wasm = Wasm::Bad;
    }

    fn noise(&mut self, name: &str) {
        let noise = match self.dice.random_range(0..3) {
            0 => self.smith.component(&mut self.dice),
            1 => b"\0asm\x01\0\0\0".to_vec(),
            _ => (0..100).map(|_| self.dice.random::<u8>()).collect(),
        };
        self.put(&format!("{name}.wasm"), &noise);
        let files = self.model.files(name);
        (files.wasm, files.is_open, files.is_link) = (Wasm::Bad, false, false);
    }

    /// To a hidden file here, to a file elsewhere, or to nothing.
    fn link(&mut self, name: &str) {
        self.versions += 1;
        let (reason, hidden) = (
            format!("{name} v{}", self.versions),
            format!(".v{}.wasm", self.versions),
        );
        let (target, wasm) = match self.dice.random_range(0..4) {
            0 => ("../outside.wasm".to_owned(), Wasm::Bad),
            1 => ("nothing.wasm".to_owned(), Wasm::Bad),
            _ => {
                self.put(&hidden, &components::quarantines(&reason));
                (hidden, Wasm::Good(reason))
            }
        };
        exchange_link(&self.folder().join(format!("{name}.wasm")), &target);
        let files = self.model.files(name);
        (files.wasm, files.is_open, files.is_link) = (wasm, false, true);
    }

    fn remove(&mut self, name: &str) {
        let _ = fs::remove_file(self.folder().join(format!("{name}.wasm")));
        let files = self.model.files(name);
        (files.wasm, files.is_open, files.is_link) = (Wasm::Absent, false, false);
    }

    fn open(&mut self, name: &str, is_open: bool) {
        let mode = if is_open { 0o666 } else { 0o644 };
        let path = self.folder().join(format!("{name}.wasm"));
        fs::set_permissions(path, Permissions::from_mode(mode)).expect("a mode");
        self.model.files(name).is_open = is_open;
    }

    fn rename(&mut self, name: &str, names: &[&str]) {
        let other = *names.choose(&mut self.dice).expect("a name");
        let from = self.model.files(name).clone();
        if other == name || from.wasm == Wasm::Absent {
            return;
        }
        let path = |name: &str| self.folder().join(format!("{name}.wasm"));
        fs::rename(path(name), path(other)).expect("another name");
        let yaml = self.model.files(other).yaml;
        *self.model.files(other) = Files { yaml, ..from };
        let files = self.model.files(name);
        (files.wasm, files.is_open, files.is_link) = (Wasm::Absent, false, false);
    }

    fn settings(&mut self, name: &str) {
        let path = format!("{name}.yaml");
        let yaml = match self.dice.random_range(0..6) {
            0 => {
                self.put(&path, b"enabled: false\n");
                Yaml::Disables
            }
            1 | 2 => {
                let bad = BAD.choose(&mut self.dice).expect("one");
                self.put(&path, bad);
                Yaml::Bad
            }
            3 => {
                let _ = fs::remove_file(self.folder().join(&path));
                Yaml::Good
            }
            _ => {
                let good = GOOD.choose(&mut self.dice).expect("one");
                self.put(&path, good.as_bytes());
                Yaml::Good
            }
        };
        self.model.files(name).yaml = yaml;
    }

    /// Whatever comes of it concerns nobody else.
    fn stir_wild(&mut self) -> String {
        let path = self.folder().join(format!("{WILD}.wasm"));
        let _ = fs::remove_dir(&path);
        let yaml = self
            .dice
            .random_bool(0.2)
            .then(|| components::mutated(WILD_YAML.as_bytes().to_vec(), &mut self.dice));
        self.put(&format!("{WILD}.yaml"), &yaml.unwrap_or_else(|| WILD_YAML.into()));
        let deed = self.dice.random_range(0..8);
        let octets = match deed {
            0..=3 => self.smith.filter(&mut self.dice),
            4 => self.smith.component(&mut self.dice),
            5 => {
                let _ = fs::remove_file(&path);
                let _ = fs::create_dir(&path);
                return "wild: a folder".to_owned();
            }
            _ => {
                let filter = self.smith.filter(&mut self.dice);
                components::mutated(filter, &mut self.dice)
            }
        };
        self.put(&format!("{WILD}.wasm"), &octets);
        format!("wild: deed {deed}, {} octets", octets.len())
    }

    /// Another folder is put in place of this one, in which the pair has another version, and this one is removed.
    pub(crate) fn exchange_folder(&mut self, step: u32) {
        let old = self.folder();
        self.generation += 1;
        let new = self.folder();
        fs::create_dir(&new).expect("a folder");
        for entry in fs::read_dir(&old).expect("the folder") {
            let from = entry.expect("an entry").path();
            let to = new.join(from.file_name().expect("a name"));
            if let Ok(target) = fs::read_link(&from) {
                symlink(target, to).expect("a link");
            } else if from.is_file() {
                fs::copy(&from, &to).expect("a copy");
            }
        }
        self.renew_pair(&new);
        self.mark(step);
        exchange_link(&self.live(), &format!("generation-{}", self.generation));
        fs::remove_dir_all(&old).expect("the old folder goes");
    }

    fn renew_pair(&mut self, folder: &Path) {
        for name in PAIR {
            let reason = format!("{name} g{}", self.generation);
            put(folder, &format!("{name}.wasm"), &components::quarantines(&reason));
            self.model.files(name).wasm = Wasm::Good(reason);
        }
    }

    /// Everybody may write to the folder, or no more.
    pub(crate) fn open_folder(&self, is_open: bool) {
        let mode = if is_open { 0o777 } else { 0o755 };
        fs::set_permissions(self.folder(), Permissions::from_mode(mode)).expect("a mode");
    }

    /// The folder is called otherwise, or so again.
    pub(crate) fn hide_folder(&self, is_hidden: bool) {
        let (live, away) = (self.live(), self.home.path().join("away"));
        let renamed = if is_hidden {
            fs::rename(live, away)
        } else {
            fs::rename(away, live)
        };
        renamed.expect("another name");
    }
}

fn put(folder: &Path, name: &str, content: &[u8]) {
    let aside = folder.join(format!(".{name}.new"));
    fs::write(&aside, content).expect("room");
    fs::rename(&aside, folder.join(name)).expect("a file in its place");
}

fn exchange_link(link: &Path, target: &str) {
    let name = link.file_name().expect("a name").to_string_lossy();
    let aside = link.with_file_name(format!(".{name}.link"));
    symlink(target, &aside).expect("a link");
    fs::rename(&aside, link).expect("a link in its place");
}
