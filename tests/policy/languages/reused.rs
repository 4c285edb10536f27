//! A component whose one instance is called again and again, which no gateway does by itself: through wasmtime,
//! with the few answers that the Go stress guest asks for.

use std::path::Path;
use wasmtime::component::{Component, Func, Linker, ResourceTable, Val};
use wasmtime::{Config, Engine, ResourceLimiter, Store, StoreContextMut};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

const QUESTION: &str = "postern:policy/message-filter@0.1.0";

/// What the instance's store holds.
struct Host {
    wasi: WasiCtx,
    table: ResourceTable,
    /// Octets of its largest memory.
    memory: usize,
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl ResourceLimiter for Host {
    fn memory_growing(&mut self, _now: usize, wanted: usize, _most: Option<usize>) -> wasmtime::Result<bool> {
        let allowed = wanted <= 64 << 20;
        if allowed {
            self.memory = self.memory.max(wanted);
        }
        Ok(allowed)
    }

    fn table_growing(&mut self, _now: usize, _wanted: usize, _most: Option<usize>) -> wasmtime::Result<bool> {
        Ok(true)
    }
}

pub(crate) struct Reused {
    store: Store<Host>,
    question: Func,
}

impl Reused {
    pub(crate) fn new(component: &Path) -> Self {
        let engine = Engine::new(&Config::new()).expect("an engine");
        let component = Component::from_file(&engine, component).expect("a component");
        let mut linker = Linker::<Host>::new(&engine);
        wasmtime_wasi::p2::add_to_linker_sync(&mut linker).expect("WASI");
        let text: Vec<u8> = (0..=u8::MAX).cycle().take(64 << 10).collect();
        let mut message = linker
            .instance("postern:policy/message@0.1.0")
            .expect("an interface");
        let read = move |_: StoreContextMut<'_, Host>, (offset, len): (u32, u32)| {
            let (offset, len) = (offset as usize, len as usize);
            let end = (offset + len).min(text.len());
            Ok((text.get(offset..end).unwrap_or_default().to_vec(),))
        };
        message.func_wrap("read", read).expect("a function");
        let mut config = linker
            .instance("postern:policy/config@0.1.0")
            .expect("an interface");
        config
            .func_wrap("get", |_, (_,): (String,)| Ok((Some("call".to_owned()),)))
            .expect("a function");
        let mut session = linker
            .instance("postern:policy/session@0.1.0")
            .expect("an interface");
        session
            .func_wrap("mail-from", |_, (): ()| Ok(("bob@shop.example".to_owned(),)))
            .expect("a function");
        let mut edit = linker
            .instance("postern:policy/edit@0.1.0")
            .expect("an interface");
        edit.func_wrap("add-header", |_, (_, value): (String, String)| {
            assert!(value.ends_with(" octets from bob@shop.example"), "{value}");
            Ok(())
        })
        .expect("a function");
        // What its other deeds ask for.
        for (interface, function) in [("message", "headers"), ("kv", "get"), ("kv", "set")] {
            let name = format!("postern:policy/{interface}@0.1.0");
            let mut interface = linker.instance(&name).expect("an interface");
            let none = |_: StoreContextMut<'_, Host>, _, _: &[Val], _: &mut [Val]| -> wasmtime::Result<()> {
                Err(wasmtime::Error::msg("not in this deed"))
            };
            interface.func_new(function, none).expect("a function");
        }
        let host = Host {
            wasi: WasiCtx::builder().build(),
            table: ResourceTable::new(),
            memory: 0,
        };
        let mut store = Store::new(&engine, host);
        store.limiter(|host| host);
        let instance = linker.instantiate(&mut store, &component).expect("an instance");
        let interface = instance
            .get_export_index(&mut store, None, QUESTION)
            .expect("the question");
        let question = instance
            .get_export_index(&mut store, Some(&interface), "on-message")
            .expect("its function");
        let question = instance.get_func(&mut store, question).expect("a function");
        Self { store, question }
    }

    /// Asks so many times.
    pub(crate) fn call(&mut self, times: usize) {
        for time in 0..times {
            let mut answer = [Val::Bool(false)];
            let called = self.question.call(&mut self.store, &[], &mut answer);
            called.unwrap_or_else(|error| panic!("call {time}: {error:?}"));
            assert_eq!(answer, [Val::Variant("accept".to_owned(), None)]);
        }
    }

    /// Octets of the largest memory that it ever had.
    pub(crate) fn memory(&self) -> usize {
        self.store.data().memory
    }
}
