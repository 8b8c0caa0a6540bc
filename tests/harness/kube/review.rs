//! What somebody may do, and who they are: SelfSubjectAccessReview, SelfSubjectRulesReview, SelfSubjectReview.

use serde_json::{Value, json};

use super::access::Wish;
use super::place::Place;
use super::refusal::Refusal;
use super::store::State;
use super::verbs::Asked;

pub fn answer(state: &State, asked: &Asked, place: &Place, user: &str) -> Result<Value, Refusal> {
    let mut review = asked.object()?;
    review["apiVersion"] = json!(place.kind.api_version(place.version));
    review["kind"] = json!(place.kind.kind);
    let text = |path: &str| review.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
    let status = match place.kind.kind {
        "SelfSubjectReview" => json!({"userInfo": {
            "username": user, "uid": format!("uid-of-{user}"), "groups": ["system:authenticated"],
        }}),
        "SelfSubjectRulesReview" => {
            let namespace = text("/spec/namespace");
            if namespace.is_empty() {
                return Err(Refusal::bad("no namespace on request"));
            }
            json!({"resourceRules": state.access.rules(user, &namespace), "nonResourceRules": [], "incomplete": false})
        }
        _ => {
            let asked = ["resourceAttributes", "nonResourceAttributes"]
                .map(|kind| review.pointer(&format!("/spec/{kind}")).is_some_and(|attributes| !attributes.is_null()));
            if asked[0] == asked[1] {
                let cause = ("FieldValueInvalid", "spec.resourceAttributes".to_owned(), "Invalid value: \"null\": exactly one of nonResourceAttributes or resourceAttributes must be specified".to_owned());
                return Err(Refusal::invalid(place.kind, "", &[cause]));
            }
            if asked[1] {
                json!({"allowed": true})
            } else {
                let part = |field: &str| text(&format!("/spec/resourceAttributes/{field}"));
                let (verb, group, resource, sub) = (part("verb"), part("group"), part("resource"), part("subresource"));
                let (namespace, name) = (part("namespace"), part("name"));
                let wish = Wish {
                    verb: &verb,
                    group: &group,
                    resource: &resource,
                    sub: &sub,
                    namespace: &namespace,
                    name: &name,
                };
                if state.access.may(user, &wish) {
                    json!({"allowed": true, "reason": "RBAC: allowed by the rules of the test"})
                } else {
                    json!({"allowed": false})
                }
            }
        }
    };
    review["status"] = status;
    if review.get("metadata").is_none() {
        review["metadata"] = json!({});
    }
    Ok(review)
}
