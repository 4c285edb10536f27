//! The languages' own tools.

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

/// Name and first argument: enough to know it by.
fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program
        .file_name()
        .unwrap_or(program.as_os_str())
        .to_string_lossy();
    match command.get_args().next() {
        Some(first) => format!("`{name} {}`", first.to_string_lossy()),
        None => format!("`{name}`"),
    }
}
