use super::*;

fn project(files: &[&str]) -> tempfile::TempDir {
    let desk = tempfile::tempdir().expect("a folder");
    for name in files {
        let file = desk.path().join(name);
        fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
        let text = match name.ends_with(".wit") {
            true => "package acme:no-spam;\nworld plugin {}\n",
            false => "",
        };
        fs::write(file, text).expect("a file");
    }
    desk
}

fn refused<T>(result: anyhow::Result<T>) -> String {
    match result {
        Ok(_) => panic!("it was taken"),
        Err(error) => format!("{error:#}"),
    }
}

#[test]
fn a_component_has_the_name_of_its_settings() {
    let desk = project(&[
        "wit/plugin.wit",
        "60-mine.yaml",
        "6-mine.yaml",
        "cases/10-a.yaml",
        "other.yaml",
    ]);
    assert_eq!(
        Project::open(desk.path()).expect("a project").output,
        "60-mine.wasm"
    );
    let two = project(&["wit/plugin.wit", "60-mine.yaml", "61-mine.yaml"]);
    assert!(refused(Project::open(two.path())).contains("has 60-mine.yaml and 61-mine.yaml: leave the one"));
}

#[test]
fn without_settings_it_has_that_of_its_package() {
    let desk = project(&["wit/plugin.wit"]);
    assert_eq!(
        Project::open(desk.path()).expect("a project").output,
        "no-spam.wasm"
    );
}

#[test]
fn what_is_no_project_says_what_lacks() {
    let none = project(&["Cargo.toml"]);
    assert!(
        refused(Project::open(none.path()))
            .contains("has no wit/ with a world `plugin`: begin with `postern plugin new`")
    );
    let gone = none.path().join("gone");
    assert!(refused(Project::open(&gone)).starts_with(&format!("cannot open {}", gone.display())));
    let other = project(&["wit/plugin.wit"]);
    fs::write(
        other.path().join("wit/plugin.wit"),
        "package acme:no-spam;\nworld policy {}\n",
    )
    .expect("a file");
    assert!(refused(Project::open(other.path())).ends_with("wit has no world `plugin`"));
    fs::write(other.path().join("wit/plugin.wit"), "package acme\n").expect("a file");
    assert!(refused(Project::open(other.path())).contains("wit is not right: "));
}

#[test]
fn the_language_is_told_by_one_file() {
    let known = [
        ("Cargo.toml", languages::rust as Build),
        ("go.mod", languages::go),
        ("package.json", languages::js),
        ("requirements.txt", languages::python),
        ("policy.c", languages::c),
    ];
    for (file, build) in known {
        let found = language(project(&[file]).path()).expect("a language");
        assert!(std::ptr::fn_addr_eq(found, build), "{file}");
    }
    assert!(
        refused(language(project(&["README.md"]).path()))
            .ends_with("has none of Cargo.toml, go.mod, package.json, requirements.txt, policy.c, which say what language a project is in")
    );
    assert!(
        refused(language(project(&["go.mod", "policy.c"]).path()))
            .ends_with("has go.mod and policy.c: a project is in one language")
    );
}
