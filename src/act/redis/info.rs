//! What `INFO` says, and what of it who approves a change must know.

use std::collections::BTreeMap;

/// The fields of `INFO`.
#[derive(Clone, Debug, Default)]
pub(super) struct Info(BTreeMap<String, String>);

impl Info {
    /// Reads `field:value` lines; others are passed over.
    pub fn of(text: &str) -> Self {
        let fields = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(':'));
        Self(fields.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect())
    }

    pub fn get(&self, field: &str) -> Option<&str> {
        self.0.get(field).map(String::as_str)
    }

    pub fn number(&self, field: &str) -> Option<u64> {
        self.get(field)?.parse().ok()
    }

    pub fn is_replica(&self) -> bool {
        self.get("role").is_some_and(|role| role != "master")
    }

    pub fn is_in_cluster(&self) -> bool {
        self.get("cluster_enabled") == Some("1")
    }

    /// Sentences for the card.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.is_replica() {
            notes.push("it is a replica: writes are refused, name its primary for those".to_owned());
        }
        if self.is_in_cluster() {
            notes.push(
                "it is one node of a cluster: entries cannot be thrown away by prefix, and settings are this node's"
                    .to_owned(),
            );
        }
        let (used, most) = (self.number("used_memory").unwrap_or(0), self.number("maxmemory"));
        let noeviction = self.get("maxmemory_policy") == Some("noeviction");
        let percent = |most: u64| used.saturating_mul(100) / most.max(1);
        match most {
            Some(0) => {
                notes.push("maxmemory is 0: it takes what it wants, and no eviction policy does anything".to_owned())
            }
            Some(most) if noeviction && percent(most) >= 90 => notes.push(format!(
                "memory is {} % full and the policy is noeviction: at 100 % it refuses writes",
                percent(most)
            )),
            Some(most) => {
                if let Some(evicted) = self.number("evicted_keys").filter(|n| *n > 0 && percent(most) >= 90) {
                    let evicted = grouped(evicted);
                    let full = percent(most);
                    notes.push(format!("memory is {full} % full, and {evicted} entries were evicted since it started"));
                }
            }
            None => {}
        }
        notes
    }
}

/// `1,204`.
pub(super) fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_say_what_matters() {
        let notes = |text: &str| Info::of(text).notes();
        assert_eq!(notes("role:master\r\nused_memory:10\r\nmaxmemory:100\r\nevicted_keys:9\r\n"), Vec::<String>::new());
        assert!(notes("role:slave\r\n")[0].contains("replica"));
        assert!(notes("cluster_enabled:1\r\n")[0].contains("cluster"));
        assert!(notes("maxmemory:0\r\n")[0].contains("maxmemory is 0"));
        let full = "# Memory\r\nused_memory:99\r\nmaxmemory:100\r\nevicted_keys:1204\r\n";
        assert_eq!(notes(full), ["memory is 99 % full, and 1,204 entries were evicted since it started"]);
        assert!(notes(&format!("{full}maxmemory_policy:noeviction\r\n"))[0].contains("refuses writes"));
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0, 999, 1204, 1_234_567].map(grouped), ["0", "999", "1,204", "1,234,567"]);
    }
}
