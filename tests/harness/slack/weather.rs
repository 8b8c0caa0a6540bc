//! What can go wrong, and how the workspace is set up.

use std::time::Duration;

use serde_json::json;

use super::FakeSlack;
use super::signed::{self, Http};
use super::state::{BOT, Channel, Group, User, Wire};

impl FakeSlack {
    /// Cuts every Socket Mode connection without a word.
    pub fn drop_sockets(&self) {
        self.shared.change(|state| {
            state.sockets.drain(..).for_each(|socket| drop(socket.out.send(Wire::Cut)));
        });
    }

    /// Tells every connection that it ends soon, as Slack does every few hours (page "Using Socket Mode"). It may still
    /// acknowledge, and gets nothing new.
    pub fn go_away(&self) {
        let goodbye = json!({
            "type": "disconnect", "reason": "refresh_requested", "debug_info": {"host": "applink-fake"},
        });
        self.shared.change(|state| {
            for socket in &mut state.sockets {
                socket.leaving = true;
                let _ = socket.out.send(Wire::Text(goodbye.to_string()));
            }
        });
    }

    /// Sends every connection a frame as it is: what a newer Slack might say.
    pub fn send_frame(&self, frame: &str) {
        self.shared.change(|state| {
            state.sockets.iter().for_each(|socket| drop(socket.out.send(Wire::Text(frame.to_owned()))));
        });
    }

    /// Refuses new Socket Mode connections, or takes them again.
    pub fn refuse_connections(&self, refuse: bool) {
        self.shared.change(|state| state.weather.refuse = refuse);
    }

    /// Answers every web call with 503, or does its work again. Open connections stay.
    pub fn down(&self, down: bool) {
        self.shared.change(|state| state.weather.down = down);
    }

    /// Takes every web call and says nothing, until it goes on.
    pub fn hang(&self, hang: bool) {
        self.shared.change(|state| state.weather.hang = hang);
    }

    /// Fails the next call of a method: with an error by Slack's name, `ratelimited` as HTTP 429, a number as that HTTP
    /// status, and `lost` does it and then loses the answer. `upload` and `response_url` fail with a status.
    pub fn fail_next(&self, method: &str, error: &str) {
        self.shared.change(|state| {
            state.weather.fail.entry(method.to_owned()).or_default().push_back(error.to_owned());
        });
    }

    /// Lets one message through so often in each channel, after a small burst (page "Rate limits": a second). Zero
    /// turns it off.
    pub fn rate_limit(&self, every: Duration) {
        self.shared.change(|state| {
            state.weather.due.clear();
            state.weather.every = (!every.is_zero()).then_some(every);
        });
    }

    /// Makes every file uploaded from now on ready only after so many looks with `files.info`, as Slack processes files
    /// after it has said yes.
    pub fn slow_files(&self, looks: usize) {
        self.shared.change(|state| state.weather.slow_files = looks);
    }

    /// Puts Slack's clock forward: triggers, response addresses and rate limits get older.
    pub fn later(&self, by: Duration) {
        self.shared.change(|state| state.skew += by);
    }

    /// Takes a scope from the app.
    pub fn without_scope(&self, scope: &str) {
        self.shared.change(|state| state.scopes.remove(scope));
    }

    /// Gives the app these scopes and no others: those of its manifest.
    pub fn with_scopes(&self, scopes: &[&str]) {
        self.shared.change(|state| state.scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect());
    }

    /// Throws the bot out of a channel.
    pub fn remove_bot_from(&self, channel: &str) {
        self.with_channel(channel, |channel| {
            channel.members.remove(BOT);
        });
    }

    /// Invites the bot to a channel.
    pub fn invite_bot_to(&self, channel: &str) {
        self.with_channel(channel, |channel| {
            channel.members.insert(BOT.to_owned());
        });
    }

    /// Archives a channel.
    pub fn archive(&self, channel: &str) {
        self.with_channel(channel, |channel| channel.archived = true);
    }

    fn with_channel(&self, id: &str, change: impl FnOnce(&mut Channel)) {
        self.shared.change(|state| state.channels.iter_mut().find(|channel| channel.id == id).map(change));
    }

    /// Says who is in a user group, which is made if need be.
    pub fn set_group(&self, group_id: &str, users: &[&str]) {
        let users: Vec<String> = users.iter().map(|user| (*user).to_owned()).collect();
        self.shared.change(|state| match state.groups.iter_mut().find(|group| group.id == group_id) {
            Some(group) => group.users = users,
            None => state.groups.push(Group { id: group_id.to_owned(), handle: group_id.to_lowercase(), users }),
        });
    }

    /// Adds a person to the workspace.
    pub fn add_user(&self, id: &str, name: &str) {
        self.shared.change(|state| state.users.push(User { id: id.to_owned(), name: name.to_owned() }));
    }

    /// Adds a channel with these members.
    pub fn add_channel(&self, id: &str, name: &str, private: bool, members: &[&str]) {
        let members = members.iter().map(|member| (*member).to_owned()).collect();
        let (id, name) = (id.to_owned(), name.to_owned());
        self.shared.change(|state| {
            state.channels.push(Channel { id, name, private, direct: false, archived: false, members });
        });
    }

    /// Deletes a message, as its author or an admin may.
    pub fn delete(&self, channel: &str, ts: &str) {
        self.shared.change(|state| state.messages.retain(|message| message.channel != channel || message.ts != ts));
    }

    /// Sets the app up with request URLs: everything goes there, signed as [`Http::seal`] says. `None` is Socket Mode
    /// again.
    pub fn set_http(&self, http: Option<Http>) {
        self.shared.change(|state| state.http = http);
    }

    /// Asks the events URL whether it is the bot's, as Slack does when it is entered.
    ///
    /// # Panics
    /// Without [`FakeSlack::set_http`].
    pub async fn verify_url(&self) -> bool {
        let http = self.shared.read(|state| state.http.clone()).expect("set_http comes first");
        signed::challenge(&http).await.unwrap_or(false)
    }
}
