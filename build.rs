//! Builds the stock playbooks and rules as Wasm components and puts them into the binary.
//!
//! They are a workspace of their own (plugins/Cargo.toml) with a lock of its own, built by a nested cargo into this
//! build's own folder. `SUTURE_COMPONENTS_DIR` names a folder with `playbooks/*.wasm` and `rules/*.wasm` to embed
//! instead, for builds that must not start another cargo.

use std::env;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

// One list for both who start a cargo of their own: this script and `suture playbook build`.
#[path = "src/author/nested.rs"]
mod nested;

const TARGET: &str = "wasm32-unknown-unknown";
/// Folder in the output and in `SUTURE_COMPONENTS_DIR`; folder of the crates; the crates' prefix; `Role` in the code.
const ROLES: [(&str, &str, &str, &str); 2] =
    [("playbooks", "playbooks", "suture_playbook_", "Playbook"), ("rules", "plugins/rules", "suture_rule_", "Rule")];

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            for line in message.lines() {
                println!("cargo::error={line}");
            }
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/author/nested.rs");
    println!("cargo::rerun-if-env-changed=SUTURE_COMPONENTS_DIR");
    let root = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(variable("OUT_DIR")?);
    if env::var_os("DOCS_RS").is_some() {
        return write_table(&out, &[]);
    }
    let dir = match env::var_os("SUTURE_COMPONENTS_DIR").filter(|dir| !dir.is_empty()) {
        Some(dir) => {
            let dir = root.join(dir);
            println!("cargo::rerun-if-changed={}", dir.display());
            dir
        }
        None => build_components(&root, &out)?,
    };
    let found = components_in(&dir)?;
    if found.is_empty() {
        return Err(format!("{} holds no playbooks/*.wasm and no rules/*.wasm", dir.display()));
    }
    write_table(&out, &found)
}

/// Compiles the guests and turns each core module into a component; gives the folder.
fn build_components(root: &Path, out: &Path) -> Result<PathBuf, String> {
    // Folders are watched with all that is in them, so not `plugins` itself: it may hold a `target`.
    for path in ["wit/next", "playbooks", "plugins/rules", "plugins/sdk", "plugins/Cargo.toml", "plugins/Cargo.lock"] {
        println!("cargo::rerun-if-changed={path}");
    }
    if !root.join("plugins/Cargo.toml").is_file() {
        return Err("the stock playbooks are not in this source tree (a registry package leaves them out).\n\
                    Build from a clone of the repository, or set SUTURE_COMPONENTS_DIR to a folder of built components."
            .to_owned());
    }
    require_target(root)?;
    let target_dir = out.join("guests");
    compile(root, &target_dir)?;

    let components = out.join("components");
    // What was embedded by an earlier build and is no playbook any more must not linger.
    if components.exists() {
        fs::remove_dir_all(&components).map_err(|e| format!("cannot clear {}: {e}", components.display()))?;
    }
    for (folder, crates, prefix, _) in ROLES {
        let to = components.join(folder);
        fs::create_dir_all(&to).map_err(|e| format!("cannot make {}: {e}", to.display()))?;
        for name in crates_in(&root.join(crates))? {
            let file = format!("{prefix}{}.wasm", name.replace('-', "_"));
            let module = target_dir.join(TARGET).join("release").join(file);
            componentize(&module, &to.join(format!("{name}.wasm")))?;
        }
    }
    Ok(components)
}

fn componentize(module: &Path, to: &Path) -> Result<(), String> {
    let name = module.display();
    let bytes = fs::read(module).map_err(|e| format!("cannot read {name}: {e}"))?;
    let component = wit_component::ComponentEncoder::default()
        .validate(true)
        .module(&bytes)
        .and_then(|mut encoder| encoder.encode())
        .map_err(|e| format!("{name} cannot be made a component: {e:#}"))?;
    fs::write(to, component).map_err(|e| format!("cannot write {}: {e}", to.display()))
}

fn compile(root: &Path, target_dir: &Path) -> Result<(), String> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .current_dir(root.join("plugins"))
        .args(["build", "--workspace", "--release", "--locked", "--quiet", "--target", TARGET, "--target-dir"])
        .arg(target_dir)
        .stdin(Stdio::null());
    for (name, _) in env::vars_os() {
        if nested::is_of_the_outer_build(&name) {
            command.env_remove(name);
        }
    }
    let output = command.output().map_err(|e| format!("cannot start cargo for the stock playbooks: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("the stock playbooks do not build:\n{}", String::from_utf8_lossy(&output.stderr)))
}

fn require_target(root: &Path) -> Result<(), String> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(&rustc)
        .current_dir(root)
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()
        .map_err(|e| format!("cannot start {}: {e}", rustc.to_string_lossy()))?;
    let folder = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    let has_core = fs::read_dir(&folder)
        .is_ok_and(|files| files.flatten().any(|file| file.file_name().to_string_lossy().starts_with("libcore-")));
    if has_core {
        return Ok(());
    }
    Err(format!(
        "the Rust target for Wasm is not installed; it compiles the stock playbooks. Run in this folder:\n\
         \n    rustup target add {TARGET}\n\n\
         or, to install all that rust-toolchain.toml names (rustup skips that where RUSTUP_AUTO_INSTALL=0):\n\
         \n    rustup toolchain install\n\n\
         Without rustup: install the {TARGET} standard library of this compiler, or set SUTURE_COMPONENTS_DIR."
    ))
}

/// The names of the folders that hold a crate, sorted so that equal sources give an equal table.
fn crates_in(dir: &Path) -> Result<Vec<String>, String> {
    let mut names: Vec<_> = entries(dir)?
        .into_iter()
        .filter(|path| path.join("Cargo.toml").is_file())
        .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
        .collect();
    names.sort();
    Ok(names)
}

/// Role, name and file of each component in a folder.
fn components_in(dir: &Path) -> Result<Vec<(&'static str, String, PathBuf)>, String> {
    let mut found = Vec::new();
    for (folder, _, _, role) in ROLES {
        let folder = dir.join(folder);
        if !folder.is_dir() {
            continue;
        }
        let mut files = entries(&folder)?;
        files.sort();
        for file in files.into_iter().filter(|file| file.extension() == Some(OsStr::new("wasm"))) {
            if let Some(name) = file.file_stem().and_then(OsStr::to_str) {
                found.push((role, name.to_owned(), file.clone()));
            }
        }
    }
    Ok(found)
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>, String> {
    let read = fs::read_dir(dir).map_err(|e| format!("cannot read {}: {e}", dir.display()))?;
    Ok(read.flatten().map(|entry| entry.path()).collect())
}

fn write_table(out: &Path, found: &[(&str, String, PathBuf)]) -> Result<(), String> {
    let mut table = String::from("&[\n");
    for (role, name, file) in found {
        // Debug formatting escapes what a path may hold (spaces, backslashes, quotes) as a Rust literal does.
        let _ = writeln!(table, "    (Role::{role}, {name:?}, include_bytes!({:?})),", file.display().to_string());
    }
    table.push_str("]\n");
    let path = out.join("components.rs");
    if fs::read_to_string(&path).is_ok_and(|old| old == table) {
        return Ok(());
    }
    fs::write(&path, table).map_err(|e| format!("cannot write {}: {e}", path.display()))
}

fn variable(name: &str) -> Result<String, String> {
    env::var(name).map_err(|e| format!("{name}: {e}"))
}
