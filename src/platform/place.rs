//! The names of `k8s:` targets: `[CLUSTER/]NAMESPACE/KIND/NAME`, `[CLUSTER/]node/NAME`. Pure, and there without the adapter: the
//! config is read with it.

use crate::model::TargetId;

/// What kind of thing a target is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A Deployment.
    Deployment,
    /// A StatefulSet.
    StatefulSet,
    /// An HTTPRoute of the Gateway API.
    HttpRoute,
    /// A VirtualService of Istio.
    VirtualService,
    /// A DestinationRule of Istio.
    DestinationRule,
    /// A ConfigMap.
    ConfigMap,
    /// A node.
    Node,
}

impl Kind {
    /// All of them, in the order of the docs.
    pub const ALL: [Self; 7] = [
        Self::Deployment,
        Self::StatefulSet,
        Self::HttpRoute,
        Self::VirtualService,
        Self::DestinationRule,
        Self::ConfigMap,
        Self::Node,
    ];

    /// As targets' names have it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Deployment => "deployment",
            Self::StatefulSet => "statefulset",
            Self::HttpRoute => "httproute",
            Self::VirtualService => "virtualservice",
            Self::DestinationRule => "destinationrule",
            Self::ConfigMap => "configmap",
            Self::Node => "node",
        }
    }

    /// As the API calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
            Self::HttpRoute => "HTTPRoute",
            Self::VirtualService => "VirtualService",
            Self::DestinationRule => "DestinationRule",
            Self::ConfigMap => "ConfigMap",
            Self::Node => "Node",
        }
    }
}

/// Where a target is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Which cluster, where there are several.
    pub cluster: Option<String>,
    /// `None` for nodes.
    pub namespace: Option<String>,
    /// What it is.
    pub kind: Kind,
    /// What it is called.
    pub name: String,
}

impl Place {
    /// Where this target is.
    ///
    /// # Errors
    /// In words, when the name names nothing that can be acted on.
    pub fn of(target: &TargetId) -> Result<Self, String> {
        let parts: Vec<&str> = target.name().split('/').collect();
        let kind = |word: &str| {
            Kind::ALL.into_iter().find(|kind| kind.word() == word && *kind != Kind::Node).ok_or_else(|| {
                format!(
                    "`{target}` names no deployment, statefulset, httproute, virtualservice, destinationrule or configmap"
                )
            })
        };
        let (cluster, namespace, kind, name) = match parts.as_slice() {
            ["node", name] => (None, None, Kind::Node, *name),
            [cluster, "node", name] => (Some(*cluster), None, Kind::Node, *name),
            [namespace, word, name] => (None, Some(*namespace), kind(word)?, *name),
            [cluster, namespace, word, name] => (Some(*cluster), Some(*namespace), kind(word)?, *name),
            _ => return Err(format!("`{target}` is not `k8s:NAMESPACE/KIND/NAME` or `k8s:node/NAME`")),
        };
        if !is_name(name) || namespace.is_some_and(|namespace| !is_name(namespace)) {
            return Err(format!("`{target}` has a part that nothing in Kubernetes can be called"));
        }
        let (cluster, namespace) = (cluster.map(str::to_owned), namespace.map(str::to_owned));
        Ok(Self { cluster, namespace, kind, name: name.to_owned() })
    }

    /// `Deployment web`.
    #[must_use]
    pub fn in_words(&self) -> String {
        format!("{} {}", self.kind.name(), self.name)
    }

    /// The namespace; empty for nodes.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or_default()
    }
}

/// Can an object be called so? Also keeps what the platform says apart from the paths that are made of it.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    let ends_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.len() <= 253 && text.chars().all(is_plain) && text.starts_with(ends_plain) && text.ends_with(ends_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(name: &str) -> Result<Place, String> {
        Place::of(&format!("k8s:{name}").parse().unwrap())
    }

    #[test]
    fn names_are_read() {
        let web = place("prod/deployment/web").unwrap();
        assert_eq!(web.cluster, None);
        assert_eq!((web.namespace(), web.kind, web.name.as_str()), ("prod", Kind::Deployment, "web"));
        let db = place("east/prod/statefulset/db").unwrap();
        assert_eq!((db.cluster.as_deref(), db.kind), (Some("east"), Kind::StatefulSet));
        assert_eq!(place("node/worker-1").unwrap().kind, Kind::Node);
        assert_eq!(place("east/node/worker-1.example").unwrap().cluster.as_deref(), Some("east"));
    }

    #[test]
    fn what_would_lead_elsewhere_is_refused() {
        for name in ["prod/deployment/..", "../deployment/web", "prod/secret/web", "prod/web", "prod/deployment/Web"] {
            assert!(place(name).is_err(), "{name}");
        }
    }
}
