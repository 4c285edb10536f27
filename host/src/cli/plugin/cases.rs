//! `postern plugin test`: cases of a folder, put to a component.
//!
//! All files are read first, and whatever is wrong in any of them is named with its line before a case is
//! tried. Each case has a policy of its own: loaded with its settings, over a store with what it says. Exit
//! code 1 where one differs, and where there is none.

mod auth;
mod compare;
mod dns;
mod given;
mod raw;
mod read;
mod value;

use crate::cli::output;
use crate::policy::stand::{Heard, Mail, Question, Stand};
use anyhow::{bail, ensure};
use compare::Difference;
use read::Case;
use serde::Serialize;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    /// The component.
    file: PathBuf,
    /// The folder of cases, all its *.yaml, or one file; without it, the folder `cases` beside the component.
    #[arg(long, value_name = "PATH")]
    cases: Option<PathBuf>,
    /// Only cases in whose name this text is.
    #[arg(long, value_name = "NAME")]
    filter: Option<String>,
    /// Its own file, with settings, grants and limits; without it, the .yaml beside the component.
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// One JSON object instead of lines for people.
    #[arg(long)]
    json: bool,
}

/// What came of all cases.
#[derive(Debug, Default, Serialize)]
struct Report {
    passed: usize,
    failed: usize,
    cases: Vec<Outcome>,
    /// What is wrong with the files; then no case was tried.
    faults: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Outcome {
    file: PathBuf,
    name: String,
    passed: bool,
    differences: Vec<Difference>,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let beside = arguments.file.with_file_name("cases");
    let folder = arguments.cases.as_deref().unwrap_or(&beside);
    let read = read::folder(folder)?;
    let folder = folder.display();
    let mut cases = match read {
        Ok(cases) => cases,
        Err(faults) => return refused(arguments, faults),
    };
    ensure!(
        !cases.is_empty(),
        "there are no cases in {folder}; write one, NAME.yaml"
    );
    if let Some(filter) = &arguments.filter {
        cases.retain(|case| case.name.contains(filter.as_str()));
        ensure!(
            !cases.is_empty(),
            "no case in {folder} has `{filter}` in its name"
        );
    }
    let mut stand = match Stand::open(&arguments.file, arguments.manifest.as_deref(), &super::keep()) {
        Ok(stand) => stand,
        Err(fault) => bail!("{fault}"),
    };
    let mut out = io::BufWriter::new(io::stdout());
    let (mut report, mut told) = (Report::default(), Ok(()));
    for case in cases {
        let differences = tried(&mut stand, &case);
        let outcome = Outcome {
            passed: differences.is_empty(),
            file: case.file,
            name: case.name,
            differences,
        };
        if !arguments.json {
            told = told.and_then(|()| lines(&outcome, &mut out));
        }
        report.add(outcome);
    }
    let told = told.and_then(|()| match arguments.json {
        true => writeln!(out, "{}", output::text(&report)?),
        false => writeln!(out, "{} passed, {} failed", report.passed, report.failed),
    });
    // Who has read enough still learns by the exit code what became of the rest.
    match told.and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error.into()),
        _ => {}
    }
    Ok(match report.failed {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

/// No case is tried where one is wrong.
fn refused(arguments: &Arguments, faults: Vec<String>) -> anyhow::Result<ExitCode> {
    if !arguments.json {
        bail!("{}", faults.join("\n"));
    }
    let report = Report {
        faults,
        ..Report::default()
    };
    writeln!(io::stdout().lock(), "{}", output::text(&report)?)?;
    Ok(ExitCode::FAILURE)
}

impl Report {
    fn add(&mut self, outcome: Outcome) {
        match outcome.passed {
            true => self.passed += 1,
            false => self.failed += 1,
        }
        self.cases.push(outcome);
    }
}

/// What differs from what the case expects.
fn tried(stand: &mut Stand, case: &Case) -> Vec<Difference> {
    let seat = match stand.seat(&case.setup) {
        Ok(seat) => seat,
        Err(fault) => return compare::refused(&case.expect, &fault),
    };
    let question = case.ask.question();
    if !seat.answers(question) {
        let answers = Question::ALL
            .into_iter()
            .filter(|question| seat.answers(*question));
        let answers: Vec<&str> = answers.map(Question::word).collect();
        let said = format!("this component answers {}", answers.join(", "));
        return vec![Difference::new("ask", question.word(), said)];
    }
    let message = case.message.as_deref().map(|octets| Mail::new(octets) as _);
    let heard: Heard = seat.ask(&case.ask, &case.facts, message, &[]);
    compare::differences(&case.expect, &heard, &seat.kv())
}

fn lines(outcome: &Outcome, out: &mut impl Write) -> io::Result<()> {
    let word = if outcome.passed { "ok  " } else { "FAIL" };
    let file = outcome.file.file_name().unwrap_or_default().to_string_lossy();
    let line = format!("{word}  {file}: {}", outcome.name);
    writeln!(out, "{}", output::printable(&line))?;
    for difference in &outcome.differences {
        writeln!(out, "      {}", difference.what)?;
        for (sign, text) in difference.lines() {
            writeln!(out, "        {sign} {}", output::printable(text))?;
        }
    }
    Ok(())
}
