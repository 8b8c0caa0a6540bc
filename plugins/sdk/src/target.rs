//! What can be done to a target, as methods. Each is one capability: what is not called is not imported.

use std::collections::BTreeMap;
use std::fmt;

use crate::{HostError, TargetState, host};

/// Something that can be acted on. The incident gives them ([`find_target`](crate::find_target) and its like); a
/// component cannot name, forge or keep a target. Shown as its address, `kind:name`.
///
/// Each action gives the host's receipt, one line for people. In a dry run it is recorded, not done.
///
/// # Errors
/// All actions can fail with any [`HostError`], decided before any effect except `TimedOut` and `OutcomeUnknown`.
pub struct Target(pub(crate) host::Handle);

#[expect(clippy::missing_errors_doc, reason = "the same for all, said above")]
impl Target {
    /// The whole address, `kind:name`.
    #[must_use]
    pub fn name(&self) -> String {
        self.0.name()
    }

    /// The part before the colon: which platform acts on it.
    #[must_use]
    pub fn kind(&self) -> String {
        self.0.kind()
    }

    /// Looks at it; in a dry run with the changes asked for so far. Changes nothing.
    pub fn state(&self) -> Result<TargetState, HostError> {
        self.0.state()
    }

    /// Has it run `to` instances: absolute, so that asking twice is asking once. Can be undone.
    pub fn scale_to(&self, to: u32) -> Result<String, HostError> {
        host::set_replicas(&self.0, to)
    }

    /// Ends one instance and starts it afresh. What it held in memory is lost: cannot be undone. On platforms that give
    /// each instance a new name (pods of a Deployment) the old name is gone afterwards, so do not act on it again.
    pub fn restart(&self, instance: &str) -> Result<String, HostError> {
        host::restart_instance(&self.0, instance)
    }

    /// Gives instances other parts of the traffic: `target.weigh([("shop-2", 25)])`. 100 is usual, 0 to 1000. Those not
    /// named keep theirs; at least one must be named, each at most once. Can be undone.
    pub fn weigh<N: Into<String>>(&self, weights: impl IntoIterator<Item = (N, u32)>) -> Result<String, HostError> {
        let weights = weights.into_iter().map(|(instance, weight)| (instance.into(), weight)).collect();
        host::set_weights(&self.0, weights)
    }

    /// Takes an instance out of the traffic; it is not ended. Can be undone.
    pub fn isolate(&self, instance: &str) -> Result<String, HostError> {
        host::set_isolated(&self.0, instance, true)
    }

    /// Takes an instance back into the traffic. Can be undone.
    pub fn take_back(&self, instance: &str) -> Result<String, HostError> {
        host::set_isolated(&self.0, instance, false)
    }

    /// Lets cached answers live this many milliseconds. Can be undone.
    pub fn cache_for_ms(&self, ttl_ms: u64) -> Result<String, HostError> {
        host::set_ttl(&self.0, ttl_ms)
    }

    /// Can its platform replace all instances, a few at a time? Looks at it, and changes nothing.
    pub fn rolls_out(&self) -> Result<bool, HostError> {
        host::rolls_out(&self.0)
    }

    /// Has its platform replace all instances, a few at a time, where it [can](Self::rolls_out). Needs the grant of
    /// `restart`; cannot be undone.
    pub fn roll_out(&self) -> Result<String, HostError> {
        host::roll_out(&self.0)
    }

    /// What can be set and what it is set to, in the platform's own notation, empty where it is unset; in a dry run with
    /// the changes asked for so far. Looks at it, and changes nothing.
    pub fn settings(&self) -> Result<BTreeMap<String, String>, HostError> {
        Ok(host::settings(&self.0)?.into_iter().collect())
    }

    /// Gives one of its [settings](Self::settings) another value: one line of at most 256 bytes. Can be undone.
    pub fn configure(&self, setting: &str, value: &str) -> Result<String, HostError> {
        host::set_setting(&self.0, setting, value)
    }

    /// Does it store entries under keys? Looks at it, and changes nothing.
    pub fn stores_entries(&self) -> Result<bool, HostError> {
        host::stores_entries(&self.0)
    }

    /// Throws away the entries whose keys begin with `prefix`, taken as it is, without wildcards; it cannot be empty. Two
    /// people have to approve; cannot be undone.
    pub fn flush(&self, prefix: &str) -> Result<String, HostError> {
        host::flush_by_prefix(&self.0, prefix)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({self})")
    }
}
