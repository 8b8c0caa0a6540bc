//! What went wrong with a call, and what a person can do about it.

use std::time::Duration;

use crate::chat::ChatError;

/// What the outbox and the logs know this adapter as.
pub(super) const PLATFORM: &str = "slack";

/// Why a call to Slack's API came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CallError {
    /// Slack understood and refused.
    Refused {
        /// Which method.
        method: &'static str,
        /// Slack's own name for it: `channel_not_found`.
        code: String,
        /// With `missing_scope`: which.
        needed: Option<String>,
        /// Slack's further words, such as which block is wrong.
        details: Vec<String>,
    },
    /// Too many calls: not before that.
    Limited(Duration),
    /// No whole answer in time: it may have been done or not.
    TimedOut(&'static str),
    /// Slack could not be reached or answered nonsense.
    Broken(String),
}

impl CallError {
    /// Is it this refusal?
    pub fn is(&self, name: &str) -> bool {
        matches!(self, Self::Refused { code, .. } if code == name)
    }

    /// May it have been done all the same?
    pub fn uncertain(&self) -> bool {
        matches!(self, Self::TimedOut(_) | Self::Broken(_))
    }

    /// Is waiting for a person or for Slack of no use?
    pub fn hopeless(&self) -> bool {
        let Self::Refused { code, .. } = self else { return false };
        // What a person mends in Slack (an invitation, a scope) is waited for; what a new token or another config
        // mends needs a new start, and the message itself may be what is wrong.
        matches!(
            code.as_str(),
            "invalid_auth"
                | "not_authed"
                | "token_revoked"
                | "token_expired"
                | "account_inactive"
                | "org_login_required"
                | "not_allowed_token_type"
                | "invalid_blocks"
                | "invalid_blocks_format"
                | "invalid_arguments"
                | "msg_too_long"
                | "msg_blocks_too_long"
                | "no_text"
                | "user_not_in_channel"
                | "user_not_found"
                | "cannot_reply_to_message"
                | "messages_tab_disabled"
        )
    }

    /// Is the bot, or whoever asked, not where it was to be said?
    pub fn not_there(&self) -> bool {
        ["not_in_channel", "channel_not_found", "user_not_in_channel"].iter().any(|name| self.is(name))
    }

    /// As the port has it, of an answer. It was tried where it was asked for and directly; waiting for an invitation
    /// would hold up the answers to others.
    pub fn chat_of_answer(&self) -> ChatError {
        if self.not_there() { ChatError::hopeless(PLATFORM, self.words()) } else { self.chat() }
    }

    /// As the port has it.
    pub fn chat(&self) -> ChatError {
        match self {
            Self::Limited(after) => ChatError::later(PLATFORM, "asks us to slow down", *after),
            error if error.hopeless() => ChatError::hopeless(PLATFORM, error.words()),
            error => ChatError::new(PLATFORM, error.words()),
        }
    }

    /// What to mend.
    pub fn words(&self) -> String {
        let (method, code, needed, details) = match self {
            Self::Limited(after) => return format!("asks us to slow down for {} s", after.as_secs()),
            Self::TimedOut(method) => return format!("{method} had no answer in time"),
            Self::Broken(why) => return why.clone(),
            Self::Refused { method, code, needed, details } => (method, code, needed, details),
        };
        let mend = match code.as_str() {
            "invalid_auth" | "not_authed" => {
                "the token is not one that Slack knows; take it anew from the app's settings and put it where \
                 [chat.slack] refers to"
            }
            "token_revoked" | "token_expired" | "account_inactive" => {
                "the token is no longer valid; install the app again and put the new one where [chat.slack] refers to"
            }
            "not_allowed_token_type" => {
                "this is the other kind of token: bot_token begins with xoxb-, app_token with xapp-"
            }
            "missing_scope" => {
                let scope = needed.as_deref().unwrap_or("one that Slack did not name");
                return format!(
                    "{method}: the scope {scope} is missing; add it under OAuth & Permissions (for the app token under \
                     Basic Information) and install the app again"
                );
            }
            "channel_not_found" => {
                "Slack knows no such channel, or it is private and the bot is not in it; channel must be an id (C..), \
                 and `/invite @suture` lets the bot in"
            }
            "not_in_channel" => "the bot is not in the channel; `/invite @suture` there",
            "is_archived" => "the channel is archived; unarchive it or name another in [chat.slack]",
            "restricted_action" | "restricted_action_read_only_channel" | "restricted_action_thread_only_channel" => {
                "the workspace does not let the bot post there; an admin can change who may post in the channel"
            }
            "messages_tab_disabled" => {
                "direct messages to the app are off; switch them on under App Home, Messages Tab"
            }
            "invalid_blocks" | "invalid_blocks_format" | "msg_blocks_too_long" => {
                "Slack does not take the message as it was made; please report this"
            }
            _ => "",
        };
        let details = if details.is_empty() { String::new() } else { format!(" ({})", details.join("; ")) };
        if mend.is_empty() {
            format!("{method}: {code}{details}")
        } else {
            format!("{method}: {code}: {mend}{details}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: &str) -> CallError {
        CallError::Refused { method: "chat.postMessage", code: code.to_owned(), needed: None, details: Vec::new() }
    }

    #[test]
    fn what_a_person_mends_in_slack_is_waited_for() {
        for code in ["not_in_channel", "channel_not_found", "is_archived", "missing_scope", "internal_error"] {
            assert!(!refused(code).chat().hopeless, "{code}");
        }
        for code in ["invalid_auth", "token_revoked", "invalid_blocks"] {
            assert!(refused(code).chat().hopeless, "{code}");
        }
        for code in ["not_in_channel", "channel_not_found", "user_not_in_channel"] {
            assert!(refused(code).chat_of_answer().hopeless, "{code}: nobody is invited for the sake of an answer");
        }
        assert!(!refused("internal_error").chat_of_answer().hopeless);
        let later = CallError::Limited(Duration::from_secs(7)).chat();
        assert_eq!((later.retry_after, later.hopeless), (Some(Duration::from_secs(7)), false));
    }

    #[test]
    fn the_words_say_what_to_mend() {
        let needed = Some("files:write".to_owned());
        let missing = CallError::Refused {
            method: "files.getUploadURLExternal",
            code: "missing_scope".to_owned(),
            needed,
            details: Vec::new(),
        };
        assert!(missing.words().contains("files:write") && missing.words().contains("OAuth & Permissions"));
        assert!(refused("not_in_channel").words().contains("/invite"));
        assert_eq!(refused("fatal_error").words(), "chat.postMessage: fatal_error");
    }
}
