//! Everything that experiments ask of an API server beyond looking, by what for: the table that
//! deploy/kubernetes/rbac-chaos.yaml is made from, and that `suture check --live` asks about.
//!
//! What is neither in this table nor in the role suture-look must not be called; a test runs every fault with exactly these
//! rights. Called by the injector.

use serde::Deserialize;
use serde_json::json;

use super::errors::call;
use crate::act::Permission;
use crate::chaos::InjectError;
use crate::platform::kubernetes::{
    Api, Ask, HTTPCHAOS, NETWORKCHAOS, PODCHAOS, PODS, Place, Resource, SERVICES, STRESSCHAOS, Verb,
};

/// Something that has to be allowed.
struct Right {
    /// What for, in words.
    what: &'static str,
    verb: Verb,
    resource: &'static Resource,
}

const fn right(what: &'static str, verb: Verb, resource: &'static Resource) -> Right {
    Right { what, verb, resource }
}

const KILL: &str = "fault pod-kill";
const POD: &str = "faults crash and hang";
const NETWORK: &str = "faults latency, resets and partition";
const STRESS: &str = "faults cpu and memory-pressure";
const HTTP: &str = "fault errors";

/// All of them.
const RIGHTS: &[Right] = &[
    right(KILL, Verb::Delete, &PODS),
    right(HTTP, Verb::List, &SERVICES),
    right(POD, Verb::Get, &PODCHAOS),
    right(POD, Verb::List, &PODCHAOS),
    right(POD, Verb::Create, &PODCHAOS),
    right(POD, Verb::Delete, &PODCHAOS),
    right(NETWORK, Verb::Get, &NETWORKCHAOS),
    right(NETWORK, Verb::List, &NETWORKCHAOS),
    right(NETWORK, Verb::Create, &NETWORKCHAOS),
    right(NETWORK, Verb::Delete, &NETWORKCHAOS),
    right(STRESS, Verb::Get, &STRESSCHAOS),
    right(STRESS, Verb::List, &STRESSCHAOS),
    right(STRESS, Verb::Create, &STRESSCHAOS),
    right(STRESS, Verb::Delete, &STRESSCHAOS),
    right(HTTP, Verb::Get, &HTTPCHAOS),
    right(HTTP, Verb::List, &HTTPCHAOS),
    right(HTTP, Verb::Create, &HTTPCHAOS),
    right(HTTP, Verb::Delete, &HTTPCHAOS),
];

/// Where we ask what we may. Everybody may, by a role that every cluster has.
const REVIEWS: Resource = Resource { group: "authorization.k8s.io", version: "v1", plural: "selfsubjectaccessreviews" };

#[derive(Default, Deserialize)]
#[serde(default)]
struct Review {
    status: ReviewStatus,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ReviewStatus {
    allowed: bool,
}

/// What we may do for experiments in a target's namespace.
pub(super) async fn permissions(api: &Api, place: &Place) -> Result<Vec<Permission>, InjectError> {
    let mut answers = Vec::new();
    for Right { what, verb, resource } in RIGHTS {
        let attributes = json!({
            "verb": verb.word(), "group": resource.group, "version": resource.version, "resource": resource.plural,
            "namespace": place.namespace(),
        });
        let body = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        });
        let allowed = match api.call::<Review>(&Ask::create(&REVIEWS, None, None, body).as_question()).await {
            Ok(review) => Some(review.status.allowed),
            // A cluster may keep that to itself.
            Err(error) if error.is_denied() || error.is_not_found() => None,
            Err(error) => return Err(call(error)),
        };
        let name = format!("{} {} in namespace {}", verb.word(), resource.in_rules(""), place.namespace());
        answers.push(Permission { what: (*what).to_owned(), name, allowed });
    }
    Ok(answers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};
    use std::fmt::Write as _;

    const HEAD: &str = "\
# What Suture may do for chaos experiments, on top of the role suture-look of rbac.yaml, and nothing else. Made from the
# table in src/chaos/kubernetes/rights.rs, and a test keeps the two the same. Only in namespaces whose services are
# experimented on:
#     kubectl apply --namespace staging --filename rbac-chaos.yaml
# \"delete pods\" is for the fault pod-kill. \"list services\" is for the fault errors, which finds its port by them. The
# rest is for Chaos Mesh (https://chaos-mesh.org, version 2): leave it out where that is not installed. There is no right to
# patch: Suture removes no finalizer and changes no experiment that is under way.
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: suture-chaos
rules:
";

    const BINDING: &str = "\
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: suture-chaos
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: suture-chaos
subjects:
  - kind: ServiceAccount
    name: suture
    namespace: suture
";

    #[test]
    fn the_document_to_deploy_says_what_the_table_says() {
        let mut rules: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
        for right in RIGHTS {
            rules.entry((right.resource.group, right.resource.plural)).or_default().insert(right.verb.word());
        }
        let mut made = HEAD.to_owned();
        for ((group, resource), verbs) in rules {
            let verbs: Vec<_> = verbs.into_iter().collect();
            let _ = write!(
                made,
                "  - apiGroups: [\"{group}\"]\n    resources: [\"{resource}\"]\n    verbs: [{}]\n",
                verbs.join(", ")
            );
        }
        made += BINDING;
        let deployed = include_str!("../../../deploy/kubernetes/rbac-chaos.yaml");
        assert!(deployed == made, "write this into deploy/kubernetes/rbac-chaos.yaml:\n{made}");
    }
}
