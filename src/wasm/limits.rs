//! What one run may use at most, and the counters that hold it to that.

use std::time::Duration;

use wasmtime::ResourceLimiter;

/// What one run may use at most. Always on; a run that goes past one ends with an error that names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// One deadline over guest and host time for what only the component does: describing, validating, proposing, its
    /// word on a cure. Wall time, so generous: a loaded machine must not fail an innocent component.
    pub wall: Duration,
    /// The same for a dry run, in which the host looks at targets while a person waits.
    pub wall_dry_run: Duration,
    /// The same for a real run: actions wait until they took effect, which is minutes on a slow platform.
    pub wall_acting: Duration,
    /// Units of work, about one an instruction: the reproducible budget. Half a second or so of computing; the stock
    /// components use less than a ten-thousandth.
    pub fuel: u64,
    /// All linear memories together. Interpreters (Python, JavaScript) take 9 to 13 MiB.
    pub memory_bytes: usize,
    /// All tables together. Interpreters need six to eight thousand.
    pub table_elements: usize,
    /// Core instances in one component; an ordinary one has four, an interpreter with libraries thirty.
    pub instances: usize,
    /// Calls to the host. Every one of them is recorded in the ledger, so this bounds a record, too.
    pub host_calls: u32,
    /// Bytes of all its calls with their answers, about: a run is one record in the ledger, which has an end.
    pub record_bytes: usize,
    /// Bytes a component may hand over in one call to the host: texts and lists together.
    pub call_bytes: usize,
    /// Bytes of log lines; what is more is dropped and counted.
    pub log_bytes: usize,
    /// Bytes of notes, keys and values together, that a playbook keeps for one service.
    pub state_bytes: usize,
    /// Size of a component's file. Interpreters make 12 to 18 MB.
    pub component_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            wall: Duration::from_secs(10),
            wall_dry_run: Duration::from_secs(30),
            wall_acting: Duration::from_secs(15 * 60),
            fuel: 500_000_000,
            memory_bytes: 128 << 20,
            table_elements: 100_000,
            instances: 100,
            host_calls: 200,
            record_bytes: 1 << 20,
            call_bytes: 64 << 10,
            log_bytes: 16 << 10,
            state_bytes: 16 << 10,
            component_bytes: 64 << 20,
        }
    }
}

/// Most characters of a sentence that a component says to people.
pub(super) const SENTENCE: usize = 500;
/// Most bytes of a name or an argument: what a DNS name may have, which bounds most platforms' names.
pub(super) const NAME: usize = 253;
/// Most parameters of a playbook, arguments of a proposal, proposals of a rule.
pub(super) const ITEMS: usize = 32;

/// A text from a component as it may be shown: one line, no control characters, at most `max` characters.
pub(super) fn shown(text: &str, max: usize) -> String {
    let plain = |c: char| if c.is_control() || is_bidi_control(c) { ' ' } else { c };
    let mut line: String = text.chars().take(max).map(plain).collect();
    if text.chars().nth(max).is_some() {
        line.push_str("...");
    }
    line
}

/// Is it one line that reads as what it is? Then [`shown`] leaves it as it is.
pub(super) fn is_plain(text: &str) -> bool {
    !text.chars().any(|c| c.is_control() || is_bidi_control(c))
}

/// Characters that reorder what is around them: an approver must read what is there.
fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Counts what a store's instances take, and remembers what was refused.
#[derive(Debug)]
pub(super) struct Counters {
    memory_left: usize,
    table_left: usize,
    instances: usize,
    /// What ran out, once something has.
    pub(super) refused: Option<&'static str>,
}

impl Counters {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            memory_left: limits.memory_bytes,
            table_left: limits.table_elements,
            instances: limits.instances,
            refused: None,
        }
    }

    /// Ends the run rather than letting the component go on with less: most cannot, and their own message is worse.
    fn take(left: &mut usize, grow_by: usize) -> Option<()> {
        *left = left.checked_sub(grow_by)?;
        Some(())
    }
}

impl ResourceLimiter for Counters {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        if Self::take(&mut self.memory_left, desired.saturating_sub(current)).is_none() {
            self.refused = Some("memory");
            return Err(wasmtime::Error::msg("out of the run's memory"));
        }
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        if Self::take(&mut self.table_left, desired.saturating_sub(current)).is_none() {
            self.refused = Some("table elements");
            return Err(wasmtime::Error::msg("out of the run's table elements"));
        }
        Ok(true)
    }

    fn instances(&self) -> usize {
        self.instances
    }

    fn tables(&self) -> usize {
        self.instances
    }

    fn memories(&self) -> usize {
        self.instances
    }
}
