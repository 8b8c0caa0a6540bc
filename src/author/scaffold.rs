//! `suture playbook new`: a folder with a playbook that builds and passes its cases as it is.

use std::fs;
use std::path::{Path, PathBuf};

use super::build::Lang;
use super::template;
use super::{AuthorError, cannot};
use crate::wasm::is_a_name;

/// Names that make a package or a type that no compiler takes.
const RESERVED: [&str; 12] =
    ["self", "super", "crate", "std", "core", "alloc", "test", "sdk", "proc-macro", "build", "deps", "examples"];

/// Writes the folder `parent/name` and gives its path.
///
/// # Errors
/// A name that cannot be one, a folder that is there already, a disk that does not take it.
pub fn scaffold(name: &str, lang: Lang, parent: &Path) -> Result<PathBuf, AuthorError> {
    check_name(name)?;
    let dir = parent.join(name);
    if dir.exists() {
        let dir = dir.display();
        return Err(AuthorError::Usage(format!(
            "{dir} is there already, and nothing is ever overwritten: choose another name, or another folder with --dir"
        )));
    }
    fs::create_dir_all(&dir).map_err(cannot("make", &dir))?;
    let words = Words::of(name);
    for (folder, files) in template::of(lang) {
        for (path, text) in files.iter() {
            write(&dir.join(folder).join(path), &words.put_into(text))?;
        }
    }
    Ok(dir)
}

fn write(path: &Path, text: &str) -> Result<(), AuthorError> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(cannot("make", parent))?;
    }
    fs::write(path, text).map_err(cannot("write", path))
}

fn check_name(name: &str) -> Result<(), AuthorError> {
    let wrong = |why: &str| {
        let name = crate::config::plain(name);
        Err(AuthorError::Usage(format!("`{name}` cannot be the name of a playbook: {why}; for example `one-more`")))
    };
    if !is_a_name(name) {
        return wrong("it is not 1 to 64 of a-z, 0-9 and -");
    }
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || name.ends_with('-') || name.contains("--") {
        return wrong("it begins with a letter, and each - stands between two words");
    }
    if RESERVED.contains(&name) {
        return wrong("the word has a meaning of its own in the languages that playbooks are written in");
    }
    Ok(())
}

/// What the placeholders stand for.
struct Words([(&'static str, String); 4]);

impl Words {
    fn of(name: &str) -> Self {
        let camel = name.split('-').map(|word| {
            let (first, rest) = word.split_at(word.len().min(1));
            first.to_ascii_uppercase() + rest
        });
        Self([
            ("{{name}}", name.to_owned()),
            ("{{Name}}", camel.collect()),
            ("{{name_snake}}", name.replace('-', "_")),
            ("{{version}}", env!("CARGO_PKG_VERSION").to_owned()),
        ])
    }

    fn put_into(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (placeholder, word)| text.replace(placeholder, word))
    }
}

/// For tests of the templates: the files with the placeholders filled in.
#[cfg(test)]
pub(super) fn filled(file: &template::File) -> String {
    Words::of("one-more").put_into(file.1)
}
