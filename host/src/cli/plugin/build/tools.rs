//! The languages' own tools.

use crate::explain::cut;
use anyhow::{Context as _, bail};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A program of that name in `PATH`.
pub(super) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// Likewise; its lack says how to get it.
pub(super) fn need(name: &str, get: &str) -> anyhow::Result<PathBuf> {
    find(name).with_context(|| format!("{name} is missing: {get}"))
}

/// A program to be run in the project, whose words are shown.
pub(super) fn command(program: impl AsRef<OsStr>, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder).stdin(Stdio::null());
    command
}

/// Runs it; what it says on standard output belongs to standard error, where its other words are.
pub(super) fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command
        .stdout(std::io::stderr())
        .status()
        .with_context(|| format!("cannot run {}", shown(command)))?;
    ended(command, status.success())
}

/// Runs it, and answers its standard output.
pub(super) fn answer(command: &mut Command) -> anyhow::Result<String> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot run {}", shown(command)))?;
    ended(command, output.status.success())?;
    String::from_utf8(output.stdout).with_context(|| format!("{} prints no text", shown(command)))
}

/// Whether it can be run at all.
pub(super) fn works(command: &mut Command) -> bool {
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

fn ended(command: &Command, well: bool) -> anyhow::Result<()> {
    match well {
        true => Ok(()),
        false => bail!("{} failed: mend what it says above", shown(command)),
    }
}

/// Octets of a command that are shown: enough to know it by.
const SHOWN: usize = 60;

/// Name and arguments.
fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str());
    let words: Vec<_> = std::iter::once(name)
        .chain(command.get_args())
        .map(OsStr::to_string_lossy)
        .collect();
    format!("`{}`", cut(&words.join(" "), SHOWN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_failed_is_named_as_far_as_it_is_known_by_that() {
        let mut zig = Command::new("/usr/bin/python3");
        zig.args(["-m", "ziglang", "cc", "-target", "wasm32-wasi"]);
        let error = ended(&zig, false).unwrap_err().to_string();
        let expected = "`python3 -m ziglang cc -target wasm32-wasi` failed: mend what it says above";
        assert_eq!(error, expected);
        assert_eq!(shown(&Command::new("go")), "`go`");
        let length = |octets: usize| shown(Command::new("go").arg("x".repeat(octets - 3)));
        assert!(!length(SHOWN).contains('…'));
        assert!(length(SHOWN + 1).ends_with("x…`"));
    }
}
