//! SASL mechanisms as exchanges (RFC 4616 PLAIN, LOGIN, RFC 5802 and 7677 SCRAM-SHA-256 with and
//! without channel binding). Both protocols drive the same [`Exchange`].
//!
//! An exchange refuses an authorization identity that is not the login itself, a channel binding that is
//! absent where the client could see it offered, and any message out of turn. It fails with a
//! [`Failure`], never with a hint at whether the login exists.

mod channel;
mod scram;

pub(crate) use channel::Channel;
use scram::{Awaited, Offer, Verified};
use subtle::ConstantTimeEq as _;

/// A mechanism that the server may offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mechanism {
    Plain,
    Login,
    ScramSha256,
    ScramSha256Plus,
}

impl Mechanism {
    /// The registered name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha256Plus => "SCRAM-SHA-256-PLUS",
        }
    }

    /// The mechanism of that name, in any case.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Plain, Self::Login, Self::ScramSha256, Self::ScramSha256Plus]
            .into_iter()
            .find(|mechanism| mechanism.name().eq_ignore_ascii_case(name))
    }
}

/// What an exchange must be told before it can go on.
#[derive(Clone, PartialEq, Eq)]
pub enum Question {
    /// Are these credentials right?
    Password { login: String, password: String },
    /// What SCRAM keys does this login have? Answered for unknown logins too (RFC 5802 §9).
    Keys { login: String },
    /// A SCRAM proof was judged: `account` if it was right. Answered with [`Answer::Granted`] or
    /// [`Answer::Denied`], so that all attempts are counted and delayed at one place.
    Proof { login: String, account: Option<String> },
}

impl std::fmt::Debug for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Password { login, .. } => write!(f, "Password {{ login: {login:?} }}"),
            Self::Keys { login } => write!(f, "Keys {{ login: {login:?} }}"),
            Self::Proof { login, account } => {
                write!(f, "Proof {{ login: {login:?}, right: {} }}", account.is_some())
            }
        }
    }
}

/// The driver's answer to a [`Question`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The password is right; the account's canonical address.
    Granted { account: String },
    /// Wrong, or no such account: the client is never told which.
    Denied,
    /// The keys of the account, or made-up stable ones with `account: None`.
    Keys {
        keys: ScramKeys,
        account: Option<String>,
        server_nonce: String,
    },
    /// The directory is out of reach, or too many attempts: 454 4.7.0, `[SYS/TEMP]`.
    Unavailable,
}

/// What a SCRAM server keeps (RFC 5802 §3).
#[derive(Clone, PartialEq, Eq)]
pub struct ScramKeys {
    pub salt: Vec<u8>,
    pub iterations: u32,
    pub stored_key: [u8; 32],
    pub server_key: [u8; 32],
}

impl std::fmt::Debug for ScramKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ScramKeys {{ iterations: {} }}", self.iterations)
    }
}

/// How an exchange ended without success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// 535 5.7.8, `[AUTH]`.
    Denied,
    /// Not base64, or not what the mechanism says: 501 5.5.2.
    Malformed,
    /// The client sent `*`: 501 5.7.0.
    Cancelled,
    /// 454 4.7.0, `[SYS/TEMP]`.
    Unavailable,
}

impl ScramKeys {
    /// The keys of a password (RFC 5802 §3), which is prepared by SASLprep where that is possible.
    pub fn derive(password: &str, salt: Vec<u8>, iterations: u32) -> Self {
        scram::derive(password, salt, iterations)
    }
}

/// SASLprep (RFC 4013): the form in which logins and passwords are compared. None where the text has
/// characters that the profile prohibits or nothing is left of it.
pub fn prepare(text: &str) -> Option<String> {
    let prepared = stringprep::saslprep(text).ok()?;
    (!prepared.is_empty()).then(|| prepared.into_owned())
}

/// What is next in an exchange. Bytes are raw; base64 and the protocol's framing belong to the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Challenge(Vec<u8>),
    Ask(Question),
    Done { account: String },
    Fail(Failure),
}

/// One run of a mechanism.
pub struct Exchange {
    mechanism: Mechanism,
    binding: Option<Vec<u8>>,
    state: State,
}

/// Shows no secret.
impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Exchange({})", self.mechanism.name())
    }
}

/// What an exchange waits for, with all it knows by then.
enum State {
    /// The client's first message.
    First,
    /// LOGIN: the password.
    LoginPassword {
        login: String,
    },
    /// The answer to [`Question::Password`].
    PasswordJudged,
    /// SCRAM: the answer to [`Question::Keys`].
    Keys(Offer),
    /// SCRAM: the client's final message.
    Final(Awaited),
    /// SCRAM: the answer to [`Question::Proof`].
    ProofJudged(Verified),
    /// SCRAM: the server's final message was sent; the client's empty response ends the exchange.
    Acknowledged {
        account: String,
    },
    /// An error attribute was sent; whatever the client says next, the exchange has failed.
    Refused,
    Over,
}

impl Exchange {
    /// Begins with the initial response, if the client sent one. `binding` is the TLS exporter value
    /// (RFC 9266) where channel binding is possible; SCRAM-SHA-256-PLUS is then taken to be offered.
    pub fn start(mechanism: Mechanism, initial: Option<Vec<u8>>, binding: Option<Vec<u8>>) -> (Self, Step) {
        let mut exchange = Self {
            mechanism,
            binding,
            state: State::First,
        };
        let step = match initial {
            Some(message) => exchange.respond(&message),
            None => Step::Challenge(exchange.first_prompt()),
        };
        (exchange, step)
    }

    /// The client's next message.
    pub fn respond(&mut self, message: &[u8]) -> Step {
        match std::mem::replace(&mut self.state, State::Over) {
            State::First => self.first(message),
            State::LoginPassword { login } => self.password(login, message),
            State::Final(awaited) => self.proof(awaited, message),
            State::Acknowledged { account } if message.is_empty() => Step::Done { account },
            State::Refused | State::Over => Step::Fail(Failure::Denied),
            State::Acknowledged { .. } | State::PasswordJudged | State::Keys(_) | State::ProofJudged(_) => {
                Step::Fail(Failure::Malformed)
            }
        }
    }

    /// The answer to the last [`Question`]. One that does not fit the question counts as trouble of ours.
    pub fn answer(&mut self, answer: Answer) -> Step {
        match (std::mem::replace(&mut self.state, State::Over), answer) {
            (State::PasswordJudged, Answer::Granted { account }) => Step::Done { account },
            (State::PasswordJudged, Answer::Denied) => Step::Fail(Failure::Denied),
            (
                State::Keys(offer),
                Answer::Keys {
                    keys,
                    account,
                    server_nonce,
                },
            ) => {
                let awaited = offer.accept(keys, account, &server_nonce);
                let challenge = awaited.challenge();
                self.state = State::Final(awaited);
                Step::Challenge(challenge)
            }
            (State::Keys(_), Answer::Denied) => Step::Fail(Failure::Denied),
            (State::ProofJudged(verified), Answer::Granted { account }) => {
                self.state = State::Acknowledged { account };
                Step::Challenge(verified.message())
            }
            (State::ProofJudged(_), Answer::Denied) => self.refuse(scram::Error::InvalidProof),
            _ => Step::Fail(Failure::Unavailable),
        }
    }

    /// RFC 4616 and RFC 5802 are client-first: without an initial response the server's turn is empty.
    fn first_prompt(&self) -> Vec<u8> {
        match self.mechanism {
            Mechanism::Login => b"Username:".to_vec(),
            Mechanism::Plain | Mechanism::ScramSha256 | Mechanism::ScramSha256Plus => Vec::new(),
        }
    }

    fn first(&mut self, message: &[u8]) -> Step {
        match self.mechanism {
            Mechanism::Plain => match plain(message) {
                Ok(question) => self.ask(State::PasswordJudged, question),
                Err(failure) => Step::Fail(failure),
            },
            Mechanism::Login => match text(message) {
                Some(login) => {
                    self.state = State::LoginPassword { login };
                    Step::Challenge(b"Password:".to_vec())
                }
                None => Step::Fail(Failure::Malformed),
            },
            Mechanism::ScramSha256 | Mechanism::ScramSha256Plus => self.offer(message),
        }
    }

    fn password(&mut self, login: String, message: &[u8]) -> Step {
        match text(message) {
            Some(password) => self.ask(State::PasswordJudged, Question::Password { login, password }),
            None => Step::Fail(Failure::Malformed),
        }
    }

    fn offer(&mut self, message: &[u8]) -> Step {
        let plus = match self.mechanism {
            Mechanism::ScramSha256Plus => scram::Variant::Plus,
            _ => scram::Variant::Plain,
        };
        match Offer::parse(message, plus, self.binding.as_deref()) {
            Ok(offer) => {
                let login = offer.login.clone();
                self.ask(State::Keys(offer), Question::Keys { login })
            }
            Err(error) => self.refuse(error),
        }
    }

    fn proof(&mut self, awaited: Awaited, message: &[u8]) -> Step {
        match awaited.judge(message) {
            Ok((verified, question)) => self.ask(State::ProofJudged(verified), question),
            Err(error) => self.refuse(error),
        }
    }

    fn ask(&mut self, next: State, question: Question) -> Step {
        self.state = next;
        Step::Ask(question)
    }

    /// RFC 5802 §7: the error attribute is the server's last message; a message that is no SCRAM at all
    /// is answered by the protocol.
    fn refuse(&mut self, error: scram::Error) -> Step {
        match error.attribute() {
            Some(value) => {
                self.state = State::Refused;
                Step::Challenge(format!("e={value}").into_bytes())
            }
            None => Step::Fail(Failure::Malformed),
        }
    }
}

/// RFC 4616 §2: `[authzid] NUL authcid NUL passwd`.
fn plain(message: &[u8]) -> Result<Question, Failure> {
    let mut parts = message.split(|byte| *byte == 0);
    let (Some(authzid), Some(authcid), Some(password), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Failure::Malformed);
    };
    let (Some(login), Some(password)) = (text(authcid), text(password)) else {
        return Err(Failure::Malformed);
    };
    // Nobody acts for another account here.
    if !authzid.is_empty() && authzid != authcid {
        return Err(Failure::Denied);
    }
    Ok(Question::Password { login, password })
}

/// UTF-8 with at least one character and no NUL.
fn text(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    (!text.is_empty() && !text.contains('\0')).then(|| text.to_owned())
}

fn same(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

#[cfg(test)]
mod tests;
