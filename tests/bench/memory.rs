//! What memory a gateway asks for: allocations for a delivery, a RETR and a login, and the most that a message of 50 MB
//! needs beside what the store keeps anyway.
//!
//! The gateway is in this process, over the embedded store, without policies and with its log and metrics; its client
//! is a thread that is not counted (see [`counting`]). Prints tables.
//!
//! The store's own buffers are told apart by a trick: the large message is noise that no packing makes smaller, so
//! that each row of its text, in a memtable or in the cache, is an allocation of one size that nothing else has.

#![allow(clippy::expect_used, reason = "a bench fails by panicking")]

mod counting;

use counting::{Counting, LARGE, Peak};
use postern::admin;
use postern::config::Config;
use postern::gateway::{self, Gateway};
use postern::net::{self, Stop};
use postern::store::{Account, CHUNK, Domain};
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Before the head of what the engine keeps for a value of its own.
const HEAD_OF_A_ROW: usize = 8;
/// Behind a row's text: how it is packed.
const MARK_OF_A_ROW: usize = 1;

/// Messages that fill what is kept from one to the next, and those that are counted.
const WARM: usize = 300;
const COUNTED: usize = 1000;
const LOGINS: usize = 50;
const SMALL: usize = 4 << 10;
const BIG: usize = 50_000_000;
/// Of each way that a large message goes; the highest counts.
const ROUNDS: usize = 3;
const LISTENERS: &str = "\
    - { name: mx, role: mx, tls: none, address: \"127.0.0.1:0\" }\n\
    - { name: pop3, role: pop3, tls: none, plaintext_auth: true, address: \"127.0.0.1:0\" }\n";
const ANN: &str = "ann@example.org";
/// Whose maildrop is empty.
const BOB: &str = "bob@example.org";
const PASSWORD: &str = "correct-horse";
const PATIENCE: Duration = Duration::from_secs(60);

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.expect("threads");
    let house = runtime.block_on(House::open());
    let [mx, pop3] = house.places;
    let client = std::thread::spawn(move || {
        counting::leave_out_this_thread();
        measured(mx, pop3)
    });
    let text = client.join().expect("a client that is served");
    write!(std::io::stdout(), "{text}").expect("somebody who reads it");
    house.stop.accepting.cancel();
    house.stop.sessions.cancel();
}

/// A gateway as `postern serve` makes one.
struct House {
    stop: Stop,
    /// Of mx and pop3.
    places: [SocketAddr; 2],
    _gateway: Arc<Gateway>,
    _folder: TempDir,
}

impl House {
    async fn open() -> Self {
        let metrics = admin::record_metrics().expect("the first recorder");
        tokio::spawn(admin::keep_up(metrics, CancellationToken::new()));
        // Lines are written as they would be to stderr.
        let lines = tracing_subscriber::fmt().with_env_filter("info,fjall=warn,lsm_tree=warn");
        lines.with_ansi(false).with_writer(std::io::sink).init();
        // On the disk that is built on: the usual place for temporary files may be in memory.
        let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        let text = format!("hostname: localhost\nstate: state\npostmaster: {ANN}\nlisteners:\n{LISTENERS}");
        let config = Arc::new(Config::parse(&text, folder.path()).expect("a configuration"));
        gateway::make_state(&config).expect("its folder");
        let store = gateway::open_store(&config).await.expect("a store");
        let gateway = Gateway::new(Arc::clone(&config), store, Arc::default(), 10_000);
        let gateway = Arc::new(gateway.expect("a gateway"));
        furnish(&gateway).await;
        let bound = config.listeners.iter().map(net::bind);
        let bound: Vec<_> = bound.collect::<Result<_, _>>().expect("sockets");
        let places: Vec<_> = bound.iter().map(|bound| bound.listener.address).collect();
        let stop = Stop::default();
        net::serve(&gateway, bound, &stop);
        Self {
            stop,
            places: places.try_into().expect("two listeners"),
            _gateway: gateway,
            _folder: folder,
        }
    }
}

async fn furnish(gateway: &Gateway) {
    let domain = Domain {
        name: "example.org".to_owned(),
        alias_of: None,
    };
    gateway.store.create_domain(domain).await.expect("a domain");
    for address in [ANN, BOB] {
        let kept = gateway.directory.credentials(PASSWORD).await.expect("a hash");
        let account = Account {
            address: address.to_owned(),
            password: Some(kept.password),
            scram: kept.scram,
            quota_bytes: None,
            quota_messages: None,
        };
        gateway.store.create_account(account).await.expect("an account");
    }
}

fn measured(mx: SocketAddr, pop3: SocketAddr) -> String {
    counting::rows_have(HEAD_OF_A_ROW + CHUNK + MARK_OF_A_ROW);
    let mut costs = vec![deliveries(mx)];
    costs.push(retrieved(pop3, "RETR of it, from the memtable"));
    costs.push(logins(pop3));
    let (peaks, more) = large(mx, pop3);
    costs.extend(more);
    let mut text = format!(
        "# Memory, as it is asked for\n\nMade by `cargo bench --bench memory` (`make bench`): a gateway in the bench's process, over the embedded store, \
         without policies; a client over loopback in clear that is not counted. What zstd and aws-lc get by themselves is not seen.\n\n\
         ## Allocations\n\nMessages of {} KiB over one connection, {COUNTED} of them after {WARM} others; a mean has what the engine does meanwhile too.\n\n",
        SMALL >> 10
    );
    text.push_str(&of_costs(&costs));
    let _ = write!(
        text,
        "\n## A message of {} MB\n\nNoise that cannot be packed; the highest of {ROUNDS} rounds. Rows are what the store holds of the text, {} KiB each: in memtables and in \
         the cache, whose sizes `host/src/store/embedded.rs` sets, and the one that is on its way there. \"Beside them\" is the highest of all else at any moment, the engine's \
         flushes and compactions among it; with one row, it is what the message itself needs, and is compared with what was wanted. \"Above the level before\" is everything \
         together, rows too: as much of the message as memtables keep until they are written to the disk.\n\n",
        BIG / 1_000_000,
        CHUNK >> 10
    );
    text.push_str(&of_peaks(&peaks));
    text
}

/// Allocations of one step, many times.
struct Cost {
    what: &'static str,
    /// Number and octets of each time.
    each: Vec<[u64; 2]>,
}

impl Cost {
    fn new(what: &'static str) -> Self {
        Self {
            what,
            each: Vec::new(),
        }
    }

    fn count(&mut self, step: impl FnOnce()) {
        let before = counting::made();
        step();
        let after = counting::made();
        let [count, octets] = before;
        self.each.push([after[0] - count, after[1] - octets]);
    }
}

fn deliveries(mx: SocketAddr) -> Cost {
    let mut cost = Cost::new("a delivery, from MAIL to the 250");
    let mut client = Client::smtp(mx);
    for nth in 0..WARM + COUNTED {
        let letter = letter(nth);
        match nth < WARM {
            true => client.data(&letter),
            false => cost.count(|| client.data(&letter)),
        }
    }
    client.ask("QUIT\r\n", "221");
    cost
}

/// Those that were counted when they came.
fn retrieved(pop3: SocketAddr, what: &'static str) -> Cost {
    let mut cost = Cost::new(what);
    let mut client = Client::pop3(pop3, ANN);
    for nth in WARM..WARM + COUNTED {
        cost.count(|| client.retrieve(nth + 1, SMALL));
    }
    client.ask("QUIT\r\n", "+OK");
    cost
}

/// The first one computes a hash; a client that comes again has it compared with what is remembered.
fn logins(pop3: SocketAddr) -> Cost {
    let mut cost = Cost::new(
        "a login to an empty maildrop, from USER to the answer to PASS, of a client that comes again",
    );
    for nth in 0..=LOGINS {
        let mut client = Client::connect(pop3, "+OK");
        match nth {
            0 => client.log_in(BOB),
            _ => cost.count(|| client.log_in(BOB)),
        }
        client.ask("QUIT\r\n", "+OK");
    }
    cost
}

/// The highest peak of each way, and RETR of what was small when it has come to the disk.
fn large(mx: SocketAddr, pop3: SocketAddr) -> (Vec<(&'static str, Peak)>, Vec<Cost>) {
    const LAST: usize = WARM + COUNTED + 1;
    const CHUNKS: usize = 1 << 20;
    let message = noise();
    let mut smtp = Client::smtp(mx);
    // Once each, so that threads and what is kept from one message to the next are there.
    smtp.data(&message);
    smtp.bdat(&message, CHUNKS);
    let mut pop = Client::pop3(pop3, ANN);
    pop.retrieve(LAST, BIG);
    let mut peaks = vec![
        ("DATA", highest(|| smtp.data(&message))),
        ("BDAT, chunks of 1 MiB", highest(|| smtp.bdat(&message, CHUNKS))),
        ("BDAT, one chunk", highest(|| smtp.bdat(&message, BIG))),
    ];
    for (_, peak) in &peaks {
        assert!(
            peak.rows as usize >= BIG / CHUNK,
            "rows have another size: {peak:?}"
        );
    }
    peaks.push(("RETR", highest(|| pop.retrieve(LAST, BIG))));
    pop.ask("QUIT\r\n", "+OK");
    smtp.ask("QUIT\r\n", "221");
    let costs = vec![
        retrieved(pop3, "RETR of it, from the disk, what nobody has read there"),
        retrieved(pop3, "RETR of it, from the cache"),
    ];
    (peaks, costs)
}

fn highest(mut way: impl FnMut()) -> Peak {
    let rounds = (0..ROUNDS).map(|_| {
        settle();
        let level = counting::level();
        way();
        level.peak()
    });
    let rounds: Vec<_> = rounds.collect();
    let all = rounds.iter().map(|peak| peak.all).max();
    let highest = rounds.into_iter().max_by_key(|peak| peak.others);
    highest
        .zip(all)
        .map(|(highest, all)| Peak { all, ..highest })
        .expect("a round")
}

/// Waits until the engine is done with what was written before.
fn settle() {
    const QUIET: Duration = Duration::from_millis(500);
    let begun = Instant::now();
    let mut since = (Instant::now(), counting::live());
    while since.0.elapsed() < QUIET {
        assert!(begun.elapsed() < PATIENCE, "memory never comes to rest");
        std::thread::sleep(Duration::from_millis(10));
        let live = counting::live();
        if live != since.1 {
            since = (Instant::now(), live);
        }
    }
}

/// A client that knows what comes.
struct Client {
    stream: BufReader<TcpStream>,
    line: String,
}

impl Client {
    fn connect(place: SocketAddr, greeting: &str) -> Self {
        let stream = TcpStream::connect(place).expect("a gateway");
        stream.set_nodelay(true).expect("a socket");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let mut client = Self {
            stream: BufReader::with_capacity(64 << 10, stream),
            line: String::new(),
        };
        client.told(greeting);
        client
    }

    fn smtp(place: SocketAddr) -> Self {
        let mut client = Self::connect(place, "220");
        client.ask("EHLO mail.shop.example\r\n", "250");
        client
    }

    fn pop3(place: SocketAddr, user: &str) -> Self {
        let mut client = Self::connect(place, "+OK");
        client.log_in(user);
        client
    }

    fn log_in(&mut self, user: &str) {
        self.ask(&format!("USER {user}\r\n"), "+OK");
        self.ask(&format!("PASS {PASSWORD}\r\n"), "+OK");
    }

    fn write(&mut self, octets: &[u8]) {
        self.stream
            .get_mut()
            .write_all(octets)
            .expect("a server that reads");
    }

    /// The last line of a reply.
    fn told(&mut self, wanted: &str) {
        loop {
            self.line.clear();
            self.stream.read_line(&mut self.line).expect("a reply");
            assert!(self.line.starts_with(wanted), "{} is no {wanted}", self.line);
            if self.line.as_bytes().get(3) != Some(&b'-') {
                return;
            }
        }
    }

    fn ask(&mut self, command: &str, wanted: &str) {
        self.write(command.as_bytes());
        self.told(wanted);
    }

    fn envelope(size: usize) -> String {
        format!("MAIL FROM:<bob@shop.example> BODY=8BITMIME SIZE={size}\r\nRCPT TO:<{ANN}>\r\n")
    }

    fn data(&mut self, message: &[u8]) {
        self.write(format!("{}DATA\r\n", Self::envelope(message.len())).as_bytes());
        self.told("250");
        self.told("250");
        self.told("354");
        self.write(message);
        self.ask(".\r\n", "250");
    }

    /// In so many octets at a time.
    fn bdat(&mut self, message: &[u8], chunk: usize) {
        self.write(Self::envelope(message.len()).as_bytes());
        self.told("250");
        self.told("250");
        let mut left = message.len();
        for chunk in message.chunks(chunk) {
            left -= chunk.len();
            let last = if left == 0 { " LAST" } else { "" };
            self.write(format!("BDAT {}{last}\r\n", chunk.len()).as_bytes());
            self.write(chunk);
            self.told("250");
        }
    }

    /// A message that has at least so many octets.
    fn retrieve(&mut self, nth: usize, least: usize) {
        const END: &[u8] = b"\r\n.\r\n";
        self.ask(&format!("RETR {nth}\r\n"), "+OK");
        let (mut octets, mut read) = (vec![0; 256 << 10], 0);
        let mut tail = b"\r\n".to_vec();
        while !tail.ends_with(END) {
            let more = self.stream.read(&mut octets).expect("the message");
            assert!(more > 0, "the message is cut off");
            read += more;
            tail.extend(octets.iter().take(more).skip(more.saturating_sub(END.len())));
            tail.drain(..tail.len().saturating_sub(END.len()));
        }
        assert!(read >= least, "{read} octets of {least}");
    }
}

const HEAD: &str = "From: Bob <bob@shop.example>\r\nTo: <ann@example.org>\r\nSubject: octets\r\n\
    Date: Thu, 26 Nov 2026 09:00:00 +0000\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: 8bit\r\n";

/// Octets at random, the same at each run.
fn random(seed: u64) -> impl Iterator<Item = u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    })
}

/// Of [`SMALL`] octets, like no other; zstd makes about half of it.
fn letter(nth: usize) -> Vec<u8> {
    let mut letter = format!("{HEAD}Message-ID: <{nth}@shop.example>\r\n\r\n").into_bytes();
    let mut digits =
        random(nth as u64 + 1).map(|octet| b"abcdefghijklmnop".get(usize::from(octet % 16)).copied());
    while letter.len() + 2 < SMALL {
        match letter.len() % 70 {
            68 => letter.extend_from_slice(b"\r\n"),
            69 => letter.push(b' '),
            _ => letter.extend(digits.next().flatten()),
        }
    }
    letter.extend_from_slice(b"\r\n");
    letter
}

/// Of [`BIG`] octets that no packing makes fewer, in lines without dots.
fn noise() -> Vec<u8> {
    const LINE: usize = 900;
    let mut octets = random(7).filter(|octet| !matches!(octet, 0 | b'\r' | b'\n' | b'.'));
    let mut message = format!("{HEAD}\r\n").into_bytes();
    message.reserve(BIG);
    while message.len() + LINE + 2 <= BIG {
        message.extend(octets.by_ref().take(LINE));
        message.extend_from_slice(b"\r\n");
    }
    let rest = BIG - message.len() - 2;
    message.extend(octets.take(rest));
    message.extend_from_slice(b"\r\n");
    message
}

fn of_costs(costs: &[Cost]) -> String {
    let mut text = String::from(
        "| what | allocations, median | mean | KiB allocated, median | mean |\n|---|---|---|---|---|\n",
    );
    for cost in costs {
        let _ = write!(text, "| {}", cost.what);
        let numbers: Vec<u64> = cost.each.iter().map(|[number, _]| *number).collect();
        let octets = cost.each.iter().map(|[_, octets]| *octets).collect();
        for (mut figures, unit) in [(numbers, 1.0), (octets, 1024.0)] {
            figures.sort_unstable();
            let median = figures.get(figures.len() / 2).copied().unwrap_or_default();
            let mean = figures.iter().sum::<u64>() as f64 / figures.len() as f64;
            let _ = write!(text, " | {:.1} | {:.1}", median as f64 / unit, mean / unit);
        }
        text.push_str(" |\n");
    }
    text
}

fn of_peaks(peaks: &[(&str, Peak)]) -> String {
    let mib = |octets: i64| octets as f64 / f64::from(1 << 20);
    let mut text = format!(
        "| by | above the level before, MiB | beside rows, MiB | with one row, MiB | wanted | reached | beside rows, what has {} KiB and more |\n\
         |---|---|---|---|---|---|---|\n",
        LARGE >> 10
    );
    for (way, peak) in peaks {
        let needs = mib(peak.others + CHUNK as i64);
        let reached = match needs {
            needs if needs <= 1.0 => "aim",
            needs if needs <= 4.0 => "yes",
            _ => "**no**",
        };
        let mut of = peak.of.clone();
        of.sort_by_key(|(size, more)| -(*size as i64 * more));
        let of: Vec<_> = of
            .iter()
            .take(8)
            .map(|(size, more)| format!("{more} × {:.0} KiB", *size as f64 / 1024.0))
            .collect();
        let _ = writeln!(
            text,
            "| {way} | {:.2} | {:.2} | {needs:.2} | ≤ 4, aim 1 | {reached} | {} |",
            mib(peak.all),
            mib(peak.others),
            of.join(", ")
        );
    }
    text
}
