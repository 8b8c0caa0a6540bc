//! Sets one key of a ConfigMap, or one value of a DestinationRule's outlier detection; cordons a node.
//!
//! Called by the actuator.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::errors::{act_error, conflict};
use super::job::{Job, TRIES};
use super::owners;
use super::traffic::{meta, read_dynamic};
use crate::act::{ActError, KubernetesSettings, TtlUnit};
use crate::model::{ActionKind, Facet, Instance, MOST_VALUE, TargetState};
use crate::platform::kubernetes::{Api, Ask, CONFIGMAPS, ConfigMap, NODES, Node, Place, shown};

/// What can be set of outlier detection, and what its values look like.
const OUTLIER: [(&str, Shape); 4] = [
    ("consecutive5xxErrors", Shape::Number(u32::MAX)),
    ("interval", Shape::Duration),
    ("baseEjectionTime", Shape::Duration),
    ("maxEjectionPercent", Shape::Number(100)),
];
const PREFIX: &str = "outlier-detection.";

#[derive(Clone, Copy)]
enum Shape {
    /// A whole number up to this.
    Number(u32),
    /// `10s`, `1m30s`, `500ms`.
    Duration,
}

/// A ConfigMap as a target's state.
pub(super) async fn observe_config(
    api: &Api,
    place: &Place,
    settings: &KubernetesSettings,
) -> Result<TargetState, ActError> {
    let ask = Ask::get(&CONFIGMAPS, place.namespace.as_deref(), &place.name);
    let map: ConfigMap = api.call(&ask).await.map_err(|e| act_error(e, &place.in_words()))?;
    Ok(config_state(place, settings, &map))
}

fn config_state(place: &Place, settings: &KubernetesSettings, map: &ConfigMap) -> TargetState {
    let subject = place.in_words();
    let mut notes = owners::gitops(&subject, &map.metadata);
    let mut values = BTreeMap::new();
    for key in &settings.keys {
        let value = map.data.get(key).map_or("", String::as_str);
        if value.len() > MOST_VALUE || value.chars().any(char::is_control) {
            notes.push(format!("`{key}` cannot be set: it is not one line of at most {MOST_VALUE} bytes"));
        } else {
            values.insert(key.clone(), value.to_owned());
        }
    }
    let ttl =
        settings.ttl_key.as_ref().map(|key| (key, map.data.get(key).map(|value| lifetime(value, settings.ttl_unit))));
    let cache_ttl_ms = match ttl {
        Some((_, Some(Some(ms)))) => Some(ms),
        Some((key, _)) => {
            notes.push(format!("`{key}` is no whole number, so the lifetime of cached answers is not known"));
            None
        }
        None => None,
    };
    if map.immutable == Some(true) {
        notes.push(format!("{subject} is immutable: nothing of it can be changed"));
    }
    let can = [ActionKind::Configure, ActionKind::Cache].into();
    TargetState { settings: values, cache_ttl_ms, can, notes, ..TargetState::default() }
}

fn lifetime(value: &str, unit: TtlUnit) -> Option<u64> {
    let number: u64 = value.trim().parse().ok()?;
    match unit {
        TtlUnit::Seconds => number.checked_mul(1000),
        TtlUnit::Milliseconds => Some(number),
    }
}

/// A DestinationRule as a target's state.
pub(super) async fn observe_outlier(api: &Api, place: &Place) -> Result<TargetState, ActError> {
    let subject = place.in_words();
    let (object, _) = read_dynamic(api, place).await.map_err(|e| act_error(e, &subject))?;
    let settings = OUTLIER.iter().map(|(key, _)| (format!("{PREFIX}{key}"), outlier(&object, key))).collect();
    let can = [ActionKind::Configure].into();
    Ok(TargetState { settings, can, notes: owners::gitops(&subject, &meta(&object)), ..TargetState::default() })
}

/// A value of the outlier detection as it is; empty where it is not set.
fn outlier(object: &Value, key: &str) -> String {
    match object.pointer(&format!("/spec/trafficPolicy/outlierDetection/{key}")) {
        Some(Value::String(text)) => shown(text, 80),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    }
}

/// A node as a target's state.
pub(super) async fn observe_node(api: &Api, place: &Place) -> Result<TargetState, ActError> {
    let node: Node =
        api.call(&Ask::get(&NODES, None, &place.name)).await.map_err(|e| act_error(e, &place.in_words()))?;
    let up = node.status.conditions.iter().any(|c| c.kind == "Ready" && c.status == "True");
    let instance = Instance {
        name: place.name.clone(),
        up,
        isolated: node.spec.unschedulable,
        weight: 100,
        generation: node.metadata.since(),
    };
    Ok(TargetState {
        replicas: 1,
        min_replicas: 1,
        max_replicas: 1,
        instances: vec![instance],
        can: [ActionKind::Isolate].into(),
        ..TargetState::default()
    })
}

impl Job<'_> {
    /// Gives a key of a ConfigMap this value; an empty one takes the key away.
    pub async fn set_key(&self, key: &str, value: &str, before: &Facet) -> Result<String, ActError> {
        if !self.settings.keys.iter().any(|known| known == key) {
            return Err(self.unsupported("the config does not list that key: write it into `keys` of the target"));
        }
        self.patch_map(key, value, |map| match map.data.get(key).map_or("", String::as_str) {
            now if now == value => Ok(true),
            now if *before == Facet::Setting(now.to_owned()) => Ok(false),
            now => Err(conflict(&self.subject, before, Facet::Setting(shown(now, MOST_VALUE)))),
        })
        .await
    }

    /// Has cached answers live this long.
    pub async fn set_lifetime(&self, ttl_ms: u64, before: &Facet) -> Result<String, ActError> {
        let Some(key) = self.settings.ttl_key.as_deref() else {
            return Err(self.unsupported("the config does not say which key it is: write `ttl_key` into the target"));
        };
        let number = match self.settings.ttl_unit {
            TtlUnit::Milliseconds => ttl_ms,
            TtlUnit::Seconds if ttl_ms.is_multiple_of(1000) => ttl_ms / 1000,
            TtlUnit::Seconds => return Err(self.unsupported("it counts whole seconds: ask for those")),
        };
        let unit = self.settings.ttl_unit;
        self.patch_map(key, &number.to_string(), |map| {
            match map.data.get(key).and_then(|value| lifetime(value, unit)).map(Facet::CacheTtlMs) {
                Some(Facet::CacheTtlMs(now)) if now == ttl_ms => Ok(true),
                Some(now) if now == *before => Ok(false),
                Some(now) => Err(conflict(&self.subject, before, now)),
                None => Err(conflict(&self.subject, before, "no whole number")),
            }
        })
        .await
    }

    /// `check` says whether the map has the value already.
    async fn patch_map(
        &self,
        key: &str,
        value: &str,
        check: impl Fn(&ConfigMap) -> Result<bool, ActError>,
    ) -> Result<String, ActError> {
        for _ in 0..TRIES {
            let map: ConfigMap = self.read().await?;
            if check(&map)? {
                return Ok(format!("{} is so already", self.subject));
            }
            if map.immutable == Some(true) {
                return Err(self.unsupported("it is immutable: make a new ConfigMap and have the pods use that"));
            }
            let value = if value.is_empty() { Value::Null } else { json!(value) };
            let body = json!({"metadata": {"resourceVersion": map.metadata.resource_version}, "data": {key: value}});
            let ask = Ask::patch(&CONFIGMAPS, self.place.namespace.as_deref(), &self.place.name, body);
            if self.change(&ask).await?.is_some() {
                return Ok(format!(
                    "{}: {key} is {}; pods that have it mounted see it within about a minute, those that have it in their \
                     environment when they are restarted",
                    self.place.in_words(),
                    value.as_str().unwrap_or("unset"),
                ));
            }
        }
        Err(self.restless())
    }

    /// Sets a value of the outlier detection; an empty one takes it away.
    pub async fn set_outlier(&self, setting: &str, value: &str, before: &Facet) -> Result<String, ActError> {
        let known = setting.strip_prefix(PREFIX).and_then(|key| OUTLIER.iter().find(|(known, _)| *known == key));
        let Some((key, shape)) = known.copied() else {
            let names: Vec<_> = OUTLIER.iter().map(|(key, _)| format!("{PREFIX}{key}")).collect();
            return Err(self.unsupported(&format!("there is no such setting; there are {}", names.join(", "))));
        };
        let json = shape.json(value).map_err(|why| self.unsupported(&why))?;
        for _ in 0..TRIES {
            let read = read_dynamic(&self.api, &self.place).await;
            let (object, resource) = read.map_err(|e| act_error(e, &self.subject))?;
            let now = outlier(&object, key);
            if now == value {
                return Ok(format!("{} is so already", self.subject));
            }
            if *before != Facet::Setting(now.clone()) {
                return Err(conflict(&self.subject, before, Facet::Setting(now)));
            }
            let policy = json!({"outlierDetection": detection(&object, key, &json)});
            let version = meta(&object).resource_version;
            let body = json!({"metadata": {"resourceVersion": version}, "spec": {"trafficPolicy": policy}});
            let ask = Ask::patch(resource, self.place.namespace.as_deref(), &self.place.name, body);
            if self.change(&ask).await?.is_some() {
                let value = Facet::Setting(value.to_owned());
                return Ok(format!(
                    "{}: {key} is {value}; the proxies take it up within seconds",
                    self.place.in_words()
                ));
            }
        }
        Err(self.restless())
    }

    /// Lets no new pods onto a node, or lets them again.
    pub async fn cordon(&self, isolated: bool, before: &Facet) -> Result<String, ActError> {
        for _ in 0..TRIES {
            let node: Node = self.read().await?;
            let now = node.spec.unschedulable;
            if now == isolated {
                return Ok(format!("{} is so already", self.subject));
            }
            if *before != Facet::Isolated(now) {
                return Err(conflict(&self.subject, before, Facet::Isolated(now)));
            }
            let flag = if isolated { json!(true) } else { Value::Null };
            let version = &node.metadata.resource_version;
            let body = json!({"metadata": {"resourceVersion": version}, "spec": {"unschedulable": flag}});
            if self.change(&Ask::patch(&NODES, None, &self.place.name, body)).await?.is_some() {
                let name = &self.place.name;
                return Ok(match isolated {
                    true => format!("{name} is cordoned: no new pods come, those that are there stay"),
                    false => format!("{name} takes new pods again"),
                });
            }
        }
        Err(self.restless())
    }
}

impl Shape {
    /// The value as the API has it; null for an empty one.
    fn json(self, value: &str) -> Result<Value, String> {
        if value.is_empty() {
            return Ok(Value::Null);
        }
        match self {
            Self::Number(most) => {
                let number = value.parse::<u32>().ok().filter(|n| *n <= most);
                number.map(|n| json!(n)).ok_or_else(|| format!("it is a whole number up to {most}"))
            }
            Self::Duration if is_duration(value) => Ok(json!(value)),
            Self::Duration => Err("it is a duration like 10s, 1m30s or 500ms".to_owned()),
        }
    }
}

/// Numbers, each with a unit behind it, as Go writes durations.
fn is_duration(text: &str) -> bool {
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        let number = rest.strip_suffix(digits).unwrap_or_default();
        let Some(unit) = ["ms", "h", "m", "s"].into_iter().find(|unit| digits.starts_with(unit)) else { return false };
        if number.parse::<f64>().is_err() {
            return false;
        }
        rest = digits.strip_prefix(unit).unwrap_or_default();
    }
    !text.is_empty()
}

/// The outlier detection with one value changed. Without any values it goes as a whole: an empty one would be switched on,
/// with the proxy's own defaults.
fn detection(object: &Value, key: &str, value: &Value) -> Value {
    let now = object.pointer("/spec/trafficPolicy/outlierDetection").and_then(Value::as_object);
    let others = now.is_some_and(|now| now.keys().any(|other| other != key));
    if value.is_null() && !others {
        return Value::Null;
    }
    Value::Object(Map::from_iter([(key.to_owned(), value.clone())]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::from_value;

    fn config(settings: &KubernetesSettings, data: Value) -> TargetState {
        let place = Place::of(&settings.name).unwrap();
        config_state(&place, settings, &from_value(json!({"data": data})).unwrap())
    }

    #[test]
    fn only_the_keys_of_the_config_are_shown() {
        let mut settings = KubernetesSettings::of("k8s:prod/configmap/web".parse().unwrap());
        settings.keys = vec!["level".to_owned(), "none".to_owned(), "script".to_owned()];
        let state = config(&settings, json!({"level": "info", "password": "x", "script": "a\nb"}));
        let shown: Vec<_> = state.settings.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(shown, [("level", "info"), ("none", "")]);
        assert!(state.notes[0].starts_with("`script` cannot be set"), "{:?}", state.notes);
    }

    #[test]
    fn a_lifetime_is_read_in_its_unit() {
        let mut settings = KubernetesSettings::of("k8s:prod/configmap/web".parse().unwrap());
        settings.ttl_key = Some("ttl".to_owned());
        assert_eq!(config(&settings, json!({"ttl": "30"})).cache_ttl_ms, Some(30_000));
        let strange = config(&settings, json!({"ttl": "soon"}));
        assert_eq!((strange.cache_ttl_ms, strange.notes.len()), (None, 1));
        settings.ttl_unit = TtlUnit::Milliseconds;
        assert_eq!(config(&settings, json!({"ttl": "250"})).cache_ttl_ms, Some(250));
    }

    #[test]
    fn values_of_outlier_detection_are_checked() {
        assert_eq!(Shape::Number(100).json("50"), Ok(json!(50)));
        assert!(Shape::Number(100).json("101").is_err());
        assert_eq!(Shape::Duration.json(""), Ok(Value::Null));
        for good in ["10s", "1m30s", "500ms", "0.5h"] {
            assert!(is_duration(good), "{good}");
        }
        for bad in ["10", "s", "10 s", "1d", "10s;"] {
            assert!(!is_duration(bad), "{bad}");
        }
    }

    #[test]
    fn the_last_value_taken_away_takes_the_detection_away() {
        let rule = |detection: Value| json!({"spec": {"trafficPolicy": {"outlierDetection": detection}}});
        let last = rule(json!({"interval": "10s"}));
        assert_eq!(detection(&last, "interval", &Value::Null), Value::Null);
        let two = rule(json!({"interval": "10s", "maxEjectionPercent": 50}));
        assert_eq!(detection(&two, "interval", &Value::Null), json!({"interval": null}));
        assert_eq!(detection(&json!({}), "interval", &json!("5s")), json!({"interval": "5s"}));
    }
}
