//! Who and what there is: one guild, its roles, channels and members, the bot, and everything that was said.

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tokio::sync::mpsc::UnboundedSender;

use super::message::Message;
use super::transcript::Line;

/// The bits of the page "Permissions" that this fake enforces.
pub const PERMISSIONS: &[(&str, u64)] = &[
    ("ADMINISTRATOR", 1 << 3),
    ("MANAGE_GUILD", 1 << 5),
    ("VIEW_CHANNEL", 1 << 10),
    ("SEND_MESSAGES", 1 << 11),
    ("MANAGE_MESSAGES", 1 << 13),
    ("EMBED_LINKS", 1 << 14),
    ("ATTACH_FILES", 1 << 15),
    ("READ_MESSAGE_HISTORY", 1 << 16),
    ("MENTION_EVERYONE", 1 << 17),
    ("USE_APPLICATION_COMMANDS", 1 << 31),
    ("CREATE_PUBLIC_THREADS", 1 << 35),
    ("SEND_MESSAGES_IN_THREADS", 1 << 38),
];

/// The bit of a permission by its name; panics on one this fake does not know.
pub fn bit(name: &str) -> u64 {
    PERMISSIONS.iter().find(|(n, _)| *n == name).map(|(_, b)| *b).unwrap_or_else(|| panic!("no permission {name}"))
}

/// What a user is in the guild.
#[derive(Clone, Debug)]
pub struct User {
    pub id: String,
    pub name: String,
    pub bot: bool,
    /// Role ids.
    pub roles: Vec<String>,
    /// Takes no direct messages from members of the guild.
    pub closed: bool,
}

#[derive(Clone, Debug)]
pub struct Role {
    pub id: String,
    pub name: String,
    pub permissions: u64,
    pub managed: bool,
}

/// A text channel (0), a direct one (1) or a public thread (11).
#[derive(Clone, Debug)]
pub struct Channel {
    pub id: String,
    pub name: String,
    pub kind: u64,
    /// The other side of a direct channel.
    pub recipient: Option<String>,
    /// The channel a thread is in.
    pub parent: Option<String>,
    pub archived: bool,
    pub auto_archive: u64,
}

/// An interaction and what became of it.
#[derive(Clone, Debug)]
pub struct Interaction {
    pub id: String,
    pub token: String,
    /// 2 command, 3 component, 4 autocomplete, 5 modal.
    pub kind: u64,
    pub user: String,
    pub channel: String,
    /// The message a component was on.
    pub message: Option<String>,
    /// What the gateway sends.
    pub event: Value,
    pub at: Instant,
    pub overdue: bool,
    pub expired: bool,
    /// The type of the first response, and how long it took.
    pub answer: Option<(u64, Duration)>,
    /// The flags of the answer were fixed by deferring: ephemeral or not.
    pub ephemeral: bool,
    pub modal: Option<Value>,
    pub choices: Vec<(String, String)>,
    /// The message of the first response.
    pub original: Option<String>,
    pub followups: Vec<String>,
}

/// A gateway session: outlives its connection, so that what was missed can be replayed.
pub struct Session {
    pub id: String,
    pub intents: u64,
    pub sequence: u64,
    pub events: Vec<(u64, Value)>,
    pub out: Option<UnboundedSender<Out>>,
    pub resumed: usize,
}

/// What a connection is told to do.
#[derive(Debug)]
pub enum Out {
    Send(Value),
    Close(u16, &'static str),
    Mute,
    Drop,
}

/// One call to the REST interface, or a gateway connection (method "GATEWAY").
#[derive(Clone, Debug)]
pub struct Call {
    /// The HTTP method.
    pub method: String,
    /// Without "/api/v10", with the query.
    pub path: String,
    /// The HTTP status it was answered with; 0 on the gateway.
    pub status: u16,
    /// Discord's error code, when it refused.
    pub code: Option<u64>,
    /// The JSON of the request.
    pub body: Value,
    /// Names and sizes of the files.
    pub files: Vec<(String, usize)>,
    /// Since the fake was started.
    pub at: Duration,
}

/// A limit that a test asked for.
pub struct Limit {
    pub part: String,
    pub every: Duration,
    pub global: bool,
    pub last: Option<Instant>,
}

/// What is wrong at present.
#[derive(Default)]
pub struct Weather {
    pub down: bool,
    pub refuse: bool,
    pub limits: Vec<Limit>,
    /// Permissions taken from the bot.
    pub taken: u64,
    /// Permissions taken from the bot in a channel (id) and its threads.
    pub taken_in: Vec<(String, u64)>,
    pub no_old_edits: bool,
    /// Privileged intents that were switched on for the application.
    pub privileged: u64,
    pub heartbeat: Option<Duration>,
}

pub struct State {
    pub base: String,
    pub started: Instant,
    pub guild: String,
    pub application: String,
    pub bot: String,
    pub owner: String,
    pub users: Vec<User>,
    pub roles: Vec<Role>,
    pub channels: Vec<Channel>,
    pub messages: Vec<Message>,
    pub interactions: Vec<Interaction>,
    pub guild_commands: Vec<Value>,
    pub global_commands: Vec<Value>,
    pub sessions: Vec<Session>,
    /// Events of messages by their id, for `redeliver`.
    pub events: HashMap<String, Value>,
    pub calls: Vec<Call>,
    pub rejected: Vec<String>,
    pub log: Vec<Line>,
    pub weather: Weather,
    pub identified: usize,
    counter: u64,
}

impl State {
    pub fn new(base: String) -> Self {
        let mut state = Self {
            base,
            started: Instant::now(),
            guild: String::new(),
            application: String::new(),
            bot: String::new(),
            owner: String::new(),
            users: Vec::new(),
            roles: Vec::new(),
            channels: Vec::new(),
            messages: Vec::new(),
            interactions: Vec::new(),
            guild_commands: Vec::new(),
            global_commands: Vec::new(),
            sessions: Vec::new(),
            events: HashMap::new(),
            calls: Vec::new(),
            rejected: Vec::new(),
            log: Vec::new(),
            weather: Weather::default(),
            identified: 0,
            counter: 0,
        };
        state.guild = state.id();
        state.application = state.id();
        // Of older applications the bot's id is not the application's: mixing them up must not go unnoticed.
        state.bot = state.id();
        let everyone = PERMISSIONS.iter().map(|p| p.1).sum::<u64>()
            & !(bit("ADMINISTRATOR") | bit("MANAGE_GUILD") | bit("MANAGE_MESSAGES") | bit("MENTION_EVERYONE"));
        state.roles.push(Role {
            id: state.guild.clone(),
            name: "@everyone".to_owned(),
            permissions: everyone,
            managed: false,
        });
        for (name, permissions) in [("operators", 0), ("oncall", 0), ("admins", bit("ADMINISTRATOR"))] {
            let id = state.id();
            state.roles.push(Role { id, name: name.to_owned(), permissions, managed: false });
        }
        let id = state.id();
        state.roles.push(Role { id, name: "suture".to_owned(), permissions: 0, managed: true });
        let bot = state.bot.clone();
        state.add_user("suture", &["suture"]).bot = true;
        if let Some(user) = state.users.first_mut() {
            user.id = bot;
        }
        state.add_user("ana", &["operators", "oncall"]);
        state.add_user("ben", &["operators"]);
        state.add_user("cleo", &[]);
        state.add_user("olga", &["admins"]);
        state.owner = state.user("olga").id;
        for name in ["incidents", "general"] {
            let id = state.id();
            state.channels.push(Channel {
                id,
                name: name.to_owned(),
                kind: 0,
                recipient: None,
                parent: None,
                archived: false,
                auto_archive: 1440,
            });
        }
        state
    }

    /// A new snowflake (page "Reference", Snowflakes): the time in its upper bits, as bots read it from there.
    pub fn id(&mut self) -> String {
        const FIRST: u128 = 1_420_070_400_000;
        self.counter += 1;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() - FIRST;
        // Ten bits of counter would come round within a long test, so all twenty-two are the counter's.
        (((now as u64) << 22) | (self.counter & 0x3f_ffff)).to_string()
    }

    pub fn add_user(&mut self, name: &str, roles: &[&str]) -> &mut User {
        let roles = roles.iter().map(|r| self.role(r).id).collect();
        let id = self.id();
        self.users.push(User { id, name: name.to_owned(), bot: false, roles, closed: false });
        self.users.last_mut().expect("one was pushed")
    }

    /// A user by name or id.
    pub fn user(&self, name: &str) -> User {
        let found = self.users.iter().find(|u| u.name == name || u.id == name);
        found.unwrap_or_else(|| panic!("there is no user {name}")).clone()
    }

    /// A role by name or id.
    pub fn role(&self, name: &str) -> Role {
        let found = self.roles.iter().find(|r| r.name == name || r.id == name);
        found.unwrap_or_else(|| panic!("there is no role {name}")).clone()
    }

    /// A channel by name or id; "@ana" is the direct channel with ana, opened when it is not there.
    pub fn channel(&mut self, name: &str) -> Channel {
        if let Some(user) = name.strip_prefix('@') {
            let user = self.user(user).id;
            return self.direct_channel(&user);
        }
        let found = self.channels.iter().find(|c| c.name == name || c.id == name);
        found.unwrap_or_else(|| panic!("there is no channel {name}")).clone()
    }

    pub fn direct_channel(&mut self, user: &str) -> Channel {
        if let Some(found) = self.channels.iter().find(|c| c.recipient.as_deref() == Some(user)) {
            return found.clone();
        }
        let channel = Channel {
            id: self.id(),
            name: format!("@{}", self.user(user).name),
            kind: 1,
            recipient: Some(user.to_owned()),
            parent: None,
            archived: false,
            auto_archive: 0,
        };
        self.channels.push(channel.clone());
        channel
    }

    pub fn find_channel(&self, id: &str) -> Option<&Channel> {
        self.channels.iter().find(|c| c.id == id)
    }

    pub fn message(&self, id: &str) -> Option<&Message> {
        self.messages.iter().find(|m| m.id == id && !m.deleted)
    }

    pub fn message_mut(&mut self, id: &str) -> Option<&mut Message> {
        self.messages.iter_mut().find(|m| m.id == id && !m.deleted)
    }

    /// What a user may do in the guild (page "Permissions", Permission Hierarchy; no overwrites here).
    pub fn permissions(&self, user: &User) -> u64 {
        let all = PERMISSIONS.iter().map(|p| p.1).sum();
        let mine = |role: &&Role| role.id == self.guild || user.roles.contains(&role.id);
        let mut sum = self.roles.iter().filter(mine).fold(0, |sum, role| sum | role.permissions);
        if user.id == self.owner || sum & bit("ADMINISTRATOR") != 0 {
            sum = all;
        }
        if user.id == self.bot { sum & !self.weather.taken } else { sum }
    }

    /// What the bot may do in a channel; in a direct one, everything that exists there.
    pub fn bot_permissions(&self, channel: &Channel) -> u64 {
        if channel.kind == 1 {
            return u64::MAX;
        }
        let here = |id: &String| *id == channel.id || channel.parent.as_ref() == Some(id);
        let taken = self.weather.taken_in.iter().filter(|(id, _)| here(id)).fold(0, |sum, (_, bit)| sum | bit);
        self.permissions(&self.user(&self.bot)) & !taken
    }

    /// Notes what a bot must not do, whether or not the real one would refuse it.
    pub fn reject(&mut self, line: String) {
        self.log.push(Line::Note(format!("refused: {line}")));
        self.rejected.push(line);
    }
}
