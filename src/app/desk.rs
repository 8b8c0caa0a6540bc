//! The daemon's side of a conversation on a platform: takes what was heard, carries it out in its own time, and answers.
//!
//! What was heard is durable before the platform is told so; each delivery is carried out once, also when the daemon dies
//! between the doing and the answering: what is in the ledger as commanded is not commanded again. Nothing here decides
//! who may do what.

mod buttons;
mod inbox;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Semaphore, mpsc, watch};

pub(super) use self::buttons::Buttons;
use self::buttons::Meaning;
use self::inbox::{Inbox, Item};
use super::Shared;
use super::commands::{Asked, Reply, answer, obey, page_of};
use crate::chat::command::{Command, OneTimeCode};
use crate::chat::complete::complete;
use crate::chat::{Answer, Block, Card, ChatError, Desk, Field, Form, Heard, Press, Said, Store, clean, pages, parse};
use crate::ledger::{Query, Views};
use crate::model::{Fact, IncidentId, Person};
use crate::supervise::drained;

/// Commands carried out at the same time. full: the next one waits in the inbox, which is durable.
const AT_ONCE: usize = 16;
/// Longest time for one command.
const LONGEST: Duration = Duration::from_secs(120);
/// What waited longer, because the daemon was away, is not carried out any more: the world has moved on.
const OLD: Duration = Duration::from_secs(300);

/// The views as the place where adapters keep small things.
pub(super) struct Keep(pub Arc<Views>);

impl Store for Keep {
    fn get(&self, space: &str, key: &str) -> Option<Vec<u8>> {
        self.0.small(space, key).unwrap_or_else(|error| {
            tracing::warn!(%error, space, "something that was kept cannot be read");
            None
        })
    }

    fn put(&self, space: &str, key: &str, value: &[u8]) -> Result<(), String> {
        self.0.put_small(space, key, Some(value), true).map_err(|e| e.to_string())
    }

    fn put_soon(&self, space: &str, key: &str, value: &[u8]) -> Result<(), String> {
        self.0.put_small(space, key, Some(value), false).map_err(|e| e.to_string())
    }

    fn remove(&self, space: &str, key: &str) -> Result<(), String> {
        // Whatever comes back by mistake is known to have been done.
        self.0.put_small(space, key, None, false).map_err(|e| e.to_string())
    }

    fn all(&self, space: &str) -> Vec<(String, Vec<u8>)> {
        self.0.all_small(space).unwrap_or_else(|error| {
            tracing::warn!(%error, space, "what was kept cannot be read");
            Vec::new()
        })
    }
}

/// The desk.
pub(super) struct FrontDesk {
    shared: Arc<Shared>,
    inbox: Arc<Inbox>,
    waiting: mpsc::UnboundedSender<(String, Item)>,
    taken: Mutex<Option<mpsc::UnboundedReceiver<(String, Item)>>>,
    /// What an earlier life took and did not carry out.
    left: Mutex<Vec<(String, Item)>>,
}

impl FrontDesk {
    pub(super) fn open(shared: Arc<Shared>, store: Arc<dyn Store>) -> Arc<Self> {
        let (inbox, left) = Inbox::open(store, shared.engine.now());
        // Bounded by the inbox, which takes no more than its own limit.
        let (waiting, taken) = mpsc::unbounded_channel();
        let (taken, left) = (Mutex::new(Some(taken)), Mutex::new(left));
        Arc::new(Self { shared, inbox: Arc::new(inbox), waiting, taken, left })
    }

    /// Carries out what is taken until the drain.
    pub(super) async fn work(self: Arc<Self>, mut drain: watch::Receiver<bool>) -> Result<(), String> {
        let left = std::mem::take(&mut *self.left.lock().unwrap_or_else(PoisonError::into_inner));
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut taken = taken.ok_or("the desk works already")?;
        let places = Arc::new(Semaphore::new(AT_ONCE));
        let mut works = tokio::task::JoinSet::new();
        // One after the other, as they were said; and what is said now, a `stop` perhaps, does not wait for them.
        let desk = Arc::clone(&self);
        works.spawn(async move {
            for (name, item) in left {
                desk.take_up(&name, &item).await;
            }
        });
        let ended = loop {
            let place = Arc::clone(&places).acquire_owned().await.map_err(|e| e.to_string())?;
            tokio::select! {
                next = taken.recv() => {
                    let Some((name, item)) = next else { break Err("nobody can hand in anything any more".to_owned()) };
                    let desk = Arc::clone(&self);
                    works.spawn(async move {
                        let _place = place;
                        desk.carry_out(&name, &item).await;
                    });
                }
                () = drained(&mut drain) => break Ok(()),
            }
            while works.try_join_next().is_some() {}
        };
        *self.taken.lock().unwrap_or_else(PoisonError::into_inner) = Some(taken);
        // What is under way is brought to its end; the supervisor's own deadline cuts it off.
        while works.join_next().await.is_some() {}
        ended
    }

    /// What an earlier life took: told, not done, when it may have been done or is too old.
    async fn take_up(&self, name: &str, item: &Item) {
        let heard = &item.heard;
        if self.was_commanded(item).await {
            let words =
                "Suture was started anew while it carried this out. What came of it: `incidents`, `audit limit:5`.";
            self.answer(heard, pages::answer("started anew", vec![Block::Text(words.to_owned())]), true);
        } else if self.shared.engine.now().since(item.at) > OLD {
            let words = "Suture was away. This was not carried out; say it again if it is still wanted.";
            self.answer(heard, pages::refused("too old", words), true);
        } else {
            self.carry_out(name, item).await;
            return;
        }
        self.inbox.done(name);
    }

    /// Is it in the ledger that this delivery was a command? Then it was carried out, or at least begun.
    async fn was_commanded(&self, item: &Item) -> bool {
        let since = item.at.minus(Duration::from_secs(60));
        let query = Query { kind: Some("commanded".to_owned()), since: Some(since), limit: 1000, ..Query::default() };
        let delivery = delivery_of(&item.heard);
        match page_of(&self.shared, query).await {
            Ok(page) => page.records.iter().any(|stored| {
                matches!(&stored.record.event.fact, Fact::Commanded { delivery: Some(known), .. } if *known == delivery)
            }),
            Err(error) => {
                tracing::warn!(error, "it cannot be found out what was commanded before the start");
                true
            }
        }
    }

    async fn carry_out(&self, name: &str, item: &Item) {
        let heard = &item.heard;
        if let Some(groups) = heard.groups.clone() {
            self.shared.people.heard(&heard.by.id, groups, self.shared.engine.now());
        }
        // In a task of its own: what has begun to change the state is not cut off by the end of our patience.
        let (shared, asked) = (Arc::clone(&self.shared), heard.clone());
        let replying = tokio::spawn(async move { reply(&shared, &asked).await });
        let reply = match tokio::time::timeout(LONGEST, replying).await {
            Ok(Ok(reply)) => reply,
            Ok(Err(error)) => {
                tracing::error!(%error, "carrying something out failed");
                Reply::Refused(pages::refused("failed", "Suture failed at this; its log says more"))
            }
            Err(_) => {
                let words = format!("this took longer than {} s; `status` says how things stand", LONGEST.as_secs());
                Reply::Refused(pages::refused("no answer", &words))
            }
        };
        let pressed = !matches!(heard.said, Said::Line(_));
        match reply {
            Reply::Card(card) => self.answer(heard, card, !heard.place.aloud),
            Reply::Refused(card) => self.answer(heard, card, true),
            // The card itself tells the channel; whoever pressed is told that it was they.
            Reply::Done(text) => self.answer(heard, pages::answer("done", vec![Block::Text(text)]), pressed),
            Reply::File(card, file) => {
                let answer = Answer { card, file: Some(file), private: !heard.place.aloud };
                self.send(heard, answer);
            }
            Reply::Quit => {
                let words = "`quit` is for the console; the daemon is stopped by SIGTERM";
                self.answer(heard, pages::refused("quit", words), true);
            }
        }
        self.inbox.done(name);
    }

    fn answer(&self, heard: &Heard, card: Card, private: bool) {
        self.send(heard, Answer { card, private, file: None });
    }

    fn send(&self, heard: &Heard, answer: Answer) {
        if !self.shared.outbox.answer_on(&heard.platform, heard.reply.clone(), answer) {
            tracing::warn!(platform = heard.platform, "there is nobody to answer through");
        }
    }

    /// Why a button's question is no question any more, if so.
    fn gone(&self, meaning: &Meaning) -> Option<String> {
        let state = self.shared.engine.state();
        let id = match parse(&meaning.command) {
            Ok(Command::Approve { incident: Some(id), .. } | Command::Reject { incident: Some(id), .. }) => id,
            Ok(Command::ChaosApprove { experiment: Some(id) } | Command::ChaosReject { experiment: Some(id), .. }) => {
                let trial = state.experiments.get(id);
                let words = trial.map_or("over", |trial| trial.progress.words());
                let asks = trial.is_some_and(|trial| trial.progress == crate::incident::Progress::Asked);
                return (!asks).then(|| format!("Nothing was done: {id} is {words}."));
            }
            _ => return None,
        };
        let Some(incident) = state.incidents.get(&id) else {
            return Some(format!("{id} is over."));
        };
        match &incident.question {
            Some(question) if Some(question.digest) == meaning.plan => None,
            Some(_) => {
                Some(format!("The plan of {id} has changed since this card was shown: decide on the newest one."))
            }
            None => {
                let decided = incident.decided.clone().or_else(|| incident.how.clone()).unwrap_or_default();
                let decided = if decided.is_empty() { String::new() } else { format!(" ({decided})") };
                Some(format!("Nothing was done: {id} is {}{decided}.", incident.phase.words()))
            }
        }
    }

    /// The form for a one-time code, where the plan takes one.
    fn code_form(&self, id: &str, meaning: &Meaning) -> Option<Form> {
        let Ok(Command::Approve { incident: Some(incident), .. }) = parse(&meaning.command) else { return None };
        let state = self.shared.engine.state();
        let incident = state.incidents.get(&incident)?;
        let question = incident.question.as_ref()?;
        let kinds = self.shared.config().service(&incident.service)?.approval.codes_for(&question.plan);
        if kinds.is_empty() {
            return None;
        }
        let kinds: Vec<_> = kinds.iter().map(ToString::to_string).collect();
        Some(Form {
            id: id.to_owned(),
            title: "One-time code".to_owned(),
            text: format!("{} takes a code from your authenticator: {}", kinds.join(" and "), question.plan),
            submit: "Approve".to_owned(),
            fields: vec![Field {
                name: Field::CODE.to_owned(),
                label: "Code".to_owned(),
                optional: false,
                long: false,
                most: 8,
            }],
        })
    }
}

/// Understands and carries out what was heard.
async fn reply(shared: &Arc<Shared>, heard: &Heard) -> Reply {
    let mut asked = Asked {
        by: named(&heard.by),
        via: via(heard),
        platform: Some(heard.platform.clone()),
        delivery: Some(delivery_of(heard)),
        about: heard.place.card.as_ref().and_then(|key| key.parse::<IncidentId>().ok()),
        plan: None,
    };
    let (id, values) = match &heard.said {
        Said::Line(text) => return answer(shared, &asked, text).await,
        Said::Press(id) => (id, None),
        Said::Filled { id, values } => (id, Some(values)),
    };
    let Some(meaning) = shared.buttons.meaning(id) else {
        return Reply::Refused(pages::refused("button", UNKNOWN_BUTTON));
    };
    asked.plan = meaning.plan;
    match filled(&meaning, values) {
        Ok(command) => obey(shared, &asked, command).await,
        Err(why) => Reply::Refused(pages::refused(&meaning.command, &why)),
    }
}

/// What is said of a button that nobody knows.
const UNKNOWN_BUTTON: &str =
    "this button is not known any more; use the newest card, or type the command: `help` lists them";

#[async_trait]
impl Desk for FrontDesk {
    async fn take(&self, heard: Heard) -> Result<(), ChatError> {
        let (inbox, now, waiting) = (Arc::clone(&self.inbox), self.shared.engine.now(), self.waiting.clone());
        // To its end, also when the caller does not wait for it: what is durable is carried out.
        let taken = tokio::task::spawn_blocking(move || {
            if let Some(item) = inbox.take(&heard, now)? {
                // Nobody to carry it out: it is in the inbox, and is taken up by the next start.
                let _ = waiting.send(item);
            }
            Ok(())
        });
        let failed = |why: String| ChatError::new("desk", why);
        taken.await.map_err(|e| failed(e.to_string()))?.map_err(failed)
    }

    fn press(&self, id: &str, _: &Person) -> Press {
        let Some(meaning) = self.shared.buttons.meaning(id) else {
            return Press::Gone(UNKNOWN_BUTTON.to_owned());
        };
        if let Some(why) = self.gone(&meaning) {
            return Press::Gone(why);
        }
        if let Some(form) = self.code_form(id, &meaning) {
            return Press::Ask(form);
        }
        match &meaning.ask {
            None => Press::Go,
            Some(field) => Press::Ask(Form {
                id: id.to_owned(),
                title: clean::shortened(&capital(meaning.command.split(' ').next().unwrap_or_default()), 24),
                text: format!("`{}`", meaning.command),
                submit: clean::shortened(&capital(meaning.command.split(' ').next().unwrap_or_default()), 24),
                fields: vec![field.clone()],
            }),
        }
    }

    fn complete(&self, line: &str) -> Vec<String> {
        let shared = Arc::downgrade(&self.shared);
        complete(line, &move |wanted| super::names(&shared, wanted)).1
    }
}

fn capital(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// The button's command with what was filled in.
fn filled(meaning: &Meaning, values: Option<&BTreeMap<String, String>>) -> Result<Command, String> {
    let mut command = parse(&meaning.command).map_err(|e| e.to_string())?;
    let value = |name: &str| values.and_then(|values| values.get(name)).map(|text| text.trim()).unwrap_or_default();
    let said = clean::shortened(&clean::line(value(Field::REASON)), crate::chat::grammar::MAX_REASON_CHARS);
    match &mut command {
        Command::Approve { code, .. } if !value(Field::CODE).is_empty() => {
            let digits: String = value(Field::CODE).chars().filter(|c| !c.is_whitespace()).collect();
            *code = Some(OneTimeCode::new(&digits).ok_or("a code has six to eight digits")?);
        }
        Command::Reject { reason, .. }
        | Command::ChaosReject { reason, .. }
        | Command::Rollback { reason, .. }
        | Command::Close { reason, .. }
        | Command::FalseAlarm { reason, .. }
        | Command::Stop { reason } => *reason = said,
        _ => {}
    }
    Ok(command)
}

/// A person whose name can be shown: names come from the platform, and people choose them.
fn named(by: &Person) -> Person {
    let name = clean::shortened(&clean::line(&by.name), 80);
    Person::new(by.id.clone(), if name.trim().is_empty() { by.id.clone() } else { name })
}

fn delivery_of(heard: &Heard) -> String {
    format!("{}:{}", heard.platform, heard.delivery)
}

fn via(heard: &Heard) -> String {
    let how = match heard.said {
        Said::Line(_) => "",
        Said::Press(_) => ", a button",
        Said::Filled { .. } => ", a form",
    };
    if heard.place.direct {
        format!("{} direct message{how}", heard.platform)
    } else {
        format!("{} {}{how}", heard.platform, heard.place.channel)
    }
}
