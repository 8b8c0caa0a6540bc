//! Everything that we ask of an API server, by what for: the table that deploy/kubernetes/rbac.yaml is made from, and that
//! `suture check --live` asks about.
//!
//! What is not in this table must not be called; a test runs every action with exactly these rights. Called by the
//! actuator.

use serde::Deserialize;
use serde_json::json;

use super::errors::act_error;
use crate::act::{ActError, Permission};
use crate::platform::kubernetes::{
    Api, Ask, CONFIGMAPS, DEPLOYMENTS, DESTINATIONRULES, ENDPOINTSLICES, HPAS, HTTPROUTES, Kind, NODES, PDBS, PODS,
    Place, REPLICASETS, Resource, SERVICES, STATEFULSETS, VIRTUALSERVICES, Verb,
};

/// Something that has to be allowed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Right {
    /// For which kinds of target.
    pub kinds: &'static [Kind],
    /// What for, in words.
    pub what: &'static str,
    pub verb: Verb,
    pub resource: &'static Resource,
    pub subresource: &'static str,
}

const fn right(
    kinds: &'static [Kind],
    what: &'static str,
    verb: Verb,
    resource: &'static Resource,
    subresource: &'static str,
) -> Right {
    Right { kinds, what, verb, resource, subresource }
}

/// To look, to follow and to discover; the rest changes something.
const LOOK: &str = "look";
const SCALE: &str = "scale";
const RESTART: &str = "restart one pod";
const ROLLOUT: &str = "restart by rollout";
const ISOLATE: &str = "isolate";
const SHIFT: &str = "shift traffic";
const CONFIGURE: &str = "configure";

const D: &[Kind] = &[Kind::Deployment];
const S: &[Kind] = &[Kind::StatefulSet];
const DS: &[Kind] = &[Kind::Deployment, Kind::StatefulSet];

/// Everything.
pub(super) const RIGHTS: &[Right] = &[
    right(D, LOOK, Verb::Get, &DEPLOYMENTS, ""),
    right(D, LOOK, Verb::List, &DEPLOYMENTS, ""),
    right(D, LOOK, Verb::Watch, &DEPLOYMENTS, ""),
    right(S, LOOK, Verb::Get, &STATEFULSETS, ""),
    right(S, LOOK, Verb::List, &STATEFULSETS, ""),
    right(S, LOOK, Verb::Watch, &STATEFULSETS, ""),
    right(D, LOOK, Verb::List, &REPLICASETS, ""),
    right(DS, LOOK, Verb::List, &PODS, ""),
    right(DS, LOOK, Verb::Watch, &PODS, ""),
    right(DS, LOOK, Verb::List, &HPAS, ""),
    right(DS, LOOK, Verb::List, &PDBS, ""),
    right(D, SCALE, Verb::Patch, &DEPLOYMENTS, "scale"),
    right(S, SCALE, Verb::Patch, &STATEFULSETS, "scale"),
    right(DS, SCALE, Verb::Patch, &HPAS, ""),
    right(DS, RESTART, Verb::Create, &PODS, "eviction"),
    right(D, ROLLOUT, Verb::Patch, &DEPLOYMENTS, ""),
    right(S, ROLLOUT, Verb::Patch, &STATEFULSETS, ""),
    right(DS, ISOLATE, Verb::List, &SERVICES, ""),
    right(DS, ISOLATE, Verb::List, &ENDPOINTSLICES, ""),
    right(DS, ISOLATE, Verb::Patch, &PODS, ""),
    right(&[Kind::HttpRoute], LOOK, Verb::Get, &HTTPROUTES, ""),
    right(&[Kind::VirtualService], LOOK, Verb::Get, &VIRTUALSERVICES, ""),
    right(&[Kind::HttpRoute, Kind::VirtualService], LOOK, Verb::List, &ENDPOINTSLICES, ""),
    right(&[Kind::HttpRoute], SHIFT, Verb::Patch, &HTTPROUTES, ""),
    right(&[Kind::VirtualService], SHIFT, Verb::Patch, &VIRTUALSERVICES, ""),
    right(&[Kind::DestinationRule], LOOK, Verb::Get, &DESTINATIONRULES, ""),
    right(&[Kind::DestinationRule], CONFIGURE, Verb::Patch, &DESTINATIONRULES, ""),
    right(&[Kind::ConfigMap], LOOK, Verb::Get, &CONFIGMAPS, ""),
    right(&[Kind::ConfigMap], CONFIGURE, Verb::Patch, &CONFIGMAPS, ""),
    right(&[Kind::Node], LOOK, Verb::Get, &NODES, ""),
    right(&[Kind::Node], ISOLATE, Verb::Patch, &NODES, ""),
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

/// What we may do with a target.
pub(super) async fn permissions(api: &Api, place: &Place) -> Result<Vec<Permission>, ActError> {
    let mut answers = Vec::new();
    for right in RIGHTS.iter().filter(|right| right.kinds.contains(&place.kind)) {
        answers.push(ask(api, place, right).await?);
    }
    Ok(answers)
}

async fn ask(api: &Api, place: &Place, right: &Right) -> Result<Permission, ActError> {
    let resource = right.resource.in_rules(right.subresource);
    let attributes = json!({
        "verb": right.verb.word(), "group": right.resource.group, "version": right.resource.version,
        "resource": right.resource.plural, "subresource": right.subresource, "namespace": place.namespace(),
    });
    let body = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    });
    let allowed = match api.call::<Review>(&Ask::create(&REVIEWS, None, None, body).as_question()).await {
        Ok(review) => Some(review.status.allowed),
        // A cluster may keep that to itself.
        Err(error) if error.is_denied() || error.is_not_found() => None,
        Err(error) => return Err(act_error(error, &place.in_words())),
    };
    let name = match &place.namespace {
        Some(namespace) => format!("{} {resource} in namespace {namespace}", right.verb.word()),
        None => format!("{} {resource}", right.verb.word()),
    };
    Ok(Permission { what: right.what.to_owned(), name, allowed })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};
    use std::fmt::Write as _;

    const HEAD: &str = "\
# What Suture may do in a cluster, and nothing else. Made from the table in src/act/kubernetes/rights.rs, and a test keeps
# the two the same. Once for the cluster:
#     kubectl create namespace suture
#     kubectl create serviceaccount suture --namespace suture
# and in each namespace that has targets:
#     kubectl apply --namespace prod --filename rbac.yaml
# Leave out suture-act where Suture is only to look, and suture-nodes where it has no business with nodes.
";

    /// One role: its kind, its name, and what it lets one do.
    fn role(text: &mut String, kind: &str, name: &str, chosen: impl Fn(&Right) -> bool) {
        let mut rules: BTreeMap<(&str, String), BTreeSet<&str>> = BTreeMap::new();
        for right in RIGHTS.iter().filter(|right| chosen(right)) {
            let resource = (right.resource.group, right.resource.in_rules(right.subresource));
            rules.entry(resource).or_default().insert(right.verb.word());
        }
        let _ = write!(
            text,
            "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: {kind}\nmetadata:\n  name: {name}\nrules:\n"
        );
        for ((group, resource), verbs) in rules {
            let verbs: Vec<_> = verbs.into_iter().collect();
            let _ = write!(
                text,
                "  - apiGroups: [\"{group}\"]\n    resources: [\"{resource}\"]\n    verbs: [{}]\n",
                verbs.join(", ")
            );
        }
        let _ = write!(
            text,
            "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: {kind}Binding\nmetadata:\n  name: {name}\nroleRef:\n  \
             apiGroup: rbac.authorization.k8s.io\n  kind: {kind}\n  name: {name}\nsubjects:\n  - kind: ServiceAccount\n    \
             name: suture\n    namespace: suture\n"
        );
    }

    fn yaml() -> String {
        let mut text = HEAD.to_owned();
        let of_nodes = |right: &Right| right.kinds == [Kind::Node];
        role(&mut text, "Role", "suture-look", |right| !of_nodes(right) && right.what == LOOK);
        role(&mut text, "Role", "suture-act", |right| !of_nodes(right) && right.what != LOOK);
        role(&mut text, "ClusterRole", "suture-nodes", of_nodes);
        text
    }

    #[test]
    fn the_document_to_deploy_says_what_the_table_says() {
        let deployed = include_str!("../../../deploy/kubernetes/rbac.yaml");
        let made = yaml();
        assert!(deployed == made, "write this into deploy/kubernetes/rbac.yaml:\n{made}");
    }

    #[test]
    fn every_kind_of_target_can_be_looked_at_and_changed() {
        for kind in Kind::ALL {
            let of_kind: Vec<_> = RIGHTS.iter().filter(|right| right.kinds.contains(&kind)).collect();
            assert!(of_kind.iter().any(|right| right.what == LOOK), "{kind:?}");
            assert!(of_kind.iter().any(|right| right.what != LOOK), "{kind:?}");
        }
    }
}
