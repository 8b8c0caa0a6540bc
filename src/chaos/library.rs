//! The experiments that there are: the stock ones, which are built in, and those of the operator's folder.
//!
//! One of the folder replaces the stock one of its name, and says so. Reads the folder and nothing else; a file that is wrong
//! is left out with its problems, and takes no stock experiment's place: who wrote it means another one. Called at the start,
//! at a reload, and by `suture check`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::file::{self, ExperimentErrors};
use crate::config::strict::did_you_mean;
use crate::config::{Level, Problem};
use crate::model::Experiment;

/// The name and the text of each stock experiment, in the order of the documents.
pub(super) const STOCK: [(&str, &str); 16] = [
    ("cpu", include_str!("../../chaos/cpu.toml")),
    ("memory-leak", include_str!("../../chaos/memory-leak.toml")),
    ("memory-pressure", include_str!("../../chaos/memory-pressure.toml")),
    ("disk-fill", include_str!("../../chaos/disk-fill.toml")),
    ("disk-io", include_str!("../../chaos/disk-io.toml")),
    ("latency", include_str!("../../chaos/latency.toml")),
    ("resets", include_str!("../../chaos/resets.toml")),
    ("errors", include_str!("../../chaos/errors.toml")),
    ("pool-exhaustion", include_str!("../../chaos/pool-exhaustion.toml")),
    ("crash", include_str!("../../chaos/crash.toml")),
    ("hang", include_str!("../../chaos/hang.toml")),
    ("partition", include_str!("../../chaos/partition.toml")),
    ("load", include_str!("../../chaos/load.toml")),
    ("pod-kill", include_str!("../../chaos/pod-kill.toml")),
    ("slow-and-lossy", include_str!("../../chaos/slow-and-lossy.toml")),
    ("bad-day", include_str!("../../chaos/bad-day.toml")),
];

/// Most files of a folder that are read: more are no list that anybody reads.
const MOST_FILES: usize = 200;

/// Where an experiment comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It is built in.
    Stock,
    /// A file of the operator's folder.
    File {
        /// Which.
        path: PathBuf,
        /// There is a stock experiment of this name, which it replaces.
        replaces_stock: bool,
    },
}

/// An experiment with where it comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// What it says.
    pub experiment: Experiment,
    /// Where from.
    pub origin: Origin,
}

/// The experiments by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Library {
    entries: BTreeMap<String, Entry>,
    problems: Vec<Problem>,
}

impl Library {
    /// Those that are built in.
    #[must_use]
    pub fn stock() -> Self {
        let mut library = Self::default();
        for (name, text) in STOCK {
            library.take(file::parse(name, text, &format!("chaos/{name}.toml")), name, Origin::Stock);
        }
        library
    }

    /// Those that are built in, and those of a folder on top. What could not be read is among the
    /// [problems](Self::problems).
    #[must_use]
    pub fn with_folder(dir: &Path) -> Self {
        let mut library = Self::stock();
        let paths = match files_of(dir) {
            Ok(paths) => paths,
            Err(problem) => {
                library.problems.push(*problem);
                return library;
            }
        };
        for path in paths {
            let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
            let replaces_stock = STOCK.iter().any(|(stock, _)| *stock == name);
            library.take(file::load(&path), &name, Origin::File { path, replaces_stock });
        }
        library
    }

    fn take(&mut self, read: Result<Experiment, ExperimentErrors>, name: &str, origin: Origin) {
        match read {
            Ok(experiment) => {
                self.entries.insert(name.to_owned(), Entry { experiment, origin });
            }
            Err(ExperimentErrors(problems)) => {
                self.problems.extend(problems);
                // Whoever has a file of that name does not mean the stock one.
                self.entries.remove(name);
            }
        }
    }

    /// All of them, by name.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    /// Their names, in order: for completion.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// What is wrong with the folder and its files.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// A sentence for each stock experiment that a file replaces: for the start and for `suture check`.
    #[must_use]
    pub fn replacements(&self) -> Vec<String> {
        let said = |entry: &Entry| match &entry.origin {
            Origin::File { path, replaces_stock: true } => Some(format!(
                "the experiment `{}` of {} replaces the built-in one of that name",
                entry.experiment.name,
                path.display()
            )),
            _ => None,
        };
        self.entries.values().filter_map(said).collect()
    }

    /// The experiment of this name.
    ///
    /// # Errors
    /// In words, with the name that was probably meant, or with all of them.
    pub fn find(&self, name: &str) -> Result<&Entry, String> {
        if let Some(entry) = self.entries.get(name) {
            return Ok(entry);
        }
        let shown = crate::config::strict::value(name);
        let broken = self.problems.iter().find(|problem| stem(&problem.file) == Some(name));
        if let Some(problem) = broken {
            return Err(format!("the experiment `{shown}` cannot be read: {}: {}", problem.place(), problem.message));
        }
        let known: Vec<_> = self.names().collect();
        Err(format!("there is no experiment `{shown}`; {}", did_you_mean(name, &known, "there are:")))
    }
}

fn stem(file: &str) -> Option<&str> {
    Path::new(file).file_stem()?.to_str()
}

/// The `.toml` files of a folder, in the order of their names.
fn files_of(dir: &Path) -> Result<Vec<PathBuf>, Box<Problem>> {
    let alone = |message: &str, help: &str| {
        Box::new(Problem::of_file(&dir.display().to_string(), Level::Error, message, Some(help)))
    };
    let entries = std::fs::read_dir(dir).map_err(|e| {
        let help = "make the folder, or name another one as `dir` of [chaos] in suture.toml";
        alone(&format!("the folder of the experiments cannot be read: {e}"), help)
    })?;
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|ext| ext == "toml"));
    if paths.len() > MOST_FILES {
        let message = format!("{} experiments in one folder", paths.len());
        return Err(alone(&message, &format!("keep at most {MOST_FILES} there: is this the right folder?")));
    }
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests;
