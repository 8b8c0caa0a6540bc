//! One effect through the host API, what it changes, and what it would do to a target that is only imagined.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{TargetId, TargetState};

/// One effect on one target. Always absolute ("to 4"), never relative ("2 more"): doing it twice is doing it once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
pub enum Action {
    /// Have this many instances.
    Scale {
        /// What is scaled.
        target: TargetId,
        /// How many instances afterwards.
        to: u32,
    },
    /// End one instance and start it afresh.
    Restart {
        /// What it belongs to.
        target: TargetId,
        /// Which instance.
        instance: String,
    },
    /// Give instances other parts of the traffic.
    Shift {
        /// Whose traffic.
        target: TargetId,
        /// Instance to weight; instances not named keep theirs.
        weights: BTreeMap<String, u32>,
    },
    /// Take an instance out of the traffic, or back in.
    Isolate {
        /// What it belongs to.
        target: TargetId,
        /// Which instance.
        instance: String,
        /// Out (`true`) or back in (`false`).
        isolated: bool,
    },
    /// Let cached answers live this long.
    Cache {
        /// Whose cache.
        target: TargetId,
        /// How long, in milliseconds.
        ttl_ms: u64,
    },
    /// Have the platform replace or restart every instance, a few at a time.
    Rollout {
        /// Whose instances.
        target: TargetId,
    },
    /// Let the platform's own autoscaler keep the number of instances within these bounds: how a scaling of what an
    /// autoscaler owns is taken back. No playbook asks for it.
    Bounds {
        /// What it scales.
        target: TargetId,
        /// Never fewer.
        min: u32,
        /// Never more.
        max: u32,
    },
    /// Give one of the target's settings another value.
    Configure {
        /// Whose setting.
        target: TargetId,
        /// Which one, as [`TargetState::settings`] names it.
        setting: String,
        /// The value afterwards.
        value: String,
    },
    /// Throw away the entries whose keys begin with this.
    Flush {
        /// Whose entries.
        target: TargetId,
        /// What their keys begin with; never empty.
        prefix: String,
    },
}

/// The kinds of action, each a capability of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ActionKind {
    /// Change how many instances there are.
    Scale,
    /// End and start instances.
    Restart,
    /// Move traffic between instances.
    Traffic,
    /// Take instances out of the traffic.
    Isolate,
    /// Change how long answers are cached.
    Cache,
    /// Change settings.
    Configure,
    /// Throw away what is stored.
    Flush,
}

impl ActionKind {
    /// All of them, in the order of the docs.
    pub const ALL: [Self; 7] =
        [Self::Scale, Self::Restart, Self::Traffic, Self::Isolate, Self::Cache, Self::Configure, Self::Flush];

    /// The word in config, contracts and cards.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Scale => "scale",
            Self::Restart => "restart",
            Self::Traffic => "traffic",
            Self::Isolate => "isolate",
            Self::Cache => "cache",
            Self::Configure => "configure",
            Self::Flush => "flush",
        }
    }

    /// How much an action of this kind can hurt. A restart loses what the process held in memory, so it cannot be had
    /// back, and neither can what was thrown away.
    #[must_use]
    pub fn effect(self) -> Effect {
        match self {
            Self::Restart | Self::Flush => Effect::Destructive,
            Self::Scale | Self::Traffic | Self::Isolate | Self::Cache | Self::Configure => Effect::Mutate,
        }
    }

    /// Fewest people who have to approve an action of this kind, whatever the policy says: what throws away data that
    /// nobody can bring back is never one person's word.
    #[must_use]
    pub fn least_quorum(self) -> u32 {
        if self == Self::Flush { 2 } else { 1 }
    }
}

impl fmt::Display for ActionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How much an action can hurt; part of the contract with playbooks and shown to approvers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// Changes nothing.
    Observe,
    /// Changes something that can be changed back.
    Mutate,
    /// Ends or loses something that cannot be had back.
    Destructive,
}

/// The one aspect of a target's state that an action changes: what is compared for "before still holds".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Facet {
    /// How many instances are wanted.
    Replicas(u32),
    /// How often the instance was restarted.
    Generation(u64),
    /// Parts of the traffic, for the instances the action names.
    Weights(BTreeMap<String, u32>),
    /// Out of the traffic?
    Isolated(bool),
    /// Lifetime of cached answers in milliseconds.
    CacheTtlMs(u64),
    /// The bounds of the platform's autoscaler.
    Bounds {
        /// Never fewer instances.
        min: u32,
        /// Never more.
        max: u32,
    },
    /// The value of a setting.
    Setting(String),
    /// Were the entries thrown away?
    Flushed(bool),
}

/// Generations from here on are times in seconds since the epoch: platforms that do not count restarts say since when an
/// instance has run.
const A_TIME: u64 = 1_000_000_000;

impl Facet {
    /// A generation that says since when, not how often.
    #[must_use]
    pub fn is_since(&self) -> bool {
        matches!(self, Self::Generation(n) if *n >= A_TIME)
    }

    /// Does the target, which is `self` now, stand where an action of this kind leaves it? A restart is done when the
    /// instance is a later one, whichever.
    #[must_use]
    pub fn reached(&self, before: &Self, after: &Self) -> bool {
        match (self, before) {
            (Self::Generation(now), Self::Generation(was)) => now > was,
            _ => self == after,
        }
    }
}

impl fmt::Display for Facet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Replicas(n) => write!(f, "{n}"),
            Self::Generation(n) if *n >= A_TIME => {
                let seconds = i64::try_from(*n).unwrap_or(i64::MAX);
                write!(f, "since {}", super::Timestamp(seconds.saturating_mul(1000)))
            }
            Self::Generation(n) => write!(f, "generation {n}"),
            Self::Weights(weights) => {
                let parts: Vec<_> = weights.iter().map(|(name, weight)| format!("{name}={weight}")).collect();
                f.write_str(&parts.join(" "))
            }
            Self::Isolated(true) => f.write_str("isolated"),
            Self::Isolated(false) => f.write_str("in traffic"),
            Self::CacheTtlMs(ms) => write!(f, "{}", super::in_words(std::time::Duration::from_millis(*ms))),
            Self::Bounds { min, max } => write!(f, "{min} to {max}"),
            Self::Setting(value) if value.is_empty() => f.write_str("unset"),
            Self::Setting(value) => f.write_str(value),
            Self::Flushed(true) => f.write_str("thrown away"),
            Self::Flushed(false) => f.write_str("kept"),
        }
    }
}

/// An action that makes no sense for the target as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SimulateError {
    /// The instance is not there.
    #[error("{target} has no instance `{instance}`")]
    NoInstance {
        /// The target.
        target: TargetId,
        /// The name that was asked for.
        instance: String,
    },
    /// The platform would refuse the count.
    #[error("{target} allows {min} to {max} instances, not {asked}")]
    OutOfRange {
        /// The target.
        target: TargetId,
        /// Least.
        min: u32,
        /// Most.
        max: u32,
        /// Asked for.
        asked: u32,
    },
    /// The target has no cache to steer.
    #[error("{0} has no cache that can be steered")]
    NoCache(TargetId),
    /// A weight outside 0 to 1000, or no weight at all.
    #[error("weights for {0} must name at least one instance and lie within 0 to 1000")]
    BadWeights(TargetId),
    /// The target cannot be rolled out.
    #[error("{0} has no platform that replaces its instances a few at a time: restart them one by one")]
    NoRollout(TargetId),
    /// No autoscaler owns it.
    #[error("{0} has no autoscaler")]
    NoAutoscaler(TargetId),
    /// No such setting.
    #[error("{target} has no setting `{setting}`; it has {known}")]
    NoSetting {
        /// The target.
        target: TargetId,
        /// What was asked for.
        setting: String,
        /// What there is.
        known: String,
    },
    /// A value that no setting can have.
    #[error("a value of `{setting}` is one line of at most {MOST_VALUE} bytes")]
    BadValue {
        /// The setting.
        setting: String,
    },
    /// Nothing is stored under keys there, or the prefix is empty.
    #[error("{0} cannot throw away entries by that prefix: it stores none, or the prefix is empty")]
    NoFlush(TargetId),
}

/// Longest value of a setting in bytes: it stands on a card.
pub const MOST_VALUE: usize = 256;

impl Action {
    /// What it acts on.
    #[must_use]
    pub fn target(&self) -> &TargetId {
        match self {
            Self::Scale { target, .. }
            | Self::Restart { target, .. }
            | Self::Shift { target, .. }
            | Self::Isolate { target, .. }
            | Self::Cache { target, .. }
            | Self::Rollout { target }
            | Self::Bounds { target, .. }
            | Self::Configure { target, .. }
            | Self::Flush { target, .. } => target,
        }
    }

    /// Which capability it needs.
    #[must_use]
    pub fn kind(&self) -> ActionKind {
        match self {
            Self::Scale { .. } | Self::Bounds { .. } => ActionKind::Scale,
            Self::Restart { .. } | Self::Rollout { .. } => ActionKind::Restart,
            Self::Shift { .. } => ActionKind::Traffic,
            Self::Isolate { .. } => ActionKind::Isolate,
            Self::Cache { .. } => ActionKind::Cache,
            Self::Configure { .. } => ActionKind::Configure,
            Self::Flush { .. } => ActionKind::Flush,
        }
    }

    /// How much it can hurt.
    #[must_use]
    pub fn effect(&self) -> Effect {
        self.kind().effect()
    }

    /// The aspect of `state` that this action would change, as it is now.
    ///
    /// # Errors
    /// When the target as it is has no such aspect, or would refuse the action.
    pub fn facet(&self, state: &TargetState) -> Result<Facet, SimulateError> {
        let instance = |target: &TargetId, name: &str| {
            state.instance(name).ok_or_else(|| SimulateError::NoInstance {
                target: target.clone(),
                instance: name.chars().take(80).collect(),
            })
        };
        match self {
            Self::Scale { target, to } => {
                let (min, max) = (state.min_replicas, state.max_replicas);
                if (min..=max).contains(to) {
                    Ok(match &state.autoscaler {
                        // What is set is the autoscaler's floor: the count itself is the autoscaler's and moves by itself.
                        Some(scaler) => Facet::Bounds { min: scaler.min, max: scaler.max },
                        None => Facet::Replicas(state.replicas),
                    })
                } else {
                    Err(SimulateError::OutOfRange { target: target.clone(), min, max, asked: *to })
                }
            }
            Self::Restart { target, instance: name } => instance(target, name).map(|i| Facet::Generation(i.generation)),
            Self::Shift { target, weights } => {
                if weights.is_empty() || weights.values().any(|w| *w > 1000) {
                    return Err(SimulateError::BadWeights(target.clone()));
                }
                let now: Result<_, _> =
                    weights.keys().map(|name| instance(target, name).map(|i| (name.clone(), i.weight))).collect();
                now.map(Facet::Weights)
            }
            Self::Isolate { target, instance: name, .. } => instance(target, name).map(|i| Facet::Isolated(i.isolated)),
            Self::Cache { target, .. } => {
                state.cache_ttl_ms.map(Facet::CacheTtlMs).ok_or_else(|| SimulateError::NoCache(target.clone()))
            }
            Self::Rollout { target } => {
                state.rollout.map(Facet::Generation).ok_or_else(|| SimulateError::NoRollout(target.clone()))
            }
            Self::Bounds { target, .. } => match &state.autoscaler {
                Some(scaler) => Ok(Facet::Bounds { min: scaler.min, max: scaler.max }),
                None => Err(SimulateError::NoAutoscaler(target.clone())),
            },
            Self::Configure { target, setting, value } => {
                if value.len() > MOST_VALUE || value.chars().any(char::is_control) {
                    return Err(SimulateError::BadValue { setting: setting.chars().take(80).collect() });
                }
                let known = || match state.settings.is_empty() {
                    true => "none".to_owned(),
                    false => state.settings.keys().take(20).cloned().collect::<Vec<_>>().join(", "),
                };
                state.settings.get(setting).cloned().map(Facet::Setting).ok_or_else(|| SimulateError::NoSetting {
                    target: target.clone(),
                    setting: setting.chars().take(80).collect(),
                    known: known(),
                })
            }
            Self::Flush { target, prefix } => match state.stores_entries && !prefix.is_empty() {
                true => Ok(Facet::Flushed(false)),
                false => Err(SimulateError::NoFlush(target.clone())),
            },
        }
    }

    /// What `facet` will say once the action is done, given what it says before.
    #[must_use]
    pub fn outcome(&self, before: &Facet) -> Facet {
        match (self, before) {
            (Self::Scale { to, .. }, Facet::Bounds { max, .. }) => Facet::Bounds { min: *to, max: (*max).max(*to) },
            (Self::Scale { to, .. }, _) => Facet::Replicas(*to),
            (Self::Bounds { min, max, .. }, _) => Facet::Bounds { min: *min, max: *max },
            (Self::Rollout { .. }, Facet::Generation(n)) => Facet::Generation(n + 1),
            (Self::Rollout { .. }, _) => Facet::Generation(1),
            (Self::Configure { value, .. }, _) => Facet::Setting(value.clone()),
            (Self::Flush { .. }, _) => Facet::Flushed(true),
            (Self::Restart { .. }, Facet::Generation(n)) => Facet::Generation(n + 1),
            (Self::Restart { .. }, _) => Facet::Generation(1),
            (Self::Shift { weights, .. }, _) => Facet::Weights(weights.clone()),
            (Self::Isolate { isolated, .. }, _) => Facet::Isolated(*isolated),
            (Self::Cache { ttl_ms, .. }, _) => Facet::CacheTtlMs(*ttl_ms),
        }
    }

    /// Does to `state` what the action would do to the target: the overlay of a dry run.
    pub fn simulate(&self, state: &mut TargetState) {
        match self {
            Self::Scale { to, .. } => {
                state.replicas = *to;
                if let Some(scaler) = &mut state.autoscaler {
                    (scaler.min, scaler.max) = (*to, scaler.max.max(*to));
                }
                state.resize();
            }
            Self::Bounds { min, max, .. } => {
                if let Some(scaler) = &mut state.autoscaler {
                    (scaler.min, scaler.max) = (*min, *max);
                }
                state.replicas = state.replicas.clamp(*min, (*max).max(*min));
                state.resize();
            }
            Self::Rollout { .. } => {
                state.rollout = state.rollout.map(|n| n + 1);
                for i in &mut state.instances {
                    i.generation += 1;
                    i.up = true;
                }
            }
            Self::Configure { setting, value, .. } => {
                state.settings.insert(setting.clone(), value.clone());
            }
            // What is thrown away is no part of the state.
            Self::Flush { .. } => {}
            Self::Restart { instance, .. } => {
                for i in state.instances.iter_mut().filter(|i| i.name == *instance) {
                    i.generation += 1;
                    i.up = true;
                }
            }
            Self::Shift { weights, .. } => {
                for i in &mut state.instances {
                    if let Some(weight) = weights.get(&i.name) {
                        i.weight = *weight;
                    }
                }
            }
            Self::Isolate { instance, isolated, .. } => {
                for i in state.instances.iter_mut().filter(|i| i.name == *instance) {
                    i.isolated = *isolated;
                }
            }
            Self::Cache { ttl_ms, .. } => state.cache_ttl_ms = Some(*ttl_ms),
        }
    }

    /// The action that puts things back to `before`; `None` where nothing can.
    #[must_use]
    pub fn inverse(&self, before: &Facet) -> Option<Self> {
        match (self, before) {
            (Self::Scale { target, .. }, Facet::Replicas(n)) => Some(Self::Scale { target: target.clone(), to: *n }),
            (Self::Scale { target, .. } | Self::Bounds { target, .. }, Facet::Bounds { min, max }) => {
                Some(Self::Bounds { target: target.clone(), min: *min, max: *max })
            }
            (Self::Configure { target, setting, .. }, Facet::Setting(value)) => {
                Some(Self::Configure { target: target.clone(), setting: setting.clone(), value: value.clone() })
            }
            (Self::Shift { target, .. }, Facet::Weights(weights)) => {
                Some(Self::Shift { target: target.clone(), weights: weights.clone() })
            }
            (Self::Isolate { target, instance, .. }, Facet::Isolated(isolated)) => {
                Some(Self::Isolate { target: target.clone(), instance: instance.clone(), isolated: *isolated })
            }
            (Self::Cache { target, .. }, Facet::CacheTtlMs(ms)) => {
                Some(Self::Cache { target: target.clone(), ttl_ms: *ms })
            }
            _ => None,
        }
    }

    /// The thing that changes, for the left of a diff line: `local:shop workers`, `local:shop/shop-2`.
    #[must_use]
    pub fn subject(&self) -> String {
        match self {
            Self::Scale { target, .. } => format!("{target} {}", unit(target)),
            Self::Bounds { target, .. } => format!("{target} {} of the autoscaler", unit(target)),
            Self::Rollout { target } => format!("{target} rollout"),
            Self::Configure { target, setting, .. } => format!("{target} {setting}"),
            Self::Flush { target, prefix } => format!("{target} entries {prefix}*"),
            Self::Restart { target, instance } | Self::Isolate { target, instance, .. } => {
                format!("{target}/{instance}")
            }
            Self::Shift { target, .. } => format!("{target} weights"),
            Self::Cache { target, .. } => format!("{target} cache lifetime"),
        }
    }
}

/// What the instances of a target are called.
fn unit(target: &TargetId) -> &'static str {
    match target.kind() {
        "local" => "workers",
        "k8s" => "replicas",
        _ => "instances",
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scale { target, to } => write!(f, "scale {target} to {to}"),
            Self::Bounds { target, min, max } => write!(f, "let the autoscaler keep {target} between {min} and {max}"),
            Self::Rollout { target } => write!(f, "roll {target} out anew, a few instances at a time"),
            Self::Configure { target, setting, value } => {
                write!(f, "set {setting} of {target} to {}", Facet::Setting(value.clone()))
            }
            Self::Flush { target, prefix } => write!(f, "throw away all entries {prefix}* of {target}"),
            Self::Restart { target, instance } => write!(f, "restart {target}/{instance}"),
            Self::Shift { target, weights } => {
                write!(f, "shift traffic of {target} to {}", Facet::Weights(weights.clone()))
            }
            Self::Isolate { target, instance, isolated: true } => write!(f, "isolate {target}/{instance}"),
            Self::Isolate { target, instance, isolated: false } => {
                write!(f, "take {target}/{instance} back into the traffic")
            }
            Self::Cache { target, ttl_ms } => {
                write!(f, "cache answers of {target} for {}", Facet::CacheTtlMs(*ttl_ms))
            }
        }
    }
}

impl TargetState {
    /// Brings the list of instances into line with `replicas`, as a platform would: new ones at the end, the last
    /// ones first to go.
    fn resize(&mut self) {
        let wanted = self.replicas as usize;
        self.instances.truncate(wanted);
        let stem = self
            .instances
            .first()
            .and_then(|i| i.name.rsplit_once('-'))
            .map_or_else(|| "instance".to_owned(), |(stem, _)| stem.to_owned());
        for n in self.instances.len()..wanted {
            self.instances.push(super::Instance {
                name: format!("{stem}-{}", n + 1),
                up: true,
                isolated: false,
                weight: 100,
                generation: 0,
            });
        }
    }
}
