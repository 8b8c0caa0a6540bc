//! The settings that may be changed, and which values are right for them.
//!
//! A short list: what steers memory and eviction, takes effect at once and can be set back. What reaches into files,
//! persistence, replication or access (`dir`, `save`, `requirepass`) is not on it and never will be.

use super::info::Info;

/// A value is given as Redis shows it, so that what is read afterwards is what was approved.
#[derive(Clone, Copy)]
enum Kind {
    Bytes,
    OneOf(&'static [&'static str]),
    Number { least: u64, most: u64 },
}

const YES_NO: Kind = Kind::OneOf(&["yes", "no"]);

/// The settings, by name.
const KNOBS: [(&str, Kind); 5] = [
    ("activedefrag", YES_NO),
    ("lazyfree-lazy-eviction", YES_NO),
    ("maxmemory", Kind::Bytes),
    (
        "maxmemory-policy",
        Kind::OneOf(&[
            "noeviction",
            "allkeys-lru",
            "allkeys-lfu",
            "allkeys-random",
            "volatile-lru",
            "volatile-lfu",
            "volatile-random",
            "volatile-ttl",
        ]),
    ),
    // Above ten it costs more than it finds; above 64 newer servers refuse it.
    ("maxmemory-samples", Kind::Number { least: 1, most: 64 }),
];

/// Below this a server has no room for a single entry beside itself.
const LEAST_MEMORY: u64 = 1024 * 1024;

/// What to ask for with `CONFIG GET`: never `*`, which would show passwords.
pub(super) const PATTERNS: [&str; 3] = ["maxmemory*", "activedefrag", "lazyfree-lazy-eviction"];

/// Is it one of those that may be changed?
pub(super) fn is_known(setting: &str) -> bool {
    KNOBS.iter().any(|(name, _)| *name == setting)
}

/// The names, for people.
pub(super) fn names() -> String {
    KNOBS.map(|(name, _)| name).join(", ")
}

/// Is this value right for the setting, as the server is now? Else why not, with what would be.
pub(super) fn check(setting: &str, value: &str, info: &Info) -> Result<(), String> {
    let Some((_, kind)) = KNOBS.iter().find(|(name, _)| *name == setting) else {
        return Err(format!("`{setting}` cannot be changed here; these can: {}", names()));
    };
    match kind {
        Kind::OneOf(values) if values.contains(&value) => Ok(()),
        Kind::OneOf(values) => Err(format!("`{setting}` is one of {}, not that", values.join(", "))),
        Kind::Number { least, most } => match plain(value).filter(|n| (least..=most).contains(&n)) {
            Some(_) => Ok(()),
            None => Err(format!("`{setting}` is a whole number from {least} to {most}")),
        },
        Kind::Bytes => check_memory(value, info),
    }
}

fn check_memory(value: &str, info: &Info) -> Result<(), String> {
    let Some(bytes) = plain(value) else {
        return Err(match with_unit(value) {
            Some(bytes) => format!("`maxmemory` is given in bytes, as Redis shows it: write {bytes}"),
            None => "`maxmemory` is a number of bytes, 0 for no bound: 512 MiB are 536870912".to_owned(),
        });
    };
    if bytes == 0 {
        return Ok(());
    }
    if bytes < LEAST_MEMORY {
        return Err(format!("{bytes} bytes are less than a server needs for itself: write at least {LEAST_MEMORY}"));
    }
    if let Some(machine) = info.number("total_system_memory").filter(|machine| *machine > 0 && bytes > *machine) {
        return Err(format!("the server's machine has {machine} bytes in all: write less, or it will swap"));
    }
    let used = info.number("used_memory").unwrap_or(0);
    if info.get("maxmemory_policy") == Some("noeviction") && bytes < used {
        return Err(format!(
            "it uses {used} bytes, and with the policy noeviction it would refuse all writes: choose a \
             maxmemory-policy that evicts first"
        ));
    }
    Ok(())
}

/// A number as Redis writes it back: no sign, no zeros in front.
fn plain(value: &str) -> Option<u64> {
    value.parse::<u64>().ok().filter(|n| n.to_string() == value)
}

/// Reads `512mb` the way a Redis does, for the remedy.
fn with_unit(value: &str) -> Option<u64> {
    let value = value.to_ascii_lowercase();
    let digits = value.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match value.get(digits.len()..)? {
        "" | "b" => 1,
        "k" => 1000,
        "kb" => 1024,
        "m" => 1000 * 1000,
        "mb" => 1024 * 1024,
        "g" => 1000 * 1000 * 1000,
        "gb" => 1024 * 1024 * 1024,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(text: &str) -> Info {
        Info::of(text)
    }

    #[test]
    fn values_are_those_that_redis_shows() {
        let none = info("");
        for (setting, value) in [
            ("maxmemory", "0"),
            ("maxmemory", "536870912"),
            ("maxmemory-policy", "allkeys-lru"),
            ("maxmemory-samples", "10"),
            ("activedefrag", "yes"),
        ] {
            assert_eq!(check(setting, value, &none), Ok(()), "{setting} {value}");
        }
        for (setting, value, remedy) in [
            ("maxmemory", "512mb", "write 536870912"),
            ("maxmemory", "512MB", "write 536870912"),
            ("maxmemory", "1g", "write 1000000000"),
            ("maxmemory", "0536870912", "write 536870912"),
            ("maxmemory", "-1", "512 MiB are 536870912"),
            ("maxmemory", "lots", "bytes"),
            ("maxmemory", "1000", "at least 1048576"),
            ("maxmemory-policy", "allkeys-mru", "allkeys-lru"),
            ("maxmemory-samples", "0", "from 1 to 64"),
            ("maxmemory-samples", "+5", "from 1 to 64"),
            ("activedefrag", "true", "yes, no"),
            ("requirepass", "x", "maxmemory"),
        ] {
            let why = check(setting, value, &none).unwrap_err();
            assert!(why.contains(remedy), "{setting} {value}: {why}");
        }
    }

    #[test]
    fn memory_must_fit_the_machine_and_what_is_stored() {
        let full = info("used_memory:8000000\r\nmaxmemory_policy:noeviction\r\ntotal_system_memory:16000000\r\n");
        assert!(check("maxmemory", "4000000", &full).unwrap_err().contains("evicts first"));
        assert!(check("maxmemory", "17000000", &full).unwrap_err().contains("swap"));
        assert_eq!(check("maxmemory", "9000000", &full), Ok(()));
        let evicts = info("used_memory:8000000\r\nmaxmemory_policy:allkeys-lru\r\n");
        assert_eq!(check("maxmemory", "4000000", &evicts), Ok(()));
    }
}
