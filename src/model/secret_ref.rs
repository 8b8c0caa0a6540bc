//! Where a secret is: its name in the environment, or a file. The secret itself never stands in the config.

use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer};

use super::Secret;

/// What a reference looks like, for messages.
pub const LIKE: &str = "write \"env:NAME\" (an environment variable) or \"file:PATH\" (the first line of a file)";

/// No token is longer.
const LONGEST: u64 = 16 * 1024;

/// The name of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretRef {
    /// In this environment variable.
    Env(String),
    /// In the first line of this file.
    File(PathBuf),
}

impl SecretRef {
    /// The same, with its path taken as relative to `base`.
    #[must_use]
    pub fn within(self, base: &Path) -> Self {
        match self {
            Self::File(path) => Self::File(base.join(path)),
            Self::Env(_) => self,
        }
    }

    /// Fetches the secret. Paths are relative to `base`.
    ///
    /// # Errors
    /// In words that name the variable or the file, and never what is in it.
    pub fn resolve(&self, base: &Path) -> Result<Secret, String> {
        let text = match self {
            Self::Env(name) => match std::env::var(name) {
                Ok(text) => text,
                Err(std::env::VarError::NotPresent) => {
                    return Err(format!("the environment variable {name} is not set"));
                }
                Err(std::env::VarError::NotUnicode(_)) => {
                    return Err(format!("the environment variable {name} is not text"));
                }
            },
            Self::File(path) => read(&base.join(path))?,
        };
        let secret = text.lines().next().unwrap_or_default().trim();
        if secret.is_empty() {
            return Err(format!("{self} is empty"));
        }
        Ok(Secret::new(secret))
    }
}

fn read(path: &Path) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("the file {} cannot be read: {error}", path.display());
    let file = std::fs::File::open(path).map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(format!("{} is not a regular file", path.display()));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = file.metadata().map_err(failed)?.permissions().mode();
        if mode & 0o004 != 0 {
            let path = path.display();
            return Err(format!("the file {path} may be read by everybody on this machine: `chmod 600 {path}`"));
        }
    }
    let mut text = String::new();
    file.take(LONGEST).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

impl std::str::FromStr for SecretRef {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_name = |name: &str| {
            !name.starts_with(|c: char| c.is_ascii_digit())
                && !name.is_empty()
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        };
        match text.split_once(':') {
            Some(("env", name)) if is_name(name) => Ok(Self::Env(name.to_owned())),
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(PathBuf::from(path))),
            // What stands there may be the secret itself: it is not repeated.
            _ => Err(format!("this is not the name of a secret: {LIKE}")),
        }
    }
}

impl<'de> Deserialize<'de> for SecretRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_named_and_never_shown() {
        for wrong in ["xoxb-1234", "env:", "env:9A", "env:A B", "file:", "ENV:A"] {
            let error = wrong.parse::<SecretRef>().unwrap_err();
            assert!(!error.contains("xoxb") && error.contains("env:NAME"), "{error}");
        }
        let missing = "env:SUTURE_NO_SUCH_SECRET".parse::<SecretRef>().unwrap().resolve(Path::new("."));
        assert_eq!(missing.unwrap_err(), "the environment variable SUTURE_NO_SUCH_SECRET is not set");
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_everybody_may_read_is_no_place_for_one() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, "hidden\nsecond line\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let name = SecretRef::File("token".into());
        assert!(name.resolve(dir.path()).unwrap_err().contains("chmod 600"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let secret = name.resolve(dir.path()).unwrap();
        assert_eq!((secret.expose(), format!("{secret:?}").as_str()), ("hidden", "Secret(hidden)"));
    }
}
