//! `suture init`: writes a starter file that runs as it is and shows every setting.
//!
//! Must never overwrite a file that somebody may have worked on, unless told to, and never leave half a file behind.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::config::STARTER;

/// Why no starter file was written.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// There is one already.
    #[error("{0} exists already: name another file with --path, or overwrite it with --force")]
    Exists(PathBuf),
    /// The path is a folder's.
    #[error("{0} is a folder: name a file in it, for example --path {0}/suture.toml")]
    IsFolder(PathBuf),
    /// The folder that it belongs in is missing.
    #[error("there is no folder {0}: make it first, or name another file with --path")]
    NoFolder(PathBuf),
    /// The disk or the rights to it.
    #[error("{0} cannot be written: {1}")]
    Io(PathBuf, io::Error),
}

/// Writes the starter file, durably. Gives what to tell the person.
///
/// # Errors
/// [`InitError`]; an existing file is then as it was.
pub fn init(path: &Path, force: bool) -> Result<String, InitError> {
    if path.is_dir() {
        return Err(InitError::IsFolder(path.to_owned()));
    }
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        return Err(InitError::NoFolder(folder.to_owned()));
    }
    let failed = |e: io::Error| match e.kind() {
        io::ErrorKind::AlreadyExists => InitError::Exists(path.to_owned()),
        _ => InitError::Io(path.to_owned(), e),
    };
    if force {
        // Written beside it and renamed: a full disk costs nothing of the old file.
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".new");
        let beside = path.with_file_name(name);
        let written = File::create(&beside).and_then(write).and_then(|()| fs::rename(&beside, path));
        if let Err(e) = written {
            let _ = fs::remove_file(&beside);
            return Err(failed(e));
        }
    } else {
        let file = OpenOptions::new().write(true).create_new(true).open(path).map_err(failed)?;
        if let Err(e) = write(file) {
            let _ = fs::remove_file(path);
            return Err(failed(e));
        }
    }
    let shown = path.display();
    Ok(format!(
        "wrote {shown}: it watches this host and changes nothing\n\
         next: suture check --config {shown}\n      suture run --config {shown}"
    ))
}

fn write(mut file: File) -> io::Result<()> {
    file.write_all(STARTER.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn the_file_it_writes_loads_without_a_warning() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("suture.toml");
        let said = init(&path, false).unwrap();
        assert!(said.contains("suture check --config"));
        assert_eq!(Config::load(&path).unwrap().warnings, []);
    }

    #[test]
    fn it_overwrites_only_when_told_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("suture.toml");
        fs::write(&path, "mine").unwrap();
        assert!(matches!(init(&path, false), Err(InitError::Exists(_))));
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
        init(&path, true).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), STARTER);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn it_says_where_it_cannot_write() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(init(folder.path(), true), Err(InitError::IsFolder(_))));
        assert!(matches!(init(&folder.path().join("no/suture.toml"), false), Err(InitError::NoFolder(_))));
    }
}
