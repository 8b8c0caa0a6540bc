//! The tables of `suture.toml` that belong to no single stage: one struct a concern.
//!
//! Sources, detector and targets have their settings with their stages. Unknown keys are refused everywhere, every
//! duration is text with its unit, and every default stands here once (the starter file repeats it as a comment).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::chaos::ChaosAllow;
use super::people::AllowSettings;
use super::window::Window;
use crate::detect::DetectSettings;
use crate::model::{
    ActionKind, Allow, ApprovalPolicy, Digest, Guard, Mode, SecretRef, TargetId, VerifyPolicy, duration_text,
};
use crate::wasm::Limits;

/// The `[suture]` table: the daemon itself.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Daemon {
    /// Where the ledger, its views, samples and models are kept. Relative to the config file; absolute once loaded
    /// from an absolute path.
    pub data_dir: PathBuf,
    /// A label on every card: `prod`, `staging`. Empty: none.
    pub environment: String,
    /// May chaos experiments be done here?
    pub chaos: ChaosAllow,
    /// What is logged: a level, or a list like `info,suture=debug`.
    pub log: String,
    /// How it is logged.
    pub log_format: LogFormat,
    /// How long a shutdown may take before what is left is cut off.
    #[serde(with = "duration_text")]
    pub stop_within: Duration,
}

impl Default for Daemon {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("suture-data"),
            environment: String::new(),
            chaos: ChaosAllow::Approve,
            log: "info".to_owned(),
            log_format: LogFormat::Human,
            stop_within: Duration::from_secs(20),
        }
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// A `[[service]]` table as it stands in the file; [`ServiceConfig`](super::ServiceConfig) is what the daemon uses.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceSettings {
    /// What it is called in cards, commands and the ledger.
    pub name: String,
    /// What can be acted on to heal it.
    #[serde(default)]
    pub targets: Vec<TargetId>,
    /// How far Suture may go.
    #[serde(default)]
    pub mode: Mode,
    /// Time between two samples.
    #[serde(default = "five_seconds", with = "duration_text")]
    pub interval: Duration,
    /// How long all sources together may take in one round.
    #[serde(default, deserialize_with = "maybe_duration")]
    pub timeout: Option<Duration>,
    /// Playbooks that may be proposed for it. Left out: every one that is granted something.
    #[serde(default)]
    pub playbooks: Option<Vec<String>>,
    /// Rules that are asked about it. Left out: all.
    #[serde(default)]
    pub rules: Option<Vec<String>>,
    /// Read apart, by kind.
    #[serde(default, rename = "source")]
    pub sources: IgnoredAny,
    /// The detector.
    #[serde(default)]
    pub detect: DetectSettings,
    /// The guardrails.
    #[serde(default)]
    pub guard: GuardSettings,
    /// Who approves.
    #[serde(default)]
    pub approve: ApproveSettings,
    /// How a cure is judged.
    #[serde(default)]
    pub verify: VerifySettings,
}

fn five_seconds() -> Duration {
    Duration::from_secs(5)
}

pub(super) fn maybe_duration<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    duration_text::deserialize(deserializer).map(Some)
}

/// The `[service.guard]` table; see [`Guard`].
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GuardSettings {
    /// Least time between two actions of one kind on one target.
    #[serde(with = "duration_text")]
    pub cooldown: Duration,
    /// Most actions in any hour for the service.
    pub actions_per_hour: u32,
    /// Greatest change of the instance count in one plan.
    pub max_replica_delta: u32,
    /// Greatest part of a target's instances that one plan may restart or isolate, 0 to 1.
    pub max_share: f64,
}

impl Default for GuardSettings {
    fn default() -> Self {
        let Guard { cooldown, actions_per_hour, max_replica_delta, max_share } = Guard::default();
        Self { cooldown, actions_per_hour, max_replica_delta, max_share }
    }
}

impl From<GuardSettings> for Guard {
    fn from(s: GuardSettings) -> Self {
        let GuardSettings { cooldown, actions_per_hour, max_replica_delta, max_share } = s;
        Self { cooldown, actions_per_hour, max_replica_delta, max_share }
    }
}

/// The `[service.approve]` table; see [`ApprovalPolicy`].
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApproveSettings {
    /// Globs over person ids: `console:*`, `unix:1000`.
    pub who: Vec<String>,
    /// How many different people.
    pub quorum: u32,
    /// How long the question stands.
    #[serde(with = "duration_text")]
    pub expiry: Duration,
    /// May who asked for a plan be one of those who approve it?
    pub requester_may_approve: bool,
    /// Kinds of action that take a one-time code besides.
    pub second_factor: Vec<ActionKind>,
    /// When others are called to a question that nobody answers.
    #[serde(deserialize_with = "maybe_duration")]
    pub escalate_after: Option<Duration>,
    /// Channels, people, groups and roles.
    pub escalate_to: Vec<String>,
    /// When something may be changed at all; always when empty.
    pub windows: Vec<Window>,
}

impl Default for ApproveSettings {
    fn default() -> Self {
        let policy = ApprovalPolicy::default();
        Self {
            who: policy.who,
            quorum: policy.quorum,
            expiry: policy.expiry,
            requester_may_approve: policy.requester_may_approve,
            second_factor: policy.second_factor,
            escalate_after: policy.escalate_after,
            escalate_to: policy.escalate_to,
            windows: Vec::new(),
        }
    }
}

impl ApproveSettings {
    /// The policy of the service of this name, with the rules that are for it.
    pub(super) fn policy(&self, service: &str, rules: &[AllowSettings]) -> ApprovalPolicy {
        let for_it = |rule: &&AllowSettings| rule.services.is_empty() || rule.services.iter().any(|s| s == service);
        let rule = |rule: &AllowSettings| Allow {
            who: rule.who.clone(),
            verbs: rule.verbs.clone(),
            actions: rule.actions.clone(),
            targets: rule.targets.clone(),
        };
        ApprovalPolicy {
            who: self.who.clone(),
            allow: rules.iter().filter(for_it).map(rule).collect(),
            quorum: self.quorum,
            expiry: self.expiry,
            requester_may_approve: self.requester_may_approve,
            second_factor: self.second_factor.clone(),
            escalate_after: self.escalate_after,
            escalate_to: self.escalate_to.clone(),
        }
    }
}

/// The `[service.verify]` table; see [`VerifyPolicy`].
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VerifySettings {
    /// Time for the change to take effect before anything is judged.
    #[serde(with = "duration_text")]
    pub settle: Duration,
    /// How many samples in a row must be normal to say "improved".
    pub clear_samples: u32,
    /// Longest time to wait for that.
    #[serde(with = "duration_text")]
    pub deadline: Duration,
    /// Take the run back when the service did not get better.
    pub undo_when_not_better: bool,
}

impl Default for VerifySettings {
    fn default() -> Self {
        let VerifyPolicy { settle, clear_samples, deadline, undo_when_not_better } = VerifyPolicy::default();
        Self { settle, clear_samples, deadline, undo_when_not_better }
    }
}

impl From<VerifySettings> for VerifyPolicy {
    fn from(s: VerifySettings) -> Self {
        let VerifySettings { settle, clear_samples, deadline, undo_when_not_better } = s;
        Self { settle, clear_samples, deadline, undo_when_not_better }
    }
}

/// The `[plugins]` table: components beside the ones that are built in, and what all of them may use.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Plugins {
    /// Folder with playbooks, `<name>.wasm`; one with the name of a built-in one replaces it. Relative to the config
    /// file.
    pub playbooks_dir: Option<PathBuf>,
    /// The same for rules.
    pub rules_dir: Option<PathBuf>,
    /// Globs over ids of people: who may `accept` a changed component and `enable` a disabled one.
    pub admins: Vec<String>,
    /// Only components of the folders that `pins` names are taken.
    pub require_pins: bool,
    /// Component name to the SHA-256 its bytes must have; another one is not taken.
    pub pins: BTreeMap<String, Digest>,
    /// What one run of a component may use.
    pub limits: LimitSettings,
}

impl Default for Plugins {
    fn default() -> Self {
        Self {
            playbooks_dir: None,
            rules_dir: None,
            admins: vec!["console:*".to_owned(), "unix:*".to_owned()],
            require_pins: false,
            pins: BTreeMap::new(),
            limits: LimitSettings::default(),
        }
    }
}

/// The `[plugins.limits]` table; see [`Limits`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitSettings {
    /// Describing, proposing, a word on a cure.
    #[serde(with = "duration_text")]
    pub wall: Duration,
    /// A dry run.
    #[serde(with = "duration_text")]
    pub wall_dry_run: Duration,
    /// A run that acts.
    #[serde(with = "duration_text")]
    pub wall_acting: Duration,
    /// Units of work, about one an instruction.
    pub fuel: u64,
    /// Memory in MiB.
    pub memory_mib: usize,
    /// All tables together.
    pub table_elements: usize,
    /// Core instances in one component.
    pub instances: usize,
    /// Calls to the host.
    pub host_calls: u32,
    /// Bytes handed over in one call.
    pub call_bytes: usize,
    /// Bytes of log lines.
    pub log_bytes: usize,
    /// Bytes of notes kept for one service.
    pub state_bytes: usize,
    /// Size of a component's file in MiB.
    pub component_mib: usize,
}

impl Default for LimitSettings {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            wall: limits.wall,
            wall_dry_run: limits.wall_dry_run,
            wall_acting: limits.wall_acting,
            fuel: limits.fuel,
            memory_mib: limits.memory_bytes >> 20,
            table_elements: limits.table_elements,
            instances: limits.instances,
            host_calls: limits.host_calls,
            call_bytes: limits.call_bytes,
            log_bytes: limits.log_bytes,
            state_bytes: limits.state_bytes,
            component_mib: limits.component_bytes >> 20,
        }
    }
}

impl From<&LimitSettings> for Limits {
    fn from(s: &LimitSettings) -> Self {
        Self {
            wall: s.wall,
            wall_dry_run: s.wall_dry_run,
            wall_acting: s.wall_acting,
            fuel: s.fuel,
            memory_bytes: s.memory_mib << 20,
            table_elements: s.table_elements,
            instances: s.instances,
            host_calls: s.host_calls,
            record_bytes: Self::default().record_bytes,
            call_bytes: s.call_bytes,
            log_bytes: s.log_bytes,
            state_bytes: s.state_bytes,
            component_bytes: s.component_mib << 20,
        }
    }
}

/// The `[chat]` table: where people are asked.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Chat {
    /// The terminal that the daemon runs in.
    pub console: bool,
    /// A Slack workspace.
    pub slack: Option<SlackSettings>,
    /// A Discord server.
    pub discord: Option<DiscordSettings>,
    /// Who may turn a sentence into a command, besides what Suture understands by itself.
    pub reader: Option<ReaderTable>,
}

/// The `[chat.slack]` table.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlackSettings {
    /// The channel's id, `C024BE91L`: where cards go.
    pub channel: String,
    /// The bot's token, `xoxb-...`.
    pub bot_token: SecretRef,
    /// The app-level token, `xapp-...`: Socket Mode, which needs no public address.
    #[serde(default)]
    pub app_token: Option<SecretRef>,
    /// Slack posts to us instead.
    #[serde(default)]
    pub http: Option<SlackHttpSettings>,
    /// Another base of Slack's web API: a proxy, an emulator.
    #[serde(default)]
    pub api: Option<String>,
}

/// The `[chat.slack.http]` table.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlackHttpSettings {
    /// Where to listen; a proxy with TLS belongs in front.
    pub listen: SocketAddr,
    /// The app's signing secret.
    pub signing_secret: SecretRef,
}

/// The `[chat.discord]` table.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiscordSettings {
    /// The bot's token.
    pub token: SecretRef,
    /// The server's id.
    pub guild: String,
    /// The channel's id: where cards go.
    pub channel: String,
    /// Another base of Discord's API: a proxy, an emulator.
    #[serde(default)]
    pub api: Option<String>,
}

/// The `[chat.reader]` table: an endpoint that speaks OpenAI's protocol.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReaderTable {
    /// Its base: `https://api.openai.com/v1`.
    pub url: String,
    /// The model to ask for.
    pub model: String,
    /// Its key; some local ones need none.
    #[serde(default)]
    pub key: Option<SecretRef>,
    /// Longest time for one answer.
    #[serde(default = "five_seconds", with = "duration_text")]
    pub timeout: Duration,
    /// Most questions a minute.
    #[serde(default = "ten")]
    pub per_minute: u32,
    /// May it be told the names of services, metrics and playbooks?
    #[serde(default)]
    pub send_names: bool,
}

fn ten() -> u32 {
    10
}

impl Default for Chat {
    fn default() -> Self {
        Self { console: cfg!(feature = "console"), slack: None, discord: None, reader: None }
    }
}
