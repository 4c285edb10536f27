//! How each language makes a component.

use super::component::{World, encode, write};
use super::{Project, exports, tools};
use crate::cli::output;
use anyhow::{Context as _, bail};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The target of Rust that makes components.
const TARGET: &str = "wasm32-wasip2";
/// Where bindings are written, in the project.
const BINDINGS: &str = "bindings";
/// Octets of a C policy's stack.
const STACK: u32 = 64 << 10;
/// A C compiler that knows WASI, of PyPI.
const ZIG: &str = "ziglang==0.17.1";

/// `cargo build`, which makes a component by itself.
pub(super) fn rust(project: &Project) -> anyhow::Result<()> {
    let cargo = tools::need("cargo", "install Rust, <https://rustup.rs>")?;
    let mut rustc = tools::command("rustc", &project.folder);
    let library = tools::answer(rustc.args(["--print", "target-libdir", "--target", TARGET]))?;
    if !Path::new(library.trim()).is_dir() {
        bail!("the Rust target {TARGET} is missing: rustup target add {TARGET}");
    }
    let mut build = tools::command(cargo, &project.folder);
    build
        .args(["build", "--release", "--target", TARGET])
        .arg("--message-format=json-render-diagnostics")
        // Flags for this machine are not those of a component.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    let told = tools::answer(&mut build)?;
    let built = artifact(&told)
        .context("cargo built no component: Cargo.toml needs [lib] with crate-type = [\"cdylib\"]")?;
    let octets = fs::read(&built).with_context(|| format!("cannot read {}", built.display()))?;
    project.place(&octets)
}

/// The last component that cargo says it made: dependencies come before the project.
fn artifact(told: &str) -> Option<PathBuf> {
    let files = told
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter_map(|message| message.get("filenames")?.as_array().cloned())
        .flatten();
    let mut files = files.filter_map(|file| file.as_str().map(PathBuf::from));
    files.rfind(|file| file.extension().is_some_and(|extension| extension == "wasm"))
}

/// Bindings of our own making and `go build`.
pub(super) fn go(project: &Project) -> anyhow::Result<()> {
    let go = tools::need("go", "install Go 1.24 or newer, <https://go.dev/dl>")?;
    let file = project.file("go.mod");
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let module = text.lines().find_map(|line| line.strip_prefix("module "));
    let module = module.map(str::trim).context("go.mod names no module")?;
    let mut world = World::read(&project.file("wit"))?;
    let options = wit_bindgen_go::Opts {
        format: wit_bindgen_go::Format::False,
        pkg_name: Some(format!("{module}/{BINDINGS}")),
        quiet: true,
        ..wit_bindgen_go::Opts::default()
    };
    for (name, octets) in world.bindings(options.build())?.iter() {
        let text = String::from_utf8_lossy(octets);
        let text = go_bindings(&text, module);
        write(&project.file(BINDINGS).join(name), text.as_bytes())?;
    }
    let built = tempfile::tempdir().context("no temporary folder")?;
    let built = built.path().join("policy.wasm");
    let mut build = tools::command(go, &project.folder);
    build
        .args(["build", "-buildmode=c-shared", "-trimpath"])
        .arg("-ldflags=-s -w -checklinkname=0")
        .arg("-o")
        .arg(&built)
        .arg(".")
        .envs([("GOOS", "wasip1"), ("GOARCH", "wasm")]);
    tools::run(&mut build)?;
    let mut module = module_of(&built)?;
    world.embed(&mut module)?;
    project.place(&encode(&module)?)
}

/// What the generator wrote, with the project's own packages in the places of those that it names, and with
/// answers of the host copied: ADR 0011.
fn go_bindings(text: &str, module: &str) -> String {
    let exports = format!("\"{module}/{BINDINGS}/exports/export_");
    let lines = text.lines().map(|line| {
        let Some((indent, package)) = line.split_once(&exports) else {
            return line.to_owned();
        };
        let package = package.trim_end_matches('"');
        format!("{indent}export_{package} \"{module}/policy\"")
    });
    let text = lines.collect::<Vec<_>>().join("\n") + "\n";
    text.replace(
        "go.bytecodealliance.org/pkg/wit/",
        &format!("{module}/internal/wit/"),
    )
    .replace("unsafe.String(", "witRuntime.String(")
    .replace("unsafe.Slice(", "witRuntime.Slice(")
}

/// Bindings and a C compiler that knows WASI.
pub(super) fn c(project: &Project) -> anyhow::Result<()> {
    let mut compiler = c_compiler(project)?;
    let mut world = World::read(&project.file("wit"))?;
    for (name, octets) in world.bindings(wit_bindgen_c::Opts::default().build())?.iter() {
        write(&project.file(BINDINGS).join(name), octets)?;
    }
    let built = tempfile::tempdir().context("no temporary folder")?;
    let built = built.path().join("policy.wasm");
    compiler
        .args(["-mexec-model=reactor", "-Os", "-s", "-Wall", "-Wextra"])
        .arg(format!("-Wl,-z,stack-size={STACK}"))
        .arg(format!("-I{BINDINGS}"))
        .args(c_sources(&project.folder)?)
        .arg(format!("{BINDINGS}/plugin.c"))
        // It says which world the module is for.
        .arg(format!("{BINDINGS}/plugin_component_type.o"))
        .arg("-o")
        .arg(&built);
    tools::run(&mut compiler)?;
    project.place(&encode(&module_of(&built)?)?)
}

/// `zig cc`, from wherever it was installed, or clang of the WASI SDK; where neither is here, zig is installed into the
/// project's own `.venv`.
fn c_compiler(project: &Project) -> anyhow::Result<Command> {
    let folder = &project.folder;
    if let Some(zig) = tools::find("zig") {
        let mut command = tools::command(zig, folder);
        command.args(["cc", "-target", "wasm32-wasi"]);
        return Ok(command);
    }
    let ziglang = |python: &Path| {
        let mut command = tools::command(python, folder);
        command.args(["-m", "ziglang", "cc", "-target", "wasm32-wasi"]);
        command
    };
    if let Some(python) = tools::find("python3")
        && tools::works(tools::command(&python, folder).args(["-c", "import ziglang"]))
    {
        return Ok(ziglang(&python));
    }
    if let Some(sdk) = std::env::var_os("WASI_SDK_PATH") {
        let mut command = tools::command(Path::new(&sdk).join("bin/clang"), folder);
        command.arg("--target=wasm32-wasip1");
        return Ok(command);
    }
    install(project, ".venv", ZIG.as_bytes(), || {
        output::note("zig is installed into .venv, once: 100 MB");
        venv(project, &[ZIG])
    })
    .context("no C compiler for WASI is here: put zig into PATH, or set WASI_SDK_PATH")?;
    Ok(ziglang(&project.file(".venv").join("bin/python")))
}

fn c_sources(folder: &Path) -> anyhow::Result<Vec<OsString>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let names = entries.flatten().map(|entry| entry.file_name());
    let mut names: Vec<OsString> = names
        .filter(|name| Path::new(name).extension().is_some_and(|end| end == "c"))
        .collect();
    names.sort();
    Ok(names)
}

fn module_of(built: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(built).with_context(|| format!("cannot read {}", built.display()))
}

/// In a folder of packages, a copy of what names them, as it was when they were installed.
const STAMP: &str = ".postern-installed";
/// In its place until they are.
const UNFINISHED: &[u8] = b"unfinished\n";

/// Fills `folder` with what is wanted, unless the last time was for the same. What has no stamp somebody else has
/// filled, and keeps up himself.
fn install(
    project: &Project,
    folder: &str,
    wanted: &[u8],
    fill: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let stamp = project.file(folder).join(STAMP);
    let is_there = match fs::read(&stamp) {
        Ok(installed) => installed == wanted,
        Err(_) => project.file(folder).exists(),
    };
    if is_there {
        return Ok(());
    }
    write(&stamp, UNFINISHED)?;
    fill()?;
    write(&stamp, wanted)
}

/// The file that names the packages of a language.
fn wanted(project: &Project, file: &str) -> anyhow::Result<Vec<u8>> {
    let file = project.file(file);
    fs::read(&file).with_context(|| format!("cannot read {}", file.display()))
}

/// The project's own `.venv`, with what `pip` is told to install.
fn venv(project: &Project, packages: &[&str]) -> anyhow::Result<()> {
    let python = tools::need("python3", "install Python 3.10 or newer with venv and pip")?;
    tools::run(tools::command(python, &project.folder).args(["-m", "venv", ".venv"]))
        .context("Python's venv is needed (Debian: apt install python3-venv)")?;
    let mut pip = tools::command(project.file(".venv").join("bin/python"), &project.folder);
    tools::run(pip.args(["-m", "pip", "install", "--quiet"]).args(packages))
}

/// `npm install`, when package.json has changed, and the project's own `npm run build`.
pub(super) fn js(project: &Project) -> anyhow::Result<()> {
    tools::need("node", "install Node.js 20 or newer, <https://nodejs.org>")?;
    let npm = tools::need(
        "npm",
        "install Node.js 20 or newer with npm, <https://nodejs.org>",
    )?;
    install(project, "node_modules", &wanted(project, "package.json")?, || {
        tools::run(tools::command(&npm, &project.folder).args(["install", "--no-audit", "--no-fund"]))
    })?;
    tools::run(tools::command(&npm, &project.folder).args(["run", "--silent", "build"]))?;
    written(project)?;
    exports_are_there(project)
}

/// Those that the world promises, or there is no component.
fn exports_are_there(project: &Project) -> anyhow::Result<()> {
    let world = World::read(&project.file("wit"))?;
    let Some(missing) = exports::missing(&project.output(), &world.promised()) else {
        return Ok(());
    };
    project.clear()?;
    bail!("policy.js exports no {missing}, which wit/plugin.wit promises: each call would trap")
}

/// `componentize-py` of the project's own `.venv`, into which requirements.txt is installed when it has changed.
pub(super) fn python(project: &Project) -> anyhow::Result<()> {
    let own = project.file(".venv").join("bin/componentize-py");
    install(project, ".venv", &wanted(project, "requirements.txt")?, || {
        venv(project, &["-r", "requirements.txt"])
    })?;
    let mut componentize = tools::command(&own, &project.folder);
    componentize
        .args([
            "--quiet",
            "--wit-path",
            "wit",
            "--world",
            "plugin",
            "componentize",
            "policy",
        ])
        .args(["--output", &project.output])
        // Its own trace would hide Python's.
        .env("RUST_BACKTRACE", "0");
    tools::run(&mut componentize)?;
    written(project)
}

/// What a tool that writes the component itself must have written.
fn written(project: &Project) -> anyhow::Result<()> {
    match project.output().is_file() {
        true => Ok(()),
        false => bail!(
            "the build wrote no {0}: let it end with `--output {0}`",
            project.output
        ),
    }
}

#[cfg(test)]
mod tests;
