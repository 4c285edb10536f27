//! `postern plugin build` of JavaScript: a component that lacks what its world promises is removed, and none that has it,
//! however its `policy.js` is written and whatever becomes of its calls.

use super::{Project, told};
use std::fs;
use std::process::Command;

/// Of the world of the filter's template.
const OWN: &str = "const lifecycle = { validate() {} };\n\
                   const filter = { onMessage() { return { tag: \"accept\" }; } };\n";

/// A world that promises an answer to every question.
const ALL: &str = "package example:sample;\n\
    world plugin {\n\
        export postern:policy/lifecycle@0.1.0;\n\
        export postern:policy/connection-filter@0.1.0;\n\
        export postern:policy/sender-filter@0.1.0;\n\
        export postern:policy/recipient-filter@0.1.0;\n\
        export postern:policy/message-filter@0.1.0;\n\
        export postern:policy/quota@0.1.0;\n\
        export postern:policy/router@0.1.0;\n\
    }\n";

/// Builds that policy, and says what it lacks.
fn lacks(project: &Project, policy: &str) -> Option<String> {
    fs::write(project.folder().join("policy.js"), policy).expect("room");
    let mut build = Command::new(super::POSTERN);
    project.tools.environment(&mut build);
    let said = told(&mut build, &project.folder(), &["plugin", "build"]);
    assert_eq!(said.is_ok(), project.component().is_file(), "{policy}\n{said:?}");
    let said = said.err()?;
    let lacks = said.rsplit_once("policy.js exports no ").and_then(|(_, behind)| {
        behind.strip_suffix(", which wit/plugin.wit promises: each call would trap\n")
    });
    Some(lacks.unwrap_or_else(|| panic!("{policy}\n{said}")).to_owned())
}

#[test]
fn js_is_refused_for_what_its_world_promises_alone() {
    let Some(project) = Project::new("sample", "js", "filter") else {
        return;
    };
    project.tools.lend(&project.folder());
    let other = format!("{OWN}export {{ filter as messageFilter, lifecycle }};\n");
    fs::write(project.folder().join("q.js"), other).expect("room");
    for whole in [
        "export { messageFilter, lifecycle } from \"./q.js\";",
        "export const message\\u0046ilter = { [\"on\" + \"Message\"]: () => null }; export { lifecycle };",
        "export const messageFilter = { onMessage() { throw new Error(\"function 'onMessage' not found: FromJs\"); } };\n\
         export { refuses as lifecycle }; const refuses = { validate() { throw \"phrase is missing\"; } };",
    ] {
        assert_eq!(lacks(&project, &format!("{OWN}{whole}\n")), None);
    }
    for (part, lacking) in [
        (
            "export { filter as messageFiltr, lifecycle };",
            "messageFilter with onMessage",
        ),
        (
            "export { filter as \"message-filter\", lifecycle };",
            "messageFilter with onMessage",
        ),
        (
            "export const messageFilter = { onMesage() {} }; export { lifecycle };",
            "messageFilter with onMessage",
        ),
        (
            "export const messageFilter = { onMessage: 1 }; export { lifecycle };",
            "messageFilter with onMessage",
        ),
        ("export { filter as messageFilter };", "lifecycle with validate"),
    ] {
        let lacks = lacks(&project, &format!("{OWN}{part}\n"));
        assert_eq!(lacks.as_deref(), Some(lacking), "{part}");
    }
    fs::write(project.folder().join("wit/plugin.wit"), ALL).expect("room");
    let all = "const deaf = () => null;\n\
        export const connectionFilter = { onConnect: deaf }, senderFilter = { onMail: deaf };\n\
        export const recipientFilter = { onRcpt: deaf }, quota = { check: deaf };\n\
        export { filter as messageFilter, lifecycle };\n";
    let router = |function: &str| format!("{OWN}{all}export const router = {{ {function}: deaf }};\n");
    assert_eq!(lacks(&project, &router("resolve")), None);
    let missing = lacks(&project, &router("resolves"));
    assert_eq!(missing.as_deref(), Some("router with resolve"));
}
