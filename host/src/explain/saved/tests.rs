use super::*;
use crate::explain::Search;
use crate::explain::tests::attempt;
use metrics_exporter_prometheus::PrometheusBuilder;
use std::collections::HashSet;
use std::time::Duration;

const SECOND: u64 = 1000;

fn config(max: u64) -> ExplainConfig {
    ExplainConfig {
        keep: Duration::from_secs(60),
        max,
        keep_deleted: false,
        save: Duration::from_millis(1),
    }
}

fn line(id: &str, time: u64) -> Line {
    let text = serde_json::to_vec(&attempt(id, time)).unwrap();
    (time, text.into())
}

/// Ids of all that is on disk.
fn ids(folder: &Path, max: u64) -> String {
    let (_, lines) = Saved::open(folder.to_owned(), config(max));
    let id = |(_, text): &Line| {
        serde_json::from_slice::<crate::explain::Attempt>(text)
            .unwrap()
            .id
    };
    lines.iter().map(id).collect()
}

fn found(attempts: &Attempts) -> Vec<String> {
    let found = attempts.find(Search::Address("192.0.2.1"), 99);
    found.into_iter().map(|attempt| attempt.id).collect()
}

/// As a gateway has it that begins, refuses these and ends.
async fn ran(state: &Path, config: ExplainConfig, refused: &[&str]) -> Vec<String> {
    let attempts = Arc::new(Attempts::new(config));
    for id in refused {
        attempts.add(&attempt(id, unix_millis()));
    }
    let end = CancellationToken::new();
    end.cancel();
    save(Arc::clone(&attempts), state.to_owned(), end).await;
    found(&attempts)
}

#[tokio::test]
async fn a_restart_forgets_nothing_and_what_is_new_comes_last() {
    let state = tempfile::tempdir().unwrap();
    let config = config(1 << 20);
    assert_eq!(ran(state.path(), config, &["A", "B"]).await, ["A", "B"]);
    assert_eq!(ran(state.path(), config, &["C"]).await, ["A", "B", "C"]);
    assert_eq!(ran(state.path(), config, &[]).await, ["A", "B", "C"], "each once");
    let never = ExplainConfig {
        save: Duration::ZERO,
        ..config
    };
    assert_eq!(ran(state.path(), never, &["D"]).await, ["D"]);
    assert!(!state.path().join(FOLDER).exists());
}

#[tokio::test]
async fn attempts_are_saved_while_the_gateway_runs() {
    let state = tempfile::tempdir().unwrap();
    let attempts = Arc::new(Attempts::new(config(1 << 20)));
    let end = CancellationToken::new();
    let saving = tokio::spawn(save(Arc::clone(&attempts), state.path().to_owned(), end.clone()));
    for id in ["A", "B"] {
        attempts.add(&attempt(id, unix_millis()));
        let folder = state.path().join(FOLDER);
        let is_there = |ids: String| ids.contains(id);
        while !is_there(ids(&folder, 1 << 20)) {
            tokio::task::yield_now().await;
        }
    }
    end.cancel();
    saving.await.unwrap();
    assert_eq!(ids(&state.path().join(FOLDER), 1 << 20), "AB");
}

#[tokio::test]
async fn what_cannot_be_saved_is_counted_and_kept() {
    let state = tempfile::tempdir().unwrap();
    let failures = |is_in_the_way: bool| {
        let recorder = PrometheusBuilder::new().build_recorder();
        let state = state.path().join(is_in_the_way.to_string());
        async move {
            fs::create_dir(&state).unwrap();
            if is_in_the_way {
                fs::write(state.join(FOLDER), "").unwrap();
            }
            let counting = metrics::set_default_local_recorder(&recorder);
            let kept = ran(&state, config(1 << 20), &["A"]).await;
            drop(counting);
            assert_eq!(kept, ["A"]);
            recorder
                .handle()
                .render()
                .contains("\npostern_explain_save_failures_total 1\n")
        }
    };
    assert!(failures(true).await);
    assert!(!failures(false).await);
}

#[test]
fn both_files_have_no_more_octets_than_there_is_room_for() {
    let state = tempfile::tempdir().unwrap();
    let folder = state.path().join("a");
    let octets = line("A", 1).1.len() as u64 + 1;
    let max = 4 * octets;
    let (mut saved, _) = Saved::open(folder.clone(), config(max));
    let mut all = Vec::new();
    for id in ["A", "B", "C", "D", "E"] {
        saved.add(&[line(id, 1)], 2).unwrap();
        let on_disk = on_disk(&folder);
        assert!(on_disk <= max, "{on_disk}");
        all.push(ids(&folder, max));
    }
    assert_eq!(all, ["A", "AB", "ABC", "ABCD", "CDE"]);
    let burst: Vec<Line> = ["F", "G", "H"].map(|id| line(id, 1)).into();
    saved.add(&burst, 2).unwrap();
    assert_eq!(ids(&folder, max), "EGH", "of one burst the last");
}

#[test]
fn what_is_over_leaves_the_disk() {
    let state = tempfile::tempdir().unwrap();
    let folder = state.path().join("a");
    let (mut saved, _) = Saved::open(folder.clone(), config(1 << 20));
    saved.add(&[line("A", 1)], 1).unwrap();
    saved.add(&[line("B", 30 * SECOND)], 30 * SECOND).unwrap();
    saved.add(&[], 60 * SECOND).unwrap();
    assert!(folder.join("newer").exists());
    saved.add(&[], 60 * SECOND + 1).unwrap();
    assert!(folder.join("older").exists() && !folder.join("newer").exists());
    saved.add(&[], 90 * SECOND - 1).unwrap();
    assert_eq!(ids(&folder, 1 << 20), "AB");
    saved.add(&[], 90 * SECOND).unwrap();
    assert_eq!(ids(&folder, 1 << 20), "");
}

fn on_disk(folder: &Path) -> u64 {
    let files = fs::read_dir(folder).unwrap();
    files.map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
}

#[test]
fn files_that_somebody_removed_are_begun_anew() {
    let state = tempfile::tempdir().unwrap();
    let folder = state.path().join("a");
    let octets = line("A", 1).1.len() as u64 + 1;
    let max = 4 * octets;
    let (mut saved, _) = Saved::open(folder.clone(), config(max));
    saved.add(&[line("A", 1)], 2).unwrap();
    fs::remove_dir_all(&folder).unwrap();
    saved.add(&[line("B", 1)], 2).unwrap();
    assert_eq!((ids(&folder, max), on_disk(&folder)), ("B".to_owned(), octets));
    saved.add(&[line("C", 1)], 2).unwrap();
    assert_eq!(ids(&folder, max), "BC");
    // It is full, and would be moved.
    fs::remove_file(folder.join("newer")).unwrap();
    saved.add(&[line("D", 1), line("E", 1)], 2).unwrap();
    saved.add(&[line("F", 50 * SECOND)], 50 * SECOND).unwrap();
    assert_eq!(ids(&folder, max), "DEF");
    // It is over, and would be removed.
    fs::remove_file(folder.join("older")).unwrap();
    saved.add(&[], 70 * SECOND).unwrap();
    assert_eq!(ids(&folder, max), "F");
    fs::remove_dir_all(&folder).unwrap();
    saved.add(&[], 200 * SECOND).unwrap();
}

#[test]
fn what_is_more_than_there_is_room_for_now_is_cut_when_it_is_read() {
    let state = tempfile::tempdir().unwrap();
    let folder = state.path().join("a");
    let octets = line("A", 1).1.len() as u64 + 1;
    let (mut saved, _) = Saved::open(folder.clone(), config(6 * octets));
    for id in ["A", "B", "C", "D", "E", "F"] {
        saved.add(&[line(id, 1)], 2).unwrap();
    }
    assert_eq!(
        (ids(&folder, 6 * octets).as_str(), on_disk(&folder)),
        ("ABCDEF", 6 * octets)
    );
    let less = 4 * octets + 2;
    assert_eq!(ids(&folder, less), "BCEF");
    assert_eq!(on_disk(&folder), 4 * octets);
    assert_eq!(ids(&folder, less), "BCEF");
    assert_eq!(ids(&folder, 2), "", "a part of a line is none");
    assert_eq!(on_disk(&folder), 0);
}

#[test]
fn what_cannot_be_read_stays_and_nothing_is_saved_until_it_can() {
    let state = tempfile::tempdir().unwrap();
    let folder = state.path().join("a");
    let (mut saved, _) = Saved::open(folder.clone(), config(1 << 20));
    saved.add(&[line("A", 1)], 2).unwrap();
    fs::rename(folder.join("newer"), folder.join("older")).unwrap();
    // It can be opened, and not be read.
    fs::create_dir(folder.join("newer")).unwrap();
    let (mut saved, lines) = Saved::open(folder.clone(), config(1 << 20));
    assert_eq!(lines.len(), 1, "what can be read is");
    assert!(saved.add(&[line("B", 1)], 2).is_err());
    assert!(folder.join("newer").is_dir() && folder.join("older").is_file());
    fs::remove_dir(folder.join("newer")).unwrap();
    saved.add(&[line("B", 1)], 2).unwrap();
    assert_eq!(ids(&folder, 1 << 20), "AB");
}

#[tokio::test]
async fn a_panic_is_counted() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let counting = metrics::set_default_local_recorder(&recorder);
    let done = told(tokio::task::spawn_blocking(|| panic!("on purpose")).await);
    drop(counting);
    assert_eq!(done, None::<()>);
    let page = recorder.handle().render();
    assert!(
        page.contains("\npostern_explain_save_failures_total 1\n"),
        "{page}"
    );
}

#[test]
fn what_was_cut_off_is_passed_over_and_nothing_is_put_behind_it() {
    let state = tempfile::tempdir().unwrap();
    let folder = state.path().join("a");
    let (mut saved, _) = Saved::open(folder.clone(), config(1 << 20));
    saved.add(&[line("A", 1)], 2).unwrap();
    let mut newer = OpenOptions::new()
        .append(true)
        .open(folder.join("newer"))
        .unwrap();
    newer.write_all(b"odd\n{\"time\":1").unwrap();
    let (mut saved, lines) = Saved::open(folder.clone(), config(1 << 20));
    assert_eq!(lines.len(), 1);
    saved.add(&[line("B", 1)], 2).unwrap();
    assert_eq!(ids(&folder, 1 << 20), "AB");
}

#[test]
fn what_could_not_be_saved_is_tried_again_and_what_gave_way_is_not() {
    let attempts = Attempts::new(config(1 << 20));
    let taken = || attempts.fresh().len();
    let now = unix_millis();
    attempts.add(&attempt("A", now));
    attempts.add(&attempt("B", now));
    assert_eq!((taken(), taken()), (2, 0));
    attempts.add(&attempt("C", now));
    attempts.again(2);
    assert_eq!(taken(), 3);
    attempts.again(99);
    assert_eq!(taken(), 3);
    let names: HashSet<String> = found(&attempts).into_iter().collect();
    assert_eq!(names.len(), 3);
    let room = line("A", now).1.len() as u64 + 64;
    let small = Attempts::new(config(2 * room));
    small.remember(vec![line("W", now), line("X", now), line("Y", now), line("Z", 1)]);
    assert_eq!(
        found(&small),
        ["X", "Y"],
        "the last that there is room for, without what is over"
    );
    small.add(&attempt("A", now));
    small.add(&attempt("B", now));
    assert_eq!((found(&small).concat().as_str(), small.fresh().len()), ("AB", 2));
}
