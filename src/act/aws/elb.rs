//! Load balancers: the target groups that a listener, or one rule of it, forwards to by weight.
//!
//! A forward action is written as a whole, so everything else in it, and every action beside it, goes back as it was read.

mod forward;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::try_join_all;

use super::asg::{permission, untold};
use super::calls::Aws;
use super::outcome;
use super::wait::Wait;
use crate::act::{ActError, Actuator, ElbSettings, Permission, Progress};
use crate::model::{Action, ActionKind, Facet, Instance, TargetId, TargetState};
use crate::platform::aws::iam::Iam;
use crate::platform::aws::{Accounts, Fault};
use forward::{Forward, MOST_WEIGHT};

/// How long new weights may take to be read back. The load balancer heeds them within seconds.
const WITHIN: Duration = Duration::from_secs(60);

/// Acts on `elb:` targets.
#[derive(Debug)]
pub struct ElbActuator {
    targets: BTreeMap<TargetId, ElbSettings>,
    accounts: Accounts,
}

/// What is changed.
#[derive(Clone, Copy)]
enum Place<'a> {
    Listener(&'a str),
    Rule(&'a str),
}

struct Reached<'a> {
    target: &'a TargetId,
    aws: Aws,
    place: Place<'a>,
}

impl ElbActuator {
    /// An actuator for these targets. Nothing is connected yet.
    #[must_use]
    pub fn new(targets: Vec<ElbSettings>, accounts: Accounts) -> Self {
        Self { targets: targets.into_iter().map(|settings| (settings.name.clone(), settings)).collect(), accounts }
    }

    async fn reach(&self, target: &TargetId) -> Result<Reached<'_>, ActError> {
        let settings = self.targets.get(target).ok_or_else(|| ActError::NotFound(target.to_string()))?;
        let place = match (&settings.rule, &settings.listener) {
            (Some(rule), _) => Place::Rule(rule),
            (None, Some(listener)) => Place::Listener(listener),
            (None, None) => {
                return Err(ActError::Unsupported(format!(
                    "{target} names neither a listener nor a rule: write the ARN of one of them in its table"
                )));
            }
        };
        let aws = Aws::of(&self.accounts, &settings.aws).await.map_err(|fault| outcome::of_read(target, fault))?;
        Ok(Reached { target: &settings.name, aws, place })
    }
}

impl Reached<'_> {
    async fn forward(&self) -> Result<Forward, Fault> {
        let actions = match self.place {
            Place::Listener(arn) => self.aws.listener(arn).await?,
            Place::Rule(arn) => self.aws.rule(arn).await?,
        };
        Ok(Forward::of(actions))
    }

    async fn shift(
        &self,
        action: &Action,
        weights: &BTreeMap<String, u32>,
        before: &Facet,
        progress: &Progress,
    ) -> Result<String, ActError> {
        let (target, subject) = (self.target, action.subject());
        let forward = self.forward().await.map_err(|fault| outcome::of_read(target, fault))?;
        let wanted = forward.with(weights).map_err(|why| ActError::Unsupported(format!("{target} {why}")))?;
        let now = forward.weights_of(weights);
        if now == *weights {
            return Ok(format!("{subject} are so already: {}", Facet::Weights(now)));
        }
        if *before != Facet::Weights(now.clone()) {
            let (expected, found) = (before.to_string(), Facet::Weights(now).to_string());
            return Err(ActError::Conflict { subject, expected, found });
        }
        let sent = match self.place {
            Place::Listener(arn) => self.aws.modify_listener(arn, wanted).await,
            Place::Rule(arn) => self.aws.modify_rule(arn, wanted).await,
        };
        sent.map_err(|fault| outcome::of_write(&subject, fault))?;
        let wait = Wait::new(subject.clone(), WITHIN, self.aws.pace.look_every, progress);
        loop {
            let line = match self.forward().await {
                Ok(forward) if forward.weights_of(weights) == *weights => {
                    return Ok(format!("{subject}: {}", Facet::Weights(weights.clone())));
                }
                Ok(forward) => format!("still {}", Facet::Weights(forward.weights_of(weights))),
                Err(fault) => format!("cannot look: {fault}"),
            };
            wait.on(line).await?;
        }
    }
}

#[async_trait]
impl Actuator for ElbActuator {
    fn kind(&self) -> &'static str {
        "elb"
    }

    async fn observe(&self, target: &TargetId) -> Result<TargetState, ActError> {
        let at = self.reach(target).await?;
        let of_read = |fault| outcome::of_read(target, fault);
        let forward = at.forward().await.map_err(of_read)?;
        let health = try_join_all(forward.groups.iter().map(|group| at.aws.health(&group.arn))).await;
        let health = health.map_err(of_read)?;
        let mut instances: Vec<Instance> = forward
            .groups
            .iter()
            .zip(&health)
            .map(|(group, health)| Instance {
                name: group.name.clone(),
                up: forward::serves(health),
                isolated: false,
                weight: group.weight,
                generation: 0,
            })
            .collect();
        instances.sort_by(|a, b| a.name.cmp(&b.name));
        let count = u32::try_from(instances.len()).unwrap_or(u32::MAX);
        Ok(TargetState {
            replicas: count,
            min_replicas: count,
            max_replicas: count,
            instances,
            can: [ActionKind::Traffic].into(),
            notes: forward.notes(),
            ..TargetState::default()
        })
    }

    async fn apply(&self, action: &Action, before: &Facet, _: &str, progress: &Progress) -> Result<String, ActError> {
        let at = self.reach(action.target()).await?;
        match action {
            Action::Shift { weights, .. } => at.shift(action, weights, before, progress).await,
            other => Err(ActError::Unsupported(format!(
                "{} can only shift traffic between its target groups, by weights from 0 to {MOST_WEIGHT}: it cannot {}",
                at.target,
                other.kind()
            ))),
        }
    }

    async fn permissions(&self, target: &TargetId) -> Result<Vec<Permission>, ActError> {
        let at = self.reach(target).await?;
        let forward = at.forward().await;
        let (look, change) = match at.place {
            Place::Listener(_) => (Iam::DescribeListeners, Iam::ModifyListener),
            Place::Rule(_) => (Iam::DescribeRules, Iam::ModifyRule),
        };
        let mut found = vec![permission(look, &forward)];
        match forward {
            Ok(forward) => {
                if let Some(group) = forward.groups.first() {
                    found.push(permission(Iam::DescribeTargetHealth, &at.aws.health(&group.arn).await));
                }
            }
            Err(Fault::Denied(_)) => {}
            Err(fault) => return Err(outcome::of_read(target, fault)),
        }
        found.push(untold(change));
        Ok(found)
    }
}
