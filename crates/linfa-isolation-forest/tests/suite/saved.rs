//! Saving and loading, and files that lie.

use linfa::DatasetBase;
use linfa_isolation_forest::{Extension, IsolationForest};
use serde_json::{Value, json};

use crate::{cloud, fit};

fn small() -> Value {
    serde_json::to_value(fit(IsolationForest::params().n_trees(2).max_samples(8), &cloud(30, 3, 1))).unwrap()
}

fn refused(value: Value) -> String {
    serde_json::from_value::<IsolationForest>(value).unwrap_err().to_string()
}

#[test]
fn a_forest_read_back_is_the_same_forest() {
    let mut records = cloud(500, 5, 1);
    records[[7, 2]] = f64::NAN;
    for extension in [Extension::Axis, Extension::Level(1), Extension::Full] {
        let forest = fit(IsolationForest::params().extension(extension).contamination(0.03), &records);
        let text = serde_json::to_string(&forest).unwrap();
        let mut read: IsolationForest = serde_json::from_str(&text).unwrap();
        assert_eq!(read, forest, "{extension:?}");
        assert_eq!(read.score_samples(&records).unwrap(), forest.score_samples(&records).unwrap());
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
        let mut forest = forest;
        let new = DatasetBase::from(cloud(200, 5, 2));
        read.refresh(&new, 30).unwrap();
        forest.refresh(&new, 30).unwrap();
        assert_eq!(read, forest, "and goes on as the first would have");
    }
}

#[test]
fn a_standard_forest_of_60_columns_stays_under_4_megabytes_of_json() {
    let bytes = serde_json::to_vec(&fit(IsolationForest::params(), &cloud(2000, 60, 3))).unwrap().len();
    assert!(bytes < 4_000_000, "{bytes}");
}

#[test]
fn a_newer_format_is_named() {
    let mut value = small();
    value["format"] = json!(2);
    assert_eq!(refused(value), "not a usable saved isolation forest: it has format 2, this version reads format 1");
}

#[test]
fn parameters_are_checked_again() {
    let mut value = small();
    value["params"]["max_samples"] = json!(1);
    assert!(refused(value).starts_with("max_samples is 1"));
    let mut value = small();
    value["params"]["n_trees"] = json!(3);
    assert_eq!(refused(value), "not a usable saved isolation forest: 2 trees where the parameters say 3");
}

#[test]
fn a_tree_that_contradicts_itself_is_refused_with_its_number() {
    type Lie = fn(&mut Value);
    let lies: [(&str, Lie); 6] = [
        ("tree 1: ", |t| drop(t["sizes"].as_array_mut().unwrap().pop())),
        ("tree 1: the children of node 0 do not share its 9 rows", |t| t["sizes"][0] = json!(9)),
        ("tree 1: no root, or one with an impossible number of rows", |t| t["sizes"][0] = json!(0)),
        ("tree 1: node 0 splits at no column or no number", |t| t["splits"][0] = json!(4)),
        ("tree 1: ", |t| drop(t["thresholds"].as_array_mut().unwrap().pop())),
        ("tree 1: ", |t| t["stride"] = json!(u64::MAX)),
    ];
    for (words, lie) in lies {
        let mut value = small();
        lie(&mut value["trees"][1]);
        let found = refused(value);
        assert!(found.starts_with(&format!("not a usable saved isolation forest: {words}")), "{found}");
    }
}

#[test]
fn a_node_without_a_parent_is_refused() {
    // The count of nodes is right, but the second split comes before any child exists to carry it.
    let mut value = small();
    value["trees"] =
        json!([{ "sizes": [2, 1, 1], "splits": [0, 1, 0], "thresholds": [0.5], "stride": 0, "planes": [] }]);
    value["params"]["n_trees"] = json!(1);
    assert!(refused(value).ends_with("tree 0: node 1 has no parent"));
}
