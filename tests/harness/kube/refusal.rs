//! How the server says no: metav1.Status with the reasons, messages and details of the API conventions.

use serde_json::{Value, json};

use super::kinds::Kind;

/// An answer other than success.
#[derive(Clone, Debug)]
pub struct Refusal {
    pub code: u16,
    pub reason: &'static str,
    pub message: String,
    pub details: Option<Box<Value>>,
    pub retry_after: Option<u64>,
    /// No state of the cluster could make this request right: it is listed by [`super::FakeCluster::refused`].
    pub never_right: bool,
    /// As plain text, as the outermost handler answers for a group or version that is not served.
    pub plain: bool,
}

/// One thing that is wrong with a value: reason, field, message.
pub type Cause = (&'static str, String, String);

impl Refusal {
    pub fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            details: None,
            retry_after: None,
            never_right: false,
            plain: false,
        }
    }

    fn about(mut self, kind: &Kind, name: &str) -> Self {
        self.details = Some(Box::new(details(kind.group, kind.plural, name)));
        self
    }

    fn never(mut self) -> Self {
        self.never_right = true;
        self
    }

    pub fn not_found(kind: &Kind, name: &str) -> Self {
        Self::new(404, "NotFound", format!("{} \"{name}\" not found", kind.id)).about(kind, name)
    }

    pub fn exists(kind: &Kind, name: &str) -> Self {
        Self::new(409, "AlreadyExists", format!("{} \"{name}\" already exists", kind.id)).about(kind, name)
    }

    pub fn conflict(kind: &Kind, name: &str, why: &str) -> Self {
        Self::new(409, "Conflict", format!("Operation cannot be fulfilled on {} \"{name}\": {why}", kind.id))
            .about(kind, name)
    }

    /// The version that the request was made from is not the present one.
    pub fn moved(kind: &Kind, name: &str) -> Self {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(kind, name, why)
    }

    pub fn forbidden(kind: &Kind, name: &str, why: &str) -> Self {
        let what = if name.is_empty() { kind.id.to_owned() } else { format!("{} \"{name}\"", kind.id) };
        Self::new(403, "Forbidden", format!("{what} is forbidden: {why}")).about(kind, name)
    }

    pub fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized")
    }

    pub fn bad(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message).never()
    }

    /// A value that the API does not take.
    pub fn invalid(kind: &Kind, name: &str, causes: &[Cause]) -> Self {
        let said: Vec<String> = causes.iter().map(|(_, field, message)| format!("{field}: {message}")).collect();
        let said = match said.as_slice() {
            [one] => one.clone(),
            several => format!("[{}]", several.join(", ")),
        };
        let mut refusal = Self::new(422, "Invalid", format!("{} \"{name}\" is invalid: {said}", kind.long_kind()));
        let causes: Vec<Value> = causes
            .iter()
            .map(|(reason, field, message)| json!({"reason": reason, "message": message, "field": field}))
            .collect();
        let mut about = details(kind.group, kind.kind, name);
        about["causes"] = json!(causes);
        refusal.details = Some(Box::new(about));
        refusal.never()
    }

    /// A JSON patch that does not fit the object: its `test` failed, or a place is missing.
    pub fn patch_does_not_fit() -> Self {
        let mut refusal = Self::new(422, "Invalid", "the server rejected our request due to an error in our request");
        refusal.details = Some(Box::new(json!({})));
        refusal
    }

    pub fn media(accepted: &[&str]) -> Self {
        let accepted = accepted.join(", ");
        let message =
            format!("the body of the request was in an unknown format - accepted media types include: {accepted}");
        Self::new(415, "UnsupportedMediaType", message).never()
    }

    pub fn not_acceptable() -> Self {
        let message = "only the following media types are accepted: application/json";
        Self::new(406, "NotAcceptable", message).never()
    }

    pub fn method() -> Self {
        Self::new(405, "MethodNotAllowed", "the server does not allow this method on the requested resource").never()
    }

    pub fn too_large(message: &str) -> Self {
        Self::new(413, "RequestEntityTooLarge", message).never()
    }

    /// A resource that a served group does not have.
    pub fn no_such_resource() -> Self {
        let mut refusal = Self::new(404, "NotFound", "the server could not find the requested resource");
        refusal.details = Some(Box::new(json!({})));
        refusal.never()
    }

    /// A group or version that is not served here; `never` for one that no cluster serves.
    pub fn no_such_path(never: bool) -> Self {
        Self { plain: true, never_right: never, ..Self::new(404, "NotFound", "404 page not found") }
    }

    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    /// Too many requests, with the wait that the server asks for.
    pub fn throttled(message: &str, seconds: Option<u64>) -> Self {
        let mut refusal = Self::new(429, "TooManyRequests", message);
        refusal.retry_after = seconds;
        refusal.details =
            Some(Box::new(seconds.map_or_else(|| json!({}), |seconds| json!({"retryAfterSeconds": seconds}))));
        refusal
    }

    /// A refusal by number, as trouble in the middle of the server gives it.
    pub fn trouble(code: u16) -> Self {
        match code {
            401 => Self::unauthorized(),
            403 => Self::new(403, "Forbidden", "the request is forbidden by a policy of the test"),
            409 => Self::new(
                409,
                "Conflict",
                "Operation cannot be fulfilled: the object has been modified; please apply your changes to the latest version and try again",
            ),
            410 => Self::expired("too old resource version: 1 (2)"),
            429 => Self::throttled("too many requests, please try again later.", Some(1)),
            503 => Self::new(503, "ServiceUnavailable", "the server is currently unable to handle the request"),
            504 => Self::new(504, "Timeout", "the request did not complete within the requested timeout"),
            code => Self::new(code, "InternalError", "Internal error occurred: etcdserver: request timed out"),
        }
    }

    pub fn body(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason,
        });
        if let Some(details) = &self.details {
            status["details"] = Value::clone(details);
        }
        status["code"] = json!(self.code);
        status
    }
}

/// Details that name an object.
fn details(group: &str, kind: &str, name: &str) -> Value {
    let mut details = json!({});
    for (key, value) in [("name", name), ("group", group), ("kind", kind)] {
        if !value.is_empty() {
            details[key] = json!(value);
        }
    }
    details
}

pub fn wrong(field: impl Into<String>, value: &Value, why: &str) -> Cause {
    ("FieldValueInvalid", field.into(), format!("Invalid value: {value}: {why}"))
}

pub fn missing(field: impl Into<String>) -> Cause {
    ("FieldValueRequired", field.into(), "Required value".to_owned())
}

pub fn not_allowed(field: impl Into<String>, why: &str) -> Cause {
    ("FieldValueForbidden", field.into(), format!("Forbidden: {why}"))
}
