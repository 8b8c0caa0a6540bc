//! Numbers as people read them: `412 ms`, `3.2 MiB`, `12 %`, `47/s`.
//!
//! Called by the card builders, the chart and the ledger's own words. Rounds hard (three digits tell the story); must never be used where a
//! number is computed with again.

/// A value with its unit. Units: `s`, `ms`, `bytes`, `bytes/s`, `1/s`, `%`, `ratio` (0 to 1), or any other word, which
/// is put behind the number; empty for a plain count.
#[must_use]
pub fn humane(value: f64, unit: &str) -> String {
    if !value.is_finite() {
        return "no value".to_owned();
    }
    let sign = if value < 0.0 { "-" } else { "" };
    let size = value.abs();
    let text = match unit {
        "s" => seconds(size),
        "ms" => seconds(size / 1000.0),
        "bytes" => bytes(size),
        "bytes/s" => format!("{}/s", bytes(size)),
        "1/s" => format!("{}/s", plain(size)),
        "%" => format!("{} %", plain(size)),
        "ratio" => format!("{} %", plain(size * 100.0)),
        "" => plain(size),
        other => format!("{} {other}", plain(size)),
    };
    // Minus nothing is nothing.
    if text.contains(|c| ('1'..='9').contains(&c)) { format!("{sign}{text}") } else { text }
}

/// A value beside its usual one: `412 ms (normally 18 ms, 23x)`.
#[must_use]
pub fn compared(value: f64, normal: f64, unit: &str) -> String {
    if !normal.is_finite() {
        return humane(value, unit);
    }
    match times(value, normal) {
        Some(times) => format!("{} (normally {}, {times})", humane(value, unit), humane(normal, unit)),
        None => format!("{} (normally {})", humane(value, unit), humane(normal, unit)),
    }
}

/// `23x`, `0.2x`; nothing where a factor says nothing: about the same, or nothing to compare with.
fn times(value: f64, normal: f64) -> Option<String> {
    let factor = value / normal;
    if normal <= 0.0 || value < 0.0 || !factor.is_finite() {
        return None;
    }
    match factor {
        f if f >= 1000.0 => Some("over 1000x".to_owned()),
        f if f >= 10.0 => Some(format!("{f:.0}x")),
        f if f >= 1.2 => Some(format!("{f:.1}x")),
        f if f > 0.8 => None,
        f if f >= 0.1 => Some(format!("{f:.1}x")),
        f if f > 0.0 => Some("less than 0.1x".to_owned()),
        _ => None,
    }
}

/// Three digits: `0`, `0.042`, `4.2`, `47`, `1 234`, `1.2 million`.
fn plain(size: f64) -> String {
    match size {
        s if s < 0.0005 => "0".to_owned(),
        s if s < 0.1 => trimmed(&format!("{s:.3}")),
        s if s < 1.0 => trimmed(&format!("{s:.2}")),
        s if s < 99.95 => trimmed(&format!("{s:.1}")),
        s if s < 999.5 => format!("{s:.0}"),
        s if s < 999_500.0 => thousands(&format!("{s:.0}")),
        s if s < 999.5e6 => format!("{} million", trimmed(&format!("{:.1}", s / 1e6))),
        s if s < 999.5e9 => format!("{} billion", trimmed(&format!("{:.1}", s / 1e9))),
        s => format!("{s:.1e}"),
    }
}

/// `850 µs`, `412 ms`, `1.2 s`, `3 min 05 s`, `2 h 10 min`, `3.0 days`.
fn seconds(size: f64) -> String {
    match size {
        s if s < 0.000_000_5 => "0 s".to_owned(),
        s if s < 0.000_999_5 => format!("{:.0} µs", s * 1e6),
        s if s < 0.009_95 => format!("{} ms", trimmed(&format!("{:.1}", s * 1e3))),
        s if s < 0.9995 => format!("{:.0} ms", s * 1e3),
        s if s < 59.95 => format!("{} s", trimmed(&format!("{s:.1}"))),
        s if s < 3599.5 => {
            let whole = s.round();
            format!("{:.0} min {:02.0} s", (whole / 60.0).floor(), whole % 60.0)
        }
        s if s < 86_370.0 => {
            let minutes = (s / 60.0).round();
            format!("{:.0} h {:02.0} min", (minutes / 60.0).floor(), minutes % 60.0)
        }
        s => format!("{} days", trimmed(&format!("{:.1}", s / 86_400.0))),
    }
}

/// `512 B`, `3.2 MiB`.
fn bytes(size: f64) -> String {
    let mut size = size;
    for unit in ["B", "KiB", "MiB", "GiB", "TiB"] {
        if size < 1023.5 {
            let number =
                if size < 99.95 && unit != "B" { trimmed(&format!("{size:.1}")) } else { format!("{size:.0}") };
            return format!("{number} {unit}");
        }
        size /= 1024.0;
    }
    format!("{} PiB", plain(size))
}

/// Without zeros that say nothing.
fn trimmed(number: &str) -> String {
    if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.').to_owned() } else { number.to_owned() }
}

/// `12345` as `12 345`.
fn thousands(digits: &str) -> String {
    let mut out = String::with_capacity(digits.len() + 2);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_unit_in_its_own_words() {
        let cases = [
            (0.412, "s", "412 ms"),
            (0.018, "s", "18 ms"),
            (0.0042, "s", "4.2 ms"),
            (0.000_42, "s", "420 µs"),
            (1.24, "s", "1.2 s"),
            (59.97, "s", "1 min 00 s"),
            (185.0, "s", "3 min 05 s"),
            (7800.0, "s", "2 h 10 min"),
            (3599.7, "s", "1 h 00 min"),
            (172_800.0, "s", "2 days"),
            (412.0, "ms", "412 ms"),
            (512.0, "bytes", "512 B"),
            (3_355_443.2, "bytes", "3.2 MiB"),
            (1024.0, "bytes", "1 KiB"),
            (1_048_000.0, "bytes", "1023 KiB"),
            (1_048_575.0, "bytes", "1 MiB"),
            (2048.0, "bytes/s", "2 KiB/s"),
            (47.0, "1/s", "47/s"),
            (0.25, "1/s", "0.25/s"),
            (12.0, "%", "12 %"),
            (0.12, "ratio", "12 %"),
            (0.0, "", "0"),
            (3.0, "", "3"),
            (4.26, "", "4.3"),
            (12_345.0, "", "12 345"),
            (1_234_567.0, "", "1.2 million"),
            (21.5, "degrees", "21.5 degrees"),
            (-4.0, "", "-4"),
            (-0.5, "1/s", "-0.5/s"),
            (-0.0, "", "0"),
            (f64::NAN, "s", "no value"),
            (f64::INFINITY, "bytes", "no value"),
        ];
        for (value, unit, words) in cases {
            assert_eq!(humane(value, unit), words, "{value} {unit}");
        }
    }

    #[test]
    fn beside_the_usual_value() {
        assert_eq!(compared(0.412, 0.018, "s"), "412 ms (normally 18 ms, 23x)");
        assert_eq!(compared(12.0, 0.0, "1/s"), "12/s (normally 0/s)");
        assert_eq!(compared(47.0, 46.0, "1/s"), "47/s (normally 46/s)");
        assert_eq!(compared(20.0, 95.0, "%"), "20 % (normally 95 %, 0.2x)");
        assert_eq!(compared(1e9, 1.0, ""), "1 billion (normally 1, over 1000x)");
        assert_eq!(compared(1.0, f64::NAN, ""), "1");
    }

    proptest! {
        #[test]
        fn every_number_has_words_and_short_ones(value in any::<f64>(), unit in "(s|ms|bytes|1/s|%|ratio|)") {
            let words = humane(value, &unit);
            prop_assert!(!words.is_empty());
            // Days and PiB have no larger unit to go to.
            if value.abs() < 1e12 {
                prop_assert!(words.chars().count() <= 20, "{words}");
            }
        }
    }
}
