//! Languages' tools for tests, installed when they are first asked for and then kept in the user's cache
//! folder: `componentize-py` and `ziglang` from PyPI, what the JavaScript template needs from npm. Go, Node, Python
//! and Rust are the machine's own; what is missing is told on standard error, and is an error where
//! `POSTERN_TOOLCHAINS_REQUIRED` is set.

use sha2::{Digest as _, Sha256};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// A C compiler that knows WASI.
const ZIG: &str = "ziglang==0.17.1";

/// A language whose tools are here, or nothing: the test is then skipped.
pub(crate) fn of(language: &str) -> Option<Toolchain> {
    match install(language) {
        Ok(toolchain) => Some(toolchain),
        Err(missing) => {
            let required = std::env::var_os("POSTERN_TOOLCHAINS_REQUIRED").is_some();
            assert!(!required, "{language}: {missing}");
            // The macros' output is kept from those who run the tests.
            let _ = writeln!(std::io::stderr(), "skipped: {language}: {missing}");
            None
        }
    }
}

/// How `postern plugin build` finds a language's tools.
#[derive(Debug)]
pub(crate) struct Toolchain {
    environment: Vec<(&'static str, OsString)>,
    /// A folder, and the name in a project under which it is found.
    installed: Option<(PathBuf, &'static str)>,
    /// Versions of all that a component depends on.
    versions: String,
}

impl Toolchain {
    /// Gives a project what is installed already.
    pub(crate) fn lend(&self, project: &Path) {
        if let Some((folder, name)) = &self.installed {
            std::os::unix::fs::symlink(folder, project.join(name)).expect("a link");
        }
    }

    /// Which tools these are: what others made is made anew.
    pub(crate) fn versions(&self) -> &str {
        &self.versions
    }

    pub(crate) fn environment(&self, command: &mut Command) {
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
    }
}

/// Where everything is kept.
pub(crate) fn cache() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").expect("a home")).join(".cache");
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(home, PathBuf::from);
    let folder = cache.join("postern/toolchains");
    fs::create_dir_all(&folder).expect("a folder for tools");
    folder
}

fn install(language: &str) -> Result<Toolchain, String> {
    let mut environment = Vec::new();
    let mut installed = None;
    let versions = match language {
        "rust" => {
            // What projects have in common is built once.
            environment.push(("CARGO_TARGET_DIR", cache().join("rust").into_os_string()));
            needed("rustc", &["--version"])?
        }
        "go" => needed("go", &["version"])?,
        "js" => {
            let versions = needed("node", &["--version"])? + &needed("npm", &["--version"])?;
            installed = Some((npm()?, "node_modules"));
            versions + &template("js/package.json")
        }
        "python" => {
            let wanted = template("python/requirements.txt");
            installed = Some((venv("python", wanted.trim())?, ".venv"));
            needed("python3", &["--version"])? + &wanted
        }
        "c" => {
            installed = Some((venv("c", ZIG)?, ".venv"));
            ZIG.to_owned()
        }
        other => panic!("no such language: {other}"),
    };
    Ok(Toolchain {
        environment,
        installed,
        versions,
    })
}

/// A folder with what the JavaScript template names, installed by npm.
fn npm() -> Result<PathBuf, String> {
    let wanted = template("js/package.json");
    let folder = once("js", &wanted, |folder| {
        fs::write(folder.join("package.json"), &wanted).expect("room");
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-audit", "--no-fund", "--prefix"])
            .arg(folder);
        told(&mut npm)
    })?;
    Ok(folder.join("node_modules"))
}

/// A virtual environment with packages of fixed versions.
fn venv(language: &str, packages: &str) -> Result<PathBuf, String> {
    once(language, packages, |folder| {
        told(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
        let mut pip = Command::new(folder.join("bin/python"));
        told(
            pip.args(["-m", "pip", "install", "--quiet"])
                .args(packages.split_whitespace()),
        )
    })
}

/// The folder of that content, filled when it is first asked for. It is marked when it is whole, and is made
/// where it stays: a virtual environment cannot be moved.
fn once(
    language: &str,
    content: &str,
    fill: impl FnOnce(&Path) -> Result<String, String>,
) -> Result<PathBuf, String> {
    let digest: String = Sha256::digest(content)
        .iter()
        .take(6)
        .map(|octet| format!("{octet:02x}"))
        .collect();
    let folder = cache().join(format!("{language}-{digest}"));
    let whole = folder.join(".whole");
    let lock = File::create(cache().join(format!("{language}.lock"))).expect("a lock file");
    lock.lock().expect("the lock");
    if !whole.exists() {
        let began = Instant::now();
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("a folder");
        fill(&folder)?;
        fs::write(&whole, content).expect("room");
        let seconds = began.elapsed().as_secs_f32();
        let _ = writeln!(std::io::stderr(), "installed: {language} in {seconds:.1} s");
    }
    Ok(folder)
}

/// What it says of itself.
fn needed(program: &str, version: &[&str]) -> Result<String, String> {
    told(Command::new(program).args(version)).map_err(|_| format!("{program} is missing"))
}

/// What it says; where it fails, the last line of that.
fn told(command: &mut Command) -> Result<String, String> {
    let output = command
        .output()
        .map_err(|error| format!("{command:?}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().last().unwrap_or_default();
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(format!("{command:?}: {last}")),
    }
}

fn template(file: &str) -> String {
    let host = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = host.join("../plugins/templates").join(file);
    fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}
