//! What the cluster holds: objects under one counter of versions, the log of changes that watches read, and the rules
//! that every write goes through. Knows nothing of HTTP or of who asks.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::Request;
use super::access::Access;
use super::kinds::{self, Kind, Served};
use super::life::Play;
use super::refusal::Refusal;
use super::weather::Weather;
use super::{check, values};

/// How many changes watches can look back on. Older ones are gone, and a watch from there is told so.
const LOG: usize = 50_000;

/// Kind, namespace (empty for what has none), name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    pub kind: &'static str,
    pub namespace: String,
    pub name: String,
}

impl Key {
    pub fn new(kind: &'static str, namespace: &str, name: &str) -> Self {
        Self { kind, namespace: namespace.to_owned(), name: name.to_owned() }
    }

    pub fn kind(&self) -> &'static Kind {
        kinds::by_id(self.kind)
    }
}

/// One entry of the log.
pub struct Change {
    pub version: u64,
    pub key: Key,
    pub before: Option<Value>,
    /// As it is after; for a deletion as it was last, with the version of the deletion.
    pub after: Value,
    pub deleted: bool,
}

/// A list that was begun and not finished: its version and what is left.
pub struct Page {
    pub version: u64,
    pub rest: Vec<Value>,
}

pub struct State {
    pub objects: BTreeMap<Key, Value>,
    pub version: u64,
    pub log: VecDeque<Change>,
    /// Watches from before this version are expired.
    pub floor: u64,
    pub pages: BTreeMap<String, Page>,
    /// Raised to end all open watches: with an expiry, or by cutting them.
    pub watches_expired: u64,
    pub watches_cut: u64,
    pub bookmark_every: Duration,
    pub served: Served,
    pub access: Access,
    pub weather: Weather,
    pub requests: Vec<Request>,
    pub refused: Vec<String>,
    pub play: Play,
    names: u64,
}

/// What a write may change.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All but the status.
    Main,
    /// The status alone.
    Status,
}

impl State {
    pub fn new() -> Self {
        Self {
            objects: BTreeMap::new(),
            version: 1_000,
            log: VecDeque::new(),
            floor: 0,
            pages: BTreeMap::new(),
            watches_expired: 0,
            watches_cut: 0,
            bookmark_every: Duration::from_millis(500),
            served: Served::default(),
            access: Access::default(),
            weather: Weather::default(),
            requests: Vec::new(),
            refused: Vec::new(),
            play: Play::default(),
            names: 0,
        }
    }

    pub fn get(&self, key: &Key) -> Option<&Value> {
        self.objects.get(key)
    }

    /// All of a kind, in one namespace or in all.
    pub fn list<'s>(
        &'s self,
        kind: &'static str,
        namespace: Option<&'s str>,
    ) -> impl Iterator<Item = (&'s Key, &'s Value)> {
        let from = Key::new(kind, namespace.unwrap_or_default(), "");
        self.objects.range(from..).take_while(move |(key, _)| {
            key.kind == kind && namespace.is_none_or(|namespace| key.namespace == namespace)
        })
    }

    /// Five characters that no other name of this cluster ends with.
    pub fn suffix(&mut self) -> String {
        const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
        self.names += 1;
        // Multiplied by a number that has no factor in common with 27^5, so that neighbours do not look alike.
        let mut left = (self.names * 7_368_787) % 14_348_907;
        let mut text = String::new();
        for _ in 0..5 {
            text.push(char::from(LETTERS[(left % 27) as usize]));
            left /= 27;
        }
        text
    }

    fn uid(&mut self) -> String {
        self.names += 1;
        let n = self.names;
        format!("{:08x}-{:04x}-4000-8000-{:012x}", n.wrapping_mul(2_654_435_761) & 0xffff_ffff, n & 0xffff, n)
    }

    fn next(&mut self, key: &Key, before: Option<Value>, mut after: Value, deleted: bool) -> Value {
        self.version += 1;
        after["metadata"]["resourceVersion"] = json!(self.version.to_string());
        if deleted {
            self.objects.remove(key);
        } else {
            self.objects.insert(key.clone(), after.clone());
        }
        self.log.push_back(Change { version: self.version, key: key.clone(), before, after: after.clone(), deleted });
        while self.log.len() > LOG {
            if let Some(gone) = self.log.pop_front() {
                self.floor = gone.version;
            }
        }
        after
    }

    /// A new object of a user or of a controller.
    pub fn create(
        &mut self,
        kind: &'static Kind,
        namespace: &str,
        mut object: Value,
        dry: bool,
    ) -> Result<Value, Refusal> {
        if !object["metadata"].is_object() {
            object["metadata"] = json!({});
        }
        check::shape(kind, &object)?;
        let name = match (
            object.pointer("/metadata/name").and_then(Value::as_str),
            object.pointer("/metadata/generateName").and_then(Value::as_str),
        ) {
            (Some(name), _) if !name.is_empty() => name.to_owned(),
            (_, Some(start)) => format!("{start}{}", self.suffix()),
            _ => {
                let cause = (
                    "FieldValueRequired",
                    "metadata.name".to_owned(),
                    "Required value: name or generateName is required".to_owned(),
                );
                return Err(Refusal::invalid(kind, "", &[cause]));
            }
        };
        object["metadata"]["name"] = json!(name);
        let key = Key::new(kind.id, namespace, &name);
        if kind.namespaced {
            let home = Key::new(kinds::NAMESPACE, "", namespace);
            if !self.objects.contains_key(&home) {
                return Err(Refusal::not_found(home.kind(), namespace));
            }
            object["metadata"]["namespace"] = json!(namespace);
        } else if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.shift_remove("namespace");
        }
        if self.objects.contains_key(&key) {
            return Err(Refusal::exists(kind, &name));
        }
        if object
            .pointer("/metadata/resourceVersion")
            .and_then(Value::as_str)
            .is_some_and(|version| !version.is_empty())
        {
            return Err(Refusal::bad("resourceVersion should not be set on objects to be created"));
        }
        object["apiVersion"] = json!(kind.api_version(kind.versions[0]));
        object["kind"] = json!(kind.kind);
        object["metadata"]["uid"] = json!(self.uid());
        object["metadata"]["creationTimestamp"] = json!(self.play.now());
        for unset in ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"] {
            object["metadata"].as_object_mut().map(|metadata| metadata.shift_remove(unset));
        }
        if kind.generation {
            object["metadata"]["generation"] = json!(1);
        }
        if kind.subs.contains(&"status")
            && kind.id != kinds::NODE
            && let Some(object) = object.as_object_mut()
        {
            object.shift_remove("status");
        }
        check::defaults(kind, &mut object);
        values::check(kind, &object, None)?;
        if dry { Ok(object) } else { Ok(self.next(&key, None, object, false)) }
    }

    /// Puts `object` in the place of what is there, within what a write to this part may change. A version or uid in it
    /// must be the present one. Nothing new is no change, as with the real server.
    pub fn replace(&mut self, key: &Key, mut object: Value, part: Part, dry: bool) -> Result<Value, Refusal> {
        let kind = key.kind();
        let old = self.objects.get(key).cloned().ok_or_else(|| Refusal::not_found(kind, &key.name))?;
        if !object.is_object() || !object["metadata"].is_object() {
            return Err(Refusal::bad("the object must have metadata"));
        }
        check::shape(kind, &object)?;
        let meta = |object: &Value, field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
        if meta(&object, "name") != key.name {
            return Err(Refusal::bad(format!(
                "the name of the object ({}) does not match the name on the URL ({})",
                meta(&object, "name"),
                key.name
            )));
        }
        if kind.namespaced && !["", key.namespace.as_str()].contains(&meta(&object, "namespace").as_str()) {
            return Err(Refusal::bad(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
        let version = meta(&object, "resourceVersion");
        if !version.is_empty() && version != meta(&old, "resourceVersion") {
            return Err(Refusal::moved(kind, &key.name));
        }
        let uid = meta(&object, "uid");
        if !uid.is_empty() && uid != meta(&old, "uid") {
            let why =
                format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {}", meta(&old, "uid"));
            return Err(Refusal::conflict(kind, &key.name, &why));
        }
        // What belongs to the system stays.
        for owned in [
            "uid",
            "creationTimestamp",
            "generation",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "namespace",
            "resourceVersion",
        ] {
            let kept = old["metadata"][owned].clone();
            let Some(metadata) = object["metadata"].as_object_mut() else { continue };
            if kept.is_null() {
                metadata.shift_remove(owned);
            } else {
                metadata.insert(owned.to_owned(), kept);
            }
        }
        let has_status = kind.subs.contains(&"status");
        let mut new = match part {
            Part::Main if has_status => with(object, "status", old.get("status")),
            Part::Main => object,
            Part::Status => {
                let mut new = with(old.clone(), "status", object.get("status"));
                for also in ["labels", "annotations", "finalizers"] {
                    if kind.custom || kind.id == kinds::NODE || kind.id == kinds::POD {
                        new["metadata"] = with(new["metadata"].take(), also, object["metadata"].get(also));
                    }
                }
                new
            }
        };
        new["apiVersion"] = old["apiVersion"].clone();
        new["kind"] = old["kind"].clone();
        check::defaults(kind, &mut new);
        values::check(kind, &new, Some(&old))?;
        if same(&new, &old) {
            return Ok(old);
        }
        if kind.generation && wanted(&new) != wanted(&old) {
            new["metadata"]["generation"] = json!(old["metadata"]["generation"].as_u64().unwrap_or(1) + 1);
        }
        if dry {
            return Ok(new);
        }
        let last_finalizer = old.pointer("/metadata/deletionTimestamp").is_some()
            && kind.id != kinds::POD
            && new.pointer("/metadata/finalizers").and_then(Value::as_array).is_none_or(Vec::is_empty);
        Ok(self.next(key, Some(old), new, last_finalizer))
    }

    /// A change by the cluster itself, which checks nothing but whether it is one.
    pub fn touch(&mut self, key: &Key, change: impl FnOnce(&mut Value)) {
        let Some(old) = self.objects.get(key) else { return };
        let mut new = old.clone();
        change(&mut new);
        if same(&new, old) {
            return;
        }
        if key.kind().generation && wanted(&new) != wanted(old) {
            new["metadata"]["generation"] = json!(old["metadata"]["generation"].as_u64().unwrap_or(1) + 1);
        }
        let old = old.clone();
        self.next(key, Some(old), new, false);
    }

    /// Takes it away at once.
    pub fn remove(&mut self, key: &Key) -> Option<Value> {
        let old = self.objects.get(key).cloned()?;
        Some(self.next(key, Some(old.clone()), old, true))
    }

    /// What DELETE does: checks its preconditions, lets pods end gracefully, waits for finalizers.
    /// The answer says whether the object is still there.
    pub fn delete(&mut self, key: &Key, options: &Value, dry: bool) -> Result<(Value, bool), Refusal> {
        let kind = key.kind();
        let old = self.objects.get(key).cloned().ok_or_else(|| Refusal::not_found(kind, &key.name))?;
        for (field, named) in [("uid", "UID"), ("resourceVersion", "ResourceVersion")] {
            let Some(wanted) = options.pointer(&format!("/preconditions/{field}")).and_then(Value::as_str) else {
                continue;
            };
            let found = old["metadata"][field].as_str().unwrap_or_default();
            if wanted != found {
                let why =
                    format!("Precondition failed: {named} in precondition: {wanted}, {named} in object meta: {found}");
                return Err(Refusal::conflict(kind, &key.name, &why));
            }
        }
        if dry {
            return Ok((old, false));
        }
        let orphan = options["propagationPolicy"] == "Orphan" || options["orphanDependents"] == true;
        if orphan {
            self.release_dependents(&old);
        }
        let grace = options["gracePeriodSeconds"]
            .as_u64()
            .or_else(|| old.pointer("/spec/terminationGracePeriodSeconds")?.as_u64());
        let held = old.pointer("/metadata/finalizers").and_then(Value::as_array).is_some_and(|all| !all.is_empty());
        let graceful = kind.id == kinds::POD && grace != Some(0) && old.pointer("/spec/nodeName").is_some();
        if !held && !graceful {
            return Ok((self.remove(key).unwrap_or(old), false));
        }
        if old.pointer("/metadata/deletionTimestamp").is_none() {
            let now = self.play.now();
            self.touch(key, |object| {
                object["metadata"]["deletionTimestamp"] = json!(now);
                object["metadata"]["deletionGracePeriodSeconds"] = json!(grace.unwrap_or(0));
            });
        }
        Ok((self.objects.get(key).cloned().unwrap_or(old), true))
    }

    fn release_dependents(&mut self, owner: &Value) {
        let uid = owner["metadata"]["uid"].clone();
        let owned: Vec<Key> = self
            .objects
            .iter()
            .filter(|(_, object)| {
                let owners = object.pointer("/metadata/ownerReferences").and_then(Value::as_array);
                owners.is_some_and(|owners| owners.iter().any(|one| one["uid"] == uid))
            })
            .map(|(key, _)| key.clone())
            .collect();
        for key in owned {
            self.touch(&key, |object| disown(object, &uid));
        }
    }
}

/// Takes an owner off an object.
pub fn disown(object: &mut Value, uid: &Value) {
    let Some(metadata) = object["metadata"].as_object_mut() else { return };
    let empty = metadata.get_mut("ownerReferences").and_then(Value::as_array_mut).is_some_and(|owners| {
        owners.retain(|one| one["uid"] != *uid);
        owners.is_empty()
    });
    if empty {
        metadata.shift_remove("ownerReferences");
    }
}

/// The object with this field as it is elsewhere.
fn with(mut object: Value, field: &str, value: Option<&Value>) -> Value {
    if let Some(map) = object.as_object_mut() {
        match value {
            Some(value) => drop(map.insert(field.to_owned(), value.clone())),
            None => drop(map.shift_remove(field)),
        }
    }
    object
}

/// Equal but for the version.
fn same(one: &Value, other: &Value) -> bool {
    let bare = |object: &Value| {
        let mut object = object.clone();
        object["metadata"]["resourceVersion"] = Value::Null;
        object
    };
    bare(one) == bare(other)
}

/// What is asked for: the object without metadata and status.
fn wanted(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(map) = object.as_object_mut() {
        map.shift_remove("metadata");
        map.shift_remove("status");
    }
    object
}

/// A moment as the API writes it, in whole seconds.
pub fn stamp(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds)
        .map_or_else(|_| String::new(), |at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// Is it this long since then?
pub fn past(since: Instant, wait: Duration) -> bool {
    since.elapsed() >= wait
}
