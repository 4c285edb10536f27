//! Logging: one line an event on standard error, as text for people or as JSON for machines.
//!
//! `POSTERN_LOG` in the environment goes before `log.level` of the configuration, so that somebody who looks
//! for a fault need not edit it. Passwords and bodies never reach a log line; that is up to who writes one.

use crate::config::{LogConfig, LogFormat};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// The variable that goes before the configured level.
pub const VARIABLE: &str = "POSTERN_LOG";

/// Libraries that tell of their own upkeep: heard from `warn` on, unless a level names them. Of the driver of Cassandra
/// nothing: each try to reach a node that is away is a line of its own, and what matters the store tells. The
/// resolver warns of each stray packet, which anybody can send.
const QUIET: &str = "scylla=off,hickory_net=error,hickory_resolver=error,fjall=warn,lsm_tree=warn,value_log=warn,\
                     wasmtime=warn,cranelift=warn,regalloc2=warn";

/// Begins to log; once in a process. A level that is none is refused with the variable's name.
pub fn start(config: &LogConfig) -> anyhow::Result<()> {
    let level = std::env::var(VARIABLE).unwrap_or_else(|_| config.level.clone());
    let filter = filter(&level)?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let started = match config.format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("cannot begin to log: {error}"))
}

fn filter(level: &str) -> anyhow::Result<EnvFilter> {
    anyhow::ensure!(
        crate::config::is_level(level),
        "`{level}` is not a level; write error, warn, info, debug or trace in {VARIABLE}, or module=level with commas"
    );
    // A later word about the same module goes before an earlier one, and one about all of it before neither.
    Ok(EnvFilter::try_new(format!("{QUIET},{level}"))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_by_module_are_understood_and_other_words_refused_with_a_mend() {
        assert!(filter("info").is_ok());
        assert!(filter("warn,postern::net=debug").is_ok());
        let said = filter("debug,fjall=info").unwrap().to_string();
        assert!(
            said.contains("fjall=info") && !said.contains("fjall=warn"),
            "{said}"
        );
        assert!(said.contains("wasmtime=warn"), "{said}");
        let refused = filter("loud").unwrap_err().to_string();
        assert!(
            refused.contains("`loud` is not a level") && refused.contains(VARIABLE),
            "{refused}"
        );
    }
}
