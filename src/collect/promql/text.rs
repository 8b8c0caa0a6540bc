//! Text of PromQL: matchers and the places of a template's query.
//!
//! Must never let a value from the config end the text it stands in. Pure; called by groups and their history.

use std::collections::BTreeSet;
use std::time::Duration;

/// Up to so many values of a label a query names them; above, it asks for all and sorts out here what is ours.
const MOST_NAMED: usize = 50;

/// What fills the places of a template's query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fill {
    /// Matchers, each with a comma behind it.
    pub sel: String,
    /// Labels that tell targets apart.
    pub by: String,
    /// The same, and the label of instances.
    pub each: String,
    /// Of a rate.
    pub window: Duration,
}

impl Fill {
    /// A query of the templates as the server takes it.
    pub fn fill(&self, query: &str) -> String {
        query
            .replace("$sel", self.sel.trim_end())
            .replace("$each", &self.each)
            .replace("$by", &self.by)
            .replace("$win", &format!("[{}s]", self.window.as_secs().max(1)))
    }
}

/// Is this a label's name?
pub(super) fn is_label(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.starts_with("__")
        && name.len() <= 128
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// `label="value",` or, of several values, `label=~"one|two",`; nothing when there are too many.
pub(super) fn matcher(label: &str, values: &BTreeSet<&str>) -> String {
    let mut values_left = values.iter();
    match (values_left.next(), values.len()) {
        (Some(only), 1) => format!("{label}={},", quoted(only)),
        (Some(_), n) if n <= MOST_NAMED => {
            let any: Vec<String> = values.iter().map(|value| escaped(value)).collect();
            format!("{label}=~{},", quoted(&any.join("|")))
        }
        _ => String::new(),
    }
}

/// `pod=~"(web|api)-.+",`: pods that may be those of these workloads; nothing when there are too many. Kubernetes cuts long
/// names off before it adds what makes pods unlike, so nothing is said of those either.
pub(super) fn pod_matcher(workloads: &BTreeSet<&str>) -> String {
    let fits = (1..=MOST_NAMED).contains(&workloads.len()) && workloads.iter().all(|name| name.len() <= 40);
    if !fits {
        return String::new();
    }
    let any: Vec<String> = workloads.iter().map(|name| escaped(name)).collect();
    format!("pod=~{},", quoted(&format!("({})-.+", any.join("|"))))
}

/// A string of PromQL.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A regular expression that matches this text and nothing else.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_filled() {
        let fill = Fill {
            sel: r#"namespace="prod","#.to_owned(),
            by: "namespace, deployment".to_owned(),
            each: "namespace, deployment, pod".to_owned(),
            window: Duration::from_secs(60),
        };
        assert_eq!(
            fill.fill(r#"sum by ($each, le) (rate(x_bucket{$sel a="b"}$win)) / sum by ($by) (y{$sel})"#),
            "sum by (namespace, deployment, pod, le) (rate(x_bucket{namespace=\"prod\", a=\"b\"}[60s])) / \
             sum by (namespace, deployment) (y{namespace=\"prod\",})"
        );
    }

    #[test]
    fn a_value_cannot_leave_its_string() {
        let one = BTreeSet::from(["a\"} or vector(1) # \\"]);
        assert_eq!(matcher("job", &one), r#"job="a\"} or vector(1) # \\","#);
        let two = BTreeSet::from(["a.b", "c|d\"\n"]);
        assert_eq!(matcher("job", &two), "job=~\"a\\\\.b|c\\\\|d\\\"\\n\",");
    }

    #[test]
    fn too_many_values_are_not_named() {
        let names: Vec<String> = (0..51).map(|i| format!("n{i}")).collect();
        let all: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(matcher("namespace", &all), "");
        assert_eq!(pod_matcher(&all), "");
        let few: BTreeSet<&str> = all.iter().copied().take(2).collect();
        assert_eq!(pod_matcher(&few), r#"pod=~"(n0|n1)-.+","#);
    }

    #[test]
    fn labels_are_plain() {
        assert!(is_label("job") && is_label("k8s_cluster"));
        assert!(!is_label("__name__") && !is_label("a-b") && !is_label("") && !is_label("9a"));
    }
}
