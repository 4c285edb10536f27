//! The least of an SMTP and a POP3 client.

use crate::PATIENCE;
use crate::gateway::PASSWORD;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// A connection that speaks in lines.
struct Lines(BufReader<TcpStream>);

impl Lines {
    fn connect(address: SocketAddr) -> io::Result<Self> {
        let tcp = TcpStream::connect(address)?;
        tcp.set_read_timeout(Some(PATIENCE))?;
        tcp.set_nodelay(true)?;
        Ok(Self(BufReader::new(tcp)))
    }

    fn send(&mut self, text: &str) -> io::Result<()> {
        self.0.get_mut().write_all(text.as_bytes())
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        match self.0.read_line(&mut line)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(line.trim_end_matches(['\r', '\n']).to_owned()),
        }
    }

    /// The last line of an SMTP reply.
    fn reply(&mut self) -> io::Result<String> {
        loop {
            let line = self.line()?;
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok(line);
            }
        }
    }

    /// An SMTP transaction up to its text; answers the last reply.
    fn prepare(&mut self, to: &[&str]) -> io::Result<String> {
        let mut commands = vec!["EHLO client.example\r\n".to_owned()];
        commands.push("MAIL FROM:<a@example.net>\r\n".to_owned());
        commands.extend(to.iter().map(|to| format!("RCPT TO:<{to}>\r\n")));
        commands.push("DATA\r\n".to_owned());
        let mut reply = self.reply()?;
        for command in commands {
            if !reply.starts_with('2') {
                break;
            }
            self.send(&command)?;
            reply = self.reply()?;
        }
        Ok(reply)
    }

    /// The lines up to the one that is a dot, unstuffed.
    fn lines(&mut self) -> io::Result<Vec<String>> {
        let mut lines = Vec::new();
        loop {
            let line = self.line()?;
            match line.strip_prefix('.') {
                Some("") => return Ok(lines),
                Some(stuffed) => lines.push(stuffed.to_owned()),
                None => lines.push(line),
            }
        }
    }
}

/// How a transaction ended.
#[derive(Debug, Clone)]
pub(crate) enum Fate {
    /// 250, so long after the last octet.
    Kept(Duration),
    Refused(String),
    /// No final reply came.
    Broken,
}

/// A message that says which it is, in each line and at its end.
pub(crate) fn message(token: usize, size: usize) -> String {
    let mut text = head(token).join("\r\n") + "\r\n";
    let mut nth = 0;
    while text.len() < size {
        text.push_str(&line(nth, token));
        text.push_str("\r\n");
        nth += 1;
    }
    text + &last(nth, token) + "\r\n"
}

fn head(token: usize) -> [String; 3] {
    [
        "From: a@example.net".to_owned(),
        format!("Subject: token {token}"),
        String::new(),
    ]
}

fn line(nth: usize, token: usize) -> String {
    format!("line {nth} of {token}, and some words to fill it up.")
}

/// A message that was cut off, or lacks its last lines, does not end so.
fn last(lines: usize, token: usize) -> String {
    format!("end of {token} after {lines} lines")
}

/// The token of a message that was read, if it is whole: every line that was sent, and before them nothing but header
/// fields, which the gateway adds.
pub(crate) fn token(lines: &[String]) -> Option<usize> {
    let subject = lines.iter().find_map(|line| line.strip_prefix("Subject: token "));
    let token: usize = subject?.parse().ok()?;
    let blank = lines.iter().position(String::is_empty)?;
    let numbered = lines.len().checked_sub(blank + 2)?;
    let mut sent = Vec::from(head(token));
    sent.extend((0..numbered).map(|nth| line(nth, token)));
    sent.push(last(numbered, token));
    lines.ends_with(&sent).then_some(token)
}

#[test]
fn a_message_that_lacks_its_end_or_a_line_or_has_another_s_is_not_whole() {
    let whole: Vec<String> = message(7, 500).lines().map(str::to_owned).collect();
    let received = [vec!["Received: by x".to_owned()], whole.clone()].concat();
    assert_eq!((token(&whole), token(&received)), (Some(7), Some(7)));
    for kept in 0..whole.len() {
        assert_eq!(token(&whole[..kept]), None, "{kept} lines of it");
        let mut without = whole.clone();
        without.remove(kept);
        assert_eq!(token(&without), None, "without line {kept}");
        let mut cut = whole.clone();
        cut[kept].pop();
        assert!(token(&cut).is_none() || whole[kept].is_empty(), "line {kept} cut");
        let mut doubled = received.clone();
        doubled.insert(kept + 1, whole[kept].clone());
        // One of the two fields might be the gateway's.
        assert!(token(&doubled).is_none() || kept < 2, "line {kept} twice");
    }
    let other = message(8, 500);
    let mixed = [
        &whole[..5],
        &[other.lines().nth(5).unwrap().to_owned()],
        &whole[6..],
    ]
    .concat();
    assert_eq!(token(&mixed), None);
}

/// Sends one message.
pub(crate) fn send(mx: SocketAddr, to: &[&str], message: &str) -> Fate {
    transact(mx, to, message).unwrap_or(Fate::Broken)
}

/// A transaction in the middle of its text.
pub(crate) struct Unfinished(Lines);

impl Unfinished {
    pub(crate) fn begin(mx: SocketAddr, to: &str, text: &str) -> Self {
        let mut smtp = Lines::connect(mx).unwrap();
        let reply = smtp.prepare(&[to]).unwrap();
        assert!(reply.starts_with("354"), "{reply}");
        smtp.send(text).unwrap();
        Self(smtp)
    }

    /// Whether the connection ends without a final reply.
    pub(crate) fn broke_off(mut self) -> bool {
        self.0.reply().is_err()
    }
}

fn transact(mx: SocketAddr, to: &[&str], message: &str) -> io::Result<Fate> {
    let mut smtp = Lines::connect(mx)?;
    let reply = smtp.prepare(to)?;
    if !reply.starts_with("354") {
        return Ok(Fate::Refused(reply));
    }
    smtp.send(&format!("{message}.\r\n"))?;
    let sent = Instant::now();
    let reply = smtp.reply()?;
    let took = sent.elapsed();
    // What comes of QUIT changes nothing.
    let _ = smtp.send("QUIT\r\n");
    Ok(match reply.starts_with("250") {
        true => Fate::Kept(took),
        false => Fate::Refused(reply),
    })
}

/// A POP3 session that is logged in.
pub(crate) struct Pop3(Lines);

impl Pop3 {
    /// The error is what the server said, or nothing.
    pub(crate) fn login(address: SocketAddr, user: &str) -> Result<Self, String> {
        Self::login_with(address, user, PASSWORD)
    }

    pub(crate) fn login_with(address: SocketAddr, user: &str, password: &str) -> Result<Self, String> {
        let broken = |error: io::Error| error.to_string();
        let mut pop3 = Self(Lines::connect(address).map_err(broken)?);
        pop3.0.line().map_err(broken)?;
        pop3.ask(&format!("USER {user}"))?;
        pop3.ask(&format!("PASS {password}"))?;
        Ok(pop3)
    }

    fn ask(&mut self, command: &str) -> Result<String, String> {
        let asked = self.0.send(&format!("{command}\r\n"));
        let answer = asked
            .and_then(|()| self.0.line())
            .map_err(|error| error.to_string())?;
        match answer.starts_with("+OK") {
            true => Ok(answer),
            false => Err(answer),
        }
    }

    /// Numbers and sizes.
    pub(crate) fn list(&mut self) -> Result<Vec<(usize, u64)>, String> {
        self.ask("LIST")?;
        let lines = self.0.lines().map_err(|error| error.to_string())?;
        let pair = |line: &String| {
            let (number, size) = line.split_once(' ').unwrap();
            (number.parse().unwrap(), size.parse().unwrap())
        };
        Ok(lines.iter().map(pair).collect())
    }

    pub(crate) fn retr(&mut self, number: usize) -> Result<Vec<String>, String> {
        self.ask(&format!("RETR {number}"))?;
        self.0.lines().map_err(|error| error.to_string())
    }

    pub(crate) fn dele(&mut self, number: usize) -> Result<(), String> {
        self.ask(&format!("DELE {number}")).map(drop)
    }

    pub(crate) fn quit(mut self) -> Result<(), String> {
        self.ask("QUIT").map(drop)
    }
}
