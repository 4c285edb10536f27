//! Debian's `postal` and `rabid`, as processes.

use anyhow::{Context as _, bail};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// A clear word where they are not installed.
pub(crate) fn are_there() -> anyhow::Result<()> {
    // Both leave a log where they run.
    let folder = tempfile::tempdir()?;
    for program in ["postal", "rabid"] {
        if Command::new(program).current_dir(&folder).output().is_err() {
            bail!("{program} is missing: install Debian's package postal");
        }
    }
    Ok(())
}

/// A program that works in a folder, where it leaves its log, and dies with this one, however that ends.
fn program(name: &str, folder: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", name])
        .current_dir(folder)
        .stdin(Stdio::null());
    command
}

/// A program that is killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `postal`, which says once a minute what it did.
#[derive(Debug)]
pub(crate) struct Postal {
    _running: Running,
    lines: mpsc::UnboundedReceiver<String>,
}

impl Postal {
    pub(crate) fn start(arguments: &[&str], folder: &Path) -> anyhow::Result<Self> {
        let mut command = program("postal", folder);
        let mut child = command.args(arguments).stdout(Stdio::piped()).spawn()?;
        let out = BufReader::new(child.stdout.take().context("no stdout")?);
        let (said, lines) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let _ = said.send(line);
            }
        });
        let _running = Running(child);
        Ok(Self { _running, lines })
    }

    /// The next minute's messages and errors. Its KiB are left out: it counts octets in 32 bits, and 4 GiB are soon sent.
    pub(crate) async fn minute(&mut self) -> anyhow::Result<[f64; 2]> {
        loop {
            let line = timeout(Duration::from_secs(150), self.lines.recv())
                .await
                .context("postal says nothing")?
                .context("postal ended")?;
            if let Some(figures) = figures(&line) {
                return Ok(figures);
            }
        }
    }
}

/// `rabid`, of which nothing is heard: what it says of a minute stays in its buffer.
pub(crate) fn rabid(arguments: &[&str], folder: &Path) -> anyhow::Result<Running> {
    let child = program("rabid", folder)
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    Ok(Running(child))
}

/// Of a line such as `17:33,9650,…`; the line of headings has none.
fn figures(line: &str) -> Option<[f64; 2]> {
    let (time, rest) = line.split_once(',')?;
    if !time.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let mut figures = rest.split(',').map_while(|figure| figure.trim().parse().ok());
    let (messages, _kib, errors) = (figures.next()?, figures.next()?, figures.next()?);
    Some([messages, errors])
}

/// The host in brackets, then the port: how both name one that is not the usual.
pub(crate) fn bracketed(address: SocketAddr) -> String {
    format!("[{}]{}", address.ip(), address.port())
}

#[cfg(test)]
mod tests {
    use super::{bracketed, figures};

    #[test]
    fn lines_of_postal_are_read() {
        assert_eq!(
            figures("time,messages,data(K),errors,connections,SSL connections"),
            None
        );
        assert_eq!(figures("11:12,3854,1059343,2,3853,0"), Some([3854.0, 2.0]));
        assert_eq!(figures("Can't connect to 127.0.0.1 port 0."), None);
    }

    #[test]
    fn a_port_follows_the_bracket() {
        assert_eq!(bracketed(([127, 0, 0, 1], 2525).into()), "[127.0.0.1]2525");
    }
}
