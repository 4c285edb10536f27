//! What a component needs, compared by name with what is served, before anything is linked.
//!
//! The linker would name only the first gap, and call it a wrong type. Here all gaps are said at once. That
//! names agree is no promise that types do: the trial finds that out.

use super::contract::{self, PACKAGE, SERVED, split};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use wasmtime::Engine;
use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

/// What the standard libraries of all languages import. Each is empty: no files, no network, no arguments.
const WASI: [&str; 6] = [
    "wasi:cli",
    "wasi:clocks",
    "wasi:filesystem",
    "wasi:io",
    "wasi:random",
    "wasi:sockets",
];

/// A package and version, and what of it is missing.
type Gaps = BTreeMap<(String, String), BTreeSet<String>>;

/// One thing that a component imports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Import {
    /// `postern:policy/session@0.1.0`
    pub(super) name: String,
    /// Those of an interface, in the order of their names.
    pub(super) functions: Vec<String>,
    /// What of it is not served: the interface, or functions of it.
    pub(super) missing: Vec<String>,
}

/// All that is missing in one line, or nothing.
pub(super) fn check(engine: &Engine, component: &Component) -> Result<(), String> {
    let mut gaps = Gaps::new();
    for import in of(engine, component) {
        let (package, _, version) = import.split();
        if !import.missing.is_empty() {
            let key = (package.to_owned(), version.to_owned());
            gaps.entry(key).or_default().extend(import.missing);
        }
    }
    for (version, question) in unasked(engine, component) {
        gaps.entry((PACKAGE.to_owned(), version))
            .or_default()
            .insert(question);
    }
    if gaps.is_empty() {
        return Ok(());
    }
    Err(said(&gaps))
}

/// Questions that a component answers and nobody asks here, with their versions: it would be thought to decide.
fn unasked(engine: &Engine, component: &Component) -> Vec<(String, String)> {
    let asked = contract::questions();
    let exports = component.component_type();
    let ours = exports.exports(engine).map(|(name, _)| split(name));
    ours.filter(|(package, question, version)| {
        *package == PACKAGE
            && *question != "types"
            && !(contract::is_of_track(version) && asked.contains_key(question))
    })
    .map(|(_, question, version)| (version.to_owned(), question.to_owned()))
    .collect()
}

/// What a component imports, types apart.
pub(super) fn of(engine: &Engine, component: &Component) -> Vec<Import> {
    let served = contract::capabilities();
    let mut imports = Vec::new();
    for (name, import) in component.component_type().imports(engine) {
        let mut functions = Vec::new();
        match &import.ty {
            ComponentItem::ComponentInstance(instance) => {
                let those = instance
                    .exports(engine)
                    .filter(|(_, item)| matches!(item.ty, ComponentItem::ComponentFunc(_)));
                functions.extend(those.map(|(function, _)| function.to_owned()));
                functions.sort();
            }
            ComponentItem::Type(_) | ComponentItem::Resource(_) => continue,
            _ => {}
        }
        imports.push(Import {
            missing: missing(name, &functions, &served),
            name: name.to_owned(),
            functions,
        });
    }
    imports
}

fn missing(name: &str, functions: &[String], served: &HashMap<&str, BTreeSet<&str>>) -> Vec<String> {
    let (package, interface, version) = split(name);
    if WASI.contains(&package) && version.starts_with("0.2.") {
        return Vec::new();
    }
    let known = match package {
        PACKAGE if contract::is_of_track(version) => served.get(interface),
        _ => None,
    };
    let Some(known) = known else {
        return vec![interface.to_owned()];
    };
    let unknown = functions
        .iter()
        .filter(|function| !known.contains(function.as_str()));
    unknown
        .map(|function| format!("{interface}.{function}"))
        .collect()
}

/// The versions of the contract whose interfaces a component imports or exports.
pub(super) fn contracts(engine: &Engine, component: &Component) -> BTreeSet<String> {
    let kind = component.component_type();
    let names = kind.imports(engine).map(|(name, _)| name);
    let ours = names.chain(kind.exports(engine).map(|(name, _)| name)).map(split);
    ours.filter(|(package, ..)| *package == PACKAGE)
        .map(|(_, _, version)| version.to_owned())
        .collect()
}

impl Import {
    /// Package, interface and version; what is not there is empty.
    pub(super) fn split(&self) -> (&str, &str, &str) {
        split(&self.name)
    }

    /// Whether it is a capability of the contract.
    pub(super) fn is_ours(&self) -> bool {
        self.split().0 == PACKAGE
    }

    /// Whether nothing of that name is served.
    pub(super) fn is_unknown(&self) -> bool {
        let (_, interface, _) = self.split();
        self.missing.iter().any(|missing| missing == interface)
    }
}

fn said(gaps: &Gaps) -> String {
    let needs: Vec<String> = gaps
        .iter()
        .map(|((package, version), names)| {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            format!("{package} {version} ({})", names.join(", "))
        })
        .collect();
    format!(
        "needs {}; this Postern serves {SERVED} and WASI 0.2 without http: build it against those",
        needs.join(" and ").replace("  (", "(").trim_start()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::engine;

    fn checked(wat: &str) -> Result<(), String> {
        let engine = engine::on_demand().unwrap();
        check(
            &engine,
            &Component::new(&engine, wat::parse_str(wat).unwrap()).unwrap(),
        )
    }

    #[test]
    fn everything_that_is_missing_is_said_in_one_line() {
        let error = checked(
            r#"(component
                (import "postern:policy/session@0.1.7" (instance
                    (export "helo" (func (result string)))
                    (export "client-port" (func (result u16)))))
                (import "postern:policy/oracle@0.1.7" (instance (export "ask" (func))))
                (import "wasi:http/outgoing-handler@0.2.3" (instance (export "handle" (func)))))"#,
        )
        .unwrap_err();
        assert_eq!(
            error,
            "needs postern:policy 0.1.7 (oracle, session.client-port) and wasi:http 0.2.3 (outgoing-handler); \
             this Postern serves postern:policy 0.1.0 and WASI 0.2 without http: build it against those"
        );
    }

    #[test]
    fn a_later_patch_that_asks_for_nothing_new_fits_and_another_track_does_not() {
        let session = |version| {
            format!(
                r#"(component (import "postern:policy/session@{version}"
                    (instance (export "helo" (func (result string))))))"#
            )
        };
        assert_eq!(checked(&session("0.1.0")), Ok(()));
        assert_eq!(checked(&session("0.1.9")), Ok(()));
        let error = checked(&session("0.2.0")).unwrap_err();
        assert!(error.contains("postern:policy 0.2.0 (session)"), "{error}");
    }

    #[test]
    fn a_question_that_is_not_asked_is_named_too() {
        let answering = |question| {
            format!(
                r#"(component (core module $m (func (export "f")))
                    (core instance $i (instantiate $m))
                    (func $f (canon lift (core func $i "f")))
                    (instance $e (export "g" (func $f)))
                    (export "{question}" (instance $e)))"#
            )
        };
        assert_eq!(checked(&answering("postern:policy/message-filter@0.1.9")), Ok(()));
        assert_eq!(checked(&answering("acme:tools/extra@1.0.0")), Ok(()));
        for (question, needs) in [
            (
                "postern:policy/message-filter@0.2.0",
                "postern:policy 0.2.0 (message-filter)",
            ),
            (
                "postern:policy/bounce-filter@0.1.7",
                "postern:policy 0.1.7 (bounce-filter)",
            ),
        ] {
            let error = checked(&answering(question)).unwrap_err();
            assert!(
                error.starts_with(&format!("needs {needs}; this Postern serves")),
                "{error}"
            );
        }
    }

    #[test]
    fn a_bare_function_is_refused_by_its_name() {
        let error = checked(r#"(component (import "exec" (func)))"#).unwrap_err();
        assert!(error.starts_with("needs (exec); this Postern serves"), "{error}");
    }
}
