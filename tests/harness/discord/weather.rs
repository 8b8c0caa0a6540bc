//! What can go wrong between a bot and Discord, on demand.

use std::time::Duration;

use serde_json::json;

use super::transcript::Line;
use super::world::{Limit, Out, bit};
use super::{FakeDiscord, dispatch, messages, render};

impl FakeDiscord {
    /// Cuts every gateway connection without a word. Sessions stay and can be resumed.
    pub fn drop_sockets(&self) {
        self.tell(|| Out::Drop);
    }

    /// Closes every gateway connection with this code.
    pub fn close_sockets(&self, code: u16) {
        self.tell(|| Out::Close(code, ""));
    }

    /// Asks the bot to connect anew and resume (op 7).
    pub fn ask_to_reconnect(&self) {
        self.change(|s| {
            for out in s.sessions.iter().filter_map(|session| session.out.as_ref()) {
                let _ = out.send(Out::Send(json!({"op": 7, "d": null, "s": null, "t": null})));
            }
        });
    }

    /// Ends every session (op 9): the bot has to identify anew, and what it missed is gone.
    pub fn invalidate_session(&self) {
        self.change(|s| {
            for session in s.sessions.drain(..) {
                if let Some(out) = session.out {
                    let _ = out.send(Out::Send(json!({"op": 9, "d": false, "s": null, "t": null})));
                }
            }
        });
    }

    /// Refuses new gateway connections, or lets them in again.
    pub fn refuse_connections(&self, refuse: bool) {
        self.change(|s| s.weather.refuse = refuse);
    }

    /// Takes everything down: REST answers 503, connections are cut and refused.
    pub fn down(&self, down: bool) {
        self.change(|s| s.weather.down = down);
        if down {
            self.drop_sockets();
        }
    }

    /// Leaves the present connections open but says nothing more on them, acknowledgements of heartbeats included.
    pub fn mute_sockets(&self) {
        self.change(|s| {
            for out in s.sessions.iter().filter_map(|session| session.out.as_ref()) {
                let _ = out.send(Out::Mute);
            }
        });
    }

    /// Heartbeats that new connections are asked for. Bots that are not heard for half as long again are cut off.
    pub fn heartbeat_every(&self, every: Duration) {
        self.change(|s| s.weather.heartbeat = Some(every));
    }

    /// Lets through one call every so often to paths that contain this; 429 to the others.
    pub fn rate_limit(&self, part: &str, every: Duration) {
        self.limit(part, every, false);
    }

    /// One call every so often to anything but interactions' callbacks; 429 and the global flag to the others.
    pub fn rate_limit_globally(&self, every: Duration) {
        self.limit("", every, true);
    }

    /// No limits any more.
    pub fn no_rate_limits(&self) {
        self.change(|s| s.weather.limits.clear());
    }

    /// As if a quarter of an hour had passed for every interaction so far: their tokens are void.
    pub fn expire_tokens(&self) {
        self.change(|s| s.interactions.iter_mut().for_each(|i| i.expired = true));
    }

    /// As if three seconds had passed for every interaction that has no answer yet.
    pub fn answers_are_late(&self) {
        self.change(|s| s.interactions.iter_mut().filter(|i| i.answer.is_none()).for_each(|i| i.overdue = true));
    }

    /// Messages over an hour old were edited too often: any edit by the bot's token is refused for now.
    pub fn no_old_edits(&self, refuse: bool) {
        self.change(|s| s.weather.no_old_edits = refuse);
    }

    /// Takes a permission from the bot, by its name in the documentation ("SEND_MESSAGES").
    pub fn without_permission(&self, name: &str) {
        self.change(|s| s.weather.taken |= bit(name));
    }

    /// As `without_permission`, in one channel and its threads only.
    pub fn without_permission_in(&self, channel: &str, name: &str) {
        self.change(|s| {
            let id = s.channel(channel).id;
            s.weather.taken_in.push((id, bit(name)));
        });
    }

    /// Gives it back, in every channel.
    pub fn with_permission(&self, name: &str) {
        self.change(|s| {
            s.weather.taken &= !bit(name);
            s.weather.taken_in.retain(|(_, taken)| *taken != bit(name));
        });
    }

    /// Switches a privileged intent on for the application: "GUILD_MEMBERS", "GUILD_PRESENCES" or "MESSAGE_CONTENT".
    pub fn allow_intent(&self, name: &str) {
        let bit = match name {
            "GUILD_MEMBERS" => 1 << 1,
            "GUILD_PRESENCES" => 1 << 8,
            "MESSAGE_CONTENT" => dispatch::MESSAGE_CONTENT,
            _ => panic!("{name} is not privileged"),
        };
        self.change(|s| s.weather.privileged |= bit);
    }

    /// Gives a user these roles and no others.
    pub fn set_roles(&self, user: &str, roles: &[&str]) {
        self.change(|s| {
            let roles = roles.iter().map(|r| s.role(r).id).collect::<Vec<_>>();
            let id = s.user(user).id;
            if let Some(user) = s.users.iter_mut().find(|u| u.id == id) {
                user.roles = roles;
            }
            let mut event = render::member(s, &s.user(&id));
            event["guild_id"] = json!(s.guild);
            dispatch::send(s, dispatch::GUILD_MEMBERS, "GUILD_MEMBER_UPDATE", &event);
        });
    }

    /// Adds a member; its id.
    pub fn add_member(&self, name: &str, roles: &[&str]) -> String {
        self.change(|s| s.add_user(name, roles).id.clone())
    }

    /// A user who takes no direct messages (any more, or again).
    pub fn close_direct(&self, user: &str, closed: bool) {
        self.change(|s| {
            let id = s.user(user).id;
            s.users.iter_mut().filter(|u| u.id == id).for_each(|u| u.closed = closed);
        });
    }

    /// Somebody deletes a message.
    pub fn delete_message(&self, id: &str) {
        self.change(|s| {
            if let Some(message) = s.message(id).cloned() {
                messages::delete(s, &message);
            }
        });
    }

    /// Somebody deletes a channel or a thread, and what is in it.
    pub fn delete_channel(&self, channel: &str) {
        self.change(|s| {
            let id = s.channel(channel).id;
            s.channels.retain(|c| c.id != id && c.parent.as_ref() != Some(&id));
            s.messages.iter_mut().filter(|m| m.channel == id).for_each(|m| m.deleted = true);
            s.log.push(Line::Note(format!("channel {id} is deleted")));
        });
    }

    /// A thread is archived, as happens after a while of silence: writing in it opens it again, editing does not.
    pub fn archive_thread(&self, message: &str) {
        self.change(|s| {
            s.channels.iter_mut().filter(|c| c.id == message && c.kind == 11).for_each(|c| c.archived = true)
        });
    }

    fn limit(&self, part: &str, every: Duration, global: bool) {
        let part = part.to_owned();
        self.change(|s| s.weather.limits.push(Limit { part, every, global, last: None }));
    }

    fn tell(&self, order: impl Fn() -> Out) {
        self.change(|s| {
            for out in s.sessions.iter_mut().filter_map(|session| session.out.take()) {
                let _ = out.send(order());
            }
        });
    }
}
