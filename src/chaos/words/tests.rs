use super::*;
use crate::chat::render::{Look, render};
use crate::model::Fault;

fn shown(card: &Card) -> String {
    render(card, Look { width: 120, ..Look::default() })
}

/// A plan of a stock experiment, each fault on an instance of its own.
fn plan_of(name: &str) -> ExperimentPlan {
    let experiment = Library::stock().find(name).unwrap().experiment.clone();
    let times = experiment.timetable();
    let faults = experiment.method.iter().zip(times).zip(1..).map(|((step, (from, until)), n)| AimedFault {
        fault: step.fault.clone(),
        target: "local:shop".parse().unwrap(),
        instances: vec![format!("shop-{n}")],
        from,
        until,
        how: format!("by the balancer in front of shop-{n}"),
        undo: "the balancer lets everything through again".to_owned(),
        held: serde_json::Value::Null,
    });
    ExperimentPlan { service: "shop".into(), faults: faults.collect(), experiment }
}

#[test]
fn what_there_is() {
    let runs_on = |experiment: &Experiment| {
        let pod = experiment.method.iter().any(|step| step.fault == Fault::PodKill);
        if pod { Vec::new() } else { vec!["shop".into()] }
    };
    insta::assert_snapshot!(shown(&list(&Library::stock(), &runs_on)));
}

#[test]
fn what_one_is_for() {
    let library = Library::stock();
    insta::assert_snapshot!(shown(&describe(library.find("bad-day").unwrap())));
}

#[test]
fn what_a_plan_would_do() {
    insta::assert_snapshot!(shown(&plan_card(&plan_of("bad-day"))));
}

#[test]
fn what_is_about_the_whole_says_so() {
    let mut plan = plan_of("load");
    plan.faults[0].instances.clear();
    let blocks = plan_blocks(&plan);
    assert!(blocks.contains(&field("Hits", "local:shop as a whole")), "{blocks:?}");
    assert!(!blocks.iter().any(|block| matches!(block, Block::Field(label, _) if label == "No way back")));
    plan.faults.clear();
    assert!(plan_blocks(&plan).contains(&field("Hits", "nothing")));
}

#[test]
fn bounds_are_said_with_their_patience() {
    let bound =
        |samples| MetricBound { metric: "errors_ratio".to_owned(), at_most: Some(0.05), at_least: None, samples };
    let rules = AbortRules { other_incident: false, metrics: vec![bound(1), bound(3)] };
    assert_eq!(
        abort(&rules),
        "when this does not hold: errors_ratio at most 0.05; when this does not hold for 3 samples in a row: errors_ratio \
         at most 0.05; by `chaos stop`; by `stop`; when Suture ends"
    );
    let steady = SteadyState { detector: false, samples: 1, metrics: vec![bound(1)], ..SteadyState::default() };
    assert_eq!(steady_state(&steady), "errors_ratio at most 0.05; 1 sample, and again within 1 min 00 s afterwards");
    let expect = Expectation::default();
    assert_eq!(
        expectation(&expect),
        "detected within 30 s, answered by any playbook or none, well again within 5 min 00 s"
    );
}
