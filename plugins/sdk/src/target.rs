//! What can be done to a target, as methods. Each is one capability: what is not called is not imported.

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

    /// Ends one instance and starts it afresh under the same name. What it held in memory is lost: cannot be undone.
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
