//! What holds a change up, from what pods and their controller say: for who waits.
//!
//! Pure. The words for one cause stay the same while the platform tries again and again, so that they are said once.

use crate::platform::kubernetes::{ContainerStatus, Pod, Workload, shown};

/// Most causes told at once.
const MOST: usize = 3;

/// What holds these pods up, worst first, and what keeps their controller from making more.
pub(super) fn of<'a>(workload: &Workload, pods: impl IntoIterator<Item = &'a Pod>) -> Vec<String> {
    let mut causes = of_controller(workload);
    causes.extend(pods.into_iter().filter(|pod| !pod.is_ready()).filter_map(of_pod));
    let more = causes.len().saturating_sub(MOST);
    causes.truncate(MOST);
    if more > 0 {
        causes.push(format!("and {more} more"));
    }
    causes
}

fn of_controller(workload: &Workload) -> Vec<String> {
    let failure = workload.status.conditions.iter().find(|c| c.kind == "ReplicaFailure" && c.status == "True");
    failure.map(|c| format!("no pod can be made: {}", shown(&c.message, 300))).into_iter().collect()
}

/// Has the platform given up on the rollout?
pub(super) fn gave_up(workload: &Workload) -> bool {
    let progressing = workload.status.conditions.iter().find(|c| c.kind == "Progressing");
    progressing.is_some_and(|c| c.status == "False" && c.reason == "ProgressDeadlineExceeded")
}

/// `None` for a pod that only needs its time.
fn of_pod(pod: &Pod) -> Option<String> {
    let name = &pod.metadata.name;
    if pod.metadata.is_going() {
        return None;
    }
    if let Some((container, waiting)) = pod.waits().next() {
        return Some(match waiting.reason.as_str() {
            "ImagePullBackOff" | "ErrImagePull" | "InvalidImageName" | "ImageInspectError" => {
                format!("{name} cannot pull its image {}", shown(&container.image, 200))
            }
            "CrashLoopBackOff" => format!("{name} crashes again and again{}", last_end(container)),
            reason => {
                let why = shown(&waiting.message, 200);
                format!("{name}: its container {} does not start: {}: {why}", container.name, shown(reason, 80))
            }
        });
    }
    let unscheduled = pod.status.conditions.iter().find(|c| c.kind == "PodScheduled" && c.status == "False");
    if let Some(condition) = unscheduled {
        return Some(format!("{name} fits on no node: {}", shown(&condition.message, 300)));
    }
    (pod.status.phase == "Running").then(|| format!("{name} runs and is not ready"))
}

/// How a container ended last.
fn last_end(container: &ContainerStatus) -> String {
    match &container.last_state.terminated {
        Some(end) if end.reason == "OOMKilled" => format!(": its container {} runs out of memory", container.name),
        Some(end) => format!(": its container {} ends with code {}", container.name, end.exit_code),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, from_value, json};

    fn held_up(status: Value) -> Vec<String> {
        let pod: Pod = from_value(json!({"metadata": {"name": "web-1"}, "status": status})).unwrap();
        of(&Workload::default(), [&pod])
    }

    fn waiting(reason: &str, last: Value) -> Value {
        json!({"phase": "Pending", "containerStatuses": [{"name": "app", "image": "shop:9", "lastState": last,
            "state": {"waiting": {"reason": reason, "message": "secret \"db\" not found"}}}]})
    }

    #[test]
    fn what_keeps_a_pod_is_told_in_words() {
        let none = json!({});
        assert_eq!(held_up(waiting("ErrImagePull", none.clone())), ["web-1 cannot pull its image shop:9"]);
        assert_eq!(held_up(waiting("ImagePullBackOff", none.clone())), ["web-1 cannot pull its image shop:9"]);
        let oom = json!({"terminated": {"reason": "OOMKilled", "exitCode": 137}});
        let crash = held_up(waiting("CrashLoopBackOff", oom));
        assert_eq!(crash, ["web-1 crashes again and again: its container app runs out of memory"]);
        let config = held_up(waiting("CreateContainerConfigError", none));
        assert!(config[0].ends_with("CreateContainerConfigError: secret \"db\" not found"), "{config:?}");
        let unscheduled = json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False",
            "reason": "Unschedulable", "message": "0/3 nodes are available: 3 Insufficient cpu."}]});
        assert_eq!(held_up(unscheduled), ["web-1 fits on no node: 0/3 nodes are available: 3 Insufficient cpu."]);
    }

    #[test]
    fn a_pod_that_only_starts_up_holds_nothing_up() {
        assert_eq!(held_up(waiting("ContainerCreating", json!({}))), [""; 0]);
    }

    #[test]
    fn a_quota_is_told() {
        let workload: Workload =
            from_value(json!({"status": {"conditions": [{"type": "ReplicaFailure", "status": "True",
            "reason": "FailedCreate", "message": "pods \"web\" is forbidden: exceeded quota: pods=3"}]}}))
            .unwrap();
        assert!(of(&workload, [])[0].contains("exceeded quota"));
    }
}
