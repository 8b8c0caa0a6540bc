//! CloudWatch against moto's server, with a gate between them that speaks today's protocol for it, and plays pages and
//! refusals.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use suture::collect::cloudwatch::CloudwatchSource;
use suture::collect::{CloudwatchMetric, CloudwatchSettings, Making, Pool, Source};
use suture::model::{Clock, FakeClock, Timestamp};

use crate::harness::{Asked, Gate, Moto, Verdict, accounts};

/// A minute of the tests' own: 2026-11-01 12:00:00 UTC.
const NOON: i64 = 1_793_534_400;

fn cloudwatch(gate: &Gate, metrics: &[(&str, &str, &str)], clock: &Arc<FakeClock>) -> CloudwatchSource {
    let metric = |(_, metric, stat): &(&str, &str, &str)| CloudwatchMetric {
        namespace: "Shop".to_owned(),
        metric: (*metric).to_owned(),
        dimensions: BTreeMap::from([("Stage".to_owned(), "test".to_owned())]),
        stat: Some((*stat).to_owned()),
        ..CloudwatchMetric::default()
    };
    let settings = CloudwatchSettings {
        aws: gate.settings(),
        watch: None,
        metric: metrics.iter().map(|of| (of.0.to_owned(), metric(of))).collect(),
        delay: Duration::from_secs(120),
        backfill: Duration::from_secs(3600),
    };
    let (timeout, interval) = (Duration::from_secs(10), Duration::from_secs(5));
    let mut making = Making { timeout, interval, pool: Pool::default() };
    making.pool.accounts = accounts();
    let clock: Arc<dyn Clock> = Arc::clone(clock) as Arc<dyn Clock>;
    CloudwatchSource::with_clock(&settings, &making, clock).unwrap()
}

fn clock_at(seconds: i64) -> Arc<FakeClock> {
    Arc::new(FakeClock::at(Timestamp(seconds * 1000)))
}

#[tokio::test]
async fn cloudwatch_gives_the_newest_complete_window_and_is_asked_once_for_it() {
    let moto = Moto::shared();
    for (n, value) in [0.1, 0.2, 0.3].into_iter().enumerate() {
        moto.metric("Shop", "Latency", ("Stage", "test"), NOON + 60 * i64::try_from(n).unwrap(), value).await;
    }
    moto.metric("Shop", "Errors", ("Stage", "test"), NOON, 4.0).await;
    let gate = Gate::open(moto).await;
    // The window from 12:01 has been complete for two minutes and a bit.
    let clock = clock_at(NOON + 120 + 120 + 20);
    let mut source =
        cloudwatch(&gate, &[("latency_seconds", "Latency", "Average"), ("errors", "Errors", "Sum")], &clock);
    let first = source.read().await.unwrap();
    assert_eq!(first.values["latency_seconds"], 0.2);
    // Nothing is said of errors in a window of which the latency is known.
    assert_eq!(first.values["errors"], 0.0);
    assert_eq!(first.specs["latency_seconds"].unit, "s");
    clock.advance(Duration::from_secs(5));
    assert_eq!(source.read().await.unwrap(), first);
    assert_eq!(gate.count("GetMetricData"), 1);

    clock.advance(Duration::from_secs(55));
    assert_eq!(source.read().await.unwrap().values["latency_seconds"], 0.3);
    assert_eq!(gate.count("GetMetricData"), 2);

    // Three windows later there is no newest value any more, and that is said.
    clock.advance(Duration::from_secs(180));
    assert!(source.read().await.unwrap().values.is_empty());
    assert!(source.complaints()[0].contains("Latency"), "{:?}", source.complaints());
}

#[tokio::test]
async fn cloudwatch_tells_of_the_time_before_as_reads_would_have() {
    let moto = Moto::shared();
    for n in 0..20 {
        moto.metric("Shop", "Depth", ("Stage", "test"), NOON + 60 * n, 10.0 + f64::from(i32::try_from(n).unwrap()))
            .await;
    }
    let gate = Gate::open(moto).await;
    let until = NOON + 20 * 60 + 120 + 20;
    let mut source = cloudwatch(&gate, &[("depth", "Depth", "Average")], &clock_at(until));
    let history = source.history(Timestamp(0), Timestamp(until * 1000)).await.unwrap();
    assert_eq!(gate.count("GetMetricData"), 1);
    let values: Vec<f64> = history.iter().map(|(_, gathered)| gathered.values["depth"]).collect();
    let expected: Vec<f64> = (10..30).map(f64::from).collect();
    assert_eq!(values, expected);
    assert_eq!(history.last().unwrap().0, Timestamp(until * 1000));
    assert_eq!(history.last().unwrap().1.values, source.read().await.unwrap().values);
    assert!(history.is_sorted_by_key(|(at, _)| *at));
}

#[tokio::test]
async fn cloudwatch_is_asked_for_500_metrics_at_once() {
    let answer = |asked: &Asked| match asked.before {
        0 => Verdict::Values(vec![("m0".to_owned(), vec![(NOON, 1.0)])], None),
        _ => Verdict::Values(vec![("m600".to_owned(), vec![(NOON, 7.0)])], None),
    };
    let gate = Gate::with(Moto::shared(), answer).await;
    let names: Vec<(String, String)> = (0..=600).map(|n| (format!("m_{n:03}"), format!("M{n}"))).collect();
    let metrics: Vec<(&str, &str, &str)> = names.iter().map(|(a, b)| (a.as_str(), b.as_str(), "Average")).collect();
    let mut source = cloudwatch(&gate, &metrics, &clock_at(NOON + 200));
    let values = source.read().await.unwrap().values;
    assert_eq!(values, BTreeMap::from([("m_000".to_owned(), 1.0), ("m_600".to_owned(), 7.0)]));
    let sizes: Vec<usize> =
        gate.bodies("GetMetricData").iter().map(|body| body.matches("MetricStat").count()).collect();
    assert_eq!(sizes, [500, 101]);
}

#[tokio::test]
async fn cloudwatch_is_followed_from_page_to_page_but_not_in_circles() {
    let page = |asked: &Asked| match asked.before {
        0 => Verdict::Values(vec![("m0".to_owned(), vec![(NOON - 60, 1.0)])], Some("more")),
        1 => Verdict::Values(vec![("m0".to_owned(), vec![(NOON, 2.0)]), ("m9".to_owned(), vec![(NOON, 9.0)])], None),
        _ => Verdict::Values(vec![("m0".to_owned(), Vec::new())], Some("again")),
    };
    let gate = Gate::with(Moto::shared(), page).await;
    let clock = clock_at(NOON + 200);
    let mut source = cloudwatch(&gate, &[("depth", "Depth", "Average")], &clock);
    assert_eq!(source.read().await.unwrap().values, BTreeMap::from([("depth".to_owned(), 2.0)]));
    assert_eq!(gate.count("GetMetricData"), 2);
    clock.advance(Duration::from_secs(60));
    let odd = source.read().await.unwrap();
    assert!(odd.values.is_empty() && odd.faults[0].why.contains("pages"), "{odd:?}");
    assert_eq!(gate.count("GetMetricData"), 4);
}

#[tokio::test]
async fn cloudwatch_that_fails_gives_nothing_old_and_is_left_alone_for_a_while() {
    let moto = Moto::shared();
    moto.metric("Shop", "Load", ("Stage", "test"), NOON, 1.0).await;
    let gate = Gate::with(moto, |asked: &Asked| match asked.before {
        0 => Verdict::Pass,
        _ => Verdict::Error(403, "x-amzn-query-error: AccessDenied;Sender\r\n", ""),
    })
    .await;
    let clock = clock_at(NOON + 200);
    let mut source = cloudwatch(&gate, &[("load", "Load", "Average")], &clock);
    assert_eq!(source.read().await.unwrap().values["load"], 1.0);
    clock.advance(Duration::from_secs(60));
    let error = source.read().await.unwrap_err();
    assert!(error.why.contains("cloudwatch:GetMetricData"), "{error}");
    let asked = gate.count("GetMetricData");
    clock.advance(Duration::from_secs(60));
    assert_eq!(source.read().await.unwrap_err(), error);
    assert_eq!(gate.count("GetMetricData"), asked);
}
