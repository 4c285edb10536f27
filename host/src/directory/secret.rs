//! Keyed hashes (HMAC-SHA-256), and the key that outlives the process.
//!
//! The key lies in the state folder, 0600. One that others can read is refused: with it, made-up SCRAM
//! salts could be told from true ones.

use anyhow::{Context as _, ensure};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

/// A key for hashes that nobody else can compute. One block of SHA-256: HMAC takes it as it is.
#[derive(Clone)]
pub(super) struct Secret([u8; 64]);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// A key of this process.
    pub(super) fn random() -> Self {
        let (first, second): ([u8; 32], [u8; 32]) = (rand::random(), rand::random());
        let mut key = [0; 64];
        for (to, from) in key.iter_mut().zip(first.iter().chain(&second)) {
            *to = *from;
        }
        Self(key)
    }

    /// The key kept in `path`, made there if there is none.
    pub(super) fn kept(path: &Path) -> anyhow::Result<Self> {
        match fs::read(path) {
            Ok(octets) => Self::read(path, &octets),
            Err(error) if error.kind() == ErrorKind::NotFound => Self::make(path),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    fn read(path: &Path, octets: &[u8]) -> anyhow::Result<Self> {
        let mode = fs::metadata(path)?.mode();
        ensure!(
            mode & 0o077 == 0,
            "{} can be read by others: chmod 600 it",
            path.display()
        );
        let key = octets
            .try_into()
            .with_context(|| format!("{} is not a key of 64 octets: remove it", path.display()))?;
        Ok(Self(key))
    }

    /// Written aside and renamed, so that a crash leaves no half of it.
    fn make(path: &Path) -> anyhow::Result<Self> {
        let secret = Self::random();
        let aside = path.with_extension("new");
        let write = || -> std::io::Result<()> {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            let mut file: File = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&aside)?;
            file.write_all(&secret.0)?;
            file.sync_all()?;
            fs::rename(&aside, path)
        };
        write().with_context(|| format!("cannot write {}", path.display()))?;
        Ok(secret)
    }

    /// The keyed hash of `parts`, each told apart from the next.
    pub(super) fn hash(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new(&self.0.into());
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_kept_key_is_the_same_next_time_and_only_ours_to_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("scram.key");
        let first = Secret::kept(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let again = Secret::kept(&path).unwrap();
        assert_eq!(first.hash(&[b"ann"]), again.hash(&[b"ann"]));
        assert_ne!(first.hash(&[b"ann"]), Secret::random().hash(&[b"ann"]));

        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let refused = Secret::kept(&path).unwrap_err().to_string();
        assert!(refused.contains("chmod 600"), "{refused}");
    }

    #[test]
    fn parts_are_told_apart() {
        let secret = Secret::random();
        assert_ne!(secret.hash(&[b"ab", b"c"]), secret.hash(&[b"a", b"bc"]));
    }
}
