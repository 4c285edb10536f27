//! Durable deliveries per second from 64 connections, beside what this machine's disk allows: the same
//! bytes appended and synced by as many writers with group commit, without a gateway, in the same run.
//!
//! Then the same through two shipped policies without a record for `postern explain`, with it, and with the second one
//! that outlives the message; and what one call takes with and without its record.
//!
//! Prints tables; `POSTERN_BENCH_SECONDS` sets how long each row runs (default 5).

#[allow(clippy::expect_used, reason = "it is made for tests")]
#[path = "../support/guests.rs"]
mod guests;

use async_trait::async_trait;
use bytes::Bytes;
use postern::policy::stand::{Ask, Setup, Stand};
use postern::policy::{Facts, MessageSource};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

const SIZE: usize = 4096;

fn main() -> Outcome<()> {
    let seconds = std::env::var("POSTERN_BENCH_SECONDS")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or(5);
    let length = Duration::from_secs(seconds);
    let folder = tempfile::Builder::new()
        .prefix("postern-bench-")
        .tempdir_in(".")?;
    let mut out = std::io::stdout();
    writeln!(
        out,
        "| writers | ceiling: append + fdatasync /s | gateway: durable 250 /s | ratio | server CPU ms/message | p50 ms | p99 ms |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|---|")?;
    let gateway = Gateway::start(&folder.path().join("plain"), "")?;
    for writers in [1, 16, 64] {
        let ceiling = appended(&folder.path().join("ceiling"), writers, length)?;
        let before = gateway.cpu_seconds()?;
        let latencies = delivered(gateway.port, writers, length)?;
        let cpu = gateway.cpu_seconds()? - before;
        let rate = latencies.len() as f64 / length.as_secs_f64();
        writeln!(
            out,
            "| {writers} | {ceiling:.0} | {rate:.0} | {:.1} % | {:.3} | {:.2} | {:.2} |",
            100.0 * rate / ceiling,
            1000.0 * cpu / latencies.len() as f64,
            percentile(&latencies, 50),
            percentile(&latencies, 99),
        )?;
    }
    gateway.stop()?;
    explained(folder.path(), length, &mut out)?;
    noted(&mut out)
}

/// Deliveries by 16 connections through two policies: what the record for `postern explain` costs.
fn explained(folder: &Path, length: Duration, out: &mut impl Write) -> Outcome<()> {
    writeln!(
        out,
        "\n| explain | durable 250 /s | ratio | server CPU ms/message | p50 ms | p99 ms |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|")?;
    let mut without = None;
    for (name, config) in [
        ("off", "explain: { keep: 0s }\n"),
        ("in the facts", ""),
        (
            "and beyond deletion",
            "explain: { keep_deleted: true, max: 16GiB }\n",
        ),
    ] {
        let place = folder.join(name.replace(' ', "-"));
        let plugins = place.join("plugins.d");
        std::fs::create_dir_all(&plugins)?;
        for (guest, file) in [
            ("block-attachments", "10-block-attachments.wasm"),
            ("tag-subject", "20-tag-subject.wasm"),
        ] {
            std::fs::copy(guests::build(guest), plugins.join(file))?;
        }
        let gateway = Gateway::start(&place, &format!("policy: {{ folder: plugins.d }}\n{config}"))?;
        let before = gateway.cpu_seconds()?;
        let latencies = delivered(gateway.port, 16, length)?;
        let cpu = gateway.cpu_seconds()? - before;
        let rate = latencies.len() as f64 / length.as_secs_f64();
        writeln!(
            out,
            "| {name} | {rate:.0} | {:.1} % | {:.3} | {:.2} | {:.2} |",
            100.0 * rate / *without.get_or_insert(rate),
            1000.0 * cpu / latencies.len() as f64,
            percentile(&latencies, 50),
            percentile(&latencies, 99),
        )?;
        gateway.stop()?;
    }
    Ok(())
}

/// One fresh call with and without its record, in turns.
fn noted(out: &mut impl Write) -> Outcome<()> {
    const CALLS: usize = 2000;
    writeln!(
        out,
        "\n| one fresh call | p50 µs without a record | p50 µs with it | ratio |"
    )?;
    writeln!(out, "|---|---|---|---|")?;
    for guest in ["tag-subject", "block-attachments"] {
        let mut stand = Stand::open(&guests::build(guest), None).map_err(|fault| fault.to_string())?;
        let seat = stand.seat(&Setup::default()).map_err(|fault| fault.to_string())?;
        let seats = [seat.unwatched(false), seat.unwatched(true)];
        let mut took = [Vec::new(), Vec::new()];
        let message: Arc<dyn MessageSource> = Arc::new(Mail(Bytes::from(message())));
        for _ in 0..CALLS {
            for (seat, took) in seats.iter().zip(&mut took) {
                let heard = seat.ask(&Ask::Message, &Facts::default(), Some(Arc::clone(&message)), &[]);
                took.push(heard.took.as_secs_f64() * 1e6);
            }
        }
        took.iter_mut().for_each(|took| took.sort_by(f64::total_cmp));
        let [without, with] = took.map(|took| percentile(&took, 50));
        writeln!(
            out,
            "| {guest} | {without:.0} | {with:.0} | {:.3} |",
            with / without
        )?;
    }
    Ok(())
}

/// A message in memory: its head ends where its text begins.
#[derive(Debug)]
struct Mail(Bytes);

impl Mail {
    fn head_end(&self) -> usize {
        let blank = self.0.windows(4).position(|octets| octets == b"\r\n\r\n");
        blank.map_or(self.0.len(), |place| place + 4)
    }
}

#[async_trait]
impl MessageSource for Mail {
    fn head(&self) -> Bytes {
        self.0.slice(..self.head_end())
    }

    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    async fn read_text(&self, offset: u64, len: usize) -> postern::store::Result<Bytes> {
        let text = self.0.slice(self.head_end()..);
        let from = usize::try_from(offset).map_or(text.len(), |offset| offset.min(text.len()));
        Ok(text.slice(from..from.saturating_add(len).min(text.len())))
    }
}

/// Messages a second that `writers` threads append through one committer that syncs whole batches.
fn appended(path: &Path, writers: usize, length: Duration) -> Outcome<f64> {
    let mut file = File::create(path)?;
    let (queue, requests) = mpsc::channel::<(Arc<Vec<u8>>, mpsc::Sender<()>)>();
    let committer = std::thread::spawn(move || -> std::io::Result<()> {
        while let Ok(first) = requests.recv() {
            let batch: Vec<_> = std::iter::once(first)
                .chain(requests.try_iter().take(255))
                .collect();
            let bytes: Vec<u8> = batch
                .iter()
                .flat_map(|(bytes, _)| bytes.iter().copied())
                .collect();
            file.write_all(&bytes)?;
            file.sync_data()?;
            for (_, done) in batch {
                let _ = done.send(());
            }
        }
        Ok(())
    });
    let end = Instant::now() + length;
    let threads: Vec<_> = (0..writers)
        .map(|_| {
            let queue = queue.clone();
            std::thread::spawn(move || {
                let message = Arc::new(message());
                let (done, acknowledged) = mpsc::channel();
                let mut count = 0_u64;
                while Instant::now() < end {
                    if queue.send((message.clone(), done.clone())).is_err() || acknowledged.recv().is_err() {
                        break;
                    }
                    count += 1;
                }
                count
            })
        })
        .collect();
    drop(queue);
    let mut count = 0;
    for thread in threads {
        count += thread.join().map_err(|_| "a writer panicked")?;
    }
    committer.join().map_err(|_| "the committer panicked")??;
    std::fs::remove_file(path)?;
    Ok(count as f64 / length.as_secs_f64())
}

/// Latencies in milliseconds of every message that got its 250 within `length`.
fn delivered(port: u16, writers: usize, length: Duration) -> Outcome<Vec<f64>> {
    let all = Arc::new(Mutex::new(Vec::new()));
    let threads: Vec<_> = (0..writers)
        .map(|writer| {
            let all = all.clone();
            std::thread::spawn(move || -> Outcome<()> {
                let mut client = Client::connect(port)?;
                let recipient = format!("user{writer}@example.org");
                let body = message();
                let (end, mut own) = (Instant::now() + length, Vec::new());
                while Instant::now() < end {
                    let start = Instant::now();
                    client.deliver(&recipient, &body)?;
                    own.push(start.elapsed().as_secs_f64() * 1000.0);
                }
                all.lock().map_err(|_| "poisoned")?.append(&mut own);
                Ok(())
            })
        })
        .collect();
    for thread in threads {
        thread.join().map_err(|_| "a client panicked")??;
    }
    let mut latencies = std::mem::take(&mut *all.lock().map_err(|_| "poisoned")?);
    latencies.sort_by(f64::total_cmp);
    Ok(latencies)
}

fn percentile(sorted: &[f64], percent: usize) -> f64 {
    sorted
        .get((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1)))
        .copied()
        .unwrap_or(f64::NAN)
}

/// A message of [`SIZE`] octets that does not compress to nothing.
fn message() -> Vec<u8> {
    let mut text = b"From: <bench@example.net>\r\nTo: <user@example.org>\r\nSubject: bench\r\n\r\n".to_vec();
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    while text.len() < SIZE - 2 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        text.push(b'a' + (state % 26) as u8);
        if text.len().is_multiple_of(76) && text.len() < SIZE - 4 {
            text.extend_from_slice(b"\r\n");
        }
    }
    text.extend_from_slice(b"\r\n");
    text
}

/// A kept connection that pipelines what RFC 2920 allows.
struct Client {
    reader: BufReader<TcpStream>,
    writer: TcpStream,
}

impl Client {
    fn connect(port: u16) -> Outcome<Self> {
        let writer = TcpStream::connect(("127.0.0.1", port))?;
        writer.set_nodelay(true)?;
        let mut client = Self {
            reader: BufReader::new(writer.try_clone()?),
            writer,
        };
        client.expect("220")?;
        client.writer.write_all(b"EHLO bench.example.net\r\n")?;
        client.expect("250")?;
        Ok(client)
    }

    fn deliver(&mut self, recipient: &str, body: &[u8]) -> Outcome<()> {
        self.writer.write_all(
            format!("MAIL FROM:<bench@example.net>\r\nRCPT TO:<{recipient}>\r\nDATA\r\n").as_bytes(),
        )?;
        self.expect("250")?;
        self.expect("250")?;
        self.expect("354")?;
        self.writer.write_all(&[body, b".\r\n"].concat())?;
        self.expect("250")
    }

    fn expect(&mut self, code: &str) -> Outcome<()> {
        let mut line = String::new();
        loop {
            line.clear();
            if self.reader.read_line(&mut line)? == 0 {
                return Err("the gateway closed the connection".into());
            }
            if !line.starts_with(code) {
                return Err(format!("expected {code}, got {line}").into());
            }
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok(());
            }
        }
    }
}

struct Gateway {
    process: Child,
    port: u16,
}

impl Gateway {
    /// In a folder of its own, with further lines of configuration.
    fn start(folder: &Path, more: &str) -> Outcome<Self> {
        std::fs::create_dir_all(folder)?;
        let config = folder.join("postern.yaml");
        let usual = "hostname: localhost\nstate: state\nlisteners:\n  - { role: mx, address: \"127.0.0.1:0\" }\nstore: embedded\npostmaster: user0@example.org\n";
        std::fs::write(&config, format!("{usual}{more}"))?;
        let postern = env!("CARGO_BIN_EXE_postern");
        let run = |arguments: &[&str]| -> Outcome<()> {
            let done = Command::new(postern)
                .args(arguments)
                .arg("--config")
                .arg(&config)
                .output()?;
            if done.status.success() {
                Ok(())
            } else {
                Err(String::from_utf8_lossy(&done.stderr).into())
            }
        };
        run(&["domain", "add", "example.org"])?;
        let accounts: String = (0..64)
            .map(|n| format!("user{n}@example.org,{{NOLOGIN}}\n"))
            .collect();
        std::fs::write(folder.join("accounts.csv"), accounts)?;
        for n in 0..64 {
            run(&["user", "add", &format!("user{n}@example.org"), "--no-login"])?;
        }
        let mut process = Command::new(postern)
            .arg("serve")
            .arg("--config")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut lines = BufReader::new(process.stderr.take().ok_or("no stderr")?).lines();
        let port = loop {
            let line = lines.next().ok_or("postern ended")??;
            if let Some(port) = line
                .split("127.0.0.1:")
                .nth(1)
                .filter(|_| line.contains("listening"))
            {
                break port
                    .chars()
                    .take_while(char::is_ascii_digit)
                    .collect::<String>()
                    .parse()?;
            }
        };
        std::thread::spawn(move || lines.for_each(drop));
        Ok(Self { process, port })
    }

    /// User and system time of the server so far.
    fn cpu_seconds(&self) -> Outcome<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        let fields: Vec<&str> = stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        let ticks = |n: usize| {
            fields
                .get(n)
                .and_then(|f| f.parse::<f64>().ok())
                .ok_or("bad /proc stat")
        };
        Ok((ticks(11)? + ticks(12)?) / 100.0)
    }

    fn stop(mut self) -> Outcome<()> {
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }
}
