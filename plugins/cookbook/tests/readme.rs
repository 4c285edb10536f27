//! The recipes in `plugins/README.md` are the files that are built and tried, byte for byte.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::fs::read_to_string;
use std::path::Path;

#[test]
fn each_recipe_is_printed_as_it_is_built() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = read_to_string(top.join("../README.md")).expect("the cookbook");
    let (_, cookbook) = readme.split_once("\n## Cookbook\n").expect("its chapter");
    let printed: Vec<&str> = cookbook
        .split("```rust\n")
        .skip(1)
        .filter_map(|behind| behind.split_once("```"))
        .map(|(code, _)| code)
        .collect();
    let mut files: Vec<_> = std::fs::read_dir(top.join("src/recipes"))
        .expect("the recipes")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    assert_eq!((files.len(), printed.len()), (10, 10));
    for file in files {
        let built = read_to_string(&file).expect("a recipe");
        assert!(
            printed.contains(&built.as_str()),
            "README.md has another {}:\n{built}",
            file.display()
        );
        assert!(
            built.lines().count() <= 32,
            "{} is no short recipe",
            file.display()
        );
        let name = file
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .replace('_', "-");
        let cases = top.join("cases").join(&name).with_extension("yaml");
        let cases = read_to_string(&cases).unwrap_or_else(|error| panic!("{}: {error}", cases.display()));
        assert!(
            cases.contains(&format!("recipe: {name}")),
            "{name} is not tried by its cases"
        );
    }
}
