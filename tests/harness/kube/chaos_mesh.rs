//! Chaos Mesh 2 as its users meet it: what its admission webhooks take, and how a test plays with it. Its controller is in
//! `controllers::chaos_mesh`. Written from its public API (api/v1alpha1) and documentation.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::kinds::{self, Kind};
use super::refusal::Refusal;
use super::{FakeCluster, check};

pub const GROUP: &str = "chaos-mesh.org";
/// What keeps an object until its fault is out of every pod.
pub const FINALIZER: &str = "chaos-mesh/records";

/// How it plays.
#[derive(Default)]
pub struct ChaosPlay {
    /// Nothing is ever cleaned up: its daemon does not answer.
    pub stuck: bool,
    /// Nothing is ever put in, with this message.
    pub fails: Option<String>,
    /// It finds no pods: it is restricted to other namespaces.
    pub blind: bool,
    /// Since when its objects are there, by uid.
    pub born: BTreeMap<String, Instant>,
}

impl FakeCluster {
    /// Serves the resources of Chaos Mesh, and works on them.
    pub fn install_chaos_mesh(&self) {
        self.change(|state| drop(state.served.only.remove(GROUP)));
    }

    /// Cleans up no more, or does so again.
    pub fn chaos_stuck(&self, stuck: bool) {
        self.change(|state| state.play.chaos.stuck = stuck);
    }

    /// Puts nothing in any more, with this message.
    pub fn chaos_fails(&self, message: &str) {
        self.change(|state| state.play.chaos.fails = Some(message.to_owned()));
    }

    /// Finds no pods any more.
    pub fn chaos_blind(&self) {
        self.change(|state| state.play.chaos.blind = true);
    }

    /// Everything that Chaos Mesh is asked for in a namespace.
    pub fn chaos(&self, namespace: &str) -> Vec<Value> {
        let of = |plural: &str| self.list(&format!("/apis/{GROUP}/v1alpha1/namespaces/{namespace}/{plural}"));
        ["podchaos", "networkchaos", "stresschaos", "httpchaos"].into_iter().flat_map(of).collect()
    }
}

/// A duration as Go writes it: `90s`, `1m30s`, `500ms`.
pub fn duration(text: &str) -> Option<Duration> {
    let (mut rest, mut total) = (text, Duration::ZERO);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').filter(|at| *at > 0)?;
        let (number, after) = rest.split_at(digits);
        let unit = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit);
        let seconds = match unit {
            "ns" => 1e-9,
            "us" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        total += Duration::from_secs_f64(number.parse::<f64>().ok()? * seconds);
        rest = after;
    }
    (!text.is_empty()).then_some(total)
}

/// What may stand in a spec; below a place that ends with `*` stands anything.
fn fields(kind: &Kind) -> Vec<&'static str> {
    let mut fields =
        vec!["selector", "selector.namespaces", "selector.pods", "selector.pods.*", "mode", "value", "duration"];
    fields.extend_from_slice(match kind.id {
        kinds::POD_CHAOS => &["action", "gracePeriod", "containerNames"][..],
        kinds::NETWORK_CHAOS => &[
            "action",
            "direction",
            "delay",
            "delay.latency",
            "delay.jitter",
            "delay.correlation",
            "loss",
            "loss.loss",
            "loss.correlation",
            "target",
            "target.*",
            "externalTargets",
            "device",
            "targetDevice",
        ],
        kinds::STRESS_CHAOS => &[
            "stressors",
            "stressors.cpu",
            "stressors.cpu.workers",
            "stressors.cpu.load",
            "stressors.memory",
            "stressors.memory.workers",
            "stressors.memory.size",
            "stressngStressors",
            "containerNames",
        ],
        _ => &["target", "port", "path", "method", "code", "abort", "delay", "replace", "replace.code", "replace.body"],
    });
    fields
}

fn unknown(value: &Value, above: &str, fields: &[&str]) -> Option<String> {
    for (key, value) in value.as_object()? {
        let path = if above.is_empty() { key.clone() } else { format!("{above}.{key}") };
        let anything = fields.contains(&format!("{above}.*").as_str());
        if !anything && !fields.contains(&path.as_str()) {
            return Some(path);
        }
        if let Some(found) = unknown(value, &path, fields).filter(|_| !anything) {
            return Some(found);
        }
    }
    None
}

/// What its schema and its webhooks say of an object.
pub fn admit(kind: &Kind, new: &Value, old: Option<&Value>) -> Result<(), Refusal> {
    if let Some(field) = unknown(&new["spec"], "", &fields(kind)) {
        return Err(Refusal::bad(format!("strict decoding error: unknown field \"spec.{field}\"")));
    }
    let deny = |why: String| {
        let hook = format!("v{}.kb.io", kind.plural);
        let mut refusal =
            Refusal::new(403, "Forbidden", format!("admission webhook \"{hook}\" denied the request: {why}"));
        refusal.never_right = true;
        Err(refusal)
    };
    if old.is_some_and(|old| old["spec"] != new["spec"]) {
        return deny("Cannot update chaos spec".to_owned());
    }
    let spec = &new["spec"];
    let text = |path: &str| spec.pointer(path).and_then(Value::as_str).unwrap_or_default();
    if !["one", "all", "fixed", "fixed-percent", "random-max-percent"].contains(&text("/mode")) {
        return deny(format!("spec.mode: Invalid value: \"{}\"", text("/mode")));
    }
    if check::at(spec, "selector.pods").is_empty() && check::at(spec, "selector.namespaces").is_empty() {
        return deny("spec.selector: Required value".to_owned());
    }
    for path in ["/duration", "/delay/latency", "/delay/jitter"] {
        if spec.pointer(path).is_some() && duration(text(path)).is_none() {
            return deny(format!(
                "spec{path}: Invalid value: parse field error: time: invalid duration {:?}",
                text(path)
            ));
        }
    }
    for path in ["/loss/loss", "/loss/correlation", "/delay/correlation"] {
        if spec.pointer(path).is_some() && text(path).parse::<f32>().is_err() {
            return deny(format!("spec{path}: Invalid value: parse field error: {:?}", text(path)));
        }
    }
    let number = |path: &str, from: u64, to: u64| {
        spec.pointer(path).is_none_or(|n| n.as_u64().is_some_and(|n| (from..=to).contains(&n)))
    };
    let wrong = |path: &str| deny(format!("spec{path}: Invalid value: {}", spec.pointer(path).unwrap_or(&Value::Null)));
    match kind.id {
        kinds::POD_CHAOS => match text("/action") {
            "pod-kill" => Ok(()),
            "pod-failure" if spec.get("duration").is_none() => wrong("/duration"),
            "pod-failure" => Ok(()),
            "container-kill" if spec["containerNames"].as_array().is_none_or(Vec::is_empty) => wrong("/containerNames"),
            "container-kill" => Ok(()),
            _ => wrong("/action"),
        },
        kinds::NETWORK_CHAOS => match (text("/action"), text("/direction")) {
            ("delay", "to") if spec.get("delay").is_some() => Ok(()),
            ("loss", "to") if spec.get("loss").is_some() => Ok(()),
            ("partition", "to" | "from" | "both") => Ok(()),
            ("delay" | "loss", "from" | "both") => wrong("/direction"),
            _ => wrong("/action"),
        },
        kinds::STRESS_CHAOS => {
            let some = |path: &str| spec.pointer(path).is_some();
            let size = text("/stressors/memory/size")
                .trim_end_matches("iB")
                .trim_end_matches(|c: char| c.is_ascii_alphabetic());
            if !some("/stressors/cpu") && !some("/stressors/memory") {
                return wrong("/stressors");
            }
            for (path, most) in [("/stressors/cpu/workers", 8192), ("/stressors/memory/workers", 8192)] {
                if !number(path, 1, most) {
                    return wrong(path);
                }
            }
            if !number("/stressors/cpu/load", 0, 100) {
                return wrong("/stressors/cpu/load");
            }
            if some("/stressors/memory/size") && size.parse::<f64>().is_err() {
                return wrong("/stressors/memory/size");
            }
            Ok(())
        }
        _ if !["Request", "Response"].contains(&text("/target")) => wrong("/target"),
        _ if spec.get("port").is_none() || !number("/port", 1, 65_535) => wrong("/port"),
        _ if !number("/replace/code", 100, 599) => wrong("/replace/code"),
        _ => Ok(()),
    }
}

/// Is it over at once, and never stopped?
pub fn is_one_shot(object: &Value) -> bool {
    object["kind"] == "PodChaos"
        && ["pod-kill", "container-kill"].iter().any(|action| object["spec"]["action"] == *action)
}

/// A record of what was done to one pod.
pub fn record(id: &str) -> Value {
    json!({"id": id, "selectorKey": ".", "phase": "Not Injected", "injectedCount": 0, "recoveredCount": 0})
}
