use super::*;
use crate::policy::engine;
use crate::policy::questions::Question;
use wasmtime::component::{Component, Linker, ResourceTable, Val};
use wasmtime::{Result, Store, StoreContextMut};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

#[test]
fn the_contract_is_read_as_it_is_written() {
    let capabilities = capabilities();
    assert_eq!(
        capabilities.len(),
        14,
        "thirteen capabilities and the types: {capabilities:?}"
    );
    assert_eq!(capabilities["session"].len(), 12);
    assert_eq!(
        capabilities["kv"],
        BTreeSet::from(["compare-and-set", "get", "increment", "remove", "set"])
    );
    let without = |(name, functions): (&&str, &BTreeSet<&str>)| *name == "types" || !functions.is_empty();
    assert!(capabilities.iter().all(without));
    assert!(questions().values().all(|functions| functions.len() == 1));
}

#[test]
fn one_version_is_named_everywhere() {
    for wit in [CAPABILITIES, QUESTIONS] {
        assert!(wit.starts_with(&format!("package {PACKAGE}@{VERSION};\n")));
    }
    assert_eq!(SERVED, format!("{PACKAGE} {VERSION}"));
    assert!(is_of_track(VERSION));
    let mut asked: Vec<_> = Question::ALL
        .iter()
        .map(|question| question.interface())
        .collect();
    asked.sort_unstable();
    let mut written: Vec<_> = questions().into_keys().collect();
    written.sort_unstable();
    assert_eq!(asked, written);
}

/// A component that was built against 0.1.0 and is never built anew.
const OLD: &[u8] = include_bytes!("../../../../tests/guests/old/policy-0.1.0.wasm");

/// What a host of 0.1.1 has for it.
struct Newer {
    wasi: WasiCtx,
    table: ResourceTable,
}

impl WasiView for Newer {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

type At<'a> = StoreContextMut<'a, Newer>;

/// The next version: all that the old one uses under new names, and a function more.
fn newer(linker: &mut Linker<Newer>) -> Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    linker.instance("postern:policy/types@0.1.1")?;
    let mut session = linker.instance("postern:policy/session@0.1.1")?;
    session.func_wrap("client-port", |_: At<'_>, (): ()| Ok((25_u16,)))?;
    session.func_wrap("helo", |_: At<'_>, (): ()| Ok(("h.example".to_owned(),)))?;
    session.func_wrap("mail-from", |_: At<'_>, (): ()| {
        Ok(("bob@shop.example".to_owned(),))
    })?;
    let mut config = linker.instance("postern:policy/config@0.1.1")?;
    let refused = |_: At<'_>, (_,): (String,)| Ok((Some("bob@shop.example".to_owned()),));
    config.func_wrap("get", refused)?;
    let mut message = linker.instance("postern:policy/message@0.1.1")?;
    message.func_wrap("header-text", |_: At<'_>, (_,): (String,)| Ok((None::<String>,)))?;
    let mut edit = linker.instance("postern:policy/edit@0.1.1")?;
    edit.func_wrap("add-header", |_: At<'_>, (_, _): (String, String)| Ok(()))?;
    let mut kv = linker.instance("postern:policy/kv@0.1.1")?;
    let increment = |_: At<'_>, (_, _, _): (String, i64, u32)| Ok((Ok::<_, String>(1_i64),));
    kv.func_wrap("increment", increment)
}

#[tokio::test]
async fn a_component_of_an_older_version_runs_on_a_newer_host_as_it_is() {
    assert!(OLD.len() < 100_000);
    let engine = engine::on_demand().unwrap();
    let component = Component::new(&engine, OLD).unwrap();
    let mut linker = Linker::new(&engine);
    newer(&mut linker).unwrap();
    let host = Newer {
        wasi: WasiCtx::builder().build(),
        table: ResourceTable::new(),
    };
    let mut store = Store::new(&engine, host);
    store.set_epoch_deadline(u64::MAX / 2);
    let instance = linker.instantiate_async(&mut store, &component).await.unwrap();
    let question = instance.get_export_index(&mut store, None, "postern:policy/sender-filter@0.1.1");
    let function = instance
        .get_export_index(&mut store, question.as_ref(), "on-mail")
        .unwrap();
    let function = instance.get_func(&mut store, function).unwrap();
    let mut said = [Val::Bool(false)];
    function.call_async(&mut store, &[], &mut said).await.unwrap();
    assert!(
        matches!(&said[0], Val::Variant(word, Some(_)) if word == "reject"),
        "{said:?}"
    );
    let of_another_track = instance.get_export_index(&mut store, None, "postern:policy/sender-filter@0.2.0");
    assert!(of_another_track.is_none());
}
