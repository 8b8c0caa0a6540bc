//! Label and field selectors, of queries (kubernetes.io, "Labels and Selectors", "Field Selectors") and of objects.

use serde_json::Value;

use super::kinds::{self, Kind};
use super::refusal::Refusal;

/// What a query asks for.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    labels: Vec<Need>,
    fields: Vec<(String, bool, String)>,
}

#[derive(Clone, Debug)]
enum Need {
    Has(String),
    Lacks(String),
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
}

impl Need {
    fn holds(&self, labels: Option<&Value>) -> bool {
        let value = |key: &str| labels.and_then(|labels| labels.get(key)).and_then(Value::as_str);
        match self {
            Self::Has(key) => value(key).is_some(),
            Self::Lacks(key) => value(key).is_none(),
            Self::In(key, values) => value(key).is_some_and(|value| values.iter().any(|v| v == value)),
            Self::NotIn(key, values) => value(key).is_none_or(|value| !values.iter().any(|v| v == value)),
        }
    }
}

impl Selection {
    pub fn parse(kind: &Kind, labels: Option<&str>, fields: Option<&str>) -> Result<Self, Refusal> {
        let mut selection = Self::default();
        for part in split(labels.unwrap_or_default()) {
            selection.labels.push(need(&part)?);
        }
        for part in fields.unwrap_or_default().split(',').filter(|part| !part.trim().is_empty()) {
            let (field, equal, value) = if let Some((field, value)) = part.split_once("!=") {
                (field, false, value)
            } else if let Some((field, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
                (field, true, value)
            } else {
                return Err(Refusal::bad(format!("invalid field selector: {part}")));
            };
            let field = field.trim();
            let known = match kind.id {
                kinds::POD => &["spec.nodeName", "status.phase", "spec.restartPolicy", "status.podIP"][..],
                kinds::NODE => &["spec.unschedulable"],
                _ => &[],
            };
            if !["metadata.name", "metadata.namespace"].contains(&field) && !known.contains(&field) {
                let version = kind.api_version(kind.versions[0]);
                let message = format!(
                    "Unable to find \"{version}, Resource={}\" that match label selector \"\", field selector \"{part}\": field label not supported: {field}",
                    kind.plural
                );
                return Err(Refusal::bad(message));
            }
            selection.fields.push((field.to_owned(), equal, value.trim().to_owned()));
        }
        Ok(selection)
    }

    pub fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// The one name that it asks for: what access by name is decided on.
    pub fn one_name(&self) -> Option<&str> {
        self.fields.iter().find(|(field, equal, _)| *equal && field == "metadata.name").map(|(_, _, v)| v.as_str())
    }

    pub fn takes(&self, object: &Value) -> bool {
        let labels = object.pointer("/metadata/labels");
        self.labels.iter().all(|need| need.holds(labels))
            && self.fields.iter().all(|(field, equal, wanted)| {
                let found = object.pointer(&format!("/{}", field.replace('.', "/")));
                let found = match found {
                    Some(Value::String(text)) => text.clone(),
                    Some(Value::Bool(flag)) => flag.to_string(),
                    _ if field == "spec.unschedulable" => "false".to_owned(),
                    _ => String::new(),
                };
                (found == *wanted) == *equal
            })
    }
}

/// At commas outside of parentheses.
fn split(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut depth = 0_usize;
    for c in text.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if c == ',' && depth == 0 {
            parts.push(String::new());
        } else if let Some(last) = parts.last_mut() {
            last.push(c);
        }
    }
    parts.into_iter().map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
}

fn need(part: &str) -> Result<Need, Refusal> {
    let refused =
        || Refusal::bad(format!("unable to parse requirement: found '{part}', expected: a label requirement"));
    let set = |rest: &str| -> Result<Vec<String>, Refusal> {
        let inner = rest.trim().strip_prefix('(').and_then(|rest| rest.strip_suffix(')')).ok_or_else(refused)?;
        Ok(inner.split(',').map(|value| value.trim().to_owned()).collect())
    };
    let need = if let Some(key) = part.strip_prefix('!') {
        Need::Lacks(key.trim().to_owned())
    } else if let Some((key, value)) = part.split_once("!=") {
        Need::NotIn(key.trim().to_owned(), vec![value.trim().to_owned()])
    } else if let Some((key, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
        Need::In(key.trim().to_owned(), vec![value.trim().to_owned()])
    } else if let Some((key, rest)) = part.split_once(" notin ").or_else(|| part.split_once(" notin(")) {
        Need::NotIn(key.trim().to_owned(), set(&open(rest))?)
    } else if let Some((key, rest)) = part.split_once(" in ").or_else(|| part.split_once(" in(")) {
        Need::In(key.trim().to_owned(), set(&open(rest))?)
    } else {
        Need::Has(part.to_owned())
    };
    let key = match &need {
        Need::Has(key) | Need::Lacks(key) | Need::In(key, _) | Need::NotIn(key, _) => key,
    };
    if key.is_empty() || key.contains(|c: char| c.is_whitespace() || "(),!=".contains(c)) {
        Err(refused())
    } else {
        Ok(need)
    }
}

/// A set whose bracket may have gone with the operator.
fn open(rest: &str) -> String {
    let rest = rest.trim();
    if rest.starts_with('(') { rest.to_owned() } else { format!("({rest}") }
}

/// Whether a metav1.LabelSelector takes these labels. An empty one takes all, an absent one none.
pub fn matches(selector: Option<&Value>, labels: Option<&Value>) -> bool {
    let Some(selector) = selector.and_then(Value::as_object) else { return false };
    let value = |key: &str| labels.and_then(|labels| labels.get(key)).and_then(Value::as_str);
    let plain = selector
        .get("matchLabels")
        .and_then(Value::as_object)
        .is_none_or(|wanted| wanted.iter().all(|(key, wanted)| value(key).is_some() && value(key) == wanted.as_str()));
    plain
        && selector.get("matchExpressions").and_then(Value::as_array).is_none_or(|all| {
            all.iter().all(|one| {
                let key = one["key"].as_str().unwrap_or_default();
                let among = |found: &str| {
                    one["values"].as_array().is_some_and(|values| values.iter().any(|v| v.as_str() == Some(found)))
                };
                match one["operator"].as_str() {
                    Some("In") => value(key).is_some_and(among),
                    Some("NotIn") => value(key).is_none_or(|found| !among(found)),
                    Some("Exists") => value(key).is_some(),
                    Some("DoesNotExist") => value(key).is_none(),
                    _ => false,
                }
            })
        })
}

/// Whether a Service's plain map of labels takes these. An absent or empty one takes none.
pub fn matches_map(selector: Option<&Value>, labels: Option<&Value>) -> bool {
    selector.and_then(Value::as_object).is_some_and(|wanted| {
        !wanted.is_empty() && wanted.iter().all(|(key, value)| labels.and_then(|labels| labels.get(key)) == Some(value))
    })
}
