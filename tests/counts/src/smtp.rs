//! SMTP as the machine reads it: commands, and content with its dots.

use crate::{letters, measured};
use bytes::BytesMut;
use postern_proto::smtp::{Answer, Limits, Question, Reply, Role, Session, Settings, Step};

const SESSIONS: usize = 10;
const TRANSACTIONS: usize = 10;
const RECIPIENTS: usize = 3;

/// Octets that the driver reads at a time.
const READ: usize = 16 << 10;
/// Octets of the text whose dots are taken away.
const TEXT: usize = 1 << 20;

/// Sessions of several short transactions, a line at a time.
pub(crate) fn dialogue() {
    let mut lines = vec!["EHLO mail.shop.example\r\n".to_owned()];
    for _ in 0..TRANSACTIONS {
        lines.push("MAIL FROM:<bob@shop.example> SIZE=1200 BODY=8BITMIME\r\n".to_owned());
        lines.extend((0..RECIPIENTS).map(|nth| format!("RCPT TO:<user{nth}@example.org>\r\n")));
        lines.push("DATA\r\n".to_owned());
        lines.push("Subject: lunch\r\n\r\nAt noon, where we were the last time?\r\n.\r\n".to_owned());
    }
    lines.push("QUIT\r\n".to_owned());
    let delivered = measured(&mut || {
        let clients = (0..SESSIONS).map(|_| {
            let mut client = Client::new();
            client.say(b"");
            for line in &lines {
                client.say(line.as_bytes());
            }
            client.delivered
        });
        clients.sum()
    });
    assert_eq!(delivered, SESSIONS * TRANSACTIONS);
}

/// The content of one message, as DATA brings it.
pub(crate) fn content() {
    let (text, dots) = letters::stuffed(TEXT);
    let mut client = Client::new();
    client.say(b"EHLO mail.shop.example\r\nMAIL FROM:<bob@shop.example>\r\n");
    client.say(b"RCPT TO:<ann@example.org>\r\nDATA\r\n");
    let taken = measured(&mut || {
        text.chunks(READ).for_each(|piece| client.say(piece));
        client.content
    });
    assert_eq!(client.delivered, 1);
    assert_eq!(taken, text.len() - dots - ".\r\n".len());
}

/// A machine whose questions are all answered with yes.
struct Client {
    machine: Session,
    output: BytesMut,
    content: usize,
    delivered: usize,
}

impl Client {
    fn new() -> Self {
        let limits = Limits {
            message_size: 50 << 20,
            line: 1000,
            headers: 256 << 10,
            recipients: 100,
            bad_commands: 10,
            unknown_recipients: 10,
        };
        let settings = Settings {
            role: Role::Mx,
            hostname: "mx.example.org".to_owned(),
            limits,
            starttls: true,
            tls: None,
            mechanisms: Vec::new(),
            plaintext_auth: false,
            strict_8bitmime: false,
        };
        Self {
            machine: Session::new(settings),
            output: BytesMut::new(),
            content: 0,
            delivered: 0,
        }
    }

    /// Input, and all that comes of it.
    fn say(&mut self, input: &[u8]) {
        self.machine.feed(input);
        loop {
            match self.machine.step() {
                Step::Read | Step::Close => break,
                Step::Write(reply) => reply.encode(&mut self.output),
                Step::Ask(question) => {
                    let answer = self.answer(&question);
                    self.machine.answer(answer);
                }
                Step::Body(piece) => self.content += piece.len(),
                Step::Reset | Step::Upgrade => {}
            }
        }
        self.output.clear();
    }

    fn answer(&mut self, question: &Question) -> Answer {
        match question {
            Question::Commit => {
                self.delivered += 1;
                Answer::Reply(Reply::delivered("01M8ASPC000000000000000000"))
            }
            _ => Answer::Proceed,
        }
    }
}
