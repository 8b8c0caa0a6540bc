//! For tests: a seeded shop whose metrics behave as the demo's do, with faults that can be switched on and off.

use std::collections::BTreeMap;

use super::{DetectSettings, Detector, Signal, Watch, train};
use crate::model::{Badness, MetricSpec, Reading, Sample, Timestamp};

/// Time between two samples.
pub(super) const STEP_MS: i64 = 250;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Latency,
    Errors,
    Leak,
    HalfDown,
    Waiters,
    Cpu,
}

pub(super) const FAULTS: [(Fault, &[&str]); 6] = [
    (Fault::Latency, &["latency_p50", "latency_p95", "latency_p99"]),
    (Fault::Errors, &["error_ratio"]),
    (Fault::Leak, &["memory_bytes"]),
    (Fault::HalfDown, &["up_ratio"]),
    (Fault::Waiters, &["pool_waiters"]),
    (Fault::Cpu, &["cpu_cores"]),
];

pub(super) fn specs() -> BTreeMap<String, MetricSpec> {
    use Badness::{Both, High, Low, Never};
    let spec = |(name, bad, unit, floor): (&str, Badness, &str, f64)| {
        (name.to_owned(), MetricSpec { bad, unit: unit.to_owned(), floor, limit: None })
    };
    [
        ("request_rate", Never, "1/s", 1.0),
        ("latency_p50", High, "s", 0.005),
        ("latency_p95", High, "s", 0.005),
        ("latency_p99", High, "s", 0.005),
        ("error_ratio", High, "ratio", 0.01),
        ("pool_waiters", High, "", 1.0),
        ("in_flight", High, "", 1.0),
        ("cache_hit_ratio", Low, "ratio", 0.01),
        ("cpu_cores", High, "cores", 0.05),
        ("memory_bytes", High, "bytes", 1_048_576.0),
        ("up_ratio", Low, "ratio", 0.01),
        ("open_connections", Both, "", 1.0),
    ]
    .map(spec)
    .into()
}

/// Numbers that look random and are the same for a seed (SplitMix64).
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    pub(super) fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(super) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    pub(super) fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.unit()).ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos()
    }

    fn poisson(&mut self, mean: f64) -> f64 {
        let (floor, mut product, mut count) = ((-mean).exp(), self.unit(), 0.0);
        while product > floor {
            product *= self.unit();
            count += 1.0;
        }
        count
    }
}

/// What a histogram with few observations makes of a latency: a step within its bucket.
fn quantised(seconds: f64) -> f64 {
    const BOUNDS: [f64; 12] = [0.0, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
    let place = BOUNDS.partition_point(|b| *b <= seconds).clamp(1, BOUNDS.len() - 1);
    let (low, high) = (BOUNDS[place - 1], BOUNDS[place]);
    low + (high - low) * ((seconds - low) / (high - low) * 8.0).round() / 8.0
}

pub(super) struct Shop {
    dice: Dice,
    tick: i64,
    period: f64,
    phase: f64,
    burst: f64,
    pub(super) fault: Option<(Fault, i64)>,
}

impl Shop {
    pub(super) fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let (period, phase) = (60.0 + 180.0 * dice.unit(), dice.unit() * std::f64::consts::TAU);
        Self { dice, tick: 0, period, phase, burst: 0.0, fault: None }
    }

    pub(super) fn break_down(&mut self, fault: Fault) {
        self.fault = Some((fault, self.tick));
    }

    pub(super) fn now(&self) -> Timestamp {
        Timestamp(1_700_000_000_000 + self.tick * STEP_MS)
    }

    pub(super) fn sample(&mut self) -> Sample {
        let at = self.now();
        let t = self.tick as f64;
        let fault = |which: Fault| self.fault.filter(|(f, _)| *f == which).map(|(_, since)| (self.tick - since) as f64);
        let (slow, errors, leak, half, full, busy) = (
            fault(Fault::Latency).is_some(),
            fault(Fault::Errors).is_some(),
            fault(Fault::Leak),
            fault(Fault::HalfDown).is_some(),
            fault(Fault::Waiters).is_some(),
            fault(Fault::Cpu).is_some(),
        );
        let dice = &mut self.dice;
        let load = 1.05 + 0.45 * (std::f64::consts::TAU * t / self.period + self.phase).sin();
        let mut latency = |base: f64, skew: f64| {
            let factor = if slow { 8.0 } else { 1.0 };
            quantised(base * factor * (0.8 + 0.25 * load) * (skew * dice.normal()).exp())
        };
        let (p50, p95, p99) = (latency(0.03, 0.12), latency(0.08, 0.25), latency(0.14, 0.4));
        self.burst =
            if dice.unit() < 0.02 { 1.0 + (dice.unit() * 6.0).floor() } else { (self.burst - 1.5).max(0.0).floor() };
        let blip = if dice.unit() < 0.01 { 0.02 + 0.05 * dice.unit() } else { 0.0 };
        let memory = 60e6 + 6e6 * (1.0 - (-t / 60.0).exp()) + 1e5 * dice.normal() + 2e6 * leak.unwrap_or(0.0);
        let values = [
            ("request_rate", 40.0 * load + 3.0 * dice.normal()),
            ("latency_p50", p50),
            ("latency_p95", p95),
            ("latency_p99", p99),
            ("error_ratio", if errors { 0.4 + 0.05 * dice.normal() } else { blip }),
            ("pool_waiters", if full { 30.0 } else { self.burst }),
            ("in_flight", dice.poisson(2.5 * load)),
            ("cache_hit_ratio", (0.92 + 0.02 * dice.normal()).min(1.0)),
            ("cpu_cores", if busy { 0.95 } else { (0.1 * load + 0.02 * dice.normal()).max(0.0) }),
            ("memory_bytes", memory),
            ("up_ratio", if half { 0.5 } else { 1.0 }),
            ("open_connections", 12.0 + dice.normal().round()),
        ];
        self.tick += 1;
        Sample {
            service: "shop".into(),
            at,
            values: values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            by_instance: BTreeMap::new(),
            faults: vec![],
        }
    }
}

/// A shop with a detector and a watch, run as the daemon runs them.
pub(super) struct Stage {
    pub(super) shop: Shop,
    pub(super) detector: Detector,
    pub(super) watch: Watch,
}

impl Stage {
    pub(super) fn new(seed: u64) -> Self {
        let settings = DetectSettings::default();
        let watch = Watch::new(&settings);
        Self { shop: Shop::new(seed), detector: Detector::new("shop".into(), settings, specs()), watch }
    }

    /// A stage that has learned from `samples` samples; trains only once.
    pub(super) fn trained(seed: u64, samples: usize) -> Self {
        let mut stage = Self::new(seed);
        for _ in 0..samples {
            let (_, signal) = stage.step();
            assert_eq!(signal, None, "seed {seed}: raised while learning");
        }
        stage.train();
        stage
    }

    pub(super) fn train(&mut self) {
        let set = self.detector.training_due(self.shop.now()).expect("it is time to train");
        self.detector.install(train(set).unwrap());
    }

    pub(super) fn step(&mut self) -> (Reading, Option<Signal>) {
        let sample = self.shop.sample();
        self.take(&sample)
    }

    pub(super) fn take(&mut self, sample: &Sample) -> (Reading, Option<Signal>) {
        let reading = self.detector.observe(sample);
        let signal = self.watch.push(&reading);
        self.detector.set_quarantine(self.watch.is_raised());
        (reading, signal)
    }
}
