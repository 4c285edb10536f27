//! The generator against small servers that take mail by SMTP and give it by POP3, and do something to it.

use super::*;
use crate::ledger::Difference;
use crate::message::Size;
use crate::pace::{self, Observer, Pace, Tally};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// What befalls a message behind its 250.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Kept,
    Dropped,
    Doubled,
    /// An octet of its text is another.
    Altered,
    /// It is kept, but the connection ends without a reply.
    Unanswered,
    /// 451 to RCPT.
    Refused,
}

#[derive(Debug, Default)]
struct Mail {
    maildrops: HashMap<String, Vec<String>>,
    /// Of every delivery, in turn.
    fates: Vec<Fate>,
    came: usize,
    /// Messages of each connection that said QUIT.
    of_connections: Vec<usize>,
    commands_at_once: usize,
}

type Shared = Arc<Mutex<Mail>>;

struct Server {
    smtp: SocketAddr,
    pop3: SocketAddr,
    mail: Shared,
}

impl Server {
    async fn start(fates: &[Fate], pipelining: bool) -> Self {
        let mail = Shared::default();
        mail.lock().unwrap().fates = fates.to_vec();
        let smtp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let pop3 = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (smtp_at, pop3_at) = (smtp.local_addr().unwrap(), pop3.local_addr().unwrap());
        let (taking, giving) = (Arc::clone(&mail), Arc::clone(&mail));
        tokio::spawn(async move {
            loop {
                let (stream, _) = smtp.accept().await.unwrap();
                tokio::spawn(take(stream, Arc::clone(&taking), pipelining));
            }
        });
        tokio::spawn(async move {
            loop {
                let (stream, _) = pop3.accept().await.unwrap();
                tokio::spawn(give(stream, Arc::clone(&giving)));
            }
        });
        Self {
            smtp: smtp_at,
            pop3: pop3_at,
            mail,
        }
    }
}

/// Ends with the connection, whose faults end it.
async fn take(stream: TcpStream, mail: Shared, pipelining: bool) -> Option<()> {
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 here\r\n").await.ok()?;
    let (mut to, mut count, mut refused) = (String::new(), 0, false);
    let hello: &[u8] = if pipelining {
        b"250-here\r\n250 PIPELINING\r\n"
    } else {
        b"250 here\r\n"
    };
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok().filter(|read| *read > 0)?;
        let more = stream.buffer().iter().filter(|octet| **octet == b'\n').count();
        {
            let mut mail = mail.lock().unwrap();
            mail.commands_at_once = mail.commands_at_once.max(more + 1);
        }
        let reply: &[u8] = match line.get(..4)? {
            "EHLO" => hello,
            "RCPT" => {
                to = line.split(['<', '>']).nth(1)?.to_owned();
                refused = fate(&mail) == Fate::Refused;
                if refused {
                    mail.lock().unwrap().came += 1;
                    b"451 4.7.1 later\r\n"
                } else {
                    b"250 ok\r\n"
                }
            }
            "DATA" if refused => b"503 5.5.1 nobody\r\n",
            "DATA" => {
                stream.write_all(b"354 go\r\n").await.ok()?;
                let text = text(&mut stream).await?;
                count += 1;
                if !keep(&mail, &to, text) {
                    return None;
                }
                b"250 kept\r\n"
            }
            "QUIT" => {
                mail.lock().unwrap().of_connections.push(count);
                stream.write_all(b"221 bye\r\n").await.ok()?;
                return Some(());
            }
            _ => b"250 ok\r\n",
        };
        stream.write_all(reply).await.ok()?;
    }
}

fn fate(mail: &Shared) -> Fate {
    let mail = mail.lock().unwrap();
    mail.fates.get(mail.came).copied().unwrap_or(Fate::Kept)
}

/// False: no reply.
fn keep(mail: &Shared, to: &str, mut text: String) -> bool {
    let fate = fate(mail);
    let mut mail = mail.lock().unwrap();
    mail.came += 1;
    if fate == Fate::Altered {
        let place = text.len() - 4;
        text.replace_range(place..=place, "#");
    }
    let times = match fate {
        Fate::Dropped => 0,
        Fate::Doubled => 2,
        _ => 1,
    };
    let maildrop = mail.maildrops.entry(to.to_owned()).or_default();
    maildrop.extend(std::iter::repeat_n(text, times));
    fate != Fate::Unanswered
}

async fn text(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let mut text = String::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok().filter(|read| *read > 0)?;
        match line.as_str() {
            ".\r\n" => return Some(text),
            line => text.push_str(line.strip_prefix('.').unwrap_or(line)),
        }
    }
}

async fn give(stream: TcpStream, mail: Shared) -> Option<()> {
    let mut stream = BufReader::new(stream);
    stream.write_all(b"+OK here\r\n").await.ok()?;
    let (mut messages, mut user, mut deleted) = (Vec::new(), String::new(), Vec::new());
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok().filter(|read| *read > 0)?;
        let word = line.split_whitespace().nth(1).unwrap_or_default();
        let number: usize = word.parse().unwrap_or_default();
        let answer = match line.get(..4)? {
            "USER" => {
                user = word.to_owned();
                messages = mail
                    .lock()
                    .unwrap()
                    .maildrops
                    .get(word)
                    .cloned()
                    .unwrap_or_default();
                "+OK\r\n".to_owned()
            }
            "STAT" => format!("+OK {} 0\r\n", messages.len()),
            "RETR" => {
                let stuffed = crate::lines::stuff(messages.get(number - 1)?.as_bytes());
                format!("+OK\r\n{}.\r\n", String::from_utf8(stuffed).ok()?)
            }
            "DELE" => {
                deleted.push(number - 1);
                "+OK\r\n".to_owned()
            }
            _ => "+OK\r\n".to_owned(),
        };
        if line.starts_with("QUIT") {
            let mut mail = mail.lock().unwrap();
            let maildrop = mail.maildrops.entry(user.clone()).or_default();
            for place in deleted.iter().rev() {
                maildrop.remove(*place);
            }
        }
        stream.write_all(answer.as_bytes()).await.ok()?;
    }
}

fn work() -> Arc<Work> {
    let users = ["a@example.org", "b@example.org"].map(str::to_owned);
    Arc::new(Work::new(users.to_vec(), Size::Fixed(900)))
}

/// One client sends what is due in so many turns of a millisecond.
async fn sent(server: &Server, work: &Arc<Work>, manner: Manner, turns: u64) -> Tally {
    let clients = vec![Sender::mannered(server.smtp, work, manner)];
    let length = Duration::from_millis(turns);
    pace::run(clients, Pace::Open(1000.0), length, &Observer::silent())
        .await
        .unwrap()
}

async fn difference(server: &Server, work: &Work) -> Difference {
    work.read_back(server.pop3, "x", 2).await.unwrap()
}

#[tokio::test]
async fn what_a_server_keeps_is_found_whole() {
    for pipelining in [true, false] {
        let server = Server::start(&[], pipelining).await;
        let work = work();
        let tally = sent(&server, &work, Manner::default(), 20).await;
        assert_eq!((tally.messages(), tally.failed()), (20, 0), "{tally:?}");
        let found = difference(&server, &work).await;
        assert_eq!((found.acknowledged, found.is_none()), (20, true), "{found:?}");
        let mail = server.mail.lock().unwrap();
        assert_eq!(mail.of_connections, [20], "the connection is kept");
        assert_eq!(mail.commands_at_once, if pipelining { 3 } else { 1 });
    }
}

#[tokio::test]
async fn what_a_server_drops_doubles_and_alters_is_reported() {
    let fates = [
        Fate::Kept,
        Fate::Dropped,
        Fate::Doubled,
        Fate::Altered,
        Fate::Kept,
        Fate::Dropped,
    ];
    let server = Server::start(&fates, true).await;
    let work = work();
    let tally = sent(&server, &work, Manner::default(), 10).await;
    assert_eq!((tally.messages(), tally.failed()), (10, 0));
    let found = difference(&server, &work).await;
    let expected = Difference {
        acknowledged: 10,
        lost: 2,
        doubled: 1,
        altered: 1,
        ..Difference::default()
    };
    assert_eq!(found, expected);
    assert!(crate::modes::send::judge(found).is_err());
}

#[tokio::test]
async fn what_is_kept_without_an_answer_is_no_loss_and_the_next_connection_goes_on() {
    let server = Server::start(&[Fate::Kept, Fate::Unanswered], true).await;
    let work = work();
    let tally = sent(&server, &work, Manner::default(), 5).await;
    assert_eq!((tally.messages(), tally.failed()), (4, 1), "{tally:?}");
    let found = difference(&server, &work).await;
    assert_eq!((found.acknowledged, found.unacknowledged), (4, 1));
    assert!(found.is_none());
}

#[tokio::test]
async fn refusals_are_counted_by_what_they_say_and_may_be_expected() {
    for pipelining in [true, false] {
        for expected in [true, false] {
            let server = Server::start(&[Fate::Refused, Fate::Kept, Fate::Refused], pipelining).await;
            let work = work();
            let manner = Manner {
                expected: expected.then(|| "451".to_owned()).into_iter().collect(),
                ..Manner::default()
            };
            let tally = sent(&server, &work, manner, 6).await;
            let counted = if expected {
                &tally.expected
            } else {
                &tally.failures
            };
            assert_eq!(counted.get("451 4.7.1 later"), Some(&2), "{tally:?}");
            assert_eq!(tally.failed(), if expected { 0 } else { 2 });
            assert_eq!(tally.messages(), 4);
            assert_eq!(
                server.mail.lock().unwrap().of_connections,
                [4],
                "it stays in step"
            );
        }
    }
}

#[tokio::test]
async fn connections_have_as_many_messages_as_postal_gives_them() {
    let server = Server::start(&[], true).await;
    let manner = Manner {
        per_connection: PerConnection::UpTo(3),
        in_turn: true,
        ..Manner::default()
    };
    let tally = sent(&server, &work(), manner, 60).await;
    assert_eq!(tally.messages(), 60);
    let mail = server.mail.lock().unwrap();
    assert_eq!(mail.of_connections.iter().sum::<usize>(), 60);
    assert_eq!(mail.commands_at_once, 1, "one command after another");
    for count in 1..=3 {
        let times = mail.of_connections.iter().filter(|of| **of == count).count();
        assert!(times > 1, "{count}: {:?}", mail.of_connections);
    }
    assert!(mail.of_connections.iter().all(|count| (1..=3).contains(count)));
}

#[tokio::test]
async fn a_connection_for_no_messages_says_quit() {
    let server = Server::start(&[], true).await;
    let manner = Manner {
        per_connection: PerConnection::UpTo(0),
        ..Manner::default()
    };
    let tally = sent(&server, &work(), manner, 5).await;
    assert_eq!((tally.turns(), tally.messages(), tally.failed()), (5, 0, 0));
    assert_eq!(server.mail.lock().unwrap().of_connections, [0; 5]);
}

#[tokio::test]
async fn what_readers_delete_while_mail_comes_is_accounted_for() {
    use crate::reader::{Order, Reader, Visit};
    let server = Server::start(&[Fate::Kept, Fate::Dropped, Fate::Altered], true).await;
    let work = work();
    sent(&server, &work, Manner::default(), 20).await;
    let users: Vec<_> = work
        .mailboxes()
        .iter()
        .map(|name| (name.clone(), "x".to_owned()))
        .collect();
    let visit = Visit {
        read: 100,
        delete: 50,
        at_once: 4,
        ..Visit::STAT
    };
    let readers = Reader::fleet(2, &server.pop3.into(), (users, Order::Turn), &visit, Some(&work));
    let length = Duration::from_millis(6);
    let tally = pace::run(readers, Pace::Open(500.0), length, &Observer::silent())
        .await
        .unwrap();
    assert_eq!((tally.turns(), tally.failed()), (3, 0), "{tally:?}");
    sent(&server, &work, Manner::default(), 4).await;
    let found = difference(&server, &work).await;
    assert!(found.deleted >= 10, "{found:?}");
    assert_eq!(
        (found.acknowledged, found.lost, found.doubled, found.altered),
        (24, 1, 0, 1)
    );
}

#[test]
fn messages_of_a_connection_are_read_as_postal_reads_them() {
    assert_eq!("-1".parse(), Ok(PerConnection::All));
    assert_eq!("0".parse(), Ok(PerConnection::UpTo(0)));
    assert_eq!("3".parse(), Ok(PerConnection::UpTo(3)));
    assert!("-2".parse::<PerConnection>().is_err());
    assert!("x".parse::<PerConnection>().is_err());
}
