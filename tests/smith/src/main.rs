//! Writes random core modules and components: `smith SEED COUNT FOLDER`.
//!
//! `N.module` exports a function `f` with an i32, imports nothing, and is otherwise anything; `N.component` is any
//! component. The same seed writes the same.

use arbitrary::Unstructured;
use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use std::error::Error;
use std::fs;
use std::path::PathBuf;
use wasm_smith::{Component, Config, Module};

/// Octets that one of them is made of.
const RANDOMNESS: usize = 4096;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [seed, count, folder] = arguments.as_slice() else {
        return Err("usage: smith SEED COUNT FOLDER".into());
    };
    let (mut dice, folder) = (StdRng::seed_from_u64(seed.parse()?), PathBuf::from(folder));
    let wanted = wat::parse_str(r#"(module (func (export "f") (result i32) unreachable))"#)?;
    for number in 0..count.parse::<u32>()? {
        let mut octets = vec![0; RANDOMNESS];
        dice.fill_bytes(&mut octets);
        // Most have only what the gateway runs.
        let is_plain = dice.random_bool(0.8);
        let config = |exports: Option<Vec<u8>>| Config {
            exports,
            max_imports: 0,
            exceptions_enabled: !is_plain,
            gc_enabled: !is_plain,
            memory64_enabled: !is_plain,
            reference_types_enabled: !is_plain,
            relaxed_simd_enabled: !is_plain,
            threads_enabled: !is_plain,
            ..Config::default()
        };
        let module = Module::new(config(Some(wanted.clone())), &mut Unstructured::new(&octets))?;
        fs::write(folder.join(format!("{number}.module")), module.to_bytes())?;
        dice.fill_bytes(&mut octets);
        let component = Component::new(config(None), &mut Unstructured::new(&octets))?;
        fs::write(folder.join(format!("{number}.component")), component.to_bytes())?;
    }
    Ok(())
}
