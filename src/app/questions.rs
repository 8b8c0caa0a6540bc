//! What is not a command: a plain question is understood locally, and by an endpoint if the operator wants one. Either
//! yields a command that only looks, or lines to type; nothing that changes something is ever done from a sentence.

use std::sync::Arc;

use super::Shared;
use super::commands::{Asked, Reply, obey};
use crate::chat::command::Command;
use crate::chat::grammar::ParseError;
use crate::chat::intents::{self, Intent};
use crate::chat::{Block, Card, pages, parse};
use crate::model::ServiceId;

/// Most lines that are suggested.
const MOST_LINES: usize = 5;

/// Answers a text that is not a command.
pub(super) async fn answer(shared: &Arc<Shared>, asked: &Asked, text: &str, error: ParseError) -> Reply {
    let services: Vec<_> = shared.config().services.iter().map(|s| s.name.to_string()).collect();
    let playbooks: Vec<_> = shared.registry.catalog().playbooks().map(|p| p.name().to_owned()).collect();
    let intent = {
        let metrics = |service: &str| metrics_of(shared, service);
        let (now, last_run) = (shared.engine.now(), shared.engine.state().runs.keys().next_back().copied());
        intents::understand(
            text,
            &intents::Known { services: &services, metrics: &metrics, playbooks: &playbooks, last_run, now },
        )
    };
    match intent {
        Intent::Command(command, words) => look(shared, asked, command, &words).await,
        Intent::Suggest(lines) => Reply::Refused(suggestion(&lines)),
        Intent::Unknown => ask_reader(shared, asked, text, error, &services, &playbooks).await,
    }
}

fn metrics_of(shared: &Shared, service: &str) -> Vec<String> {
    let last = |board: &mut crate::engine::ServiceBoard| board.last.as_ref().map(|s| s.values.clone());
    let values = shared.board.with(&ServiceId(service.to_owned()), last).unwrap_or_default();
    values.into_keys().collect()
}

/// Carries out what only looks, and says what the sentence was taken for.
async fn look(shared: &Arc<Shared>, asked: &Asked, command: Command, words: &str) -> Reply {
    if command.changes_something() {
        return Reply::Refused(suggestion(&[command.to_string()]));
    }
    match Box::pin(obey(shared, asked, command)).await {
        Reply::Card(mut card) => {
            card.blocks.insert(0, Block::Text(words.to_owned()));
            Reply::Card(card)
        }
        other => other,
    }
}

fn suggestion(lines: &[String]) -> Card {
    let mut blocks: Vec<_> = lines.iter().take(MOST_LINES).map(|line| Block::Text(format!("`{line}`"))).collect();
    blocks.insert(0, Block::Text("Nothing was done. If one of these is meant, say it so:".to_owned()));
    pages::answer("did you mean", blocks)
}

async fn ask_reader(
    shared: &Arc<Shared>,
    asked: &Asked,
    text: &str,
    error: ParseError,
    services: &[String],
    playbooks: &[String],
) -> Reply {
    let not_understood = || Reply::Refused(pages::not_understood(&error));
    #[cfg(feature = "sentence")]
    {
        let Some(reader) = &shared.reader else { return not_understood() };
        let metrics = services.iter().flat_map(|service| metrics_of(shared, service)).collect();
        let known = crate::chat::sentence::Known {
            verbs: crate::chat::COMMANDS,
            services: services.to_vec(),
            metrics,
            playbooks: playbooks.to_vec(),
        };
        match reader.read(text, &known).await {
            Ok(Some(line)) => match parse(&line) {
                Ok(command) => {
                    let words = format!("I took this as `{command}`.");
                    look(shared, asked, command, &words).await
                }
                Err(_) => not_understood(),
            },
            Ok(None) => not_understood(),
            Err(why) => {
                tracing::warn!(error = %why, "the reader of sentences does not answer");
                not_understood()
            }
        }
    }
    #[cfg(not(feature = "sentence"))]
    {
        let _ = (shared, asked, text, services, playbooks, parse);
        not_understood()
    }
}
