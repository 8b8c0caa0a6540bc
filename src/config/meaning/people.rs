//! What the tables about people, times and platforms mean: ids that can be ids, verbs that exist, times that come.

use super::super::explain::did_you_mean;
use super::super::people::{AllowSettings, Freeze, PersonSettings};
use super::super::problem::value;
use super::super::reader::{Findings, Section};
use super::super::settings::{Chat, ServiceSettings};
use super::{why_no_glob, zero};
use crate::model::VERBS;

/// What ids look like, for messages.
const IDS: &str = "write an id: \"slack:U024BE7LH\", \"slack-group:S0614TZR7\", \"discord:80351110224678912\", \
                   \"discord-role:41771983423143936\", \"unix:1000\" or \"console:*\"; `whoami` says who somebody is";

/// An `[[allow]]` table.
pub(in crate::config) fn allow(findings: &mut Findings<'_>, section: &Section<'_, AllowSettings>, services: &[&str]) {
    let rule = &section.settings;
    if section.sound(&["who"]) {
        if rule.who.is_empty() {
            findings.error(section.at("who"), "the rule is for nobody", IDS);
        }
        for who in &rule.who {
            let at = section.at_element("who", who, 0);
            match why_no_glob(who) {
                Some(why) => findings.error(at, &format!("\"{}\" {why}", value(who)), IDS),
                None if !who.contains(':') => {
                    findings.error(at, &format!("`{}` is not the id of a person, a group or a role", value(who)), IDS);
                }
                None => {}
            }
        }
    }
    if section.sound(&["do"]) {
        if rule.verbs.is_empty() {
            findings.error(section.at("do"), "the rule allows nothing", "write `do = [\"approve\", \"rollback\"]`");
        }
        for verb in rule.verbs.iter().filter(|verb| *verb != "*" && !VERBS.contains(&verb.as_str())) {
            let message = format!("`{}` is not a command that needs a right", value(verb));
            findings.error(section.at_element("do", verb, 0), &message, &did_you_mean(verb, VERBS, "there are"));
        }
    }
    for target in rule.targets.iter().filter(|_| section.sound(&["targets"])) {
        if let Some(why) = why_no_glob(target) {
            let help = "write a target, or a glob like \"local:*\"";
            findings.error(section.at_element("targets", target, 0), &format!("\"{}\" {why}", value(target)), help);
        }
    }
    if section.sound(&["services"]) {
        known(findings, section, &rule.services, services);
    }
}

/// A `[[person]]` table.
pub(in crate::config) fn person(findings: &mut Findings<'_>, section: &Section<'_, PersonSettings>) {
    let id = &section.settings.id;
    if section.sound(&["id"]) && (!id.contains(':') || id.contains(['*', '?', '['])) {
        findings.error(section.at("id"), &format!("`{}` is not the id of one person", value(id)), IDS);
    }
}

/// A `[[freeze]]` table.
pub(in crate::config) fn freeze(findings: &mut Findings<'_>, section: &Section<'_, Freeze>, services: &[&str]) {
    let freeze = &section.settings;
    if section.sound(&["from", "until"]) && freeze.until <= freeze.from {
        findings.error(section.at("until"), "the freeze ends before it begins", "make `until` later than `from`");
    }
    if section.sound(&["services"]) {
        known(findings, section, &freeze.services, services);
    }
}

/// Services that are named and not there.
fn known<T>(findings: &mut Findings<'_>, section: &Section<'_, T>, named: &[String], services: &[&str]) {
    for service in named.iter().filter(|name| !services.contains(&name.as_str())) {
        let message = format!("there is no service `{}`", value(service));
        let help = did_you_mean(service, services, "there are");
        findings.error(section.at_element("services", service, 0), &message, &help);
    }
}

/// Escalation in `[service.approve]`.
pub(super) fn escalation(findings: &mut Findings<'_>, section: &Section<'_, ServiceSettings>, of: &str) {
    let approve = &section.settings.approve;
    if let Some(after) = approve.escalate_after {
        zero(findings, section, of, "approve.escalate_after", after);
        if after >= approve.expiry && section.sound(&["approve.escalate_after", "approve.expiry"]) {
            let message = format!("{of}the question has expired before anybody else is called");
            findings.error(section.at("approve.escalate_after"), &message, "make it shorter than `expiry`");
        }
        if approve.escalate_to.is_empty() && section.sound(&["approve.escalate_to"]) {
            let message = format!("{of}`escalate_after` says when others are called, and not whom");
            let help = "write `escalate_to = [\"slack-channel:C024BE91L\", \"slack-group:S0614TZR7\"]`";
            findings.error(section.at("approve.escalate_after"), &message, help);
        }
    }
    let kinds = ["slack-channel:", "slack-group:", "slack:", "discord-channel:", "discord-role:", "discord:"];
    for to in approve.escalate_to.iter().filter(|_| section.sound(&["approve.escalate_to"])) {
        if !kinds.iter().any(|kind| to.strip_prefix(kind).is_some_and(|id| !id.is_empty())) {
            let message = format!("{of}`{}` is nobody who can be called", value(to));
            let help = format!("it begins with one of {}", kinds.join(" "));
            findings.error(section.at_element("approve.escalate_to", to, 0), &message, &help);
        }
    }
}

/// `[chat.slack]`, `[chat.discord]` and `[chat.reader]`.
pub(super) fn platforms(findings: &mut Findings<'_>, section: &Section<'_, Chat>) {
    let chat = &section.settings;
    let builds = [
        ("slack", chat.slack.is_some(), cfg!(feature = "slack")),
        ("discord", chat.discord.is_some(), cfg!(feature = "discord")),
    ];
    for (name, wanted, here) in builds {
        if wanted && !here {
            let message = format!("`{name}` is not in this build");
            findings.error(section.at(name), &message, &format!("build with the cargo feature `{name}`"));
        }
    }
    if let Some(slack) = &chat.slack {
        let id = &slack.channel;
        let is_id = id.starts_with(['C', 'G']) && id.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
        if section.sound(&["slack.channel"]) && !(is_id && id.len() >= 9) {
            let help = "open the channel's details in Slack: the id, like C024BE91L, stands at the very bottom";
            findings.error(section.at("slack.channel"), &format!("`{}` is not the id of a channel", value(id)), help);
        }
        if slack.app_token.is_none() && slack.http.is_none() {
            let help = "write `app_token` for Socket Mode, which needs no public address; or [chat.slack.http] for a proxy \
                        that Slack can reach";
            let message = "nothing says how Slack reaches Suture";
            findings.error(section.at("slack"), message, help);
        }
        url(findings, section, "slack.api", slack.api.as_deref());
    }
    if let Some(discord) = &chat.discord {
        for (key, id) in [("discord.guild", &discord.guild), ("discord.channel", &discord.channel)] {
            if section.sound(&[key]) && !id.parse::<u64>().is_ok_and(|id| id > 0) {
                let help = "switch on the developer mode in Discord's settings, then `Copy ID` from the menu of the server \
                            and of the channel";
                findings.error(section.at(key), &format!("`{}` is not an id of Discord", value(id)), help);
            }
        }
        url(findings, section, "discord.api", discord.api.as_deref());
    }
    if let Some(reader) = &chat.reader {
        url(findings, section, "reader.url", Some(&reader.url));
        zero(findings, section, "", "reader.timeout", reader.timeout);
    }
}

/// An address that secrets are sent to: encrypted, or on this machine.
fn url(findings: &mut Findings<'_>, section: &Section<'_, Chat>, key: &str, url: Option<&str>) {
    let Some(url) = url.filter(|_| section.sound(&[key])) else { return };
    let host = |rest: &str| rest.split(['/', '?', '#']).next().unwrap_or_default().to_owned();
    let is_local = |host: &str| {
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        name == "localhost" || name == "[::1]" || name.parse::<std::net::Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
    };
    let fits = match url.split_once("://") {
        Some(("https", rest)) => !host(rest).is_empty() && !rest.contains('@'),
        Some(("http", rest)) => is_local(&host(rest)),
        _ => false,
    };
    if !fits {
        let help = "write an address that begins with https://, or with http:// and an address of this machine";
        findings.error(section.at(key), &format!("no token is sent to `{}`", value(url)), help);
    }
}
