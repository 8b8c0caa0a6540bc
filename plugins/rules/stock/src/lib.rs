//! The stock rule: from the metrics responsible, their trend and the instances they stand out on, to what to try.

mod case;
mod judge;
mod words;

use suture_playbook_sdk::prelude::*;

use case::Case;

struct Stock;

impl Rule for Stock {
    fn describe() -> RuleDescription {
        let summary = "Finds out whether one instance is sick or all have too much to do, and proposes what fits.";
        rule_description("stock", summary)
    }

    fn propose() -> Vec<Proposal> {
        let incident = incident();
        let all = all_targets();
        let targets: Vec<_> = all.iter().filter_map(|target| target.state().ok()).collect();
        // A host that is only watched: there is nothing to act on, so nothing to look at.
        if targets.is_empty() {
            return Vec::new();
        }
        let case = Case {
            drivers: incident.drivers,
            by_instance: metrics_by_instance(),
            targets,
            rolls_out: all.iter().any(|target| case::rolls_out(&target.name())),
            tried: incident.tried,
        };
        judge::proposals(&case)
    }
}

suture_playbook_sdk::export_rule!(Stock);
