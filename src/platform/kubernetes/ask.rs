//! What is asked of the API server: one call, as a request and in the words of access control.
//!
//! Pure. Called by [`super::Api`] and by who calls that.

use std::fmt::Write as _;

use hyper::Request;
use hyper::header::{ACCEPT, CONTENT_TYPE};
use kube::client::Body;
use serde_json::{Value, json};

use super::resource::Resource;

/// What is asked, as access control calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// One object.
    Get,
    /// Several.
    List,
    /// What becomes of several.
    Watch,
    /// A merge patch (RFC 7386).
    Patch,
    /// A new one.
    Create,
    /// No more of it.
    Delete,
}

impl Verb {
    /// As access control calls it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Patch => "patch",
            Self::Create => "create",
            Self::Delete => "delete",
        }
    }

    fn changes(self) -> bool {
        matches!(self, Self::Patch | Self::Create | Self::Delete)
    }
}

/// One call.
#[derive(Clone, Debug)]
pub struct Ask<'a> {
    verb: Verb,
    resource: &'a Resource,
    namespace: Option<&'a str>,
    name: Option<&'a str>,
    subresource: &'static str,
    query: Vec<(&'static str, String)>,
    body: Option<Value>,
    /// Would it change anything?
    pub(super) changes: bool,
}

impl<'a> Ask<'a> {
    fn new(verb: Verb, resource: &'a Resource, namespace: Option<&'a str>, name: Option<&'a str>) -> Self {
        let (query, changes) = (Vec::new(), verb.changes());
        Self { verb, resource, namespace, name, subresource: "", query, body: None, changes }
    }

    /// One object.
    #[must_use]
    pub fn get(resource: &'a Resource, namespace: Option<&'a str>, name: &'a str) -> Self {
        Self::new(Verb::Get, resource, namespace, Some(name))
    }

    /// The objects of a namespace, or of all.
    #[must_use]
    pub fn list(resource: &'a Resource, namespace: Option<&'a str>) -> Self {
        Self::new(Verb::List, resource, namespace, None)
    }

    /// What becomes of the objects from a version on; the server ends it after `seconds`.
    #[must_use]
    pub fn watch(resource: &'a Resource, namespace: Option<&'a str>, version: &str, seconds: u64) -> Self {
        Self::new(Verb::Watch, resource, namespace, None)
            .with("watch", "true")
            .with("allowWatchBookmarks", "true")
            .with("resourceVersion", version)
            .with("timeoutSeconds", &seconds.to_string())
    }

    /// A merge patch of an object.
    #[must_use]
    pub fn patch(resource: &'a Resource, namespace: Option<&'a str>, name: &'a str, body: Value) -> Self {
        let ask = Self::new(Verb::Patch, resource, namespace, Some(name)).with("fieldManager", "suture");
        Self { body: Some(body), ..ask }
    }

    /// A new object, or a request to a part of one.
    #[must_use]
    pub fn create(resource: &'a Resource, namespace: Option<&'a str>, name: Option<&'a str>, body: Value) -> Self {
        Self { body: Some(body), ..Self::new(Verb::Create, resource, namespace, name) }
    }

    /// An end to that very object: not to one that took its name meanwhile. It ends in its own time: pods have their grace
    /// period, and others wait for their finalizers.
    #[must_use]
    pub fn delete(resource: &'a Resource, namespace: Option<&'a str>, name: &'a str, uid: &str) -> Self {
        let body = json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}});
        Self { body: Some(body), ..Self::new(Verb::Delete, resource, namespace, Some(name)) }
    }

    /// What a group has: as the address has it. Everybody may ask, by a role that every cluster has.
    #[must_use]
    pub fn discover(group: &'a Resource) -> Self {
        Self::new(Verb::Get, group, None, None)
    }

    /// The same of a part of the object.
    #[must_use]
    pub fn of(self, subresource: &'static str) -> Self {
        Self { subresource, ..self }
    }

    /// It changes nothing, although it looks as if: a question that is put as an object.
    #[must_use]
    pub fn as_question(self) -> Self {
        Self { changes: false, ..self }
    }

    /// Only what has these labels, where some are asked for.
    #[must_use]
    pub fn labelled(self, selector: Option<&str>) -> Self {
        match selector {
            Some(selector) => self.with("labelSelector", selector),
            None => self,
        }
    }

    /// Only what has these fields.
    #[must_use]
    pub fn with_fields(self, selector: Option<&str>) -> Self {
        match selector {
            Some(selector) => self.with("fieldSelector", selector),
            None => self,
        }
    }

    pub(super) fn with(mut self, key: &'static str, value: &str) -> Self {
        self.query.push((key, value.to_owned()));
        self
    }

    /// As access control calls it: `patch deployments/scale in namespace prod`.
    #[must_use]
    pub fn in_words(&self) -> String {
        let what = format!("{} {}", self.verb.word(), self.resource.in_rules(self.subresource));
        match self.namespace {
            Some(namespace) => format!("{what} in namespace {namespace}"),
            None => what,
        }
    }

    fn uri(&self) -> String {
        let mut uri = self.resource.path(self.namespace, self.name, self.subresource);
        for (index, (key, value)) in self.query.iter().enumerate() {
            let _ = write!(uri, "{}{key}={}", if index == 0 { '?' } else { '&' }, encoded(value));
        }
        uri
    }

    pub(super) fn request(&self) -> Result<Request<Body>, String> {
        let (method, content) = match self.verb {
            Verb::Get | Verb::List | Verb::Watch => ("GET", None),
            Verb::Patch => ("PATCH", Some("application/merge-patch+json")),
            Verb::Create => ("POST", Some("application/json")),
            Verb::Delete => ("DELETE", Some("application/json")),
        };
        let mut request = Request::builder().method(method).uri(self.uri()).header(ACCEPT, "application/json");
        if let Some(content) = content {
            request = request.header(CONTENT_TYPE, content);
        }
        let body = self.body.as_ref().map(serde_json::to_vec).transpose().map_err(|e| e.to_string())?;
        request.body(Body::from(body.unwrap_or_default())).map_err(|e| e.to_string())
    }
}

/// A value of a query, with everything else than plain characters written as `%2C`.
fn encoded(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => text.push(char::from(byte)),
            other => {
                let _ = write!(text, "%{other:02X}");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::kubernetes::resource::{CHAOS_MESH, DEPLOYMENTS, PODS};

    #[test]
    fn a_call_is_named_as_access_control_names_it() {
        let ask = Ask::patch(&DEPLOYMENTS, Some("prod"), "web", json!({})).of("scale");
        assert_eq!(ask.in_words(), "patch deployments/scale in namespace prod");
    }

    #[test]
    fn a_group_is_asked_for_by_its_own_path() {
        let ask = Ask::discover(&CHAOS_MESH);
        assert_eq!(ask.uri(), "/apis/chaos-mesh.org/v1alpha1");
        assert_eq!(ask.in_words(), "get the resources of chaos-mesh.org/v1alpha1");
    }

    #[test]
    fn what_is_asked_for_cannot_break_out_of_the_query() {
        let ask = Ask::list(&PODS, Some("prod")).labelled(Some("app=web,tier in (a,b)&x=1"));
        let uri = ask.uri();
        assert_eq!(uri, "/api/v1/namespaces/prod/pods?labelSelector=app%3Dweb%2Ctier%20in%20%28a%2Cb%29%26x%3D1");
    }
}
