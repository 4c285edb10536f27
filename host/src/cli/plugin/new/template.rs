//! The files of `plugins/templates`, as they are put into this program.

use super::{Kind, Language};

/// Path in the project, and content.
type File = (&'static str, &'static str);

macro_rules! template {
    ($path:literal) => {
        include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../plugins/templates/",
            $path
        ))
    };
}

macro_rules! contract {
    ($file:literal) => {
        (
            concat!("wit/deps/postern-policy/", $file),
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../wit/", $file)),
        )
    };
}

const CONTRACT: [File; 4] = [
    contract!("types.wit"),
    contract!("questions.wit"),
    contract!("capabilities.wit"),
    contract!("worlds.wit"),
];

/// What belongs to a kind, in whatever language.
fn kind(kind: Kind) -> [File; 3] {
    let (world, settings, cases) = match kind {
        Kind::Filter => (
            template!("filter/plugin.wit"),
            template!("filter/settings.yaml"),
            template!("filter/cases.yaml"),
        ),
        Kind::Router => (
            template!("router/plugin.wit"),
            template!("router/settings.yaml"),
            template!("router/cases.yaml"),
        ),
        Kind::Quota => (
            template!("quota/plugin.wit"),
            template!("quota/settings.yaml"),
            template!("quota/cases.yaml"),
        ),
    };
    [
        ("wit/plugin.wit", world),
        ("60-example-policy.yaml", settings),
        ("cases/example-policy.yaml", cases),
    ]
}

/// What belongs to a language, whatever the kind.
fn language(language: Language) -> Vec<File> {
    match language {
        Language::Rust => vec![
            ("README.md", template!("rust/README.md")),
            (".gitignore", template!("rust/gitignore")),
            ("Cargo.toml", template!("rust/Cargo.toml")),
        ],
        Language::Go => vec![
            ("README.md", template!("go/README.md")),
            (".gitignore", template!("go/gitignore")),
            ("go.mod", template!("go/go.mod")),
            ("main.go", template!("go/main.go")),
            (
                "internal/wit/runtime/runtime.go",
                template!("go/internal/wit/runtime/runtime.go"),
            ),
            (
                "internal/wit/types/types.go",
                template!("go/internal/wit/types/types.go"),
            ),
        ],
        Language::Js => vec![
            ("README.md", template!("js/README.md")),
            (".gitignore", template!("js/gitignore")),
            ("package.json", template!("js/package.json")),
        ],
        Language::Python => vec![
            ("README.md", template!("python/README.md")),
            (".gitignore", template!("python/gitignore")),
            ("requirements.txt", template!("python/requirements.txt")),
        ],
        Language::C => vec![
            ("README.md", template!("c/README.md")),
            (".gitignore", template!("c/gitignore")),
        ],
    }
}

fn source(language: Language, kind: Kind) -> File {
    match (language, kind) {
        (Language::Rust, Kind::Filter) => ("src/lib.rs", template!("rust/filter.rs")),
        (Language::Rust, Kind::Router) => ("src/lib.rs", template!("rust/router.rs")),
        (Language::Rust, Kind::Quota) => ("src/lib.rs", template!("rust/quota.rs")),
        (Language::Go, Kind::Filter) => ("policy/policy.go", template!("go/policy/filter.go")),
        (Language::Go, Kind::Router) => ("policy/policy.go", template!("go/policy/router.go")),
        (Language::Go, Kind::Quota) => ("policy/policy.go", template!("go/policy/quota.go")),
        (Language::Js, Kind::Filter) => ("policy.js", template!("js/filter.js")),
        (Language::Js, Kind::Router) => ("policy.js", template!("js/router.js")),
        (Language::Js, Kind::Quota) => ("policy.js", template!("js/quota.js")),
        (Language::Python, Kind::Filter) => ("policy.py", template!("python/filter.py")),
        (Language::Python, Kind::Router) => ("policy.py", template!("python/router.py")),
        (Language::Python, Kind::Quota) => ("policy.py", template!("python/quota.py")),
        (Language::C, Kind::Filter) => ("policy.c", template!("c/filter.c")),
        (Language::C, Kind::Router) => ("policy.c", template!("c/router.c")),
        (Language::C, Kind::Quota) => ("policy.c", template!("c/quota.c")),
    }
}

/// All files of a project.
pub(super) fn files(language: Language, kind: Kind) -> impl Iterator<Item = File> {
    self::language(language)
        .into_iter()
        .chain([source(language, kind)])
        .chain(self::kind(kind))
        .chain(CONTRACT)
}
