//! The templates of new playbooks, as files inside this binary: `plugins/template/`, the SDK and the contract.
//!
//! A list by name, not a folder by glob: what a build leaves behind in those folders must not end up in the binary. A
//! test compares the lists with the folders.

use super::build::Lang;

/// A file: its path below its folder, and its text.
pub(super) type File = (&'static str, &'static str);

/// Files of a folder of this repository.
macro_rules! files {
    ($base:literal: $($path:literal)*) => {
        &[$(($path, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/", $base, "/", $path)))),*]
    };
}

const RUST: &[File] = files!("plugins/template/rust":
    ".gitignore" "Cargo.lock" "Cargo.toml" "README.md" "cases/adds-one.toml" "cases/nothing-to-add.toml"
    "src/lib.rs");

const PYTHON: &[File] = files!("plugins/template/python":
    ".gitignore" "README.md" "app.py" "cases/adds-one.toml" "cases/as-many-as-told.toml" "cases/denied.toml"
    "cases/never-past-the-ceiling.toml" "cases/nothing-to-add.toml" "requirements.txt" "wit/world.wit");

const JS: &[File] = files!("plugins/template/js":
    ".gitignore" "README.md" "app.js" "build.mjs" "cases/adds-one.toml" "cases/as-many-as-told.toml" "cases/denied.toml"
    "cases/never-past-the-ceiling.toml" "cases/nothing-to-add.toml" "package.json" "wit/world.wit");

const SDK: &[File] = files!("plugins/sdk":
    "Cargo.toml" "src/args.rs" "src/describe.rs" "src/error.rs" "src/lib.rs" "src/look.rs" "src/note.rs"
    "src/playbook.rs" "src/rule.rs" "src/target.rs" "src/test/action.rs" "src/test/arguments.rs" "src/test/host.rs"
    "src/test/mod.rs" "src/test/plan.rs" "src/test/tests.rs" "src/test/words.rs" "src/test/world.rs"
    "src/types.rs" "src/wasm/convert.rs" "src/wasm/host.rs" "src/wasm/mod.rs" "wit/deps/cache.wit" "wit/deps/configure.wit"
    "wit/deps/flush.wit" "wit/deps/incident.wit" "wit/deps/isolate.wit" "wit/deps/log.wit" "wit/deps/metrics.wit"
    "wit/deps/restart.wit" "wit/deps/rollout.wit" "wit/deps/scale.wit" "wit/deps/state.wit" "wit/deps/traffic.wit"
    "wit/deps/types.wit" "wit/plugin.wit");

const WIT: &[File] = files!("wit/next":
    "deps/cache.wit" "deps/configure.wit" "deps/flush.wit" "deps/incident.wit" "deps/isolate.wit" "deps/log.wit"
    "deps/metrics.wit" "deps/restart.wit" "deps/rollout.wit" "deps/scale.wit" "deps/state.wit" "deps/traffic.wit"
    "deps/types.wit" "plugin.wit");

/// What a new playbook's folder is made of: folders below it, with their files.
pub(super) fn of(lang: Lang) -> [(&'static str, &'static [File]); 2] {
    match lang {
        Lang::Rust => [("", RUST), ("sdk", SDK)],
        Lang::Python => [("", PYTHON), ("wit", WIT)],
        Lang::Js => [("", JS), ("wit", WIT)],
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// What a build, an editor or git leaves in a folder, and the tests of the SDK, which compare it with this repository.
    const NOT_OURS: [&str; 6] = ["tests", "target", "node_modules", "bindings", "__pycache__", ".venv"];

    fn files_in(dir: &Path, below: &str, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            if NOT_OURS.contains(&name.as_str()) || name.ends_with(".wasm") {
                continue;
            }
            if entry.file_type().unwrap().is_dir() {
                files_in(&entry.path(), &format!("{below}{name}/"), found);
            } else {
                found.insert(format!("{below}{name}"));
            }
        }
    }

    #[test]
    fn the_lists_name_every_file_of_their_folders() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for (base, files) in [
            ("plugins/template/rust", RUST),
            ("plugins/template/python", PYTHON),
            ("plugins/template/js", JS),
            ("plugins/sdk", SDK),
            ("wit/next", WIT),
        ] {
            let mut found = BTreeSet::new();
            files_in(&root.join(base), "", &mut found);
            let listed: BTreeSet<_> = files.iter().map(|(path, _)| (*path).to_owned()).collect();
            assert_eq!(listed, found, "{base}: bring src/author/template.rs up to date");
        }
    }

    #[test]
    fn no_placeholder_is_left() {
        for lang in [Lang::Rust, Lang::Python, Lang::Js] {
            for file in of(lang).into_iter().flat_map(|(_, files)| files) {
                let text = super::super::scaffold::filled(file);
                let left = ["{{name", "{{Name", "{{version"].into_iter().find(|p| text.contains(p));
                assert_eq!(left, None, "{}", file.0);
            }
        }
    }
}
