//! Header fields, as conditions ask for them.

use crate::{Mail, addresses};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// Octets that are read of a field.
const READ: usize = 64 << 10;

/// Texts in lower case.
pub(crate) type Texts = Rc<BTreeSet<String>>;

/// What is known of the fields of one message: each is read once, however many conditions ask for it.
#[derive(Debug, Default)]
pub struct Known {
    texts: RefCell<BTreeMap<String, Texts>>,
    addressed: RefCell<BTreeMap<String, Texts>>,
}

impl Mail<'_> {
    /// The first field's text.
    pub(crate) fn text(&self, name: &str) -> Texts {
        once(&self.known.texts, name, || {
            let text = (self.header)(name);
            text.iter().map(|text| lower(within(text))).collect()
        })
    }

    /// The first field's text, and the addresses in the field as it is written: an encoded word is none.
    pub(crate) fn addressed(&self, name: &str) -> Texts {
        once(&self.known.addressed, name, || {
            let mut texts = BTreeSet::clone(&self.text(name));
            let written = (self.raw)(name).into_iter().next().unwrap_or_default();
            let written = String::from_utf8_lossy(&written);
            let found = addresses(whole(&written)).unwrap_or_default();
            texts.extend(found.iter().map(|address| lower(address)));
            texts
        })
    }
}

fn once(
    known: &RefCell<BTreeMap<String, Texts>>,
    name: &str,
    read: impl FnOnce() -> BTreeSet<String>,
) -> Texts {
    let key = name.to_ascii_lowercase();
    if let Some(texts) = known.borrow().get(&key) {
        return Rc::clone(texts);
    }
    let texts = Rc::new(read());
    known.borrow_mut().insert(key, Rc::clone(&texts));
    texts
}

fn lower(text: &str) -> String {
    text.trim().to_lowercase()
}

fn within(text: &str) -> &str {
    let (within, _) = text.split_at(text.floor_char_boundary(READ));
    within
}

/// The addresses that are whole within the bound.
fn whole(written: &str) -> &str {
    let first = within(written);
    match first.len() < written.len() {
        true => first.rfind([',', ';']).map_or("", |end| first.split_at(end).0),
        false => first,
    }
}
