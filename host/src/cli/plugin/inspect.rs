//! `postern plugin inspect`: what a component is, before it is installed.

use crate::cli::output;
use crate::config::units::ByteSize;
use crate::policy::stand::{self, Inspection, Memory, Wants};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    /// The component.
    file: PathBuf,
    /// One JSON object instead of lines for people.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let found =
        stand::inspect(&arguments.file, &super::keep()).map_err(|fault| anyhow::anyhow!("{fault}"))?;
    let mut out = io::stdout().lock();
    match arguments.json {
        true => writeln!(out, "{}", output::text(&found)?)?,
        false => lines(&found, &mut out)?,
    }
    out.flush()?;
    Ok(match found.refused {
        Some(_) => ExitCode::FAILURE,
        None => ExitCode::SUCCESS,
    })
}

fn lines(found: &Inspection, out: &mut impl Write) -> io::Result<()> {
    let mut line = |key: &str, text: &str| writeln!(out, "{key:<12}{}", output::printable(text));
    line("file", &found.file.display().to_string())?;
    line("size", &format!("{} octets", found.bytes))?;
    line("sha256", &found.sha256)?;
    line("answers", &or_nothing(&found.answers.join(", ")))?;
    let contract = found
        .contract
        .iter()
        .map(|version| format!("postern:policy {version}"));
    line("contract", &or_nothing(&contract.collect::<Vec<_>>().join(", ")))?;
    if let Some(memory) = &found.memory {
        line("memory", &declared(memory))?;
    }
    for needed in &found.capabilities {
        let functions = needed.functions.join(", ");
        let wants = match needed.wants {
            Wants::Nothing => String::new(),
            Wants::Grant(name) => format!("  needs grants: {{ {name}: … }}, else the error `not granted`"),
        };
        line("capability", &format!("{}: {functions}{wants}", needed.interface))?;
    }
    for name in &found.wasi {
        line("wasi", name)?;
    }
    if !found.wasi.is_empty() {
        line("", "(by these no file, network or environment can be reached)")?;
    }
    for name in &found.unknown {
        line("unknown", name)?;
    }
    match &found.refused {
        Some(text) => line("refused", text),
        None => line("loads", "yes"),
    }
}

fn or_nothing(text: &str) -> String {
    match text {
        "" => "nothing".to_owned(),
        text => text.to_owned(),
    }
}

fn declared(memory: &Memory) -> String {
    let count = |number: u32, one: &str, many: &str| match number {
        1 => format!("1 {one}"),
        number => format!("{number} {many}"),
    };
    format!(
        "{}, the largest {} at its start; {}, the largest of {} elements",
        count(memory.memories, "memory", "memories"),
        ByteSize(memory.largest),
        count(memory.tables, "table", "tables"),
        memory.elements
    )
}
