//! What the fake workspace consists of. Only ever touched under the lock of [`super::shared::Shared`].

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::delivery::Record;
use super::signed::Http;

/// The workspace.
pub const TEAM: &str = "T0FAKE0001";
/// The bot's user.
pub const BOT: &str = "U0BOT00001";
/// The bot as a bot.
pub const BOT_ID: &str = "B0BOT00001";
/// The app.
pub const APP: &str = "A0FAKE0001";
/// A person; in the group [`ON_CALL`].
pub const ANA: &str = "U0ANA00001";
/// A person.
pub const BEN: &str = "U0BEN00001";
/// A person, only in the public channels.
pub const CARA: &str = "U0CARA0001";
/// A public channel with the bot in it.
pub const INCIDENTS: &str = "C0INCIDENT";
/// Another public channel with the bot in it.
pub const OPS: &str = "C0OPS00001";
/// A private channel with the bot, Ana and Ben in it.
pub const WAR_ROOM: &str = "C0WARROOM1";
/// A public channel that nobody invited the bot to.
pub const RANDOM: &str = "C0RANDOM01";
/// A private channel that the bot cannot even see.
pub const BOARD: &str = "C0BOARD001";
/// A user group with Ana in it.
pub const ON_CALL: &str = "S0ONCALL01";

/// A message as it stands now.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Where it is.
    pub channel: String,
    /// Its identity.
    pub ts: String,
    /// The message it answers, if it is a reply.
    pub thread_ts: Option<String>,
    /// Who wrote it.
    pub user: String,
    /// The text, which is only the notification's when there are blocks.
    pub text: String,
    /// An array, empty without blocks. Slack fills in each `block_id` that was left out, and so does the fake.
    pub blocks: Value,
    /// How often it was changed.
    pub edits: usize,
    /// A reply that the channel sees too.
    pub broadcast: bool,
    /// The ids of the files shared with it.
    pub files: Vec<String>,
    /// The only person who sees it, when it is ephemeral.
    pub only_for: Option<String>,
}

/// A file that the bot uploaded.
#[derive(Clone, Debug, PartialEq)]
pub struct File {
    /// Its identity.
    pub id: String,
    /// The file name.
    pub name: String,
    /// The title, once completed.
    pub title: String,
    /// The description for a screen reader.
    pub alt_text: Option<String>,
    /// What was uploaded.
    pub bytes: Vec<u8>,
    /// Where it was shared, if anywhere.
    pub channel: Option<String>,
    /// The thread in which it was shared.
    pub thread_ts: Option<String>,
    /// Was `files.completeUploadExternal` called for it?
    pub completed: bool,
}

/// A web call that was answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The method, or `response_url` or `upload`.
    pub method: String,
    /// When, since the fake was started.
    pub at: Duration,
    /// `ok` or the error.
    pub outcome: String,
    /// The arguments.
    pub args: Value,
}

/// A person or the bot.
#[derive(Clone)]
pub(super) struct User {
    pub id: String,
    pub name: String,
}

#[derive(Clone)]
pub(super) struct Channel {
    pub id: String,
    pub name: String,
    pub private: bool,
    pub direct: bool,
    pub archived: bool,
    pub members: BTreeSet<String>,
}

#[derive(Clone)]
pub(super) struct Group {
    pub id: String,
    pub handle: String,
    pub users: Vec<String>,
}

/// A file on its way.
pub(super) struct Upload {
    pub file: File,
    pub length: usize,
    pub uploaded: bool,
    /// How often `files.info` still says that it is being processed.
    pub looks_left: usize,
}

/// What a person's deed allows for three seconds, once.
pub(super) struct Trigger {
    pub at: Instant,
    pub user: String,
    pub used: bool,
}

/// What a `response_url` speaks for.
#[derive(Clone)]
pub(super) struct ReplyTo {
    pub at: Instant,
    pub uses: usize,
    pub user: String,
    pub channel: String,
    /// The message that `replace_original` and `delete_original` mean.
    pub original: Option<String>,
}

pub(super) struct View {
    pub user: String,
    pub view: Value,
    pub open: bool,
}

/// What goes out on a socket.
pub(super) enum Wire {
    Text(String),
    /// The network fails: no goodbye.
    Cut,
}

pub(super) struct Socket {
    pub id: u64,
    pub out: mpsc::UnboundedSender<Wire>,
    /// Told to go away: it may still ack, and gets nothing new.
    pub leaving: bool,
}

/// What goes wrong.
#[derive(Default)]
pub(super) struct Weather {
    pub down: bool,
    pub hang: bool,
    pub refuse: bool,
    pub every: Option<Duration>,
    /// For each channel, the time at which it owes nothing any more.
    pub due: HashMap<String, Instant>,
    pub fail: HashMap<String, VecDeque<String>>,
    pub slow_files: usize,
}

/// A line of the transcript, with ids in it; they get their names when it is read.
pub(super) struct Line(pub String);

pub(super) struct State {
    pub origin: String,
    pub started: Instant,
    pub skew: Duration,
    pub last_id: u64,
    pub users: Vec<User>,
    pub channels: Vec<Channel>,
    pub groups: Vec<Group>,
    pub scopes: BTreeSet<String>,
    pub messages: Vec<Message>,
    pub views: Vec<View>,
    pub uploads: Vec<Upload>,
    pub calls: Vec<Call>,
    pub rejected: Vec<String>,
    pub lines: Vec<Line>,
    /// Ids and the stable names that stand for them in the transcript.
    pub names: BTreeMap<String, String>,
    pub triggers: HashMap<String, Trigger>,
    pub replies: HashMap<String, ReplyTo>,
    pub sockets: Vec<Socket>,
    pub tickets: BTreeSet<String>,
    pub records: Vec<Record>,
    /// Events that a web call brought about (the bot's own message in a direct conversation), not yet delivered.
    pub outgoing: Vec<Value>,
    pub http: Option<Http>,
    pub weather: Weather,
}

impl State {
    pub fn new(address: SocketAddr) -> Self {
        let user = |id: &str, name: &str| User { id: id.into(), name: name.into() };
        let channel = |id: &str, name: &str, private: bool, members: &[&str]| Channel {
            id: id.into(),
            name: name.into(),
            private,
            direct: false,
            archived: false,
            members: members.iter().map(|member| (*member).to_owned()).collect(),
        };
        let scopes = [
            "app_mentions:read",
            "channels:history",
            "channels:read",
            "chat:write",
            "commands",
            "files:read",
            "files:write",
            "groups:history",
            "groups:read",
            "im:history",
            "im:read",
            "usergroups:read",
            "users:read",
        ];
        Self {
            origin: format!("http://{address}"),
            started: Instant::now(),
            skew: Duration::ZERO,
            last_id: 0,
            users: vec![user(BOT, "suture"), user(ANA, "ana"), user(BEN, "ben"), user(CARA, "cara")],
            channels: vec![
                channel(INCIDENTS, "incidents", false, &[BOT, ANA, BEN, CARA]),
                channel(OPS, "ops", false, &[BOT, ANA, BEN, CARA]),
                channel(WAR_ROOM, "war-room", true, &[BOT, ANA, BEN]),
                channel(RANDOM, "random", false, &[ANA, BEN, CARA]),
                channel(BOARD, "board", true, &[ANA]),
            ],
            groups: vec![Group { id: ON_CALL.into(), handle: "on-call".into(), users: vec![ANA.into()] }],
            scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
            messages: Vec::new(),
            views: Vec::new(),
            uploads: Vec::new(),
            calls: Vec::new(),
            rejected: Vec::new(),
            lines: Vec::new(),
            names: BTreeMap::new(),
            triggers: HashMap::new(),
            replies: HashMap::new(),
            sockets: Vec::new(),
            tickets: BTreeSet::new(),
            records: Vec::new(),
            outgoing: Vec::new(),
            http: None,
            weather: Weather::default(),
        }
    }

    /// The time here, which a test may put forward.
    pub fn now(&self) -> Instant {
        Instant::now() + self.skew
    }

    /// Unix seconds.
    pub fn seconds(&self) -> u64 {
        (SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + self.skew).as_secs()
    }

    pub fn next(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// An id of Slack's form: a letter and capitals.
    pub fn id(&mut self, letter: char) -> String {
        format!("{letter}0{:08X}", 0x0A00_0000 + self.next())
    }

    /// A message's identity: seconds, and a number that never comes twice.
    pub fn ts(&mut self) -> String {
        let n = self.next();
        format!("{}.{n:06}", self.seconds())
    }

    pub fn user(&self, id: &str) -> Option<&User> {
        self.users.iter().find(|user| user.id == id)
    }

    pub fn channel(&self, id: &str) -> Option<&Channel> {
        self.channels.iter().find(|channel| channel.id == id)
    }

    /// The conversation of one person with the bot, made when it is first needed.
    pub fn direct(&mut self, user: &str) -> String {
        let id = format!("D{}", user.get(1..).unwrap_or_default());
        if self.channel(&id).is_none() {
            let members = [BOT.to_owned(), user.to_owned()].into();
            let name = "directmessage".to_owned();
            self.channels.push(Channel { id: id.clone(), name, private: true, direct: true, archived: false, members });
        }
        id
    }

    /// The place in `messages` of a message that everyone sees.
    pub fn find(&self, channel: &str, ts: &str) -> Option<usize> {
        self.messages.iter().position(|m| m.channel == channel && m.ts == ts && m.only_for.is_none())
    }

    /// Gives an id the next name of its kind: `m1`, `m2`, ..
    pub fn name(&mut self, id: &str, kind: &str) {
        if self.names.contains_key(id) {
            return;
        }
        let of_kind = |name: &&String| name.strip_prefix(kind).is_some_and(|n| n.parse::<u32>().is_ok());
        let n = self.names.values().filter(of_kind).count() + 1;
        self.names.insert(id.to_owned(), format!("{kind}{n}"));
    }

    /// A trigger that a person's deed brings.
    pub fn trigger(&mut self, user: &str) -> String {
        let id = format!("{}.{}.{:016x}", self.next(), TEAM.len(), 0xFA4E_0000_u64 + self.last_id);
        self.triggers.insert(id.clone(), Trigger { at: self.now(), user: user.to_owned(), used: false });
        id
    }

    /// An address at which the bot may answer five times within half an hour.
    pub fn response_url(&mut self, user: &str, channel: &str, message: Option<&Message>) -> String {
        let id = self.next().to_string();
        let reply = ReplyTo {
            at: self.now(),
            uses: 0,
            user: user.to_owned(),
            channel: channel.to_owned(),
            original: message.map(|message| message.ts.clone()),
        };
        self.replies.insert(id.clone(), reply);
        format!("{}/actions/{TEAM}/{id}/answer", self.origin)
    }

    pub fn reject(&mut self, what: impl Into<String>) {
        self.rejected.push(what.into());
    }

    /// Tells the subscriber of `message.im` what stands there now, as Slack does for the bot's own messages too.
    pub fn tell_direct(&mut self, index: usize, changed: bool) {
        let message = self.messages[index].clone();
        if !self.channel(&message.channel).is_some_and(|channel| channel.direct) || message.only_for.is_some() {
            return;
        }
        let whole = super::payload::message(self, &message);
        let event = if changed {
            json!({
                "type": "message", "subtype": "message_changed", "hidden": true, "channel": message.channel,
                "channel_type": "im", "ts": self.ts(), "event_ts": message.ts, "message": whole,
            })
        } else {
            let mut event = whole;
            event["channel"] = json!(message.channel);
            event["channel_type"] = json!("im");
            event["event_ts"] = json!(message.ts);
            event
        };
        self.outgoing.push(event);
    }
}
