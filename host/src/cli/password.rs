//! Where a command gets a password: from the person, twice; from standard input; or made here.
//!
//! Never from an argument, which every process of the machine could read.

use anyhow::{bail, ensure};
use std::io::{self, BufRead as _, IsTerminal as _};

/// How a password is given.
#[derive(Debug, Clone, Copy, clap::Args)]
#[group(multiple = false)]
pub(super) struct Source {
    /// Read the password from the first line of standard input.
    #[arg(long)]
    password_stdin: bool,
    /// Make a password and print it, this once.
    #[arg(long)]
    generate: bool,
}

/// A password, and whether the person knows it.
pub(super) enum Password {
    Given(String),
    /// To be printed.
    Made(String),
}

impl Source {
    pub(super) fn read(self) -> anyhow::Result<Password> {
        match self {
            Self { generate: true, .. } => Ok(Password::Made(make())),
            Self {
                password_stdin: true, ..
            } => Ok(Password::Given(first_line(&mut io::stdin().lock())?)),
            _ => Ok(Password::Given(ask()?)),
        }
    }
}

/// 24 of 32 letters and digits that no one mistakes for each other: 120 bits.
fn make() -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let octets: [u8; 24] = rand::random();
    let letter = |octet: &u8| {
        LETTERS
            .get(usize::from(octet % 32))
            .map(|letter| char::from(*letter))
    };
    octets.iter().filter_map(letter).collect()
}

fn first_line(input: &mut impl io::BufRead) -> anyhow::Result<String> {
    let mut line = String::new();
    input.read_line(&mut line)?;
    let password = line.strip_suffix('\n').unwrap_or(&line);
    let password = password.strip_suffix('\r').unwrap_or(password);
    ensure!(
        !password.is_empty(),
        "standard input has no password in its first line"
    );
    Ok(password.to_owned())
}

fn ask() -> anyhow::Result<String> {
    if !io::stdin().is_terminal() {
        bail!("no terminal to ask for a password: use --password-stdin or --generate");
    }
    let password = rpassword::prompt_password("Password: ")?;
    let again = rpassword::prompt_password("Again: ")?;
    ensure!(password == again, "the two passwords differ: nothing was changed");
    Ok(password)
}

/// Asks before something that cannot be undone; without a terminal it wants `--yes`.
pub(super) fn confirm(what: &str) -> anyhow::Result<()> {
    ensure!(io::stdin().is_terminal(), "{what}: say --yes if that is meant");
    super::output::note(&format!("{what}. Type yes to go on:"));
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    ensure!(answer.trim() == "yes", "nothing was changed");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_passwords_are_long_and_differ() {
        assert_eq!(make().len(), 24);
        assert_ne!(make(), make());
    }

    #[test]
    fn a_password_is_the_first_line_without_its_end() {
        let read = |text: &str| first_line(&mut text.as_bytes());
        assert_eq!(read("secret\n").unwrap(), "secret");
        assert_eq!(read("secret\r\nmore\n").unwrap(), "secret");
        assert_eq!(read(" se cret ").unwrap(), " se cret ");
        assert!(read("\nsecret").is_err());
        assert!(read("").is_err());
    }
}
