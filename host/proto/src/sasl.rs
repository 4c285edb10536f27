//! SASL mechanisms as exchanges (RFC 4616 PLAIN, LOGIN, RFC 5802 and 7677 SCRAM-SHA-256 with and
//! without channel binding). Both protocols drive the same [`Exchange`].

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
}

impl std::fmt::Debug for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Password { login, .. } => write!(f, "Password {{ login: {login:?} }}"),
            Self::Keys { login } => write!(f, "Keys {{ login: {login:?} }}"),
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

/// What is next in an exchange. Bytes are raw; base64 and the protocol's framing belong to the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Challenge(Vec<u8>),
    Ask(Question),
    Done { account: String },
    Fail(Failure),
}

/// One run of a mechanism.
#[derive(Debug)]
pub struct Exchange {
    mechanism: Mechanism,
}

impl Exchange {
    /// Begins with the initial response, if the client sent one. `binding` is the TLS exporter value
    /// (RFC 9266) where channel binding is possible.
    pub fn start(mechanism: Mechanism, initial: Option<Vec<u8>>, binding: Option<Vec<u8>>) -> (Self, Step) {
        let _ = (initial, binding);
        (Self { mechanism }, Step::Fail(Failure::Denied))
    }

    /// The client's next message.
    pub fn respond(&mut self, message: &[u8]) -> Step {
        let _ = (message, self.mechanism);
        Step::Fail(Failure::Denied)
    }

    /// The answer to the last [`Question`].
    pub fn answer(&mut self, answer: Answer) -> Step {
        let _ = answer;
        Step::Fail(Failure::Denied)
    }
}
