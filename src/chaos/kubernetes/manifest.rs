//! What is made on the cluster for a fault: which of Chaos Mesh's resources, and what stands in it.
//!
//! Pure. The fields are those of Chaos Mesh 2 (api/v1alpha1). Called by the injector.

use std::time::Duration;

use serde_json::{Value, json};

use super::Pods;
use super::aim::Held;
use super::errors::refused;
use crate::chaos::InjectError;
use crate::model::{AimedFault, Digest, Fault, FaultKind};
use crate::platform::kubernetes::{HTTPCHAOS, NETWORKCHAOS, PODCHAOS, Place, Resource, STRESSCHAOS};

/// Who made it, as Kubernetes recommends to say it.
pub(super) const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "suture");
/// Of which experiment: `EXP-3`.
pub(super) const EXPERIMENT: &str = "suture.dev/experiment";
/// When Chaos Mesh takes it out by itself, in seconds since the epoch.
pub(super) const LEASE_UNTIL: &str = "suture.dev/lease-until";
/// The annotation that tells our object from that of another Suture with the same numbers.
pub(super) const MARK: &str = "suture.dev/fault";
/// The annotation with the pods as they were, by name and uid.
pub(super) const PODS_THEN: &str = "suture.dev/pods";
/// Longest id that still makes a name and a label.
const MOST_ID: usize = 32;

/// One of Chaos Mesh's resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mesh {
    Pod,
    Network,
    Stress,
    Http,
}

impl Mesh {
    pub const ALL: [Self; 4] = [Self::Pod, Self::Network, Self::Stress, Self::Http];

    /// Which of them makes this fault.
    pub fn of(kind: FaultKind) -> Option<Self> {
        Some(match kind {
            FaultKind::Cpu | FaultKind::MemoryPressure => Self::Stress,
            FaultKind::Latency | FaultKind::Resets | FaultKind::Partition => Self::Network,
            FaultKind::Errors => Self::Http,
            FaultKind::Crash | FaultKind::Hang => Self::Pod,
            _ => return None,
        })
    }

    pub fn resource(self) -> &'static Resource {
        match self {
            Self::Pod => &PODCHAOS,
            Self::Network => &NETWORKCHAOS,
            Self::Stress => &STRESSCHAOS,
            Self::Http => &HTTPCHAOS,
        }
    }

    /// As the API calls it.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Pod => "PodChaos",
            Self::Network => "NetworkChaos",
            Self::Stress => "StressChaos",
            Self::Http => "HTTPChaos",
        }
    }
}

/// Why a kind of fault is not put in here.
pub(super) fn why_not(kind: FaultKind) -> String {
    let instead = match kind {
        FaultKind::MemoryLeak => "Chaos Mesh takes memory all at once: use memory-pressure",
        FaultKind::DiskFill | FaultKind::DiskIo => "a disk on a node is others' too",
        FaultKind::PoolExhaustion => "a pool is inside of the process, where a cluster does not reach: use latency",
        FaultKind::Load => "a cluster makes no load",
        _ => "it is not a fault of a cluster",
    };
    format!("{kind} is not put into Kubernetes: {instead}")
}

/// Can it be made as it is asked for?
pub(super) fn can(fault: &Fault) -> Result<(), String> {
    let whole = |share: f64, what: &str| match share < 1.0 {
        true => Err(format!("{what} in a pod, not to a part of it: write share = 1, or hit fewer pods")),
        false => Ok(()),
    };
    fault.check().map_err(|(key, why)| format!("{key}: {why}"))?;
    match fault {
        Fault::PodKill => Ok(()),
        other if Mesh::of(other.kind()).is_none() => Err(why_not(other.kind())),
        Fault::Latency { share, .. } => whole(*share, "Chaos Mesh delays every packet"),
        Fault::Errors { share, .. } => whole(*share, "Chaos Mesh replaces every answer"),
        _ => Ok(()),
    }
}

/// What an object is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    /// `suture-exp-3-1-latency`.
    pub text: String,
    /// `EXP-3`.
    pub experiment: String,
}

/// Ids become names and labels: nothing else than letters, digits, `-` and `.` may be in one.
pub(super) fn check_id(id: &str) -> Result<(), InjectError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    let ends = |c: char| c.is_ascii_alphanumeric();
    let fits = id.len() <= MOST_ID && id.chars().all(plain) && id.starts_with(ends) && id.ends_with(ends);
    if fits { Ok(()) } else { Err(refused("that is no id of a fault: one is like EXP-3.1".to_owned())) }
}

impl Name {
    pub fn of(id: &str, kind: FaultKind) -> Result<Self, InjectError> {
        check_id(id)?;
        let text = format!("suture-{}-{kind}", id.to_ascii_lowercase().replace('.', "-"));
        let experiment = id.split('.').next().unwrap_or(id).to_owned();
        Ok(Self { text, experiment })
    }
}

/// Tells the object of this fault from another one of that name.
pub(super) fn mark(id: &str, fault: &AimedFault) -> String {
    let words = format!("{id}\n{}\n{}\n{}", fault.target, fault.fault.kind(), fault.instances.join(","));
    Digest::of(words.as_bytes()).to_string()
}

/// A time as Go reads it.
fn go(time: Duration) -> String {
    format!("{}ms", time.as_millis().max(1))
}

/// A part as a percentage.
fn percent(share: f64) -> String {
    format!("{}", (share * 10_000.0).round() / 100.0)
}

/// The object.
pub(super) fn object(
    name: &Name,
    place: &Place,
    fault: &Fault,
    pods: &Pods,
    held: &Held,
    lasts: Duration,
    mark: &str,
) -> Result<Value, InjectError> {
    let Some(mesh) = Mesh::of(fault.kind()) else { return Err(refused(why_not(fault.kind()))) };
    let Value::Object(mut spec) = spec(fault, held)? else { return Err(refused(why_not(fault.kind()))) };
    let names: Vec<&String> = pods.keys().collect();
    spec.insert("mode".to_owned(), json!("all"));
    let selector = json!({"namespaces": [place.namespace()], "pods": {place.namespace(): names}});
    spec.insert("selector".to_owned(), selector);
    // What is over at once has no duration.
    if !fault.kind().is_a_blow() {
        spec.insert("duration".to_owned(), json!(go(lasts)));
    }
    let ends = jiff::Timestamp::now().as_second().saturating_add(i64::try_from(lasts.as_secs()).unwrap_or(i64::MAX));
    let then: serde_json::Map<String, Value> =
        pods.iter().map(|(name, pod)| (name.clone(), json!(pod.metadata.uid))).collect();
    Ok(json!({
        "apiVersion": "chaos-mesh.org/v1alpha1",
        "kind": mesh.kind(),
        "metadata": {
            "name": name.text,
            "namespace": place.namespace(),
            "labels": {MANAGED_BY.0: MANAGED_BY.1, EXPERIMENT: name.experiment, LEASE_UNTIL: ends.to_string()},
            "annotations": {MARK: mark, PODS_THEN: Value::Object(then).to_string()},
        },
        "spec": spec,
    }))
}

fn spec(fault: &Fault, held: &Held) -> Result<Value, InjectError> {
    let container =
        || held.container.clone().ok_or_else(|| refused("which container it is for is not known".to_owned()));
    Ok(match fault {
        Fault::Cpu { cores } => {
            let workers = cores.ceil().max(1.0);
            let load = (cores / workers * 100.0).round().clamp(1.0, 100.0);
            let cpu = json!({"workers": workers as u32, "load": load as u32});
            json!({"stressors": {"cpu": cpu}, "containerNames": [container()?]})
        }
        Fault::MemoryPressure { bytes } => {
            // In bytes: what a megabyte is, its versions do not agree on.
            let memory = json!({"workers": 1, "size": format!("{bytes}B")});
            json!({"stressors": {"memory": memory}, "containerNames": [container()?]})
        }
        Fault::Latency { delay, jitter, .. } => json!({
            "action": "delay", "direction": "to",
            "delay": {"latency": go(*delay), "jitter": format!("{}ms", jitter.as_millis()), "correlation": "0"},
        }),
        Fault::Resets { share } => json!({
            "action": "loss", "direction": "to", "loss": {"loss": percent(*share), "correlation": "0"},
        }),
        // Without a target it is from and to everybody.
        Fault::Partition => json!({"action": "partition", "direction": "both"}),
        Fault::Errors { status, .. } => {
            let port = held.port.ok_or_else(|| refused("which port it is for is not known".to_owned()))?;
            json!({"target": "Response", "port": port, "replace": {"code": status}})
        }
        Fault::Crash => json!({"action": "container-kill", "containerNames": [container()?]}),
        Fault::Hang => json!({"action": "pod-failure"}),
        other => return Err(refused(why_not(other.kind()))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_become_names_that_nothing_breaks_out_of() {
        let name = Name::of("EXP-3.1", FaultKind::Latency).unwrap();
        assert_eq!((name.text.as_str(), name.experiment.as_str()), ("suture-exp-3-1-latency", "EXP-3"));
        for id in ["", "..", "EXP-3/../x", "EXP 3", "-x", "x.", "\u{130}", &"x".repeat(33)] {
            assert!(Name::of(id, FaultKind::Cpu).is_err(), "{id:?}");
        }
    }

    #[test]
    fn what_chaos_mesh_cannot_do_in_part_is_refused_with_what_to_write() {
        let half = Fault::Errors { share: 0.5, status: 503 };
        assert!(can(&half).unwrap_err().contains("share = 1"));
        assert!(can(&Fault::Errors { share: 1.0, status: 503 }).is_ok());
        assert!(can(&Fault::Resets { share: 0.15 }).is_ok());
    }

    #[test]
    fn every_kind_is_made_or_refused_in_words() {
        for kind in FaultKind::ALL {
            assert!(kind == FaultKind::PodKill || Mesh::of(kind).is_some() || why_not(kind).contains(kind.name()));
        }
    }

    #[test]
    fn measures_are_written_as_go_reads_them() {
        assert_eq!((go(Duration::from_secs(90)), go(Duration::ZERO)), ("90000ms".to_owned(), "1ms".to_owned()));
        assert_eq!((percent(0.15), percent(1.0), percent(0.333_333)), ("15".into(), "100".into(), "33.33".to_owned()));
    }

    #[test]
    fn cores_become_workers_and_their_load() {
        let held = Held { container: Some("web".to_owned()), ..Held::default() };
        let cpu = |cores: f64| spec(&Fault::Cpu { cores }, &held).unwrap()["stressors"]["cpu"].clone();
        assert_eq!(cpu(1.5), json!({"workers": 2, "load": 75}));
        assert_eq!(cpu(0.25), json!({"workers": 1, "load": 25}));
        assert_eq!(cpu(4.0), json!({"workers": 4, "load": 100}));
    }
}
