//! Reads one table of the file into a settings struct, and finds *every* problem in it.
//!
//! serde stops at the first error. So the entry that was wrong is reported, taken out of the tree, and the table is
//! read again, until what is left is right; a required key that is missing is filled with a placeholder for the same
//! reason. What was taken out or filled in is *unsound*, and the checks of meaning leave it alone: one mistake gives
//! one message. Called by the config's own loader only.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue, ValueDeserializer};

use super::explain::{between, example, explain};
use super::problem::{Level, Problem, SourceText, value};

/// A value with its place in the file.
pub(crate) type Node<'t> = Spanned<DeValue<'t>>;

/// After so many problems a person needs no more; it also bounds the work that a hostile file can cause.
const MOST_PROBLEMS: usize = 100;

/// The file with the problems found so far.
pub(crate) struct Findings<'s> {
    pub(crate) source: &'s SourceText,
    found: Vec<(usize, Problem)>,
}

impl<'s> Findings<'s> {
    pub(crate) fn new(source: &'s SourceText) -> Self {
        Self { source, found: Vec::new() }
    }

    /// An error at a place of the file.
    pub(crate) fn error(&mut self, span: Range<usize>, message: &str, help: &str) {
        self.add(Level::Error, Some(span), message, help);
    }

    /// A warning at a place of the file.
    pub(crate) fn warn(&mut self, span: Range<usize>, message: &str, help: &str) {
        self.add(Level::Warning, Some(span), message, help);
    }

    /// An error of the file as a whole.
    pub(crate) fn error_of_file(&mut self, message: &str, help: &str) {
        self.add(Level::Error, None, message, help);
    }

    fn add(&mut self, level: Level, span: Option<Range<usize>>, message: &str, help: &str) {
        let offset = span.as_ref().map_or(0, |s| s.start);
        let help = Some(help).filter(|h| !h.is_empty());
        let problem = self.source.problem(level, span, message, help);
        if !self.is_full() && !self.found.iter().any(|(_, known)| *known == problem) {
            self.found.push((offset, problem));
        }
    }

    /// How many problems there are so far.
    pub(crate) fn count(&self) -> usize {
        self.found.len()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.found.len() >= MOST_PROBLEMS
    }

    /// The problems in the order of the file.
    pub(crate) fn into_problems(mut self) -> Vec<Problem> {
        let full = self.is_full();
        self.found.sort_by_key(|(offset, _)| *offset);
        let mut problems: Vec<_> = self.found.into_iter().map(|(_, problem)| problem).collect();
        if full {
            let message = format!("stopped after {MOST_PROBLEMS} problems; there may be more");
            problems.push(Problem::of_file(self.source.file(), Level::Error, &message, None));
        }
        problems
    }
}

/// What to call a table in a message: `[[service]] `shop``.
#[derive(Clone, Debug)]
pub(crate) struct Label {
    /// `service`, `service.source`.
    pub(crate) key: &'static str,
    /// `[[...]]` or `[...]`.
    pub(crate) array: bool,
    /// ` `shop``, ` number 2 of `shop``, or nothing.
    pub(crate) which: String,
}

impl Label {
    /// What to call the table at `path` inside this one.
    pub(crate) fn of(&self, path: &[Step]) -> String {
        let inner: Vec<_> = path
            .iter()
            .filter_map(|step| match step {
                Step::Key(key) => Some(value(key)),
                Step::Index(_) => None,
            })
            .collect();
        if inner.is_empty() {
            let (open, close) = if self.array { ("[[", "]]") } else { ("[", "]") };
            format!("{open}{}{close}{}", self.key, self.which)
        } else if self.which.is_empty() {
            format!("[{}.{}]", self.key, inner.join("."))
        } else {
            format!("[{}.{}] of{}", self.key, inner.join("."), self.which)
        }
    }
}

/// One step from a table down to a value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    Key(String),
    Index(usize),
}

/// A table that was read, with what is needed to speak about its parts.
pub(crate) struct Section<'t, T> {
    /// The settings; parts that are not [`sound`](Self::sound) are defaults or placeholders.
    pub(crate) settings: T,
    node: Node<'t>,
    unsound: BTreeSet<String>,
}

impl<'t, T> Section<'t, T> {
    /// Is every one of these keys (`detect.raise`) as the file has it, or left out?
    pub(crate) fn sound(&self, keys: &[&str]) -> bool {
        let touches = |bad: &str, key: &str| {
            bad == key
                || bad.strip_prefix(key).is_some_and(|rest| rest.starts_with('.'))
                || key.strip_prefix(bad).is_some_and(|rest| rest.starts_with('.'))
        };
        !keys.iter().any(|key| self.unsound.iter().any(|bad| touches(bad, key)))
    }

    /// Where the value of a key stands; the nearest table around it when it is left out.
    pub(crate) fn at(&self, key: &str) -> Range<usize> {
        let mut node = &self.node;
        let mut span = node.span();
        for part in key.split('.') {
            let Some(next) = table(node).and_then(|t| t.get(part)) else { break };
            node = next;
            span = node.span();
        }
        span
    }

    /// Where the key stands, for problems about what it is called or that it is there.
    pub(crate) fn at_key(&self, parent: &[&str], key: &str) -> Range<usize> {
        let mut node = &self.node;
        for part in parent {
            let Some(next) = table(node).and_then(|t| t.get(*part)) else { return node.span() };
            node = next;
        }
        table(node).and_then(|t| t.get_key_value(key)).map_or_else(|| node.span(), |(key, _)| key.span())
    }

    /// Where the `nth` element of a list of texts stands that says `text`.
    pub(crate) fn at_element(&self, key: &str, text: &str, nth: usize) -> Range<usize> {
        let mut node = &self.node;
        for part in key.split('.') {
            let Some(next) = table(node).and_then(|t| t.get(part)) else { return node.span() };
            node = next;
        }
        let elements = node.get_ref().as_array().map(|a| a.iter());
        elements
            .and_then(|mut all| all.by_ref().filter(|e| e.get_ref().as_str() == Some(text)).nth(nth))
            .map_or_else(|| node.span(), Spanned::span)
    }

    /// Is the key written in the file?
    pub(crate) fn has(&self, key: &str) -> bool {
        let mut node = &self.node;
        for part in key.split('.') {
            let Some(next) = table(node).and_then(|t| t.get(part)) else { return false };
            node = next;
        }
        true
    }

    /// Where the table's header stands.
    pub(crate) fn header(&self) -> Range<usize> {
        self.node.span()
    }
}

/// The table inside a node, if it is one.
pub(crate) fn table<'n, 't>(node: &'n Node<'t>) -> Option<&'n DeTable<'t>> {
    node.get_ref().as_table()
}

/// The text at a key of a table, if it is text.
pub(crate) fn text_at<'n>(node: &'n Node<'_>, key: &str) -> Option<&'n str> {
    table(node)?.get(key)?.get_ref().as_str()
}

/// Takes a key out of a table and gives its value.
pub(crate) fn take_key<'t>(node: &mut Node<'t>, key: &str) -> Option<Node<'t>> {
    match node.get_mut() {
        DeValue::Table(table) => table.remove(key),
        _ => None,
    }
}

/// Reads a table, reporting every problem in it. `beside` are keys of the table that somebody else reads.
///
/// `None` when nothing could be made of it; then at least one problem was reported.
pub(crate) fn read<'t, T: DeserializeOwned>(
    findings: &mut Findings<'_>,
    node: Node<'t>,
    label: &Label,
    beside: &[&str],
) -> Option<Section<'t, T>> {
    let mut tree = node.clone();
    let mut unsound = BTreeSet::new();
    let mut placeholders = Placeholders::default();
    loop {
        let error = match T::deserialize(ValueDeserializer::from(tree.clone())) {
            Ok(settings) => return Some(Section { settings, node, unsound }),
            Err(error) => error,
        };
        let span = error.span().unwrap_or_else(|| tree.span());
        if let Some(path) = placeholders.path_of(&span) {
            // The placeholder was of the wrong type: the next one, until one fits.
            if !placeholders.put(&mut tree, path) {
                return None;
            }
            continue;
        }
        if findings.is_full() {
            return None;
        }
        if let Some(missing) = between(error.message(), "missing field `", "`") {
            let parent = if tree.span() == span { Vec::new() } else { locate(&tree, &span)? };
            let path: Vec<_> = parent.iter().cloned().chain([Step::Key(missing.to_owned())]).collect();
            // A key that was taken out because it was wrong is not missing as well.
            if unsound.insert(dotted(&path)) {
                let message = format!("missing key `{missing}` in {}", label.of(&parent));
                findings.error(span, &message, &format!("write `{missing} = {}`", example(missing)));
            }
            if !placeholders.put(&mut tree, path) {
                return None;
            }
            continue;
        }
        let Some(path) = locate(&tree, &span).filter(|path| !path.is_empty()) else {
            findings.error(span, &format!("{}: {}", label.of(&[]), error.message()), "");
            return None;
        };
        let (message, help) = explain(error.message(), &path, label, beside);
        findings.error(span, &message, &help);
        unsound.insert(dotted(&path));
        if !remove(&mut tree, &path) {
            return None;
        }
    }
}

/// Stand-ins for missing keys. Each has a span outside of any file, so that an error about it can be told apart.
#[derive(Default)]
struct Placeholders {
    put: BTreeMap<usize, (Vec<Step>, usize)>,
}

impl Placeholders {
    fn path_of(&self, span: &Range<usize>) -> Option<Vec<Step>> {
        self.put.get(&span.start).map(|(path, _)| path.clone())
    }

    /// Puts the next stand-in at `path`; false when there is none left to try.
    fn put(&mut self, tree: &mut Node<'_>, path: Vec<Step>) -> bool {
        let known = self.put.iter().find(|(_, (p, _))| *p == path).map(|(at, (_, tries))| (*at, *tries));
        let (at, tries) = known.unwrap_or((usize::MAX - self.put.len(), 0));
        let stand_in = match tries {
            0 => DeValue::String(Cow::Borrowed("placeholder:placeholder")),
            1 => DeValue::Array(DeArray::default()),
            2 => DeValue::Integer(toml::de::DeInteger::default()),
            3 => DeValue::Boolean(false),
            4 => DeValue::Table(DeTable::new()),
            _ => return false,
        };
        let Some((Step::Key(key), parent)) = path.split_last() else { return false };
        let Some(DeValue::Table(table)) = descend(tree, parent).map(Spanned::get_mut) else { return false };
        let entry = Spanned::new(at..at, Cow::Owned(key.clone()));
        table.remove(key.as_str());
        table.insert(entry, Spanned::new(at..at, stand_in));
        self.put.insert(at, (path, tries + 1));
        true
    }
}

/// The path to the entry whose key or value stands exactly at `span`; failing that, to the innermost one around it.
fn locate(node: &Node<'_>, span: &Range<usize>) -> Option<Vec<Step>> {
    find(node, &|s| s == span).or_else(|| find(node, &|s| s.start <= span.start && span.end <= s.end))
}

fn find(node: &Node<'_>, hit: &dyn Fn(&Range<usize>) -> bool) -> Option<Vec<Step>> {
    let under = |step: Step, child: &Node<'_>| {
        let below = find(child, hit);
        below.or_else(|| hit(&child.span()).then(Vec::new)).map(|mut path| {
            path.insert(0, step);
            path
        })
    };
    match node.get_ref() {
        DeValue::Table(table) => table.iter().find_map(|(key, child)| {
            let step = || Step::Key(key.get_ref().to_string());
            if hit(&key.span()) { Some(vec![step()]) } else { under(step(), child) }
        }),
        DeValue::Array(array) => array.iter().enumerate().find_map(|(i, child)| under(Step::Index(i), child)),
        _ => None,
    }
}

fn descend<'n, 't>(mut node: &'n mut Node<'t>, path: &[Step]) -> Option<&'n mut Node<'t>> {
    for step in path {
        node = match (node.get_mut(), step) {
            (DeValue::Table(table), Step::Key(key)) => table.get_mut(key.as_str())?,
            (DeValue::Array(array), Step::Index(i)) => array.get_mut(*i)?,
            _ => return None,
        };
    }
    Some(node)
}

fn remove(tree: &mut Node<'_>, path: &[Step]) -> bool {
    let Some((last, parent)) = path.split_last() else { return false };
    match (descend(tree, parent).map(Spanned::get_mut), last) {
        (Some(DeValue::Table(table)), Step::Key(key)) => table.remove(key.as_str()).is_some(),
        (Some(DeValue::Array(array)), Step::Index(i)) => {
            *array = array.iter().enumerate().filter(|(n, _)| n != i).map(|(_, element)| element.clone()).collect();
            true
        }
        _ => false,
    }
}

fn dotted(path: &[Step]) -> String {
    let parts: Vec<_> = path
        .iter()
        .map(|step| match step {
            Step::Key(key) => key.clone(),
            Step::Index(i) => i.to_string(),
        })
        .collect();
    parts.join(".")
}
