use super::*;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::timeout;

/// Nothing here takes as long.
const PATIENCE: Duration = Duration::from_secs(20);

struct Site {
    outer: TempDir,
    folder: PathBuf,
}

impl Site {
    fn new() -> Self {
        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().join("plugins.d");
        Self { outer, folder }
    }

    fn with_folder() -> Self {
        let site = Self::new();
        std::fs::create_dir(&site.folder).unwrap();
        site
    }

    /// Whether a deed is noticed. What it must do is done before, and the sight is a new one.
    async fn sees(&self, deed: impl FnOnce()) {
        let stirred = Arc::new(Notify::new());
        let _sight = watch(&self.folder, &stirred).unwrap();
        deed();
        timeout(PATIENCE, stirred.notified())
            .await
            .expect("it is noticed");
    }

    /// What is not noticed is told apart by what comes behind it: a manifest that is.
    async fn passes_over(&self, deed: impl FnOnce()) {
        let stirred = Arc::new(Notify::new());
        let ways = Ways::to(&self.folder);
        let (told, concerned) = (Arc::clone(&stirred), ways.clone());
        let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
        let noted = Arc::clone(&seen);
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            let event = event.unwrap();
            if concerned.concerns(&event) {
                noted.lock().unwrap().extend(event.paths);
                told.notify_one();
            }
        })
        .unwrap();
        for folder in ways.folders.keys() {
            watcher.watch(folder, RecursiveMode::NonRecursive).unwrap();
        }
        deed();
        let mark = self.folder.join("99-mark.yaml");
        std::fs::write(&mark, "").unwrap();
        timeout(PATIENCE, stirred.notified()).await.unwrap();
        assert_eq!(seen.lock().unwrap().first(), Some(&mark));
    }

    fn exchange(&self, target: &str, link: &Path) {
        let aside = self.outer.path().join("aside");
        symlink(target, &aside).unwrap();
        std::fs::rename(aside, link).unwrap();
    }
}

#[tokio::test]
async fn whatever_becomes_of_files_is_noticed() {
    let site = Site::with_folder();
    let (file, beside) = (site.folder.join("10-x.wasm"), site.folder.join("10-x.yaml"));
    site.sees(|| std::fs::write(&file, "a").unwrap()).await;
    site.sees(|| std::fs::write(&file, "in place").unwrap()).await;
    site.sees(|| std::fs::write(&beside, "b").unwrap()).await;
    let aside = site.folder.join(".10-x.wasm.new");
    std::fs::write(&aside, "aside").unwrap();
    site.sees(|| std::fs::rename(&aside, &file).unwrap()).await;
    let mode = std::fs::Permissions::from_mode(0o600);
    site.sees(|| std::fs::set_permissions(&file, mode.clone()).unwrap())
        .await;
    site.sees(|| std::fs::set_permissions(&site.folder, std::fs::Permissions::from_mode(0o700)).unwrap())
        .await;
    site.sees(|| std::fs::remove_file(&beside).unwrap()).await;
    site.sees(|| std::fs::rename(&file, site.outer.path().join("away")).unwrap())
        .await;
}

#[tokio::test]
async fn links_that_are_exchanged_are_noticed_wherever_they_are() {
    let site = Site::with_folder();
    for set in ["1", "2"] {
        std::fs::create_dir(site.folder.join(set)).unwrap();
        std::fs::write(site.folder.join(set).join("x"), set).unwrap();
    }
    let data = site.folder.join("..data");
    symlink("1", &data).unwrap();
    symlink("..data/x", site.folder.join("10-x.wasm")).unwrap();
    site.sees(|| site.exchange("2", &data)).await;
    site.sees(|| std::fs::write(site.folder.join("2/x"), "in place").unwrap())
        .await;
    site.sees(|| site.exchange("1/x", &site.folder.join("10-x.wasm")))
        .await;

    let real = site.outer.path().join("release-1");
    std::fs::rename(&site.folder, &real).unwrap();
    symlink("release-1", &site.folder).unwrap();
    site.sees(|| std::fs::write(real.join("20-y.wasm"), "").unwrap())
        .await;
    std::fs::create_dir(site.outer.path().join("release-2")).unwrap();
    site.sees(|| site.exchange("release-2", &site.folder)).await;
}

#[tokio::test]
async fn a_folder_that_comes_goes_and_comes_again_is_noticed() {
    let site = Site::new();
    let deep = Site {
        folder: site.folder.join("in/it"),
        outer: tempfile::tempdir().unwrap(),
    };
    site.sees(|| std::fs::create_dir(&site.folder).unwrap()).await;
    deep.sees(|| std::fs::create_dir(site.folder.join("in")).unwrap())
        .await;
    deep.sees(|| std::fs::create_dir(&deep.folder).unwrap()).await;
    let away = site.outer.path().join("away");
    deep.sees(|| std::fs::rename(&site.folder, &away).unwrap()).await;
    deep.sees(|| std::fs::rename(&away, &site.folder).unwrap()).await;
    deep.sees(|| std::fs::remove_dir(&deep.folder).unwrap()).await;
    symlink("nowhere", &deep.folder).unwrap();
    deep.sees(|| std::fs::create_dir(site.folder.join("in/nowhere")).unwrap())
        .await;
}

#[tokio::test]
async fn reading_and_what_lies_beside_policies_is_passed_over() {
    let site = Site::with_folder();
    let file = site.folder.join("10-x.wasm");
    std::fs::write(&file, "a").unwrap();
    site.passes_over(|| {
        std::fs::read(&file).unwrap();
        std::fs::read_dir(&site.folder).unwrap().count();
        std::fs::write(site.folder.join("README"), "").unwrap();
        std::fs::write(site.folder.join(".10-x.yaml.swp"), "").unwrap();
        std::fs::write(site.outer.path().join("10-x.wasm"), "").unwrap();
        std::fs::create_dir(site.folder.join("compiled")).unwrap();
    })
    .await;
}

#[test]
fn a_ring_of_links_ends() {
    let site = Site::new();
    symlink("plugins.d", &site.folder).unwrap();
    let ways = Ways::to(&site.folder);
    assert_eq!(ways.end, None);
    assert!(watch(&site.folder, &Arc::new(Notify::new())).is_ok());
}
