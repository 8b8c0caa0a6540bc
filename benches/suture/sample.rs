//! A service with 18 metrics that wobble about their means, the same on every run.

use std::time::Duration;

use suture::model::{Sample, ServiceId, Timestamp};

pub const METRICS: usize = 18;
/// Between two samples: the default interval of a service.
pub const STEP: Duration = Duration::from_secs(5);

/// Numbers that look random and are the same every time (SplitMix64).
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Near 0, within about 2 either way, as a sum of four even ones is.
    pub fn wobble(&mut self) -> f64 {
        (0..4).map(|_| self.even()).sum::<f64>() - 2.0
    }

    fn even(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

pub fn service() -> ServiceId {
    ServiceId::from("shop")
}

/// The nth sample. `shift`: how far off the first three metrics are, in their usual deviations.
pub fn sample(nth: u32, dice: &mut Dice, shift: f64) -> Sample {
    let value = |metric: usize, dice: &mut Dice| {
        let mean = 10.0 * (metric + 1) as f64;
        let off = if metric < 3 { shift } else { 0.0 };
        mean + dice.wobble() + off
    };
    Sample {
        service: service(),
        at: Timestamp(1_700_000_000_000).plus(STEP * nth),
        values: (0..METRICS).map(|metric| (format!("metric_{metric:02}"), value(metric, dice))).collect(),
        by_instance: std::collections::BTreeMap::new(),
        faults: Vec::new(),
    }
}
