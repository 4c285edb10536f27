//! A replay: what a guest draws and what time it has by WASI, and what it finds in its share of the store.

use super::*;
use crate::policy::load::tests::answering;
use crate::store::{MemoryStore, Store};

/// Rejects by a text of hexadecimal digits, 16 each: a number of WASI's `random`, of `insecure` and of `insecure-seed`, and
/// the seconds of its wall clock.
const DRAWS: &str = r#"
    (import "wasi:random/random@0.2.0" (instance $random
        (export "get-random-u64" (func (result u64)))))
    (import "wasi:random/insecure@0.2.0" (instance $insecure
        (export "get-insecure-random-u64" (func (result u64)))))
    (import "wasi:random/insecure-seed@0.2.0" (instance $seed
        (export "insecure-seed" (func (result (tuple u64 u64))))))
    (import "wasi:clocks/wall-clock@0.2.0" (instance $wall
        (type $record (record (field "seconds" u64) (field "nanoseconds" u32)))
        (export "datetime" (type $datetime (eq $record)))
        (export "now" (func (result $datetime)))))
    (core module $memory (memory (export "memory") 1))
    (core instance $memory (instantiate $memory))
    (core func $random (canon lower (func $random "get-random-u64")))
    (core func $insecure (canon lower (func $insecure "get-insecure-random-u64")))
    (core func $seed (canon lower (func $seed "insecure-seed") (memory (core memory $memory "memory"))))
    (core func $now (canon lower (func $wall "now") (memory (core memory $memory "memory"))))
    (core module $m
        (import "wasi" "memory" (memory 1))
        (import "wasi" "random" (func $random (result i64)))
        (import "wasi" "insecure" (func $insecure (result i64)))
        (import "wasi" "seed" (func $seed (param i32)))
        (import "wasi" "now" (func $now (param i32)))
        (export "memory" (memory 0))
        (data (i32.const 64)
            "\01\00\00\00" "\26\02\00\00" "\00\00\00\00\00\00\00\00" "\80\00\00\00\40\00\00\00")
        (data (i32.const 256) "0123456789abcdef")
        (func $write (param $at i32) (param $value i64)
            (local $digits i32)
            (loop $next
                (i32.store8
                    (i32.add (local.get $at) (local.get $digits))
                    (i32.load8_u offset=256 (i32.wrap_i64 (i64.shr_u (local.get $value) (i64.const 60)))))
                (local.set $value (i64.shl (local.get $value) (i64.const 4)))
                (local.set $digits (i32.add (local.get $digits) (i32.const 1)))
                (br_if $next (i32.lt_u (local.get $digits) (i32.const 16)))))
        (func (export "f") (result i32)
            (call $write (i32.const 128) (call $random))
            (call $write (i32.const 144) (call $insecure))
            (call $seed (i32.const 512))
            (call $write (i32.const 160) (i64.load (i32.const 512)))
            (call $now (i32.const 512))
            (call $write (i32.const 176) (i64.load (i32.const 512)))
            (i32.const 64)))
    (core instance $i (instantiate $m (with "wasi" (instance
        (export "memory" (memory $memory "memory"))
        (export "random" (func $random))
        (export "insecure" (func $insecure))
        (export "seed" (func $seed))
        (export "now" (func $now))))))"#;

/// What it draws, in three numbers, and the seconds of its clock.
fn drawn(seat: &Seat) -> (Vec<String>, u64) {
    let heard = seat.ask(&Ask::Connect, &Facts::default(), None, &[]);
    let Verdict::Reject(reply) = verdict(&heard) else {
        panic!("{heard:?}")
    };
    let mut numbers: Vec<String> = (0..4)
        .map(|place| reply.text()[16 * place..16 * (place + 1)].to_owned())
        .collect();
    let seconds = numbers.pop().unwrap();
    (numbers, u64::from_str_radix(&seconds, 16).unwrap())
}

#[test]
fn a_replay_draws_by_its_message_and_has_its_time_by_wasi_too() {
    for manifest in ["", "reuse: { calls: 100 }\n"] {
        let folder = Folder::new()
            .with("10-one", &answering(DRAWS, ""))
            .file("10-one.yaml", format!("limits: {{ deadline: 30s }}\n{manifest}"));
        let seat = open(&folder, None).unwrap().seat(&Setup::default()).unwrap();
        let replayed = |id: &str, at| {
            let id = id.to_owned();
            drawn(&seat.replaying(Replayed { at, id }))
        };
        let (first, at) = replayed("A", 7_999);
        assert_eq!(at, 7, "{manifest}");
        let (other, at) = replayed("B", 2_000_000_000_000);
        assert_eq!(at, 2_000_000_000, "{manifest}");
        assert_eq!(replayed("A", 7_000), (first.clone(), 7), "{manifest}");
        for place in 0..3 {
            assert_ne!(first[place], other[place], "{place} {manifest}");
        }
        let all: std::collections::HashSet<&String> = first.iter().collect();
        assert_eq!(all.len(), 3, "each generator is its own: {first:?}");
        let before = unix_millis() / 1000;
        let (one, at) = drawn(&seat);
        assert!(at >= before, "{at} {before}");
        let (two, _) = drawn(&seat);
        for generator in [0, 1] {
            assert_ne!(one[generator], two[generator], "{manifest}");
            assert_ne!(one[generator], first[generator], "{manifest}");
        }
    }
}

/// Counts in `kv`, and rejects from the fourth time on.
const COUNTS: &str = r#"
    (import "postern:policy/kv@0.1.0" (instance $kv
        (export "increment" (func (param "key" string) (param "by" s64) (param "ttl" u32)
            (result (result s64 (error string)))))))
    (core module $memory
        (memory (export "memory") 1)
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))
    (core instance $memory (instantiate $memory))
    (core func $increment (canon lower (func $kv "increment")
        (memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))))
    (core module $m
        (import "kv" "memory" (memory 1))
        (import "kv" "increment" (func $increment (param i32 i32 i64 i32 i32)))
        (export "memory" (memory 0))
        (data (i32.const 64)
            "\01\00\00\00" "\26\02\00\00" "\00\00\00\00\00\00\00\00" "\80\00\00\00\09\00\00\00")
        (data (i32.const 128) "not today")
        (data (i32.const 256) "seen")
        (func (export "f") (result i32)
            (call $increment (i32.const 256) (i32.const 4) (i64.const 1) (i32.const 0) (i32.const 512))
            (if (i32.load8_u (i32.const 512)) (then unreachable))
            (if (result i32) (i64.gt_s (i64.load (i32.const 520)) (i64.const 3))
                (then (i32.const 64)) (else (i32.const 0)))))
    (core instance $i (instantiate $m (with "kv" (instance
        (export "memory" (memory $memory "memory"))
        (export "increment" (func $increment))))))"#;

#[test]
fn a_replay_finds_what_the_share_holds_and_writes_nothing_to_it() {
    let store = Arc::new(MemoryStore::new());
    let beneath: Arc<dyn Store> = Arc::clone(&store) as _;
    let folder = Folder::new().with("10-one", &answering(COUNTS, "")).file(
        "10-one.yaml",
        "limits: { deadline: 30s }\ngrants: { kv: { namespace: n } }\n",
    );
    let mut stand = open(&folder, None).unwrap();
    assert_eq!(stand.share(), Some("n"));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let now = unix_millis();
    runtime
        .block_on(store.kv_increment("n", "seen", 2, 0, now, u64::MAX))
        .unwrap();
    let before = store.kv_all("n", now);
    let setup = Setup {
        beneath: Some(Arc::new(beneath)),
        ..Setup::default()
    };
    let words = |seat: &Seat| {
        ["A", "B"].map(|id| {
            let (at, id) = (7, id.to_owned());
            let heard = seat
                .replaying(Replayed { at, id })
                .ask(&Ask::Connect, &Facts::default(), None, &[]);
            verdict(&heard).word()
        })
    };
    for _ in 0..2 {
        let seat = stand.seat(&setup).unwrap();
        assert_eq!(words(&seat), ["accept", "reject"], "the third, and the fourth");
    }
    assert_eq!(store.kv_all("n", now), before);
    let alone = stand.seat(&Setup::default()).unwrap();
    assert_eq!(words(&alone), ["accept", "accept"], "nothing is beneath");
}
