//! Components that are good by construction, and others that are anything.

use rand::RngExt as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

/// How many random modules, and components, one run has.
const MADE: u32 = 40;

/// The section of an empty core module: its id, its length, the module.
const EMPTY_MODULE: &[u8] = b"\x01\x08\0asm\x01\0\0\0";

/// A component of two core modules whose `function` answers the verdict at which `f` of the second leaves off. The
/// first is `random` in there, and has a function `f` with an i32.
fn filter(interface: &str, function: &str, memory: &str, body: &str) -> Vec<u8> {
    let text = format!(
        r#"(component
            (core module)
            (core module $verdicts
                (import "random" "f" (func $random (result i32)))
                (memory (export "memory") 1)
                {memory}
                (func (export "f") (result i32) {body}))
            (core instance $r (instantiate 0))
            (core instance $i (instantiate $verdicts (with "random" (instance $r))))
            (type $reply (record (field "code" u16) (field "enhanced" string) (field "text" string)))
            (type $verdict (variant (case "accept") (case "reject" $reply) (case "defer" $reply) (case "discard")
                (case "quarantine" string)))
            (func $f (result $verdict) (canon lift (core func $i "f") (memory (core memory $i "memory"))))
            (component $face
                (type $a-reply (record (field "code" u16) (field "enhanced" string) (field "text" string)))
                (import "reply" (type $reply (eq $a-reply)))
                (type $a-verdict (variant (case "accept") (case "reject" $reply) (case "defer" $reply) (case "discard")
                    (case "quarantine" string)))
                (import "verdict" (type $verdict (eq $a-verdict)))
                (import "f" (func $f (result $verdict)))
                (export $the-reply "reply" (type $a-reply))
                (type $named (variant (case "accept") (case "reject" $the-reply) (case "defer" $the-reply)
                    (case "discard") (case "quarantine" string)))
                (export $the-verdict "verdict" (type $named))
                (export "{function}" (func $f) (func (result $the-verdict))))
            (instance $e (instantiate $face
                (with "reply" (type $reply)) (with "verdict" (type $verdict)) (with "f" (func $f))))
            (export "postern:policy/{interface}@0.1.0" (instance $e)))"#
    );
    wat::parse_str(text).expect("a component")
}

/// The same with a module in place of the empty one that was called `random`.
fn with_module(component: &[u8], module: &[u8]) -> Vec<u8> {
    let mut places = component.windows(EMPTY_MODULE.len());
    let at = places
        .position(|octets| octets == EMPTY_MODULE)
        .expect("the empty module");
    let mut length = Vec::new();
    let mut rest = module.len();
    // LEB128, as all numbers of WebAssembly's format are.
    while rest >= 0x80 {
        length.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    length.push(rest as u8);
    [
        &component[..=at],
        &length,
        module,
        &component[at + EMPTY_MODULE.len()..],
    ]
    .concat()
}

/// At connect it wants a quarantine for that reason, and nothing else.
pub(crate) fn quarantines(reason: &str) -> Vec<u8> {
    let memory = format!(
        r#"(data (i32.const 64) "\04\00\00\00\80\00\00\00\{:02x}\00\00\00") (data (i32.const 128) "{reason}")"#,
        reason.len()
    );
    let component = filter("connection-filter", "on-connect", &memory, "(i32.const 64)");
    let module =
        wat::parse_str(r#"(module (func (export "f") (result i32) (i32.const 0)))"#).expect("a module");
    with_module(&component, &module)
}

/// Random modules and components, as `tests/smith` makes them of a seed.
pub(crate) struct Smith {
    modules: Vec<Vec<u8>>,
    components: Vec<Vec<u8>>,
}

impl Smith {
    pub(crate) fn new(seed: u64) -> Self {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/smith/Cargo.toml");
        let usual = || concat!(env!("CARGO_MANIFEST_DIR"), "/../target").into();
        let built = Path::new(&std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(usual)).join("smith");
        let folder = tempfile::TempDir::new().expect("a folder");
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
        let made = Command::new(cargo)
            .args(["run", "--quiet", "--locked", "--manifest-path"])
            .arg(source)
            .arg("--target-dir")
            .arg(built)
            .args(["--", &seed.to_string(), &MADE.to_string()])
            .arg(folder.path())
            .status();
        assert!(
            made.expect("cargo").success(),
            "tests/smith makes nothing of seed {seed}"
        );
        let read = |kind: &str| {
            let files = (0..MADE).map(|number| folder.path().join(format!("{number}.{kind}")));
            files
                .map(|file| std::fs::read(file).expect("what was made"))
                .collect()
        };
        Self {
            modules: read("module"),
            components: read("component"),
        }
    }

    /// At MAIL it runs a random function, and answers with a random place of a random memory.
    pub(crate) fn filter(&self, dice: &mut StdRng) -> Vec<u8> {
        let memory: String = (0..2048)
            .map(|_| format!("\\{:02x}", dice.random::<u8>()))
            .collect();
        let memory = format!(r#"(data (i32.const 0) "{memory}")"#);
        let body = "(i32.and (call $random) (i32.const 0x7fc))";
        let component = filter("sender-filter", "on-mail", &memory, body);
        with_module(&component, self.modules.choose(dice).expect("a module"))
    }

    /// It answers no question, whatever else it does.
    pub(crate) fn component(&self, dice: &mut StdRng) -> Vec<u8> {
        self.components.choose(dice).expect("a component").clone()
    }
}

/// Some octets of it are others.
pub(crate) fn mutated(mut octets: Vec<u8>, dice: &mut StdRng) -> Vec<u8> {
    for _ in 0..dice.random_range(1..=3) {
        if octets.is_empty() {
            break;
        }
        let at = dice.random_range(0..octets.len());
        match dice.random_range(0..4) {
            0 => octets[at] = dice.random(),
            1 => octets[at] ^= 1 << dice.random_range(0..8),
            2 => octets.insert(at, dice.random()),
            _ => _ = octets.remove(at),
        }
    }
    octets
}

/// At MAIL it has no objection.
pub(crate) fn idle() -> Vec<u8> {
    let component = filter("sender-filter", "on-mail", "", "(i32.const 0)");
    let module =
        wat::parse_str(r#"(module (func (export "f") (result i32) (i32.const 0)))"#).expect("a module");
    with_module(&component, &module)
}
