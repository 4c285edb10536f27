//! Mail that comes at its own pace, whatever the gateways do, and a reader who deletes; both write down what they
//! were told.

use crate::PATIENCE;
use crate::mail::{self, Fate, Pop3};
use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The mailboxes that get mail.
pub(crate) const USERS: [&str; 4] = [
    "ann@example.org",
    "bob@example.org",
    "eve@example.org",
    "joe@example.org",
];

/// One transaction that ended.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) token: usize,
    /// The gateway.
    pub(crate) mx: SocketAddr,
    pub(crate) to: Vec<&'static str>,
    pub(crate) begun: Instant,
    pub(crate) ended: Instant,
    pub(crate) fate: Fate,
}

impl Sent {
    pub(crate) fn is_kept(&self) -> bool {
        matches!(self.fate, Fate::Kept(_))
    }

    pub(crate) fn is_refused(&self) -> bool {
        matches!(self.fate, Fate::Refused(_))
    }

    pub(crate) fn is_broken(&self) -> bool {
        matches!(self.fate, Fate::Broken)
    }
}

#[derive(Debug, Default)]
struct Shared {
    sent: Mutex<Vec<Sent>>,
    more: Condvar,
    over: AtomicBool,
}

/// Deliveries that begin at a fixed rate, in turn at each gateway.
pub(crate) struct Load {
    shared: Arc<Shared>,
    gateways: Arc<Mutex<Vec<SocketAddr>>>,
    pacing: JoinHandle<Vec<JoinHandle<()>>>,
}

impl Load {
    /// Small ones mostly.
    pub(crate) fn start(gateways: &[SocketAddr], a_second: u32) -> Self {
        let size = |token: usize| if token.is_multiple_of(10) { 40_000 } else { 2_000 };
        Self::of(gateways, a_second, size)
    }

    /// Of sizes that the tokens say.
    pub(crate) fn of(gateways: &[SocketAddr], a_second: u32, size: fn(usize) -> usize) -> Self {
        let shared = Arc::new(Shared::default());
        let gateways = Arc::new(Mutex::new(gateways.to_vec()));
        let (mine, places) = (Arc::clone(&shared), Arc::clone(&gateways));
        let pacing = std::thread::spawn(move || {
            let mut under_way = Vec::new();
            let begun = Instant::now();
            for token in 0.. {
                if mine.over.load(Ordering::Relaxed) {
                    break;
                }
                let due = begun + Duration::from_secs(1) / a_second * token;
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                let token = token as usize;
                let mx = {
                    let places = places.lock().unwrap();
                    places[token % places.len()]
                };
                let shared = Arc::clone(&mine);
                under_way.push(std::thread::spawn(move || shared.deliver(mx, token, size(token))));
            }
            under_way
        });
        Self {
            shared,
            gateways,
            pacing,
        }
    }

    /// Where the next ones go.
    pub(crate) fn aim(&self, gateways: &[SocketAddr]) {
        *self.gateways.lock().unwrap() = gateways.to_vec();
    }

    /// Waits until this is so; answers the first that is.
    pub(crate) fn wait_for(&self, what: &str, is_so: impl Fn(&Sent) -> bool) -> Sent {
        let end = Instant::now() + PATIENCE;
        let mut sent = self.shared.sent.lock().unwrap();
        loop {
            if let Some(found) = sent.iter().find(|sent| is_so(sent)) {
                return found.clone();
            }
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "never {what}");
            sent = self.shared.more.wait_timeout(sent, left).unwrap().0;
        }
    }

    /// Lets mail come for a while.
    pub(crate) fn go_on(&self, long: Duration) {
        let end = Instant::now() + long;
        self.wait_for("mail that went on", |sent| sent.ended >= end);
    }

    /// No more; answers all that was sent when each has its end.
    pub(crate) fn end(self) -> Vec<Sent> {
        self.shared.over.store(true, Ordering::Relaxed);
        for delivery in self.pacing.join().unwrap() {
            delivery.join().unwrap();
        }
        std::mem::take(&mut *self.shared.sent.lock().unwrap())
    }
}

impl Shared {
    /// For one mailbox; some for two.
    fn deliver(&self, mx: SocketAddr, token: usize, size: usize) {
        let mut to = vec![USERS[token % USERS.len()]];
        if token.is_multiple_of(7) {
            to.push(USERS[(token + 1) % USERS.len()]);
        }
        let begun = Instant::now();
        let fate = mail::send(mx, &to, &mail::message(token, size));
        let sent = Sent {
            token,
            mx,
            to,
            begun,
            ended: Instant::now(),
            fate,
        };
        self.sent.lock().unwrap().push(sent);
        self.more.notify_all();
    }
}

/// Who was told what of deletions: mailbox and token.
#[derive(Debug, Default)]
pub(crate) struct Deletions {
    pub(crate) done: HashSet<(&'static str, usize)>,
    /// QUIT was not answered with +OK.
    pub(crate) doubtful: HashSet<(&'static str, usize)>,
    pub(crate) read: usize,
    pub(crate) refusals: Vec<Refusal>,
}

/// A session that was refused something.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    pub(crate) begun: Instant,
    pub(crate) ended: Instant,
    pub(crate) said: String,
}

impl Deletions {
    /// Asserts that nothing was refused but for now, and to sessions that were there at some time of these spans.
    pub(crate) fn assert_refused_only(&self, spans: &[(Instant, Instant)]) {
        for refusal in &self.refusals {
            assert!(refusal.said.starts_with("-ERR [SYS/TEMP]"), "{refusal:?}");
            let explained = spans
                .iter()
                .any(|(from, to)| refusal.ended >= *from && refusal.begun < *to);
            assert!(explained, "{refusal:?} outside of {spans:?}");
        }
    }

    pub(crate) fn assert_nothing_refused(&self) {
        assert!(self.refusals.is_empty(), "{:?}", self.refusals);
    }

    fn visit(&mut self, pop3: SocketAddr, user: &'static str) {
        let begun = Instant::now();
        if let Err(said) = visit(pop3, user, self) {
            let ended = Instant::now();
            self.refusals.push(Refusal { begun, ended, said });
        }
    }
}

/// Somebody who reads each mailbox in turn and deletes every other message.
pub(crate) struct Reader {
    over: Arc<AtomicBool>,
    reading: JoinHandle<Deletions>,
}

impl Reader {
    pub(crate) fn start(pop3: SocketAddr) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&over);
        let reading = std::thread::spawn(move || {
            let mut deletions = Deletions::default();
            for user in USERS.iter().cycle() {
                if told.load(Ordering::Relaxed) {
                    break;
                }
                deletions.visit(pop3, user);
                // A person pauses too; a reader that polls without pause would be the load.
                std::thread::sleep(Duration::from_millis(100));
            }
            deletions
        });
        Self { over, reading }
    }

    /// One visit to each mailbox.
    pub(crate) fn once(pop3: SocketAddr) -> Deletions {
        let mut deletions = Deletions::default();
        for user in USERS {
            deletions.visit(pop3, user);
        }
        deletions
    }

    pub(crate) fn end(self) -> Deletions {
        self.over.store(true, Ordering::Relaxed);
        self.reading.join().unwrap()
    }
}

fn visit(pop3: SocketAddr, user: &'static str, deletions: &mut Deletions) -> Result<(), String> {
    let mut session = Pop3::login(pop3, user)?;
    let listed = session.list()?;
    let mut deleted = HashSet::new();
    for (number, _) in listed.into_iter().take(6) {
        let lines = session.retr(number)?;
        let token = mail::token(&lines).unwrap_or_else(|| panic!("not whole: {lines:?}"));
        deletions.read += 1;
        if number % 2 == 0 {
            session.dele(number)?;
            deleted.insert((user, token));
        }
    }
    let quit = session.quit();
    match quit {
        Ok(()) => deletions.done.extend(deleted),
        Err(_) => deletions.doubtful.extend(deleted),
    }
    quit
}
