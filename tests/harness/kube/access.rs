//! Who asks, and what they may: bearer tokens and RBAC rules (kubernetes.io, "Authenticating", "Using RBAC
//! Authorization").

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::FakeCluster;
use super::kinds::Kind;
use super::refusal::Refusal;

/// May do everything; the token is [`ADMIN_TOKEN`].
pub const ADMIN: &str = "kubernetes-admin";
pub const ADMIN_TOKEN: &str = "admin-token";

/// One thing somebody wants to do.
pub struct Wish<'w> {
    pub verb: &'w str,
    pub group: &'w str,
    pub resource: &'w str,
    pub sub: &'w str,
    pub namespace: &'w str,
    pub name: &'w str,
}

impl Wish<'_> {
    /// `deployments` or `deployments/scale`.
    fn full(&self) -> String {
        if self.sub.is_empty() { self.resource.to_owned() } else { format!("{}/{}", self.resource, self.sub) }
    }
}

#[derive(Clone, Debug)]
struct Rule {
    /// Nothing: everywhere, also for what has no namespace.
    namespace: Option<String>,
    groups: Vec<String>,
    resources: Vec<String>,
    verbs: Vec<String>,
    names: Vec<String>,
}

impl Rule {
    fn grants(&self, wish: &Wish) -> bool {
        let full = wish.full();
        let has = |list: &[String], one: &str| list.iter().any(|item| item == "*" || item == one);
        let resource = has(&self.resources, &full)
            || (!wish.sub.is_empty() && self.resources.contains(&format!("*/{}", wish.sub)));
        self.namespace.as_deref().is_none_or(|namespace| namespace == wish.namespace)
            && has(&self.groups, wish.group)
            && resource
            && has(&self.verbs, wish.verb)
            && (self.names.is_empty() || self.names.iter().any(|name| name == wish.name))
    }
}

#[derive(Clone, Debug, Default)]
struct User {
    all: bool,
    rules: Vec<Rule>,
}

pub struct Access {
    users: BTreeMap<String, User>,
    /// Token to user; an expired one stays away.
    tokens: BTreeMap<String, String>,
}

impl Default for Access {
    fn default() -> Self {
        let admin = User { all: true, rules: Vec::new() };
        Self {
            users: BTreeMap::from([(ADMIN.to_owned(), admin)]),
            tokens: BTreeMap::from([(ADMIN_TOKEN.to_owned(), ADMIN.to_owned())]),
        }
    }
}

impl Access {
    pub fn who(&self, token: &str) -> Option<String> {
        self.tokens.get(token).cloned()
    }

    pub fn may(&self, user: &str, wish: &Wish) -> bool {
        self.users.get(user).is_some_and(|user| user.all || user.rules.iter().any(|rule| rule.grants(wish)))
    }

    /// Refuses what the user may not, in the words of the real server.
    pub fn ask(&self, user: &str, kind: &Kind, wish: &Wish) -> Result<(), Refusal> {
        if self.may(user, wish) {
            return Ok(());
        }
        let place = if wish.namespace.is_empty() {
            "at the cluster scope".to_owned()
        } else {
            format!("in the namespace \"{}\"", wish.namespace)
        };
        let why = format!(
            "User \"{user}\" cannot {} resource \"{}\" in API group \"{}\" {place}",
            wish.verb,
            wish.full(),
            wish.group
        );
        Err(Refusal::forbidden(kind, wish.name, &why))
    }

    /// What SelfSubjectRulesReview lists for a namespace.
    pub fn rules(&self, user: &str, namespace: &str) -> Vec<Value> {
        let Some(user) = self.users.get(user) else { return Vec::new() };
        if user.all {
            return vec![json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]})];
        }
        user.rules
            .iter()
            .filter(|rule| rule.namespace.as_deref().is_none_or(|here| here == namespace))
            .map(|rule| {
                let mut shown = json!({"verbs": rule.verbs, "apiGroups": rule.groups, "resources": rule.resources});
                if !rule.names.is_empty() {
                    shown["resourceNames"] = json!(rule.names);
                }
                shown
            })
            .collect()
    }
}

/// A user of the cluster, being set up.
pub struct Account<'c> {
    cluster: &'c FakeCluster,
    name: String,
}

impl FakeCluster {
    /// Somebody who may nothing yet, or the one who is there.
    pub fn user(&self, name: &str) -> Account<'_> {
        self.change(|state| {
            state.access.users.entry(name.to_owned()).or_default();
        });
        Account { cluster: self, name: name.to_owned() }
    }

    /// From now on this token is nobody's: 401.
    pub fn expire_token(&self, token: &str) {
        self.change(|state| drop(state.access.tokens.remove(token)));
    }
}

impl Account<'_> {
    /// One more token that is theirs.
    pub fn token(self, token: &str) -> Self {
        self.cluster.change(|state| drop(state.access.tokens.insert(token.to_owned(), self.name.clone())));
        self
    }

    /// Allows verbs (separated by commas) on a resource such as `deployments/scale`, in one namespace or everywhere.
    pub fn allow(self, verbs: &str, group: &str, resource: &str, namespace: Option<&str>) -> Self {
        let rule = json!({
            "apiGroups": [group], "resources": [resource], "verbs": verbs.split(',').map(str::trim).collect::<Vec<_>>(),
        });
        self.rules(namespace, &json!([rule]))
    }

    /// Everything.
    pub fn allow_all(self) -> Self {
        self.with(|user| user.all = true)
    }

    /// The `rules` of a Role (with its namespace) or of a ClusterRole that is bound for the whole cluster.
    pub fn rules(self, namespace: Option<&str>, rules: &Value) -> Self {
        let texts = |value: &Value| -> Vec<String> {
            value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let rules: Vec<Rule> = rules
            .as_array()
            .into_iter()
            .flatten()
            .map(|rule| Rule {
                namespace: namespace.map(str::to_owned),
                groups: texts(&rule["apiGroups"]),
                resources: texts(&rule["resources"]),
                verbs: texts(&rule["verbs"]),
                names: texts(&rule["resourceNames"]),
            })
            .collect();
        self.with(|user| user.rules.extend(rules))
    }

    /// What the Role, ClusterRole, RoleBinding and ClusterRoleBinding documents among these give, taking every subject
    /// of every binding for this user.
    pub fn bound_by(mut self, documents: &[Value]) -> Self {
        for binding in documents {
            let kind = binding["kind"].as_str().unwrap_or_default();
            let namespace = match kind {
                "RoleBinding" => binding["metadata"]["namespace"].as_str(),
                "ClusterRoleBinding" => None,
                _ => continue,
            };
            let role = &binding["roleRef"];
            let found = documents.iter().find(|document| {
                document["kind"] == role["kind"]
                    && document["metadata"]["name"] == role["name"]
                    && (role["kind"] == "ClusterRole" || document["metadata"]["namespace"].as_str() == namespace)
            });
            let found = found.unwrap_or_else(|| panic!("a binding names a role that is not there: {role}"));
            self = self.rules(namespace, &found["rules"]);
        }
        self
    }

    /// Takes every right away again.
    pub fn deny_all(self) -> Self {
        self.with(|user| *user = User::default())
    }

    fn with(self, change: impl FnOnce(&mut User)) -> Self {
        self.cluster.change(|state| {
            if let Some(user) = state.access.users.get_mut(&self.name) {
                change(user);
            }
        });
        self
    }
}
