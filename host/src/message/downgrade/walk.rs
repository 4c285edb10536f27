//! Structured field bodies octet by octet (RFC 5322 §3.2): what stands inside quotes, comments and brackets.

/// Where an octet stands; what opens and what closes a thing belongs to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Top,
    /// In a quoted string or a domain literal.
    Quoted,
    Comment,
    /// Between angle brackets.
    Angle,
}

#[derive(Debug, Default)]
struct Walk {
    /// What ends the quoted string or literal.
    quote: Option<u8>,
    comments: usize,
    angle: Option<Angle>,
    /// The octet before was a backslash that quotes this one.
    quoting: Option<Backslash>,
}

#[derive(Debug)]
struct Angle;

#[derive(Debug)]
struct Backslash;

/// Each octet with its place and its level.
pub(super) fn walk(text: &[u8]) -> impl Iterator<Item = (usize, u8, Level)> {
    let mut walk = Walk::default();
    let octets = text.iter().copied().enumerate();
    octets.map(move |(at, octet)| (at, octet, walk.step(octet)))
}

impl Walk {
    fn step(&mut self, octet: u8) -> Level {
        let level = self.level();
        if self.quoting.take().is_some() {
            return level;
        }
        match (octet, level) {
            (b'\\', Level::Quoted | Level::Comment) => self.quoting = Some(Backslash),
            (b')', Level::Comment) => {
                self.comments -= 1;
                return Level::Comment;
            }
            (b'(', Level::Comment | Level::Top | Level::Angle) => self.comments += 1,
            (_, Level::Quoted) if self.quote == Some(octet) => {
                self.quote = None;
                return Level::Quoted;
            }
            (b'"', Level::Top | Level::Angle) => self.quote = Some(b'"'),
            (b'[', Level::Top | Level::Angle) => self.quote = Some(b']'),
            (b'<', Level::Top) => self.angle = Some(Angle),
            (b'>', Level::Angle) => {
                self.angle = None;
                return Level::Angle;
            }
            _ => {}
        }
        self.level()
    }

    fn level(&self) -> Level {
        if self.comments > 0 {
            Level::Comment
        } else if self.quote.is_some() {
            Level::Quoted
        } else if self.angle.is_some() {
            Level::Angle
        } else {
            Level::Top
        }
    }
}

/// The text without its comments.
pub(super) fn without_comments(text: &[u8]) -> Vec<u8> {
    walk(text)
        .filter(|(_, _, level)| *level != Level::Comment)
        .map(|(_, octet, _)| octet)
        .collect()
}
