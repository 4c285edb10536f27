//! A maildrop as one session sees it: numbers that stay, marks that go at RSET (RFC 1939 §5).

use super::Form;
use crate::base32;
use std::fmt;

/// One message of the listing, fixed when the maildrop is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Octets as a client with UTF8 gets them.
    pub size: u64,
    /// Octets after the downgrade of RFC 6858.
    pub downgraded_size: u64,
    pub uidl: UniqueId,
}

/// What UIDL says of a message, made text when it is asked for: a listing is long, and few clients ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UniqueId {
    /// A number, big-endian, that is written in [`base32`].
    Number([u8; 16]),
    /// RFC 1939 §7: 1 to 70 characters 0x21 to 0x7E.
    Text(Box<str>),
}

impl fmt::Display for UniqueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(octets) => {
                let digits = base32::encode(u128::from_be_bytes(*octets));
                f.write_str(std::str::from_utf8(&digits).unwrap_or_default())
            }
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// Why a message number names nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Absent {
    NoSuchMessage,
    Deleted,
}

/// The listing and what is marked as deleted.
#[derive(Debug)]
pub(super) struct Maildrop {
    messages: Vec<Message>,
    /// One for each of them.
    marks: Vec<Mark>,
    form: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Kept,
    Deleted,
}

impl Maildrop {
    pub(super) fn new(messages: Vec<Message>, form: Form) -> Self {
        Self {
            marks: vec![Mark::Kept; messages.len()],
            messages,
            form,
        }
    }

    pub(super) fn form(&self) -> Form {
        self.form
    }

    /// Octets of a message in the form this client gets.
    pub(super) fn size(&self, message: &Message) -> u64 {
        match self.form {
            Form::Utf8 => message.size,
            Form::Downgraded => message.downgraded_size,
        }
    }

    /// Octets of the message at that place.
    pub(super) fn size_at(&self, place: usize) -> u64 {
        self.messages.get(place).map_or(0, |message| self.size(message))
    }

    /// The message of that number (from 1), and its place (from 0).
    pub(super) fn find(&self, number: u64) -> Result<(usize, &Message), Absent> {
        let place = number
            .checked_sub(1)
            .and_then(|place| usize::try_from(place).ok())
            .ok_or(Absent::NoSuchMessage)?;
        match (self.messages.get(place), self.marks.get(place)) {
            (Some(message), Some(Mark::Kept)) => Ok((place, message)),
            (Some(_), Some(Mark::Deleted)) => Err(Absent::Deleted),
            _ => Err(Absent::NoSuchMessage),
        }
    }

    pub(super) fn delete(&mut self, number: u64) -> Result<(), Absent> {
        let (place, _) = self.find(number)?;
        if let Some(mark) = self.marks.get_mut(place) {
            *mark = Mark::Deleted;
        }
        Ok(())
    }

    /// Takes all marks away.
    pub(super) fn reset(&mut self) {
        self.marks.fill(Mark::Kept);
    }

    /// Messages not marked, with their numbers.
    pub(super) fn kept(&self) -> impl Iterator<Item = (usize, &Message)> {
        (1..)
            .zip(&self.messages)
            .zip(&self.marks)
            .filter(|(_, mark)| **mark == Mark::Kept)
            .map(|(numbered, _)| numbered)
    }

    /// Places (from 0) of the messages marked.
    pub(super) fn deleted(&self) -> Vec<usize> {
        let marked = self.marks.iter().enumerate();
        marked
            .filter(|(_, mark)| **mark == Mark::Deleted)
            .map(|(place, _)| place)
            .collect()
    }

    /// How many messages are not marked, and their octets.
    pub(super) fn sum(&self) -> (usize, u64) {
        self.kept().fold((0, 0), |(count, octets), (_, message)| {
            (count + 1, octets.saturating_add(self.size(message)))
        })
    }
}
