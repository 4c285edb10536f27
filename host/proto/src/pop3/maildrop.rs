//! A maildrop as one session sees it: numbers that stay, marks that go at RSET (RFC 1939 §5).

use super::Form;

/// One message of the listing, fixed when the maildrop is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Octets as a client with UTF8 gets them.
    pub size: u64,
    /// Octets after the downgrade of RFC 6858.
    pub downgraded_size: u64,
    /// RFC 1939 §7 UIDL: 1 to 70 characters 0x21 to 0x7E.
    pub uidl: String,
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
    messages: Vec<(Message, Mark)>,
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
            messages: messages
                .into_iter()
                .map(|message| (message, Mark::Kept))
                .collect(),
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
        self.messages
            .get(place)
            .map_or(0, |(message, _)| self.size(message))
    }

    /// The message of that number (from 1), and its place (from 0).
    pub(super) fn find(&self, number: u64) -> Result<(usize, &Message), Absent> {
        let place = number
            .checked_sub(1)
            .and_then(|place| usize::try_from(place).ok())
            .ok_or(Absent::NoSuchMessage)?;
        match self.messages.get(place) {
            Some((message, Mark::Kept)) => Ok((place, message)),
            Some((_, Mark::Deleted)) => Err(Absent::Deleted),
            None => Err(Absent::NoSuchMessage),
        }
    }

    pub(super) fn delete(&mut self, number: u64) -> Result<(), Absent> {
        let (place, _) = self.find(number)?;
        if let Some((_, mark)) = self.messages.get_mut(place) {
            *mark = Mark::Deleted;
        }
        Ok(())
    }

    /// Takes all marks away.
    pub(super) fn reset(&mut self) {
        for (_, mark) in &mut self.messages {
            *mark = Mark::Kept;
        }
    }

    /// Messages not marked, with their numbers.
    pub(super) fn kept(&self) -> impl Iterator<Item = (usize, &Message)> {
        self.messages
            .iter()
            .enumerate()
            .filter(|(_, (_, mark))| *mark == Mark::Kept)
            .map(|(place, (message, _))| (place + 1, message))
    }

    /// Places (from 0) of the messages marked.
    pub(super) fn deleted(&self) -> Vec<usize> {
        let marked = self.messages.iter().enumerate();
        marked
            .filter(|(_, (_, mark))| *mark == Mark::Deleted)
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
