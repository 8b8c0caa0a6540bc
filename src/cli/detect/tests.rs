use clap::Parser;

use super::*;

#[derive(Parser)]
struct Harness {
    #[command(flatten)]
    args: DetectArgs,
}

/// The exit code of `suture detect` with these words, where `DIR` stands for the folder.
fn exit(dir: &Path, words: &str, json: bool) -> u8 {
    let words = words.replace("DIR", &dir.display().to_string());
    match Harness::try_parse_from(std::iter::once("detect").chain(words.split_whitespace())) {
        Ok(parsed) => run(&global(json), parsed.args).unwrap(),
        Err(error) => u8::try_from(error.exit_code()).unwrap(),
    }
}

fn global(json: bool) -> Global {
    Global { config: None, data_dir: None, log: None, json }
}

/// 100 rows of `cpu` with a spike at row 80, and their labels.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let rows = (0..100).map(|row| format!("{},{}\n", row * 300, if row == 80 { 900 } else { row % 3 }));
    std::fs::write(dir.path().join("metrics.csv"), format!("timestamp,cpu\n{}", rows.collect::<String>())).unwrap();
    let rows = (40..100).map(|row| format!("{row},{}\n", u8::from(row == 80)));
    std::fs::write(dir.path().join("labels.csv"), format!("row,label\n{}", rows.collect::<String>())).unwrap();
    dir
}

fn lines(file: &Path) -> Vec<String> {
    std::fs::read_to_string(file).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn one_line_for_each_row_that_was_not_learnt_from() {
    let dir = folder();
    let scores = dir.path().join("scores.csv");
    for (words, first) in [("--train-rows 60", 60), ("", 50)] {
        assert_eq!(exit(dir.path(), &format!("--input DIR/metrics.csv --output DIR/scores.csv {words}"), false), OK);
        let lines = lines(&scores);
        assert_eq!(lines[0], "row,timestamp,score,risk,is_anomaly,severity,culprit,shares");
        assert_eq!(lines.len(), 1 + 100 - first, "{words}");
        assert!(lines[1].starts_with(&format!("{first},{},", first * 300)), "{}", lines[1]);
    }
}

#[test]
fn detecting_and_evaluating_gives_what_evaluating_the_file_gives() {
    let dir = folder();
    assert_eq!(exit(dir.path(), "--input DIR/metrics.csv --output DIR/s.csv --evaluate DIR/labels.csv", false), OK);
    // Without --train-rows, the labels say where to begin.
    assert_eq!(lines(&dir.path().join("s.csv")).len(), 1 + 60);
    let (table, labels) = (dir.path().join("metrics.csv"), dir.path().join("labels.csv"));
    let args = Harness::try_parse_from(["detect", "--scores", "s", "--evaluate", "l"]).unwrap().args;
    let report = |scores: Vec<Score>| {
        let mut all = Map::new();
        against(&args, evaluate::read_labels(&labels).unwrap(), &labels, scores, &mut all).unwrap();
        all
    };
    let detected = detect(&evaluate::read_table(&table).unwrap(), 40, &DetectSettings::default()).unwrap();
    let direct = report(detected.iter().map(Score::from).collect());
    let by_file = report(evaluate::read_scores(&dir.path().join("s.csv")).unwrap());
    assert_eq!(direct, by_file);
    assert_eq!(direct["interval_seconds"], json!(300.0));
    assert_eq!(direct["evaluation"]["roc_auc"], json!(1.0));
}

#[test]
fn wrong_arguments_and_wrong_files_exit_2() {
    let dir = folder();
    std::fs::write(dir.path().join("empty.csv"), "").unwrap();
    let cases = [
        ("nothing to do", ""),
        ("nowhere to write to", "--input DIR/metrics.csv"),
        ("two inputs", "--input DIR/metrics.csv --scores DIR/s.csv --evaluate DIR/labels.csv"),
        ("scores without labels", "--scores DIR/s.csv"),
        ("a suite without labels", "--suite DIR/manifest.json"),
        ("plots of no suite", "--input DIR/metrics.csv --output DIR/s.csv --plots DIR"),
        ("an interval of nothing", "--input DIR/metrics.csv --evaluate DIR/labels.csv --interval 0"),
        ("no file", "--input DIR/none.csv --output DIR/s.csv"),
        ("an empty file", "--input DIR/empty.csv --output DIR/s.csv"),
        ("too many rows to learn from", "--input DIR/metrics.csv --train-rows 100 --output DIR/s.csv"),
        ("too few", "--input DIR/metrics.csv --train-rows 3 --output DIR/s.csv"),
        ("no folder to write to", "--input DIR/metrics.csv --output DIR/none/s.csv"),
        ("a folder to write to", "--input DIR/metrics.csv --output DIR"),
        ("over the input", "--input DIR/metrics.csv --output DIR/metrics.csv"),
        ("two things on stdout", "--input DIR/metrics.csv --evaluate DIR/labels.csv --output -"),
        ("labels that are none", "--input DIR/metrics.csv --evaluate DIR/metrics.csv"),
        ("no manifest", "--suite DIR/none.json --labels DIR"),
    ];
    for (case, words) in cases {
        assert_eq!(exit(dir.path(), words, false), USAGE, "{case}");
    }
    assert_eq!(exit(dir.path(), "--input DIR/metrics.csv --output -", true), USAGE, "JSON and scores on stdout");
    assert!(lines(&dir.path().join("metrics.csv")).len() == 101, "the input was not touched");
}

#[test]
fn a_file_that_cannot_be_scored_leaves_the_old_scores() {
    let dir = folder();
    let scores = dir.path().join("scores.csv");
    std::fs::write(&scores, "old").unwrap();
    assert_eq!(exit(dir.path(), "--input DIR/metrics.csv --train-rows 100 --output DIR/scores.csv", false), USAGE);
    assert_eq!(std::fs::read_to_string(&scores).unwrap(), "old");
    writable(&scores).unwrap();
    assert_eq!(std::fs::read_to_string(&scores).unwrap(), "old");
}
