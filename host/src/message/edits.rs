//! Policies' edits applied to a header section. What no edit names stays byte for byte.

use super::head;
use crate::policy::Edit;
use bytes::Bytes;

/// The header section with all edits of it made, in their order. Edits of other things are passed over.
pub fn apply(head: &Bytes, edits: &[Edit]) -> Bytes {
    let mut edits = edits.iter().filter(|edit| concerns_head(edit)).peekable();
    if edits.peek().is_none() {
        return head.clone();
    }
    let edited = edits.fold(head.to_vec(), |head, edit| match edit {
        Edit::AddHeader { name, value } => appended(head, head::write(name, value).as_bytes()),
        Edit::InsertHeader { name, value } => [head::write(name, value).as_bytes(), &head].concat(),
        Edit::RemoveHeader { name } => without(&head, name),
        _ => head,
    });
    edited.into()
}

fn concerns_head(edit: &Edit) -> bool {
    matches!(
        edit,
        Edit::AddHeader { .. } | Edit::InsertHeader { .. } | Edit::RemoveHeader { .. }
    )
}

/// `field` behind the last field, before the empty line.
pub fn appended(mut head: Vec<u8>, field: &[u8]) -> Vec<u8> {
    let fields = head::fields(&head).map(|field| field.raw.len()).sum::<usize>();
    head.splice(fields..fields, field.iter().copied());
    head
}

fn without(bytes: &[u8], name: &str) -> Vec<u8> {
    let mut kept = Vec::with_capacity(bytes.len());
    let mut at = 0;
    for field in head::fields(bytes) {
        at += field.raw.len();
        if !field.is(name) {
            kept.extend_from_slice(field.raw);
        }
    }
    kept.extend_from_slice(bytes.get(at..).unwrap_or_default());
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(name: &str, value: &str) -> Edit {
        Edit::AddHeader {
            name: name.to_owned(),
            value: value.to_owned(),
        }
    }

    fn insert(name: &str, value: &str) -> Edit {
        Edit::InsertHeader {
            name: name.to_owned(),
            value: value.to_owned(),
        }
    }

    fn remove(name: &str) -> Edit {
        Edit::RemoveHeader {
            name: name.to_owned(),
        }
    }

    fn edited(head: &'static str, edits: &[Edit]) -> String {
        String::from_utf8(apply(&Bytes::from_static(head.as_bytes()), edits).to_vec()).unwrap()
    }

    #[test]
    fn without_edits_of_the_head_it_is_the_very_same_memory() {
        let head = Bytes::from_static(b"A: b\r\n\r\n");
        let same = apply(&head, &[Edit::Tag("spam".to_owned())]);
        assert_eq!(same.as_ptr(), head.as_ptr());
    }

    #[test]
    fn added_goes_behind_the_last_field_and_inserted_before_the_first() {
        let edits = [add("X", "1"), insert("Y", "2"), add("X", "3"), insert("Z", "4")];
        assert_eq!(
            edited("A: b\r\n c\r\n\r\n", &edits),
            "Z: 4\r\nY: 2\r\nA: b\r\n c\r\nX: 1\r\nX: 3\r\n\r\n"
        );
    }

    #[test]
    fn removing_takes_every_field_of_the_name_in_any_case_and_nothing_else() {
        let head = "Subject: a\r\nX: kept  \r\nSUBJECT : b\r\n\tc\r\nSubjects: d\r\n\r\n";
        assert_eq!(
            edited(head, &[remove("subject")]),
            "X: kept  \r\nSubjects: d\r\n\r\n"
        );
    }

    #[test]
    fn edits_are_made_in_their_order() {
        assert_eq!(
            edited("A: b\r\n\r\n", &[add("X", "1"), remove("X"), add("X", "2")]),
            "A: b\r\nX: 2\r\n\r\n"
        );
    }

    #[test]
    fn a_head_without_an_empty_line_or_without_anything_takes_fields_too() {
        assert_eq!(edited("A: b\r\n", &[add("X", "1")]), "A: b\r\nX: 1\r\n");
        assert_eq!(edited("", &[add("X", "1")]), "X: 1\r\n");
        assert_eq!(edited("\r\n", &[add("X", "1")]), "X: 1\r\n\r\n");
    }
}
