//! `postern plugin build`: a component from a project, by the ordinary tools of its language.
//!
//! Which language it is, the project's own files say. What those tools lack for components (the binding
//! generators of Go and C, the adapter of WASI, the encoder) is in this program.

mod component;
mod exports;
mod languages;
mod tools;

use crate::cli::output;
use anyhow::{Context as _, bail};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    /// The project.
    #[arg(default_value = ".")]
    dir: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let project = Project::open(&arguments.dir)?;
    let build = language(&project.folder)?;
    project.clear()?;
    build(&project)?;
    let file = project.output();
    let octets = fs::metadata(&file)
        .with_context(|| format!("cannot read {}", file.display()))?
        .len();
    let shown = arguments.dir.join(&project.output);
    let shown = shown.strip_prefix(".").unwrap_or(&shown).display();
    let cases = arguments.dir.join("cases");
    let next = match cases.is_dir() {
        true => {
            let cases = cases.strip_prefix(".").unwrap_or(&cases).display();
            format!("postern plugin test {shown} --cases {cases}")
        }
        false => format!("postern plugin inspect {shown}"),
    };
    output::say(&format!("{shown} has {octets} octets. Next:\n  {next}"))?;
    Ok(ExitCode::SUCCESS)
}

/// A folder with a world in `wit/`.
#[derive(Debug)]
struct Project {
    /// Absolute: the tools run in it.
    folder: PathBuf,
    /// File name of the component.
    output: String,
}

impl Project {
    fn open(dir: &Path) -> anyhow::Result<Self> {
        let shown = dir.display();
        let folder = fs::canonicalize(dir).with_context(|| format!("cannot open {shown}"))?;
        let world = folder.join("wit");
        if !world.is_dir() {
            bail!(
                "{shown} has no wit/ with a world `plugin`: begin with `postern plugin new`, or name the project's folder"
            );
        }
        let output = match settings(&folder)?.as_slice() {
            [] => component::package(&world)?,
            [one] => one.clone(),
            [one, other, ..] => bail!(
                "{shown} has {one}.yaml and {other}.yaml: leave the one whose name the component is to have"
            ),
        };
        Ok(Self {
            folder,
            output: output + ".wasm",
        })
    }

    fn output(&self) -> PathBuf {
        self.folder.join(&self.output)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Removes what an earlier build left: after one that fails nothing must be taken for what it made.
    fn clear(&self) -> anyhow::Result<()> {
        let file = self.output();
        match fs::remove_file(&file) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", file.display()))
            }
            _ => Ok(()),
        }
    }

    /// Writes the component aside and renames it, so that nobody sees half of it.
    fn place(&self, octets: &[u8]) -> anyhow::Result<()> {
        let file = self.output();
        let aside = file.with_extension("wasm-new");
        fs::write(&aside, octets)
            .and_then(|()| fs::rename(&aside, &file))
            .with_context(|| format!("cannot write {}", file.display()))
    }
}

/// Stems of the files `NN-name.yaml` in a folder: the component has the name of its settings, and so is found by them.
fn settings(folder: &Path) -> anyhow::Result<Vec<String>> {
    let read = |error| anyhow::Error::new(error).context(format!("cannot read {}", folder.display()));
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(read)? {
        let path = entry.map_err(read)?.path();
        let stem = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .unwrap_or_default();
        let numbered = stem.split_once('-').is_some_and(|(number, _)| {
            number.len() == 2 && number.bytes().all(|octet| octet.is_ascii_digit())
        });
        if numbered && path.extension().is_some_and(|extension| extension == "yaml") {
            found.push(stem.to_owned());
        }
    }
    found.sort();
    Ok(found)
}

type Build = fn(&Project) -> anyhow::Result<()>;

/// By the file that each language's tools look for.
fn language(folder: &Path) -> anyhow::Result<Build> {
    let known: [(&str, Build); 5] = [
        ("Cargo.toml", languages::rust),
        ("go.mod", languages::go),
        ("package.json", languages::js),
        ("requirements.txt", languages::python),
        ("policy.c", languages::c),
    ];
    let mut found = known.iter().filter(|(file, _)| folder.join(file).is_file());
    match (found.next(), found.next()) {
        (Some((_, build)), None) => Ok(*build),
        (Some((one, _)), Some((other, _))) => bail!(
            "{} has {one} and {other}: a project is in one language",
            folder.display()
        ),
        (None, _) => bail!(
            "{} has none of {}, which say what language a project is in",
            folder.display(),
            known.map(|(file, _)| file).join(", ")
        ),
    }
}

#[cfg(test)]
mod tests;
