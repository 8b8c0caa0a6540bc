//! One request: who, what, may they, and then it is done. Pure but for the state.

use serde_json::{Value, json};

use super::access::Wish;
use super::kinds::{self, Kind};
use super::patch;
use super::place::{self, Place};
use super::refusal::Refusal;
use super::selector::Selection;
use super::store::{Key, Page, Part, State};
use super::watch::Watched;
use super::{eviction, review, scale};

/// A request as it came.
pub struct Asked {
    pub method: String,
    /// As RBAC calls it.
    pub verb: &'static str,
    pub path: String,
    pub query: Vec<(String, String)>,
    pub user: Option<String>,
    pub content_type: String,
    pub accept: String,
    pub body: Vec<u8>,
}

impl Asked {
    pub fn param(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub fn flag(&self, name: &str) -> bool {
        self.param(name).is_some_and(|value| value == "true" || value == "1")
    }

    /// `dryRun=All`, of which there is no other kind.
    pub fn dry(&self) -> Result<bool, Refusal> {
        match self.param("dryRun") {
            None | Some("") => Ok(false),
            Some("All") => Ok(true),
            Some(other) => {
                Err(Refusal::bad(format!("dryRun: Unsupported value: \"{other}\": supported values: \"All\"")))
            }
        }
    }

    /// The body as an object, of the kind that this place takes.
    pub fn object(&self) -> Result<Value, Refusal> {
        let media = self.content_type.split(';').next().unwrap_or_default().trim();
        if !["", "application/json"].contains(&media) {
            return Err(Refusal::media(&["application/json"]));
        }
        let value: Value = serde_json::from_slice(&self.body).map_err(|error| {
            Refusal::bad(format!("the object provided is unrecognized: couldn't parse JSON: {error}"))
        })?;
        if value.is_object() { Ok(value) } else { Err(Refusal::bad("the object provided is unrecognized")) }
    }

    /// The same for a body that may be absent.
    pub fn options(&self) -> Result<Value, Refusal> {
        if self.body.is_empty() { Ok(json!({})) } else { self.object() }
    }
}

pub enum Answer {
    Json(u16, Value),
    Watch(Box<Watched>),
}

/// The verb that RBAC decides on.
pub fn verb(asked: &Asked) -> &'static str {
    let named = asked.path.trim_start_matches('/').split('/').collect::<Vec<_>>();
    let rest = match named.as_slice() {
        ["api", _, rest @ ..] | ["apis", _, _, rest @ ..] => rest,
        _ => &[],
    };
    // A collection: `pods`, `namespaces`, `namespaces/NS/pods`.
    let collection = matches!(rest, [_] | ["namespaces", _, _]) && !matches!(rest, ["namespaces", _, "status"]);
    match (asked.method.as_str(), collection) {
        ("GET", true) if asked.flag("watch") => "watch",
        ("GET", true) => "list",
        ("GET", false) => "get",
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        ("DELETE", true) => "deletecollection",
        ("DELETE", false) => "delete",
        _ => "",
    }
}

/// Does it, or says why not.
pub fn act(state: &mut State, asked: &Asked) -> Result<Answer, Refusal> {
    let Some(user) = asked.user.as_deref() else { return Err(Refusal::unauthorized()) };
    let accepts = |media: &str| asked.accept.is_empty() || asked.accept.contains(media);
    if !accepts("application/json") && !accepts("*/*") && !accepts("application/*") {
        return Err(Refusal::not_acceptable());
    }
    let parts: Vec<&str> = asked.path.trim_matches('/').split('/').collect();
    if asked.method == "GET" {
        if parts == ["version"] {
            return Ok(Answer::Json(200, version()));
        }
        if ["healthz", "livez", "readyz"].contains(&parts[0]) {
            return Ok(Answer::Json(200, json!("ok")));
        }
        if let Some(document) = state.served.document(&parts, asked.accept.contains("as=APIGroupDiscoveryList")) {
            return Ok(Answer::Json(200, document));
        }
    }
    let place = place::parse(state, &asked.path)?;
    let selection = Selection::parse(place.kind, asked.param("labelSelector"), asked.param("fieldSelector"))?;
    let name = place.name.as_deref().or(selection.one_name()).unwrap_or_default();
    let wish = Wish {
        verb: asked.verb,
        group: place.kind.group,
        resource: place.kind.plural,
        sub: place.sub.as_deref().unwrap_or_default(),
        namespace: &place.namespace,
        name,
    };
    // Everybody may ask about themselves.
    if !place.kind.review {
        // A namespace's own name is also the namespace in which access to it is decided.
        let home = if place.kind.id == kinds::NAMESPACE { name } else { &place.namespace };
        let wish = Wish { namespace: home, ..wish };
        state.access.ask(user, place.kind, &wish)?;
    }
    if place.kind.review {
        return if asked.verb == "create" && place.name.is_none() {
            review::answer(state, asked, &place, user).map(|value| Answer::Json(201, value))
        } else {
            Err(Refusal::method())
        };
    }
    let answer = match (place.sub.as_deref(), asked.verb) {
        (Some("eviction"), "create") => {
            return eviction::evict(state, asked, &place).map(|value| Answer::Json(201, value));
        }
        (Some("scale"), "get" | "update" | "patch") => {
            return scale::answer(state, asked, &place).map(|value| Answer::Json(200, value));
        }
        (Some("status"), "get") | (None, "get") => get(state, &place)?,
        (Some("status"), "update") => update(state, asked, &place, Part::Status)?,
        (Some("status"), "patch") => patched(state, asked, &place, Part::Status)?,
        (None, "list") => return list(state, asked, &place, &selection).map(|value| Answer::Json(200, value)),
        (None, "watch") => {
            return Watched::begin(state, asked, &place, selection).map(|watch| Answer::Watch(Box::new(watch)));
        }
        (None, "create") if place.name.is_none() => return create(state, asked, &place),
        (None, "update") if place.name.is_some() => update(state, asked, &place, Part::Main)?,
        (None, "patch") if place.name.is_some() => patched(state, asked, &place, Part::Main)?,
        (None, "delete") => return delete(state, asked, &place).map(|value| Answer::Json(200, value)),
        (None, "deletecollection") => {
            return delete_all(state, asked, &place, &selection).map(|value| Answer::Json(200, value));
        }
        _ => return Err(Refusal::method()),
    };
    Ok(Answer::Json(200, shown(answer, &place, asked)))
}

fn version() -> Value {
    json!({
        "major": "1", "minor": "33", "gitVersion": "v1.33.0", "gitCommit": "", "gitTreeState": "clean",
        "buildDate": "2025-04-23T13:00:00Z", "goVersion": "go1.24.2", "compiler": "gc", "platform": "linux/amd64",
    })
}

/// The object of a place.
pub fn key(place: &Place) -> Result<Key, Refusal> {
    place.key().ok_or_else(Refusal::method)
}

fn get(state: &State, place: &Place) -> Result<Value, Refusal> {
    let key = key(place)?;
    state.get(&key).cloned().ok_or_else(|| Refusal::not_found(place.kind, &key.name))
}

/// In the version that was asked for, and no more of it than that.
pub fn shown(mut object: Value, place: &Place, asked: &Asked) -> Value {
    if metadata_only(asked) {
        return json!({
            "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"],
        });
    }
    object["apiVersion"] = json!(place.kind.api_version(place.version));
    object
}

pub fn metadata_only(asked: &Asked) -> bool {
    asked.accept.contains("as=PartialObjectMetadata")
}

fn list(state: &mut State, asked: &Asked, place: &Place, selection: &Selection) -> Result<Value, Refusal> {
    let wanted = asked.param("resourceVersion").filter(|version| !version.is_empty());
    let matching = asked.param("resourceVersionMatch").filter(|matching| !matching.is_empty());
    let go_on = asked.param("continue").filter(|token| !token.is_empty());
    let limit = match asked.param("limit") {
        None | Some("" | "0") => usize::MAX,
        Some(limit) => limit.parse().map_err(|_| Refusal::bad(format!("limit: invalid value {limit}")))?,
    };
    if asked.flag("sendInitialEvents") {
        return Err(forbidden_option("sendInitialEvents", "sendInitialEvents is forbidden for list"));
    }
    if matching.is_some() && (wanted.is_none() || go_on.is_some()) {
        let why = "resourceVersionMatch is forbidden unless resourceVersion is provided";
        return Err(forbidden_option("resourceVersionMatch", why));
    }
    if let Some(wanted) = wanted.filter(|wanted| *wanted != "0") {
        let wanted: u64 =
            wanted.parse().map_err(|_| Refusal::bad(format!("Invalid value: \"{wanted}\": resourceVersion")))?;
        if wanted > state.version {
            let mut refusal = Refusal::trouble(504);
            refusal.message = format!("Timeout: Too large resource version: {wanted}, current: {}", state.version);
            refusal.details = Some(Box::new(json!({
                "retryAfterSeconds": 1, "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
            })));
            refusal.retry_after = Some(1);
            return Err(refusal);
        }
        if matching == Some("Exact") && wanted != state.version {
            return Err(Refusal::expired(format!("The resourceVersion for the provided list is too old: {wanted}")));
        }
    }
    let (version, mut items) = match go_on {
        Some(token) => {
            let page = state.pages.get(token).ok_or_else(|| {
                Refusal::expired("The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter.")
            })?;
            (page.version, page.rest.clone())
        }
        None => {
            let namespace = (!place.namespace.is_empty()).then_some(place.namespace.as_str());
            let found = state.list(place.kind.id, namespace).map(|(_, object)| object);
            (state.version, found.filter(|object| selection.takes(object)).cloned().collect())
        }
    };
    let mut metadata = json!({"resourceVersion": version.to_string()});
    if items.len() > limit {
        let rest = items.split_off(limit);
        if selection.is_empty() {
            metadata["remainingItemCount"] = json!(rest.len());
        }
        let token = format!("page-{version}-{}", state.suffix());
        while state.pages.len() >= 256 {
            state.pages.pop_first();
        }
        state.pages.insert(token.clone(), Page { version, rest });
        metadata["continue"] = json!(token);
    }
    let partial = metadata_only(asked);
    let items: Vec<Value> =
        items.into_iter().map(|item| listed(shown(item, place, asked), place.kind, partial)).collect();
    let (kind, version) = if partial {
        ("PartialObjectMetadataList".to_owned(), "meta.k8s.io/v1".to_owned())
    } else {
        (format!("{}List", place.kind.kind), place.kind.api_version(place.version))
    };
    Ok(json!({"kind": kind, "apiVersion": version, "metadata": metadata, "items": items}))
}

/// Within a list, the server's own types come without their kind.
fn listed(mut item: Value, kind: &Kind, partial: bool) -> Value {
    if let Some(item) = item.as_object_mut().filter(|_| !kind.custom && !partial) {
        item.shift_remove("apiVersion");
        item.shift_remove("kind");
    }
    item
}

/// An option that does not go with the others.
pub fn forbidden_option(field: &str, why: &str) -> Refusal {
    let mut refusal =
        Refusal::new(422, "Invalid", format!("ListOptions.meta.k8s.io \"\" is invalid: {field}: Forbidden: {why}"));
    refusal.never_right = true;
    refusal
}

/// The kind that a body names must be the one of the place.
fn right_kind(object: &Value, place: &Place) -> Result<(), Refusal> {
    let expected = place.kind.api_version(place.version);
    for (field, expected) in [("apiVersion", expected.as_str()), ("kind", place.kind.kind)] {
        if let Some(found) = object[field].as_str().filter(|found| *found != expected) {
            let message = format!("{field} in the data ({found}) does not match the expected {field} ({expected})");
            return Err(Refusal::bad(message));
        }
    }
    Ok(())
}

fn create(state: &mut State, asked: &Asked, place: &Place) -> Result<Answer, Refusal> {
    if place.kind.namespaced && place.namespace.is_empty() {
        return Err(Refusal::method());
    }
    let object = asked.object()?;
    right_kind(&object, place)?;
    let named = object.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or_default();
    if place.kind.namespaced && !named.is_empty() && named != place.namespace {
        return Err(Refusal::bad(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    let created = state.create(place.kind, &place.namespace, object, asked.dry()?)?;
    Ok(Answer::Json(201, shown(created, place, asked)))
}

fn update(state: &mut State, asked: &Asked, place: &Place, part: Part) -> Result<Value, Refusal> {
    let object = asked.object()?;
    right_kind(&object, place)?;
    state.replace(&key(place)?, object, part, asked.dry()?)
}

/// Applies the patch of the request to what it is for.
pub fn apply(asked: &Asked, kind: &Kind, target: &mut Value) -> Result<(), Refusal> {
    const JSON: &str = "application/json-patch+json";
    const MERGE: &str = "application/merge-patch+json";
    const STRATEGIC: &str = "application/strategic-merge-patch+json";
    let media = asked.content_type.split(';').next().unwrap_or_default().trim();
    let known = [JSON, MERGE].contains(&media) || (media == STRATEGIC && !kind.custom);
    if !known {
        let accepted: &[&str] = if kind.custom { &[JSON, MERGE] } else { &[JSON, MERGE, STRATEGIC] };
        return Err(Refusal::media(accepted));
    }
    let patch: Value =
        serde_json::from_slice(&asked.body).map_err(|error| Refusal::bad(format!("error decoding patch: {error}")))?;
    match media {
        JSON => patch::json_patch(target, &patch),
        STRATEGIC => patch::strategic(target, &patch),
        _ if patch.is_object() => {
            patch::merge(target, &patch);
            Ok(())
        }
        _ => Err(Refusal::bad("a merge patch of an object must be an object")),
    }
}

fn patched(state: &mut State, asked: &Asked, place: &Place, part: Part) -> Result<Value, Refusal> {
    let mut object = shown_whole(get(state, place)?, place);
    apply(asked, place.kind, &mut object)?;
    right_kind(&object, place)?;
    state.replace(&key(place)?, object, part, asked.dry()?)
}

fn shown_whole(mut object: Value, place: &Place) -> Value {
    object["apiVersion"] = json!(place.kind.api_version(place.version));
    object
}

fn delete(state: &mut State, asked: &Asked, place: &Place) -> Result<Value, Refusal> {
    let mut options = asked.options()?;
    for (param, field) in [("gracePeriodSeconds", "gracePeriodSeconds"), ("propagationPolicy", "propagationPolicy")] {
        if let Some(value) = asked.param(param) {
            options[field] = value.parse::<u64>().map_or_else(|_| json!(value), |number| json!(number));
        }
    }
    let dry = asked.dry()? || options["dryRun"].as_array().is_some_and(|list| !list.is_empty());
    let (object, remains) = state.delete(&key(place)?, &options, dry)?;
    if remains || place.kind.id == kinds::POD {
        return Ok(shown(object, place, asked));
    }
    let mut details =
        json!({"name": object["metadata"]["name"], "kind": place.kind.plural, "uid": object["metadata"]["uid"]});
    if !place.kind.group.is_empty() {
        details["group"] = json!(place.kind.group);
    }
    Ok(json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}))
}

fn delete_all(state: &mut State, asked: &Asked, place: &Place, selection: &Selection) -> Result<Value, Refusal> {
    let options = asked.options()?;
    let dry = asked.dry()?;
    let list = list(state, asked, place, selection)?;
    let namespace = (!place.namespace.is_empty()).then_some(place.namespace.as_str());
    let keys: Vec<Key> = state
        .list(place.kind.id, namespace)
        .filter(|(_, object)| selection.takes(object))
        .map(|(key, _)| key.clone())
        .collect();
    for key in keys {
        state.delete(&key, &options, dry)?;
    }
    Ok(list)
}
