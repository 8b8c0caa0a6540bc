//! Every right that Suture asks of AWS's IAM: the one list that calls, errors, `suture check --live` and the documents in
//! `deploy/aws` have in common.
//!
//! Each call names its entry here, so a call that is refused names the right that is missing.

use std::fmt;

/// An action of IAM. One a call that the code makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "they are AWS's own names")]
pub enum Iam {
    DescribeAutoScalingGroups,
    DescribeInstanceRefreshes,
    DescribePolicies,
    DescribeScalingActivities,
    SetDesiredCapacity,
    TerminateInstanceInAutoScalingGroup,
    StartInstanceRefresh,
    SuspendProcesses,
    ResumeProcesses,
    DescribeTargetHealth,
    DescribeListeners,
    DescribeRules,
    DeregisterTargets,
    RegisterTargets,
    ModifyListener,
    ModifyRule,
    GetMetricData,
}

impl Iam {
    /// What looking needs: `deploy/aws/iam-observe.json`.
    pub const OBSERVE: [Self; 8] = [
        Self::DescribeAutoScalingGroups,
        Self::DescribeInstanceRefreshes,
        Self::DescribePolicies,
        Self::DescribeScalingActivities,
        Self::DescribeTargetHealth,
        Self::DescribeListeners,
        Self::DescribeRules,
        Self::GetMetricData,
    ];

    /// What acting needs besides: `deploy/aws/iam-act.json`.
    pub const ACT: [Self; 9] = [
        Self::SetDesiredCapacity,
        Self::TerminateInstanceInAutoScalingGroup,
        Self::StartInstanceRefresh,
        Self::SuspendProcesses,
        Self::ResumeProcesses,
        Self::DeregisterTargets,
        Self::RegisterTargets,
        Self::ModifyListener,
        Self::ModifyRule,
    ];

    /// As a policy names it: `autoscaling:SetDesiredCapacity`.
    #[must_use]
    pub fn name(self) -> String {
        let service = match self {
            Self::DescribeAutoScalingGroups
            | Self::DescribeInstanceRefreshes
            | Self::DescribePolicies
            | Self::DescribeScalingActivities
            | Self::SetDesiredCapacity
            | Self::TerminateInstanceInAutoScalingGroup
            | Self::StartInstanceRefresh
            | Self::SuspendProcesses
            | Self::ResumeProcesses => "autoscaling",
            Self::DescribeTargetHealth
            | Self::DescribeListeners
            | Self::DescribeRules
            | Self::DeregisterTargets
            | Self::RegisterTargets
            | Self::ModifyListener
            | Self::ModifyRule => "elasticloadbalancing",
            Self::GetMetricData => "cloudwatch",
        };
        format!("{service}:{self:?}")
    }

    /// What for, in words: of `suture check --live`.
    #[must_use]
    pub fn what(self) -> &'static str {
        match self {
            Self::DescribeAutoScalingGroups => "look at the group",
            Self::DescribeInstanceRefreshes => "see instance refreshes",
            Self::DescribePolicies => "see who else scales",
            Self::DescribeScalingActivities => "see why instances do not start",
            Self::SetDesiredCapacity => "scale",
            Self::TerminateInstanceInAutoScalingGroup => "restart an instance",
            Self::StartInstanceRefresh => "roll out",
            Self::SuspendProcesses => "suspend a process",
            Self::ResumeProcesses => "resume a process",
            Self::DescribeTargetHealth => "see the health of targets",
            Self::DescribeListeners => "look at the listener",
            Self::DescribeRules => "look at the rule",
            Self::DeregisterTargets => "isolate an instance",
            Self::RegisterTargets => "take an instance back into the traffic",
            Self::ModifyListener | Self::ModifyRule => "shift traffic",
            Self::GetMetricData => "read metrics",
        }
    }
}

impl fmt::Display for Iam {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The actions that a policy document allows; nothing else may be in it.
    fn allowed(document: &str) -> BTreeSet<String> {
        let document: serde_json::Value = serde_json::from_str(document).unwrap();
        assert_eq!(document["Version"], "2012-10-17");
        let statements = document["Statement"].as_array().unwrap();
        let mut actions = BTreeSet::new();
        for statement in statements {
            assert_eq!(statement["Effect"], "Allow");
            for action in statement["Action"].as_array().unwrap() {
                let action = action.as_str().unwrap();
                assert!(!action.contains('*'), "{action}: name each of them");
                assert!(actions.insert(action.to_owned()), "{action} stands there twice");
            }
        }
        actions
    }

    fn names(list: &[Iam]) -> BTreeSet<String> {
        list.iter().map(|iam| iam.name()).collect()
    }

    #[test]
    fn the_documents_allow_what_the_code_asks_and_no_more() {
        let observe = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/aws/iam-observe.json"));
        let act = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/aws/iam-act.json"));
        assert_eq!(allowed(observe), names(&Iam::OBSERVE));
        assert_eq!(allowed(act), names(&Iam::ACT));
    }

    #[test]
    fn what_acts_is_never_allowed_on_everything() {
        let act = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/aws/iam-act.json"));
        let act: serde_json::Value = serde_json::from_str(act).unwrap();
        for statement in act["Statement"].as_array().unwrap() {
            for resource in statement["Resource"].as_array().unwrap() {
                assert!(resource.as_str().unwrap().starts_with("arn:aws:"), "{resource}");
            }
        }
    }

    #[test]
    fn a_look_and_an_act_have_nothing_in_common() {
        assert!(names(&Iam::OBSERVE).is_disjoint(&names(&Iam::ACT)));
        assert!(
            Iam::OBSERVE.iter().all(|iam| format!("{iam:?}").starts_with("Describe") || *iam == Iam::GetMetricData)
        );
    }
}
