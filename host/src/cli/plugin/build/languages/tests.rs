use super::*;

#[test]
fn the_last_component_that_cargo_made_is_the_project() {
    let told = r#"{"reason":"compiler-artifact","filenames":["/t/libdep.rlib"]}
{"reason":"compiler-artifact","filenames":["/t/dep.wasm"]}
{"reason":"build-script-executed"}
{"reason":"compiler-artifact","filenames":["/t/policy.wasm","/t/policy.d"]}
no json
{"reason":"build-finished","success":true}
"#;
    assert_eq!(artifact(told), Some(PathBuf::from("/t/policy.wasm")));
    assert_eq!(artifact("{\"reason\":\"build-finished\"}\n"), None);
}

#[test]
fn bindings_of_go_name_the_packages_of_the_project() {
    let generated = "import (\n\
        \twitRuntime \"go.bytecodealliance.org/pkg/wit/runtime\"\n\
        \t\"example.com/mine/bindings/exports/export_postern_policy_router\"\n\
        \t\"example.com/mine/bindings/imports/postern_policy_types\"\n\
        )\n\
        value := unsafe.String((*uint8)(a), b)\n\
        piece := unsafe.Slice((*uint8)(a), b)\n\
        data := unsafe.Pointer(unsafe.StringData(value))\n\
        more := unsafe.Pointer(unsafe.SliceData(piece))\n";
    let expected = "import (\n\
        \twitRuntime \"example.com/mine/internal/wit/runtime\"\n\
        \texport_postern_policy_router \"example.com/mine/policy\"\n\
        \t\"example.com/mine/bindings/imports/postern_policy_types\"\n\
        )\n\
        value := witRuntime.String((*uint8)(a), b)\n\
        piece := witRuntime.Slice((*uint8)(a), b)\n\
        data := unsafe.Pointer(unsafe.StringData(value))\n\
        more := unsafe.Pointer(unsafe.SliceData(piece))\n";
    assert_eq!(go_bindings(generated, "example.com/mine"), expected);
}

#[test]
fn what_was_built_before_is_gone_where_a_build_fails() {
    let desk = tempfile::tempdir().expect("a folder");
    let project = Project {
        folder: desk.path().to_owned(),
        output: "60-mine.wasm".to_owned(),
    };
    project.place(b"old").expect("room");
    written(&project).expect("it is there");
    project.clear().expect("it is removed");
    project.clear().expect("there is none");
    assert_eq!(
        written(&project).expect_err("nothing was built").to_string(),
        "the build wrote no 60-mine.wasm: let it end with `--output 60-mine.wasm`"
    );
    assert_eq!(fs::read_dir(desk.path()).expect("a folder").count(), 0);
}

#[test]
fn what_cannot_be_called_is_left_to_the_next_command() {
    let desk = tempfile::tempdir().expect("a folder");
    let project = Project {
        folder: desk.path().to_owned(),
        output: "60-mine.wasm".to_owned(),
    };
    let world = "package acme:mine;\ninterface sender-filter { on-mail: func(); }\n\
                 world plugin { export sender-filter; }\n";
    write(&project.file("wit/plugin.wit"), world.as_bytes()).expect("room");
    project.place(b"no component").expect("room");
    exports_are_there(&project).expect("it says nothing of its exports");
    assert!(project.output().is_file());
}

#[test]
fn packages_are_installed_when_what_names_them_has_changed() {
    let desk = tempfile::tempdir().expect("a folder");
    let project = Project {
        folder: desk.path().to_owned(),
        output: "60-mine.wasm".to_owned(),
    };
    let times = std::cell::Cell::new(0);
    let wants = |text: &str| fs::write(project.file("package.json"), text).expect("room");
    let install = |well: bool| {
        install(
            &project,
            "node_modules",
            &wanted(&project, "package.json")?,
            || {
                times.set(times.get() + 1);
                match well {
                    true => Ok(()),
                    false => bail!("no network"),
                }
            },
        )
    };
    wants("one");
    install(false).expect_err("nothing was installed");
    install(true).expect("it is installed now");
    install(true).expect("it is there");
    assert_eq!(times.get(), 2);
    wants("one and another");
    install(true).expect("it is installed too");
    install(true).expect("it is there");
    assert_eq!(times.get(), 3);
    fs::remove_file(project.file("node_modules").join(STAMP)).expect("its stamp");
    wants("a third");
    install(true).expect("somebody else keeps it up");
    assert_eq!(times.get(), 3);
}
