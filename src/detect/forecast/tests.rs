use std::collections::BTreeMap;

use super::mix::{NO_RAMPS, NOISES, Noise, Score, Way, series};
use super::*;
use crate::detect::sim::Dice;

const MINUTE: f64 = 60.0;
const SEED: u64 = 2_011;

/// Time in seconds.
fn at(seconds: f64) -> Timestamp {
    Timestamp(1_700_000_000_000 + (seconds * 1000.0) as i64)
}

/// Pushes `value(t)` from `from` to `to`, in seconds, and gives what was told with each value.
fn run(
    outlook: &mut Outlook,
    (from, to, every): (f64, f64, f64),
    limit: f64,
    value: impl Fn(f64) -> f64,
) -> Vec<(f64, Crossing)> {
    let count = ((to - from) / every) as usize;
    let times = (0..count).map(|i| from + every * i as f64);
    let mut told = Vec::new();
    for t in times {
        outlook.push(at(t), value(t));
        told.extend(outlook.crossing(limit, true).map(|crossing| (t, crossing)));
    }
    told
}

/// 10 to 100 from `start` on in so many seconds.
fn ramp(start: f64, seconds: f64) -> impl Fn(f64) -> f64 {
    move |t| 10.0 + 90.0 * ((t - start) / seconds).max(0.0)
}

/// By kind, the series of a fair mix: with each noise five ramps, and eight series without one, of which five go about
/// it in ways that look like a ramp for a while. The intervals take turns.
fn mix(seed: u64, noises: &[Noise]) -> BTreeMap<String, Score> {
    let mut rows: BTreeMap<String, Score> = BTreeMap::new();
    let ramps = [15, 20, 30, 60, 240].map(Way::Ramp);
    let ways: Vec<Way> = ramps.into_iter().chain([Way::Flat; 2]).chain(NO_RAMPS).collect();
    for (i, noise) in NOISES.into_iter().enumerate().filter(|(_, noise)| noises.contains(noise)) {
        for (j, way) in ways.iter().enumerate() {
            let interval: f64 = [60.0, 10.0, 1.0][(i + j) % 3];
            // The longest ones not as often: they would take the test as long as all others together.
            let interval = match way {
                Way::Tide | Way::LongTeeth => 60.0,
                Way::Ramp(240) => interval.max(10.0),
                _ => interval,
            };
            let seed = seed * 1_000_000 + (i * ways.len() + j) as u64;
            let score = Score::of(&series(seed, *way, noise, interval));
            let ramp = ramps.contains(way);
            let kind = if ramp { "ramps" } else { "others" };
            let mut of = vec!["all".to_owned(), kind.to_owned(), format!("{way:?}"), format!("{kind} with {noise:?}")];
            of.push(format!("{kind} every {interval} s"));
            if ramp {
                of.push(format!("{way:?} every {interval} s"));
            }
            for row in of {
                rows.entry(row).or_default().add(score);
            }
        }
    }
    rows
}

fn print(rows: &BTreeMap<String, Score>) {
    println!("{:26} series  right  close  wrong  crossed  early  precision  recall  minutes ahead", "");
    for (row, score) in rows {
        println!("{row:26} {score}");
    }
}

/// The constants were chosen with other seeds.
#[test]
fn warnings_are_early_and_mostly_right() {
    let mut rows: BTreeMap<String, Score> = BTreeMap::new();
    std::thread::scope(|scope| {
        let parts: Vec<_> = NOISES.chunks(2).map(|noises| scope.spawn(move || mix(SEED, noises))).collect();
        for (row, score) in parts.into_iter().flat_map(|part| part.join().unwrap()) {
            rows.entry(row).or_default().add(score);
        }
    });
    print(&rows);
    let all = &rows["all"];
    assert!(all.precision() >= 0.8, "{all}");
    assert!(all.recall() >= 0.8, "{all}");
    assert!(rows["ramps"].recall() >= 0.8, "{}", rows["ramps"]);
    for kind in ["Ramp(15)", "Ramp(20)", "Ramp(30)", "Ramp(60)", "Ramp(240)"] {
        assert!(rows[kind].recall() >= 0.8, "{kind}: {}", rows[kind]);
    }
    let still = &rows["Flat"];
    assert!(still.wrong <= 1, "noise alone: {still}");
    assert!(all.close * 10 >= all.right * 9, "the time told is off: {all}");
}

#[test]
fn a_ramp_is_told_with_its_time_and_ends_with_the_crossing() {
    let start = 60.0 * MINUTE;
    let told = run(&mut Outlook::new(), (0.0, start + 35.0 * MINUTE, 10.0), 100.0, ramp(start, 30.0 * MINUTE));
    let crosses = start + 30.0 * MINUTE;
    let (first, last) = (told.first().unwrap().0, told.last().unwrap().0);
    assert!(first < crosses - 12.0 * MINUTE, "{first}");
    assert!(last < crosses + MINUTE, "{last}");
    for (t, crossing) in told.iter().filter(|(t, _)| *t < crosses) {
        let off = (t + crossing.within.as_secs_f64() - crosses).abs();
        assert!(off < 1.0, "{t}: {crossing:?}");
        assert!(crossing.earliest <= crossing.within && crossing.latest.is_some_and(|l| l >= crossing.within));
        assert!(crossing.confidence > 0.99);
        assert_eq!(crossing.at.since(at(*t)), Duration::from_millis(crossing.within.as_millis() as u64));
    }
    assert_eq!(told.len(), told.iter().filter(|(t, _)| *t >= first && *t <= last).count());
    let samples = ((last - first) / 10.0).round() as usize + 1;
    assert_eq!(told.len(), samples, "it does not flap");
}

#[test]
fn a_leak_of_three_minutes_and_one_of_two_days_are_both_seen() {
    for (every, seconds) in [(0.25, 180.0), (1.0, 180.0), (1800.0, 48.0 * 3600.0), (3600.0, 48.0 * 3600.0)] {
        let start = 3.0 * seconds;
        let told = run(&mut Outlook::new(), (0.0, start + seconds, every), 100.0, ramp(start, seconds));
        let (first, crossing) = told.first().unwrap_or_else(|| panic!("{seconds} s, every {every} s"));
        // Eight hours ahead is the farthest.
        assert!(start + seconds - first > (seconds / 4.0).min(3.0 * 3600.0), "{seconds} s, every {every} s: {first}");
        let off = crossing.within.as_secs_f64() + first - start - seconds;
        assert!(off.abs() < 0.02 * seconds, "{seconds} s, every {every} s: {off}");
    }
}

#[test]
fn a_drain_is_told_below_and_never_above() {
    let mut outlook = Outlook::new();
    let start = 60.0 * MINUTE;
    let fall = |t: f64| -ramp(start, 30.0 * MINUTE)(t);
    run(&mut outlook, (0.0, start + 20.0 * MINUTE, 10.0), 1e9, fall);
    let crossing = outlook.crossing(-100.0, false).unwrap();
    assert!((crossing.within.as_secs_f64() - 10.0 * MINUTE).abs() < 15.0, "{crossing:?}");
    for limit in [-100.0, 100.0, -1.0, 0.0] {
        assert_eq!(outlook.crossing(limit, true), None);
    }
    for passed in [-20.0, 0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, -f64::MAX] {
        assert_eq!(outlook.crossing(passed, false), None, "{passed}");
    }
}

#[test]
fn a_ramp_that_stopped_is_told_no_more() {
    let start = 60.0 * MINUTE;
    let stops = start + 20.0 * MINUTE;
    let rise = ramp(start, 30.0 * MINUTE);
    let told = run(&mut Outlook::new(), (0.0, 5.0 * 3600.0, 10.0), 100.0, |t| rise(t.min(stops)));
    assert!(!told.is_empty());
    let last = told.last().unwrap().0;
    assert!(last < stops + 10.0 * MINUTE, "{} min after", (last - stops) / MINUTE);
}

#[test]
fn a_leak_that_comes_back_after_each_restart_is_told_each_time() {
    let hour = 3600.0;
    let leak = |t: f64| if t < 2.0 * hour { 10.0 } else { 10.0 + 100.0 * (t / hour).fract() };
    let told = run(&mut Outlook::new(), (0.0, 8.0 * hour, 10.0), 100.0, leak);
    for nth in 3..8 {
        let begins = f64::from(nth) * hour;
        let first = told.iter().find(|(t, _)| *t >= begins).unwrap_or_else(|| panic!("leak {nth}"));
        assert!(begins + 0.9 * hour - first.0 > 5.0 * MINUTE, "leak {nth}: {}", (first.0 - begins) / MINUTE);
    }
}

#[test]
fn teeth_that_never_reach_the_limit_are_no_news() {
    let hour = 3600.0;
    let teeth = |t: f64| 10.0 + 70.0 * (t / hour).fract();
    let told = run(&mut Outlook::new(), (0.0, 48.0 * hour, 10.0), 100.0, teeth);
    assert!(told.iter().all(|(t, _)| *t < hour), "after the first one: {:?}", told.last());
}

#[test]
fn a_change_of_the_interval_does_not_hide_a_ramp() {
    let start = 60.0 * MINUTE;
    let value = ramp(start, 60.0 * MINUTE);
    let mut outlook = Outlook::new();
    run(&mut outlook, (0.0, start + 10.0 * MINUTE, 1.0), 100.0, &value);
    run(&mut outlook, (start + 10.0 * MINUTE, start + 30.0 * MINUTE, 60.0), 100.0, &value);
    let told = run(&mut outlook, (start + 30.0 * MINUTE, start + 50.0 * MINUTE, 15.0), 100.0, &value);
    let (t, crossing) = told.last().unwrap();
    let off = t + crossing.within.as_secs_f64() - start - 60.0 * MINUTE;
    assert!(off.abs() < 0.5 * MINUTE, "{off}");
}

#[test]
fn late_missing_and_repeated_values_change_nothing() {
    let start = 60.0 * MINUTE;
    let value = ramp(start, 30.0 * MINUTE);
    let (mut clean, mut dirty) = (Outlook::new(), Outlook::new());
    for i in 0..480 {
        let t = f64::from(i) * 10.0;
        clean.push(at(t), value(t));
        dirty.push(at(t), f64::NAN);
        dirty.push(at(t), value(t));
        dirty.push(at(t), 1e6);
        dirty.push(at(t - 30.0), 1e6);
        dirty.push(at(t + 1.0), f64::INFINITY);
        assert_eq!(clean.crossing(100.0, true), dirty.crossing(100.0, true), "{t}");
    }
    assert!(clean.crossing(100.0, true).is_some());
}

#[test]
fn a_clock_set_back_starts_anew() {
    let start = 60.0 * MINUTE;
    let value = ramp(start, 30.0 * MINUTE);
    let mut outlook = Outlook::new();
    run(&mut outlook, (0.0, start + 20.0 * MINUTE, 10.0), 100.0, &value);
    assert!(outlook.crossing(100.0, true).is_some());
    for i in 0..5 {
        outlook.push(at(f64::from(i) - 1e6), 10.0);
    }
    assert_eq!(outlook.crossing(100.0, true), None);
    let told = run(&mut outlook, (-1e6 + 10.0, -1e6 + start + 20.0 * MINUTE, 10.0), 100.0, |t| value(t + 1e6));
    assert!(!told.is_empty(), "it learns again");
}

#[test]
fn after_a_silence_the_old_answer_is_not_told() {
    let start = 60.0 * MINUTE;
    let mut outlook = Outlook::new();
    run(&mut outlook, (0.0, start + 20.0 * MINUTE, 10.0), 100.0, ramp(start, 30.0 * MINUTE));
    assert!(outlook.crossing(100.0, true).is_some());
    // A day later, and set forward by a thousand years.
    for t in [86_400.0, 3e10] {
        outlook.push(at(t), 50.0);
        assert_eq!(outlook.crossing(100.0, true), None);
    }
}

#[test]
fn nothing_and_next_to_nothing_tell_nothing() {
    let mut outlook = Outlook::new();
    assert_eq!(outlook.crossing(1.0, true), None);
    outlook.push(at(0.0), 0.5);
    assert_eq!(outlook.crossing(1.0, true), None);
    for constant in [0.0, 0.1, -7.0, 1e300, f64::MIN_POSITIVE] {
        let told = run(&mut Outlook::new(), (0.0, 7200.0, 10.0), constant + 1.0, |_| constant);
        assert!(told.is_empty(), "{constant}");
    }
    // As constant as a number of that size can be.
    let last_bit = |t: f64| 1e16 + 2.0 * (t / 600.0).floor();
    assert!(run(&mut Outlook::new(), (0.0, 36_000.0, 10.0), 1.1e16, last_bit).is_empty());
}

#[test]
fn the_ends_of_the_number_line_stay_finite() {
    let start = 3600.0;
    let value = ramp(start, 1800.0);
    for factor in [f64::MAX / 200.0, f64::MIN_POSITIVE, 1e-300, 1e300] {
        let told = run(&mut Outlook::new(), (0.0, start + 1790.0, 10.0), 100.0 * factor, |t| value(t) * factor);
        let (t, crossing) = told.first().unwrap_or_else(|| panic!("{factor}"));
        assert!((t + crossing.within.as_secs_f64() - start - 1800.0).abs() < 5.0, "{factor}: {crossing:?}");
    }
    let mut dice = Dice::new(3);
    let mut outlook = Outlook::new();
    let wild = [f64::MAX, -f64::MAX, 0.0, 1.0, f64::MIN_POSITIVE, f64::NAN, f64::INFINITY, 5e-324];
    let mut time = 0_i64;
    for _ in 0..20_000 {
        let value = wild[(dice.unit() * wild.len() as f64) as usize];
        time = match (dice.unit() * 50.0) as u8 {
            0 => [i64::MIN, i64::MAX, 0, -1][(dice.unit() * 4.0) as usize],
            1 => time.saturating_sub(5_000),
            _ => time.saturating_add((dice.unit() * 9_000.0) as i64),
        };
        outlook.push(Timestamp(time), value);
        for limit in wild {
            for above in [true, false] {
                let sound = outlook.crossing(limit, above).is_none_or(|c| (0.0..=1.0).contains(&c.confidence));
                assert!(sound);
            }
        }
    }
}

#[test]
fn it_is_bounded() {
    let kept = |outlook: &Outlook| {
        let fits: usize = outlook.answers.iter().map(VecDeque::capacity).sum();
        size_of::<Outlook>() + fits * size_of::<Option<Fit>>() + SCALES * 2 * KEPT * size_of::<Bucket>()
    };
    let mut outlook = Outlook::new();
    let before = kept(&outlook);
    assert!(before < 24 * 1024, "{before}");
    run(&mut outlook, (0.0, 86_400.0, 1.0), 1e9, ramp(600.0, 1800.0));
    assert_eq!(kept(&outlook), before);
}
