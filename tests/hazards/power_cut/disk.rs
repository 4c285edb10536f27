//! A disk that can be copied in one step: an XFS with reflinks in an image file, on it the image of the disk under
//! test, which its loop device writes without a page cache in between.

use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

fn run(program: &str, arguments: &[&str]) -> String {
    let done = Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(
        done.status.success(),
        "this test needs root, loop devices and xfsprogs; {program} {arguments:?}: {said}"
    );
    String::from_utf8(done.stdout).unwrap().trim().to_owned()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// An image file, attached and mounted until dropped.
pub(crate) struct Mounted {
    device: String,
    at: TempDir,
}

impl Mounted {
    /// Mounts the file system in an image; XFS mends its own log, as after a cut.
    pub(crate) fn new(image: &Path) -> Self {
        let device = run("losetup", &["--direct-io=on", "--find", "--show", text(image)]);
        // Made before it is mounted: a mount that fails gives the device back too.
        let mounted = Self {
            device,
            at: tempfile::tempdir().unwrap(),
        };
        // A copy has the uuid of its original, which is mounted too.
        run(
            "mount",
            &["-t", "xfs", "-o", "nouuid", &mounted.device, text(mounted.path())],
        );
        mounted
    }

    fn made(image: &Path, octets: u64) -> Self {
        let file = std::fs::File::create(image).unwrap();
        file.set_len(octets).unwrap();
        // A loop device on a reflinked file has sectors of 4096 octets (XFS writes those whole), and the copy of a
        // file system with smaller ones could not be mounted.
        run(
            "mkfs.xfs",
            &["-q", "-m", "reflink=1", "-s", "size=4096", text(image)],
        );
        Self::new(image)
    }

    pub(crate) fn path(&self) -> &Path {
        self.at.path()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Also when a test has failed and a process still has files open.
        for command in [
            ["umount", "-l", text(self.at.path())],
            ["losetup", "-d", &self.device],
        ] {
            let [program, arguments @ ..] = command;
            if let Err(error) = Command::new(program).args(arguments).status() {
                eprintln!("{program}: {error}");
            }
        }
    }
}

const GIB: u64 = 1024 * 1024 * 1024;

/// The disk under test; dropped from the inside out.
pub(crate) struct Disk {
    inner: Mounted,
    outer: Mounted,
    _files: TempDir,
}

impl Disk {
    pub(crate) fn new() -> Self {
        let files = tempfile::tempdir().unwrap();
        let outer = Mounted::made(&files.path().join("outer.img"), 6 * GIB);
        let inner = Mounted::made(&outer.path().join("disk.img"), 2 * GIB);
        Self {
            inner,
            outer,
            _files: files,
        }
    }

    /// Where the store may live.
    pub(crate) fn path(&self) -> &Path {
        self.inner.path()
    }

    /// The disk as it is now; replaces the last copy.
    pub(crate) fn copy(&self) -> PathBuf {
        let (disk, copy) = (
            self.outer.path().join("disk.img"),
            self.outer.path().join("copy.img"),
        );
        run("cp", &["--reflink=always", text(&disk), text(&copy)]);
        copy
    }
}
