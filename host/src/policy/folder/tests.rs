use super::*;
use crate::policy::limits::tests::hits;
use std::os::unix::fs::symlink;
use tempfile::TempDir;

const SIZE: Size = Size {
    most: 64 << 10,
    limit: Limit::File,
    mend: "make it smaller",
};

struct Site(TempDir);

impl Site {
    /// A link to one of two folders, each with a policy and the file beside it.
    fn new() -> Self {
        let site = Self(tempfile::tempdir().unwrap());
        for set in ["a", "b"] {
            std::fs::create_dir(site.0.path().join(set)).unwrap();
            for name in ["10-x.wasm", "10-x.yaml"] {
                std::fs::write(site.0.path().join(set).join(name), set).unwrap();
            }
        }
        symlink("a", site.named()).unwrap();
        site
    }

    fn named(&self) -> PathBuf {
        self.0.path().join("plugins.d")
    }

    fn file(&self) -> PathBuf {
        self.named().join("10-x.wasm")
    }

    fn open(&self) -> Folder {
        Folder::open(&self.named()).unwrap().unwrap()
    }

    fn exchange(&self) {
        std::fs::remove_file(self.named()).unwrap();
        symlink("b", self.named()).unwrap();
    }
}

#[test]
fn a_file_is_read_in_the_folder_that_was_opened_wherever_its_link_leads_by_now() {
    let site = Site::new();
    let folder = site.open();
    site.exchange();
    assert_eq!(folder.files().unwrap(), [site.file()]);
    assert_eq!(folder.read(&site.file(), SIZE), Ok(Some(b"a".to_vec())));
    assert_eq!(site.open().read(&site.file(), SIZE), Ok(Some(b"b".to_vec())));
}

/// A file of so many octets, none of which is on the disk.
fn of(octets: u64) -> (Result<Option<Vec<u8>>, Fault>, usize) {
    let site = Site::new();
    let file = std::fs::File::create(site.file()).unwrap();
    file.set_len(octets).unwrap();
    let mut read = Ok(None);
    let hits = hits(Limit::File, || read = site.open().read(&site.file(), SIZE));
    (read, hits)
}

#[test]
fn a_file_is_as_large_as_it_may_be_and_no_larger() {
    let (read, hits) = of(SIZE.most);
    assert_eq!((read.unwrap().unwrap().len() as u64, hits), (SIZE.most, 0));
    for larger in [SIZE.most + 1, 100 << 30] {
        let (read, hits) = of(larger);
        assert_eq!(read.unwrap_err().text, "has more than 64KiB; make it smaller");
        assert_eq!(hits, 1);
    }
}

#[test]
fn a_link_to_nothing_is_no_missing_folder_wherever_it_is_on_the_way() {
    let site = Site::new();
    let missing = site.0.path().join("missing");
    assert!(Folder::open(&missing).unwrap().is_none());
    symlink("nothing", &missing).unwrap();
    for named in [missing.clone(), missing.join("in/it")] {
        let fault = Folder::open(&named).unwrap_err();
        assert_eq!(fault.path, missing);
        assert_eq!(
            fault.text,
            "is a link to nothing; link it to a folder, or remove it"
        );
    }
}

#[test]
fn whatever_is_found_otherwise_has_other_marks() {
    let site = Site::new();
    let folder = site.open();
    let marks = || folder.marks().unwrap();
    let mut before = marks();
    assert_eq!(before.len(), 2);
    assert_eq!(marks(), before);
    let real = site.0.path().join("a");
    let deeds: [&dyn Fn(); 4] = [
        &|| std::fs::write(real.join("10-x.yaml"), "longer").unwrap(),
        &|| std::fs::rename(real.join("10-x.yaml"), real.join("kept")).unwrap(),
        &|| symlink("kept", real.join("10-x.yaml")).unwrap(),
        &|| std::fs::write(real.join("20-y.wasm"), "").unwrap(),
    ];
    for deed in deeds {
        deed();
        assert_ne!(marks(), before);
        before = marks();
    }
}

/// What is read of both files of a folder in which something happens behind the first of them each of the first
/// `stirs` times, and how often it is read.
fn read_through(stirs: usize) -> (String, usize) {
    let site = Site::new();
    let (data, aside) = (site.0.path().join("a/..data"), site.0.path().join("a/aside"));
    for set in ["0", "1"] {
        let inside = site.0.path().join("a").join(set);
        std::fs::create_dir(&inside).unwrap();
        for name in ["wasm", "yaml"] {
            std::fs::write(inside.join(name), set).unwrap();
            let _ = std::fs::remove_file(site.0.path().join("a/10-x").with_extension(name));
            symlink(
                format!("..data/{name}"),
                site.0.path().join("a/10-x").with_extension(name),
            )
            .unwrap();
        }
    }
    symlink("0", &data).unwrap();
    let (folder, mut times) = (site.open(), 0);
    let content = |path: &Path| String::from_utf8(folder.read(path, SIZE).unwrap().unwrap()).unwrap();
    let read = folder.steadily(|files| {
        assert_eq!(files, [site.file()]);
        let mut found = content(&files[0]);
        times += 1;
        if times <= stirs {
            symlink(if times % 2 == 1 { "1" } else { "0" }, &aside).unwrap();
            std::fs::rename(&aside, &data).unwrap();
        }
        found.push_str(&content(&files[0].with_extension("yaml")));
        found
    });
    (read.unwrap(), times)
}

#[test]
fn what_is_exchanged_while_it_is_read_is_read_again_a_few_times() {
    assert_eq!(read_through(0), ("00".to_owned(), 1));
    assert_eq!(read_through(1), ("11".to_owned(), 2));
    assert_eq!(read_through(2), ("00".to_owned(), 3));
    assert_eq!(read_through(READINGS - 1), ("00".to_owned(), READINGS));
    assert_eq!(read_through(usize::MAX).1, READINGS);
}

/// Its own link leads elsewhere and what it led to is emptied, as a volume's is: that is no folder without policies.
#[test]
fn a_folder_that_is_exchanged_while_it_is_read_is_read_anew() {
    let site = tempfile::tempdir().unwrap();
    let at = |name: &str| site.path().join(name);
    for folder in ["old", "new"] {
        std::fs::create_dir(at(folder)).unwrap();
        std::fs::write(at(folder).join("10-x.wasm"), folder).unwrap();
    }
    symlink("old", at("data")).unwrap();
    let mut times = 0;
    let read = Folder::read_whole(&at("data"), |folder, files| {
        times += 1;
        if times == 1 {
            symlink("new", at("aside")).unwrap();
            std::fs::rename(at("aside"), at("data")).unwrap();
            std::fs::remove_file(at("old").join("10-x.wasm")).unwrap();
        }
        let content = |file: &PathBuf| folder.read(file, SIZE).unwrap();
        files.iter().map(content).collect::<Vec<_>>()
    });
    assert_eq!(read.unwrap(), Some(vec![Some(b"new".to_vec())]));
}
