//! What authors name, read as a gateway reads its folder: bounded, and without waiting for what is no file.
//!
//! Who may write to a file is not looked at here: an author's own folder is nobody else's business.

use crate::config::PolicyLimits;
use crate::policy::Fault;
use crate::policy::folder::{Size, check_kind, read_file};
use crate::policy::limits::Limit;
use crate::policy::load::refused;
use crate::policy::shelf::YAML;
use std::path::Path;

/// Octets of a message that a gateway takes where its configuration says nothing else.
const MESSAGE: u64 = 50 << 20;

pub(super) fn component(path: &Path, limits: &PolicyLimits) -> Result<Vec<u8>, Fault> {
    let size = Size {
        most: limits.file,
        limit: Limit::File,
        mend: "make it smaller: a gateway loads no more, unless its policy.file says so",
    };
    match path.try_exists() {
        Ok(false) => Err(refused(path, "is not there; `postern plugin build` makes it")),
        _ => read_file(path, path, size, check_kind),
    }
}

/// A message.
pub fn message(path: &Path) -> Result<Vec<u8>, Fault> {
    let size = Size {
        most: MESSAGE,
        limit: Limit::File,
        mend: "take a smaller one: a gateway takes no more, unless its limits.message_size says so",
    };
    read_file(path, path, size, check_kind)
}

/// What a person writes: settings, cases, the file beside a component.
pub fn text(path: &Path) -> Result<String, Fault> {
    let octets = read_file(path, path, YAML, check_kind)?;
    let no_text = |_| refused(path, "is no text in UTF-8; save it as such");
    String::from_utf8(octets).map_err(no_text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sparse file of so many octets.
    fn file(octets: u64) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(octets).unwrap();
        file
    }

    #[test]
    fn files_are_read_up_to_their_bounds() {
        let limits = PolicyLimits {
            file: 1000,
            ..PolicyLimits::default()
        };
        assert_eq!(component(file(1000).path(), &limits).unwrap().len(), 1000);
        let large = component(file(1001).path(), &limits).unwrap_err();
        assert!(
            large.text.starts_with("has more than 1000B; make it smaller"),
            "{large}"
        );
        assert_eq!(text(file(YAML.most).path()).unwrap().len() as u64, YAML.most);
        assert!(
            text(file(YAML.most + 1).path())
                .unwrap_err()
                .text
                .starts_with("has more than 1MiB")
        );
        assert_eq!(message(file(MESSAGE).path()).unwrap().len() as u64, MESSAGE);
        assert!(
            message(file(MESSAGE + 1).path())
                .unwrap_err()
                .text
                .starts_with("has more than 50MiB")
        );
    }

    #[test]
    fn what_is_no_file_or_no_text_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
            0,
        )
        .unwrap();
        for refused in [
            message(&pipe).map(drop),
            text(&pipe).map(drop),
            message(folder.path()).map(drop),
        ] {
            assert_eq!(refused.unwrap_err().text, "is no file; put a file here");
        }
        let octets = folder.path().join("octets");
        std::fs::write(&octets, b"a\xff").unwrap();
        assert!(text(&octets).unwrap_err().text.starts_with("is no text in UTF-8"));
    }
}
