//! `suture playbook build`: from the sources of a playbook to its component, with the language's own tools.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{AuthorError, cannot, nested};
use crate::model::Digest;

/// What Rust playbooks are compiled for: it has no system interface at all.
const TARGET: &str = "wasm32-unknown-unknown";

/// The languages there are templates for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Lang {
    /// Small and fast components; needs cargo
    Rust,
    /// Needs componentize-py; components of some 18 MB
    Python,
    /// Needs node and componentize-js; components of some 12 MB
    Js,
}

/// A component that was built.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Built {
    /// Its file.
    pub file: PathBuf,
    /// Its size.
    pub bytes: usize,
    /// Its SHA-256.
    pub sha256: Digest,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}

/// Builds the playbook in a folder into `DIR/NAME.wasm`. The tools write to the caller's terminal.
///
/// # Errors
/// A folder without a playbook, a tool that is not there (with the command that gets it), sources that do not build.
pub fn build(dir: &Path) -> Result<Built, AuthorError> {
    let begun = Instant::now();
    let file = match lang_of(dir)? {
        Lang::Rust => rust(dir)?,
        Lang::Python => python(dir)?,
        Lang::Js => js(dir)?,
    };
    let bytes = fs::read(&file).map_err(cannot("read", &file))?;
    let took_ms = u64::try_from(begun.elapsed().max(Duration::from_millis(1)).as_millis()).unwrap_or(u64::MAX);
    Ok(Built { file, bytes: bytes.len(), sha256: Digest::of(&bytes), took_ms })
}

/// The language of the playbook in a folder, by its files.
pub(super) fn lang_of(dir: &Path) -> Result<Lang, AuthorError> {
    let has = |file: &str| dir.join(file).is_file();
    if has("Cargo.toml") {
        Ok(Lang::Rust)
    } else if has("app.py") {
        Ok(Lang::Python)
    } else if has("package.json") {
        Ok(Lang::Js)
    } else {
        let dir = dir.display();
        Err(AuthorError::Usage(format!(
            "{dir} holds no playbook: no Cargo.toml (Rust), no app.py (Python), no package.json (JavaScript). \
             `suture playbook new NAME` makes a folder that has one"
        )))
    }
}

fn rust(dir: &Path) -> Result<PathBuf, AuthorError> {
    let manifest = dir.join("Cargo.toml");
    let (package, library) = names_in(&manifest)?;
    require_target(dir)?;
    // Named, so that we know where the module is, whatever the user has configured.
    let target_dir = dir.join("target");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(&cargo);
    command.current_dir(dir).args(["build", "--release", "--quiet", "--target", TARGET, "--target-dir", "target"]);
    for (name, _) in std::env::vars_os().filter(|(name, _)| nested::is_of_the_outer_build(name)) {
        command.env_remove(name);
    }
    run(command, "cargo", "install Rust: https://rustup.rs")?;
    let module = target_dir.join(TARGET).join("release").join(format!("{library}.wasm"));
    let bytes = fs::read(&module).map_err(|why| {
        let lib = "a playbook is a library with `[lib] crate-type = [\"cdylib\"]` in its Cargo.toml";
        AuthorError::NotBuilt(format!("cargo made no {}: {why}; {lib}", module.display()))
    })?;
    let component = wit_component::ComponentEncoder::default()
        .validate(true)
        .module(&bytes)
        .and_then(|mut encoder| encoder.encode())
        .map_err(|e| AuthorError::NotBuilt(format!("{} cannot be made a component: {e:#}", module.display())))?;
    let file = dir.join(format!("{package}.wasm"));
    fs::write(&file, component).map_err(cannot("write", &file))?;
    Ok(file)
}

/// The package's name, and what its library is called in files.
fn names_in(manifest: &Path) -> Result<(String, String), AuthorError> {
    let text = fs::read_to_string(manifest).map_err(cannot("read", manifest))?;
    let broken = |why: &str| AuthorError::Usage(format!("{}: {why}", manifest.display()));
    let table: toml::Table = text.parse().map_err(|e: toml::de::Error| broken(e.message()))?;
    let name = |table_name: &str| table.get(table_name)?.get("name")?.as_str().map(str::to_owned);
    let package = name("package").ok_or_else(|| broken("it has no [package] with a name"))?;
    let library = name("lib").unwrap_or_else(|| package.clone()).replace('-', "_");
    // It becomes the name of a file.
    if package.contains(['/', '\\']) || library.contains(['/', '\\']) {
        return Err(broken("the package's name has a slash in it"));
    }
    Ok((package, library))
}

fn require_target(dir: &Path) -> Result<(), AuthorError> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(&rustc)
        .current_dir(dir)
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()
        .map_err(|e| no_tool(&rustc.to_string_lossy(), &e, "install Rust: https://rustup.rs"))?;
    let folder = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    let has_core = fs::read_dir(&folder)
        .is_ok_and(|files| files.flatten().any(|file| file.file_name().to_string_lossy().starts_with("libcore-")));
    if has_core {
        return Ok(());
    }
    Err(AuthorError::NoTool(format!(
        "the Rust target for Wasm is not installed. Run in {}:\n\n    rustup target add {TARGET}\n",
        dir.display()
    )))
}

fn python(dir: &Path) -> Result<PathBuf, AuthorError> {
    let file = format!("{}.wasm", folder_name(dir)?);
    let mut command = Command::new("componentize-py");
    command.current_dir(dir).args([
        "--wit-path",
        "wit",
        "--world",
        &world_in(dir)?,
        "componentize",
        "--stub-wasi",
        "app",
        "-o",
        &file,
    ]);
    run(command, "componentize-py", "pip install -r requirements.txt    (in a virtual environment)")?;
    Ok(dir.join(file))
}

fn js(dir: &Path) -> Result<PathBuf, AuthorError> {
    const INSTALL: &str = "npm install";
    if !dir.join("node_modules/@bytecodealliance/componentize-js").is_dir() {
        return Err(AuthorError::NoTool(format!(
            "componentize-js is not installed. Run in {}:\n\n    {INSTALL}\n",
            dir.display()
        )));
    }
    let manifest = dir.join("package.json");
    let text = fs::read_to_string(&manifest).map_err(cannot("read", &manifest))?;
    let package: serde_json::Value = serde_json::from_str(&text)
        .map_err(|e| AuthorError::Usage(format!("{} is not JSON: {e}", manifest.display())))?;
    let name = package.get("name").and_then(serde_json::Value::as_str).filter(|name| !name.contains(['/', '\\']));
    let name = name.ok_or_else(|| AuthorError::Usage(format!("{} has no plain `name`", manifest.display())))?;
    let mut command = Command::new("node");
    command.current_dir(dir).arg("build.mjs");
    run(command, "node", "install Node.js: https://nodejs.org")?;
    Ok(dir.join(format!("{name}.wasm")))
}

fn folder_name(dir: &Path) -> Result<String, AuthorError> {
    let whole = fs::canonicalize(dir).map_err(cannot("read", dir))?;
    let name = whole.file_name().and_then(OsStr::to_str).map(str::to_owned);
    name.ok_or_else(|| AuthorError::Usage(format!("{} has no name to call the component by", whole.display())))
}

/// The world in `wit/world.wit`; the whole contract where there is none.
fn world_in(dir: &Path) -> Result<String, AuthorError> {
    let path = dir.join("wit/world.wit");
    if !path.is_file() {
        return Ok("playbook".to_owned());
    }
    let text = fs::read_to_string(&path).map_err(cannot("read", &path))?;
    let world = text.lines().find_map(|line| line.trim().strip_prefix("world ")?.split_whitespace().next());
    let world = world.map(|name| name.trim_end_matches('{').to_owned());
    world.ok_or_else(|| AuthorError::Usage(format!("{} names no world", path.display())))
}

/// Runs a tool to its end; what it says goes to the terminal, all of it to stderr.
fn run(mut command: Command, tool: &str, get: &str) -> Result<(), AuthorError> {
    command.stdin(Stdio::null()).stdout(Stdio::from(std::io::stderr()));
    let status = command.status().map_err(|e| no_tool(tool, &e, get))?;
    if status.success() {
        return Ok(());
    }
    Err(AuthorError::NotBuilt(format!("it does not build: {tool} has said why above")))
}

fn no_tool(tool: &str, error: &std::io::Error, get: &str) -> AuthorError {
    AuthorError::NoTool(format!("`{tool}` cannot be started: {error}. Get it with:\n\n    {get}\n"))
}
