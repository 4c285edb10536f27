//! What a component is, before it is installed.

use super::{Bench, INSTANCES, Keep, Question};
use crate::policy::Fault;
use crate::policy::capabilities::{self, Access};
use crate::policy::imports::{self, Import};
use crate::policy::observer::Observer;
use crate::store::MemoryStore;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use wasmtime::component::Component;

/// Octets of a page of linear memory.
const PAGE: u64 = 64 << 10;

/// What was found. What cannot be told of a file that does not compile is empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Inspection {
    pub file: PathBuf,
    pub bytes: u64,
    pub sha256: String,
    /// In the words of the `failure` section.
    pub answers: Vec<&'static str>,
    /// The versions of the contract that it names.
    pub contract: Vec<String>,
    pub capabilities: Vec<Needed>,
    /// `wasi:cli/stdout@0.2.6`
    pub wasi: Vec<String>,
    /// What is not served: interfaces, and functions of the others.
    pub unknown: Vec<String>,
    /// None where it cannot be told without an instance.
    pub memory: Option<Memory>,
    /// Why it would not be loaded, in the words of the loading; where the file beside it is at fault, that is named.
    pub refused: Option<String>,
}

/// A capability that it imports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Needed {
    pub interface: String,
    pub version: String,
    pub functions: Vec<String>,
    pub wants: Wants,
}

/// What a capability needs before it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wants {
    Nothing,
    /// The grant of that name.
    Grant(&'static str),
}

/// What it has when it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Memory {
    pub memories: u32,
    /// Octets of the largest of them.
    pub largest: u64,
    pub tables: u32,
    /// Elements of the largest of them.
    pub elements: u64,
}

/// Looks at a component and loads it as a gateway would. Err only where the file cannot be read or nothing can be run.
pub fn inspect(file: &Path, keep: &Keep) -> Result<Inspection, Fault> {
    let mut bench = Bench::new(file, None, INSTANCES, keep)?;
    let mut found = Inspection {
        file: file.to_owned(),
        bytes: bench.wasm.len() as u64,
        sha256: bench.listed.digest.clone(),
        answers: Vec::new(),
        contract: Vec::new(),
        capabilities: Vec::new(),
        wasi: Vec::new(),
        unknown: Vec::new(),
        memory: None,
        refused: None,
    };
    found.refused = looked_at(&mut bench, &mut found)
        .err()
        .map(|fault| match fault.path == file {
            true => fault.text,
            false => fault.to_string(),
        });
    Ok(found)
}

fn looked_at(bench: &mut Bench, found: &mut Inspection) -> Result<(), Fault> {
    let component = bench.component()?;
    let engine = &bench.loader.guests.engine;
    let answered = Question::ALL
        .into_iter()
        .filter(|question| question.is_exported_by(&component));
    found.answers = answered.map(Question::word).collect();
    found.contract = imports::contracts(engine, &component).into_iter().collect();
    found.memory = memory(&component);
    for import in imports::of(engine, &component) {
        if import.is_unknown() {
            found.unknown.push(import.name);
        } else if import.is_ours() {
            found.capabilities.extend(needed(&import));
            found.unknown.extend(import.missing);
        } else {
            found.wasi.push(import.name);
        }
    }
    let manifest = bench.manifest()?;
    let (store, observer) = (Arc::new(MemoryStore::new()), Arc::new(Observer::default()));
    bench.load(&component, manifest, (&store, &observer))?;
    Ok(())
}

/// None for what is no capability: types, and what is not known.
fn needed(import: &Import) -> Option<Needed> {
    let (_, interface, version) = import.split();
    let wants = match capabilities::access(interface)? {
        Access::Open => Wants::Nothing,
        Access::Grant(name) => Wants::Grant(name),
    };
    Some(Needed {
        interface: interface.to_owned(),
        version: version.to_owned(),
        functions: import.functions.clone(),
        wants,
    })
}

fn memory(component: &Component) -> Option<Memory> {
    let required = component.resources_required()?;
    Some(Memory {
        memories: required.num_memories,
        largest: required.max_initial_memory_size.unwrap_or(0).saturating_mul(PAGE),
        tables: required.num_tables,
        elements: required.max_initial_table_size.unwrap_or(0),
    })
}
