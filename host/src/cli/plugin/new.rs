//! `postern plugin new`: a small complete project in one of five languages.
//!
//! The files are those of `plugins/templates`. They are a project named `example-policy`; writing one puts the
//! name in that place.

mod template;

use crate::cli::output;
use anyhow::Context as _;
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use wit_bindgen_core::wit_parser::UnresolvedPackageGroup;

/// Octets of a name, which is also a header field's (`X-Name`) in the template.
const LONGEST: usize = 40;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    /// What it is called, and the folder that is made: small letters, digits and hyphens.
    #[arg(value_parser = name)]
    name: String,
    /// The language.
    #[arg(long, value_enum, value_name = "rust|go|js|python|c")]
    lang: Language,
    /// What it decides.
    #[arg(long, value_enum, default_value_t = Kind::Filter)]
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Language {
    Rust,
    Go,
    Js,
    Python,
    C,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// Accepts, refuses and edits messages.
    Filter,
    /// Says where mail for an address goes.
    Router,
    /// Bounds mailboxes.
    Quota,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { name, lang, kind } = arguments;
    write(Path::new(name), name, *lang, *kind)?;
    let kind = match kind {
        Kind::Filter => "filter",
        Kind::Router => "router",
        Kind::Quota => "quota",
    };
    output::say(&format!(
        "{name}/ has a {kind} to begin with, and README.md what to do with it. Next:\n  \
         cd {name}\n  \
         postern plugin build"
    ))?;
    Ok(ExitCode::SUCCESS)
}

fn write(folder: &Path, name: &str, language: Language, kind: Kind) -> anyhow::Result<()> {
    let shown = folder.display();
    anyhow::ensure!(
        fs::symlink_metadata(folder).is_err(),
        "{shown} is here already: take another name, or remove it"
    );
    for (path, text) in template::files(language, kind) {
        let file = folder.join(filled(path, name));
        let place = file.parent().unwrap_or(folder);
        fs::create_dir_all(place).with_context(|| format!("cannot make {}", place.display()))?;
        fs::write(&file, filled(text, name)).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

/// With the name where the template has its own, in each of its spellings.
fn filled(text: &str, name: &str) -> String {
    let words = name.split('-').map(|word| {
        let (first, rest) = word.split_at_checked(1).unwrap_or_default();
        first.to_ascii_uppercase() + rest
    });
    let capital = words.collect::<Vec<_>>().join("-");
    text.replace("example-policy", name)
        .replace("Example-Policy", &capital)
}

/// A name that all five languages, WIT and the policy folder take.
fn name(text: &str) -> Result<String, String> {
    let word = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_lowercase())
            && word
                .bytes()
                .all(|octet| octet.is_ascii_lowercase() || octet.is_ascii_digit())
    };
    if !text.split('-').all(word) {
        return Err("write small letters and digits in words that begin with a letter, with hyphens between: `no-spam`".into());
    }
    if text.len() > LONGEST {
        return Err(format!("it has {} letters; {LONGEST} are the most", text.len()));
    }
    match UnresolvedPackageGroup::parse("name.wit", &format!("package example:{text};")) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(format!(
            "`{text}` is a word of WIT; take another, such as `{text}-policy`"
        )),
    }
}

#[cfg(test)]
mod tests;
