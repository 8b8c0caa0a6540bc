//! A forward action: target groups and their weights. Pure.

use std::collections::BTreeMap;

use aws_sdk_elasticloadbalancingv2::types::{
    Action, ActionTypeEnum, ForwardActionConfig, TargetGroupTuple, TargetHealthDescription,
    TargetHealthStateEnum as Health,
};

use crate::platform::aws::excerpt;

/// The greatest weight that a target group can have.
pub(super) const MOST_WEIGHT: u32 = 999;
/// What a target group weighs where AWS does not say.
const USUAL: u32 = 1;

/// The actions of a listener or rule, and what is forwarded to.
#[derive(Clone, Debug, Default)]
pub(super) struct Forward {
    /// All of them, in AWS's order: a login may come before the forwarding.
    actions: Vec<Action>,
    pub(super) groups: Vec<TargetGroup>,
}

/// A target group that is forwarded to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TargetGroup {
    pub(super) arn: String,
    pub(super) name: String,
    pub(super) weight: u32,
}

fn is_forward(action: &Action) -> bool {
    action.r#type == Some(ActionTypeEnum::Forward)
}

impl Forward {
    /// What these actions forward to.
    pub(super) fn of(actions: Vec<Action>) -> Self {
        let groups = actions.iter().find(|action| is_forward(action)).map(groups).unwrap_or_default();
        Self { actions, groups }
    }

    /// The weights that are now of the groups that `weights` names.
    pub(super) fn weights_of(&self, weights: &BTreeMap<String, u32>) -> BTreeMap<String, u32> {
        let named = self.groups.iter().filter(|group| weights.contains_key(&group.name));
        named.map(|group| (group.name.clone(), group.weight)).collect()
    }

    /// The actions with these weights in them. Else why that cannot be.
    pub(super) fn with(&self, weights: &BTreeMap<String, u32>) -> Result<Vec<Action>, String> {
        let names = || self.groups.iter().map(|group| group.name.as_str()).collect::<Vec<_>>().join(", ");
        if self.groups.is_empty() {
            return Err("forwards to no target group, so there is no traffic to shift".to_owned());
        }
        if let Some(unknown) = weights.keys().find(|name| !self.groups.iter().any(|group| group.name == **name)) {
            return Err(format!("does not forward to `{}`: it forwards to {}", excerpt(unknown, 80), names()));
        }
        if let Some((name, weight)) = weights.iter().find(|(_, weight)| **weight > MOST_WEIGHT) {
            return Err(format!("cannot give {name} the weight {weight}: AWS knows weights from 0 to {MOST_WEIGHT}"));
        }
        let weight = |group: &TargetGroup| weights.get(&group.name).copied().unwrap_or(group.weight);
        if self.groups.iter().all(|group| weight(group) == 0) {
            return Err("would be left without any traffic: leave one of its target groups a weight".to_owned());
        }
        let tuples = self.groups.iter().map(|group| {
            let weight = i32::try_from(weight(group)).unwrap_or(0);
            TargetGroupTuple::builder().target_group_arn(&group.arn).weight(weight).build()
        });
        let tuples: Vec<_> = tuples.collect();
        let mut first = true;
        Ok(self
            .actions
            .iter()
            .cloned()
            .map(|mut action| {
                if is_forward(&action) && std::mem::take(&mut first) {
                    let stickiness = action.forward_config.and_then(|config| config.target_group_stickiness_config);
                    let config = ForwardActionConfig::builder()
                        .set_target_groups(Some(tuples.clone()))
                        .set_target_group_stickiness_config(stickiness);
                    action.forward_config = Some(config.build());
                    // It stands for a single group, beside the list; two truths are refused.
                    action.target_group_arn = None;
                }
                // AWS does not give the secret of a login out, and wants to be told that the old one stays.
                if let Some(login) = &mut action.authenticate_oidc_config {
                    login.use_existing_client_secret = Some(true);
                }
                action
            })
            .collect())
    }

    /// What who approves a shift must know.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let forward = self.actions.iter().find(|action| is_forward(action));
        let Some(forward) = forward else {
            notes.push("It forwards to no target group.".to_owned());
            return notes;
        };
        if self.groups.len() == 1 {
            notes.push("It forwards to a single target group: there is nothing to shift traffic to.".to_owned());
        }
        let sticky = forward.forward_config.as_ref().and_then(|config| config.target_group_stickiness_config.as_ref());
        if let Some(seconds) = sticky.filter(|s| s.enabled == Some(true)).and_then(|s| s.duration_seconds) {
            notes.push(format!("Clients stay with their target group for {seconds} s, so a shift takes that long."));
        }
        notes
    }
}

fn groups(forward: &Action) -> Vec<TargetGroup> {
    let listed = forward.forward_config.as_ref().map(ForwardActionConfig::target_groups).unwrap_or_default();
    let weight = |tuple: &TargetGroupTuple| tuple.weight.and_then(|weight| u32::try_from(weight).ok()).unwrap_or(USUAL);
    let mut pairs: Vec<(String, u32)> =
        listed.iter().filter_map(|tuple| Some((tuple.target_group_arn.clone()?, weight(tuple)))).collect();
    if pairs.is_empty() {
        pairs.extend(forward.target_group_arn.clone().map(|arn| (arn, USUAL)));
    }
    let group = |(arn, weight): (String, u32)| TargetGroup { name: name_of(&arn), arn, weight };
    pairs.into_iter().map(group).collect()
}

/// `web-blue` of `arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web-blue/73e2d6bc24d8a067`.
fn name_of(arn: &str) -> String {
    let name = arn.split_once(":targetgroup/").and_then(|(_, rest)| rest.split('/').next());
    excerpt(name.unwrap_or(arn), 80)
}

/// Is there a target in it that answers, as far as the load balancer can tell?
pub(super) fn serves(health: &[TargetHealthDescription]) -> bool {
    let state = |target: &TargetHealthDescription| target.target_health.as_ref().and_then(|h| h.state.clone());
    health.iter().filter_map(state).any(|state| matches!(state, Health::Healthy | Health::Unavailable))
}

#[cfg(test)]
mod tests {
    use aws_sdk_elasticloadbalancingv2::types::{
        AuthenticateOidcActionConfig, TargetGroupStickinessConfig, TargetHealth,
    };

    use super::*;

    const BLUE: &str = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/blue/73e2d6bc24d8a067";
    const GREEN: &str = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/green/83e2d6bc24d8a067";

    fn forward(config: ForwardActionConfig) -> Action {
        Action::builder().r#type(ActionTypeEnum::Forward).order(2).forward_config(config).build()
    }

    fn two(blue: i32, green: i32) -> Forward {
        let of = |arn: &str, weight| TargetGroupTuple::builder().target_group_arn(arn).weight(weight).build();
        let sticky = TargetGroupStickinessConfig::builder().enabled(true).duration_seconds(60).build();
        let config = ForwardActionConfig::builder().target_groups(of(BLUE, blue)).target_groups(of(GREEN, green));
        let login = AuthenticateOidcActionConfig::builder()
            .issuer("https://id.example")
            .authorization_endpoint("https://id.example/a")
            .token_endpoint("https://id.example/t")
            .user_info_endpoint("https://id.example/u")
            .client_id("shop")
            .build();
        let login = Action::builder().r#type(ActionTypeEnum::AuthenticateOidc).order(1).authenticate_oidc_config(login);
        Forward::of(vec![login.build(), forward(config.target_group_stickiness_config(sticky).build())])
    }

    fn weights(of: &[(&str, u32)]) -> BTreeMap<String, u32> {
        of.iter().map(|(name, weight)| ((*name).to_owned(), *weight)).collect()
    }

    #[test]
    fn groups_are_called_by_name_and_keep_their_weights() {
        assert_eq!(two(9, 1).weights_of(&weights(&[("green", 0), ("blue", 0)])), weights(&[("blue", 9), ("green", 1)]));
    }

    #[test]
    fn a_single_group_weighs_what_is_usual() {
        let single =
            Forward::of(vec![Action::builder().r#type(ActionTypeEnum::Forward).target_group_arn(BLUE).build()]);
        assert_eq!(single.weights_of(&weights(&[("blue", 0)])), weights(&[("blue", 1)]));
        assert!(single.notes()[0].contains("single"));
    }

    #[test]
    fn everything_that_is_not_a_weight_goes_back_as_it_was() {
        let wanted = two(9, 1).with(&weights(&[("green", 5)])).unwrap();
        let after = Forward::of(wanted.clone());
        assert_eq!(after.weights_of(&weights(&[("blue", 0), ("green", 0)])), weights(&[("blue", 9), ("green", 5)]));
        let sticky = wanted[1].forward_config.as_ref().unwrap().target_group_stickiness_config.as_ref().unwrap();
        assert_eq!((sticky.enabled, sticky.duration_seconds), (Some(true), Some(60)));
        assert_eq!(wanted[0].order, Some(1));
        assert_eq!(wanted[0].authenticate_oidc_config.as_ref().unwrap().use_existing_client_secret, Some(true));
    }

    #[test]
    fn weights_that_aws_cannot_have_are_refused_before_it_is_asked() {
        let no = |of: &[(&str, u32)]| two(9, 1).with(&weights(of)).unwrap_err();
        assert!(no(&[("red", 1)]).contains("blue, green"));
        assert!(no(&[("blue", 1000)]).contains("0 to 999"));
        assert!(no(&[("blue", 0), ("green", 0)]).contains("without any traffic"));
        assert!(Forward::default().with(&weights(&[("blue", 1)])).unwrap_err().contains("no target group"));
    }

    #[test]
    fn a_group_serves_when_one_of_its_targets_does() {
        let target = |state: Health| {
            let health = TargetHealth::builder().state(state).build();
            TargetHealthDescription::builder().target_health(health).build()
        };
        assert!(serves(&[target(Health::Unhealthy), target(Health::Healthy)]));
        assert!(!serves(&[target(Health::Draining), target(Health::Unused)]));
        assert!(!serves(&[]));
    }
}
