//! How the templates in C read their settings, with text of every length before a page that nobody may read.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

/// The contract as far as the scanner needs it, and a program that puts each of its arguments to it.
const BEFORE: &str = r#"
#define _GNU_SOURCE
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
typedef struct { uint8_t *ptr; size_t len; } plugin_string_t;
static plugin_string_t given;
static void postern_policy_config_json(plugin_string_t *json) { *json = given; }
static void plugin_string_free(plugin_string_t *text) { (void)text; }
static void plugin_string_dup(plugin_string_t *to, const char *text) {
    *to = (plugin_string_t){(uint8_t *)strdup(text), strlen(text)};
}
"#;
const BEHIND: &str = r#"
int main(int count, char **texts) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *pages = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED || mprotect(pages + page, page, PROT_NONE)) return 1;
    for (int at = 1; at < count; at++) {
        size_t length = strlen(texts[at]);
        given = (plugin_string_t){pages + page - length, length};
        memcpy(given.ptr, texts[at], length);
        plugin_string_t error = {(uint8_t *)"good", 4};
        known("one, two", &error);
        printf("%.*s\n", (int)error.len, (char *)error.ptr);
    }
}
"#;

/// The scanner of one kind, as a program.
fn program(kind: &str, folder: &Path) -> Command {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../plugins/templates/c/{kind}.c"));
    let text = fs::read_to_string(file).expect("the template");
    let begin = text.find("/* Whether a word is among").expect("its beginning");
    let end = text.find("/* Asked when the policy is loaded").expect("its end");
    let (source, program) = (folder.join(format!("{kind}.c")), folder.join(kind));
    fs::write(&source, format!("{BEFORE}{}{BEHIND}", &text[begin..end])).expect("room");
    let compiled = Command::new("cc")
        .args(["-O1", "-Wall", "-Wextra", "-Werror", "-o"])
        .args([&program, &source])
        .output()
        .expect("the compiler that links this program");
    assert!(
        compiled.status.success(),
        "{}",
        String::from_utf8_lossy(&compiled.stderr)
    );
    Command::new(program)
}

#[test]
fn c_reads_settings_with_white_space_and_none_beyond_their_text() {
    let one = "one must be one value, not a list or a map";
    let cases = [
        ("{}", "good"),
        (r#"{"one":1,"two":"x"}"#, "good"),
        (" { \"one\" :\t1 ,\r\n \"two\": \"x:{y\" } ", "good"),
        (
            " {\n  \"three\" : 1 } ",
            "unknown setting `three`: known are one, two",
        ),
        (
            r#"{"two":"a\\","o\"ne":1}"#,
            r#"unknown setting `o\"ne`: known are one, two"#,
        ),
        (r#"{"one":[1]}"#, one),
        ("{ \"one\" :\n{ \"three\" : 1 } }", one),
    ];
    let mut texts: Vec<&str> = cases.iter().map(|(text, _)| *text).collect();
    // The host writes no such thing; what is read of it is no matter, as long as nothing beyond it is.
    texts.extend(
        cases
            .iter()
            .flat_map(|(text, _)| (0..text.len()).map(|end| &text[..end])),
    );
    texts.extend(["\"", "\"\\", "}}\"one\"", "]:[\":"]);
    let mut expected = String::new();
    for (_, said) in cases {
        writeln!(expected, "{said}").expect("room");
    }
    let folder = tempfile::tempdir().expect("a folder");
    for kind in ["filter", "router", "quota"] {
        let ran = program(kind, folder.path())
            .args(&texts)
            .output()
            .expect("a process");
        assert!(ran.status.success(), "{kind}: {}", ran.status);
        let said = String::from_utf8_lossy(&ran.stdout);
        assert!(said.starts_with(&expected), "{kind}: {said}");
        assert_eq!(said.lines().count(), texts.len());
    }
}
