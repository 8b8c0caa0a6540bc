//! Puts a case into a file: what the fuzzer found, as something that `suture playbook test` can run.

use super::case::Case;

impl Case {
    /// The case as TOML, below these lines of comment.
    #[must_use]
    pub fn to_toml(&self, comment: &str) -> String {
        let comment: String = comment.lines().map(|line| format!("# {}\n", crate::config::plain(line))).collect();
        // Texts, finite numbers and lists of tables, values before tables: serialising cannot fail. Should it, the
        // comment says what there was.
        comment + &toml::to_string(self).unwrap_or_default()
    }
}
