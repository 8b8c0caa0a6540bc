use super::*;
use proptest::prelude::*;
use std::time::{Duration, Instant};

const START: i64 = 1_793_620_800_000;

fn chart(values: &[f64]) -> Chart {
    let at = |i: usize| Timestamp(START + 5000 * i as i64);
    Chart {
        service: "shop".into(),
        metric: "latency_p95".to_owned(),
        unit: "s".to_owned(),
        from: at(0),
        to: at(values.len().saturating_sub(1)),
        interval: Duration::from_secs(5),
        points: values.iter().enumerate().map(|(i, v)| (at(i), *v)).collect(),
        band: Some((0.010, 0.03)),
        marks: Vec::new(),
    }
}

fn mark(i: i64, kind: MarkKind, words: &str) -> Mark {
    Mark { at: Timestamp(START + 5000 * i), kind, words: words.to_owned() }
}

/// Quiet, then a fault, an action, and well again; without anything random.
fn fault_and_cure() -> Chart {
    let wave = |i: usize| ((i * 7919 + 13) % 101) as f64 / 101.0;
    let value = |i: usize| match i {
        20..=24 => f64::NAN,
        54..=62 => 0.02 + 0.042 * (i - 53) as f64 + 0.02 * wave(i),
        63..=74 => 0.37 + 0.042 * wave(i),
        75..=86 => 0.38 - 0.03 * (i - 74) as f64 + 0.012 * wave(i),
        _ => 0.018 + 0.008 * wave(i),
    };
    Chart {
        marks: vec![
            mark(55, MarkKind::Anomaly, "INC-1 opened, high"),
            mark(62, MarkKind::Action, "RUN-1 scale-out: local:shop workers 2 -> 4"),
            mark(96, MarkKind::Resolved, "INC-1 resolved"),
        ],
        ..chart(&(0..121).map(value).collect::<Vec<_>>())
    }
}

fn decoded(png: &[u8]) -> (u32, u32, Vec<u8>) {
    let mut decoder = png::Decoder::new(std::io::Cursor::new(png));
    decoder.set_transformations(png::Transformations::EXPAND);
    let mut reader = decoder.read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    (info.width, info.height, pixels)
}

/// Writes what is drawn to a folder, for people to look at.
fn look_at(name: &str, chart: &Chart) {
    let begun = Instant::now();
    let png = png(chart).unwrap();
    println!("{name}: {} bytes in {:?}", png.len(), begun.elapsed());
    assert!(png.len() < 100_000, "{name}: {}", png.len());
    if let Ok(folder) = std::env::var("PICTURES") {
        std::fs::write(format!("{folder}/{name}.png"), png).unwrap();
    }
}

#[test]
fn gallery() {
    look_at("cure", &fault_and_cure());
    look_at(
        "few",
        &Chart { marks: vec![mark(2, MarkKind::Action, "deployed")], ..chart(&[0.02, 0.021, 0.019, 0.2, 0.022]) },
    );
    look_at("one", &chart(&[0.02]));
    look_at("flat", &Chart { band: None, unit: "bytes".to_owned(), ..chart(&[3e9; 30]) });
    look_at("zero", &Chart { band: None, unit: "1/s".to_owned(), ..chart(&[0.0; 30]) });
    let noise: Vec<f64> = (0..100_000_u64).map(|i| (i.wrapping_mul(2_654_435_761) % 1000) as f64 / 2000.0).collect();
    look_at("noise", &chart(&noise));
    let thin: Vec<f64> = (0..900_u64).map(|i| (i.wrapping_mul(2_654_435_761) % 1000) as f64 / 2000.0).collect();
    look_at("noise900", &chart(&thin));
    let holes: Vec<f64> = (0..400).map(|i| if i % 2 == 0 { f64::from(i) } else { f64::NAN }).collect();
    look_at("holes", &Chart { unit: String::new(), ..chart(&holes) });
    let crowd: Vec<Mark> = (0..40)
        .map(|i| {
            mark(
                40 + i,
                [MarkKind::Anomaly, MarkKind::Action, MarkKind::Undo, MarkKind::Resolved][i as usize % 4],
                &format!("RUN-{i} restart of local:shop/{i}"),
            )
        })
        .collect();
    look_at("crowd", &Chart { marks: crowd, ..fault_and_cure() });
    look_at(
        "hostile",
        &Chart {
            service: "<!channel> \u{202e}evil\u{1b}[31m 日本語 ".repeat(9).as_str().into(),
            metric: "μ→λ 👩‍🔧 ".repeat(30),
            unit: "W".repeat(300),
            marks: vec![mark(119, MarkKind::Anomaly, &"日本 very long words ".repeat(60)), mark(1, MarkKind::Undo, "")],
            ..fault_and_cure()
        },
    );
    let days: Vec<f64> = (0..300).map(|i| 40.0 + 30.0 * (f64::from(i) / 20.0).sin()).collect();
    let slow = chart(&days);
    let hour = |i: usize| Timestamp(START + 3_600_000 * i as i64);
    look_at(
        "days",
        &Chart {
            unit: "%".to_owned(),
            band: Some((20.0, 60.0)),
            interval: Duration::from_secs(3600),
            to: hour(299),
            points: days.iter().enumerate().map(|(i, v)| (hour(i), *v)).collect(),
            ..slow
        },
    );
    look_at(
        "close",
        &Chart {
            band: None,
            unit: "bytes".to_owned(),
            ..chart(&(0..50).map(|i| 1e9 + f64::from(i % 7)).collect::<Vec<_>>())
        },
    );
    look_at(
        "minutes",
        &Chart {
            band: Some((60.0, 200.0)),
            ..chart(&(0..50).map(|i| 100.0 + f64::from(i % 17) * 60.0).collect::<Vec<_>>())
        },
    );
}

#[test]
fn it_is_a_png_of_its_size_on_light_paper() {
    let (width, height, pixels) = decoded(&png(&fault_and_cure()).unwrap());
    assert_eq!((width, height), SIZE);
    let paper = pixels.chunks(3).filter(|p| *p == [PAPER.0, PAPER.1, PAPER.2]).count();
    assert!(paper > pixels.len() / 3 / 2, "most of it is paper: {paper}");
    assert_eq!(pixels[..3], [FRAME.0, FRAME.1, FRAME.2], "a frame sets it off from a light chat");
}

#[test]
fn the_same_chart_is_the_same_picture() {
    assert_eq!(png(&fault_and_cure()).unwrap(), png(&fault_and_cure()).unwrap());
}

#[test]
fn everything_in_a_sentence() {
    assert_eq!(
        words(&fault_and_cure()),
        "latency_p95 of shop from 12:00:00 to 12:10:00 UTC: between 18 ms and 410 ms, usually 10 ms to 30 ms; 12:04:35 INC-1 \
         opened, high; 12:05:10 RUN-1 scale-out: local:shop workers 2 -> 4; 12:08:00 INC-1 resolved"
    );
    assert_eq!(
        words(&Chart { band: Some((f64::NEG_INFINITY, 0.03)), ..chart(&[0.02, 0.02]) }),
        "latency_p95 of shop from 12:00:00 to 12:00:05 UTC: always 20 ms, usually 30 ms and less"
    );
    assert_eq!(
        words(&Chart { band: None, ..chart(&[f64::NAN]) }),
        "latency_p95 of shop from 12:00:00 to 12:00:00 UTC: nothing was measured"
    );
    let marks = (0..11).map(|i| mark(i, MarkKind::Action, "again\n")).collect();
    let said = words(&Chart { marks, ..chart(&[0.02; 20]) });
    assert!(said.contains("; 3 earlier marks; 12:00:15 again ; ") && said.ends_with("12:00:50 again "), "{said}");
}

#[test]
fn more_than_a_day_is_said_with_its_days() {
    let long = Chart { to: Timestamp(START + 90_000_000), ..chart(&[0.02, 0.03]) };
    assert!(words(&long).contains("from 2026-11-02 12:00:00 to 2026-11-03 13:00:00 UTC"), "{}", words(&long));
}

#[test]
fn what_cannot_be_drawn_is_named() {
    let none = png(&chart(&[f64::NAN, f64::INFINITY])).unwrap_err();
    assert!(matches!(none, PictureError::NoValues { .. }), "{none}");
    assert!(matches!(png(&chart(&[])), Err(PictureError::NoValues { .. })));
    let outside = Chart { from: Timestamp(START + 60_000), to: Timestamp(START + 90_000), ..chart(&[1.0, 2.0]) };
    assert!(matches!(png(&outside), Err(PictureError::NoValues { .. })));
    let backwards = Chart { from: Timestamp(START + 1), to: Timestamp(START), ..chart(&[1.0]) };
    let error = png(&backwards).unwrap_err();
    assert!(error.to_string().contains("give the earlier time first"), "{error}");
}

/// The course as it would be drawn, on a plot of 800 by 300 pixels.
fn course(chart: &Chart) -> Vec<Vec<Spot>> {
    let view = View::of(chart);
    let scale = Scale::over(&view.points, view.band, &chart.unit).unwrap().between(100.0, 400.0);
    lines(&view.points, chart.interval, &Times::of(chart, 100.0, 900.0), &scale)
}

#[test]
fn gaps_stay_gaps() {
    let gap = f64::NAN;
    assert_eq!(
        course(&chart(&[1.0, 2.0, gap, 1.0, 2.0, gap, 3.0])).iter().map(Vec::len).collect::<Vec<_>>(),
        [2, 2, 1]
    );
    assert_eq!(course(&chart(&[1.0, 2.0, 3.0, 4.0])).len(), 1);
    let unknown = Chart { interval: Duration::ZERO, ..chart(&[1.0, gap, gap, 2.0]) };
    assert_eq!(course(&unknown).len(), 1, "without an interval nothing is known to be missing");
    // As it is looked at: between two values with a gap there is paper (or band), and no line.
    let (_, _, pixels) = decoded(&png(&Chart { band: None, ..chart(&[1.0, gap, gap, gap, gap, 1.0]) }).unwrap());
    let blue = |x: usize| (100..440).any(|y| pixels[(y * 1000 + x) * 3..][..3] == [COURSE.0, COURSE.1, COURSE.2]);
    assert!((200..800).all(|x| !blue(x)) && blue(908), "the gap is empty, its end is not");
}

#[test]
fn a_single_peak_among_many_values_is_drawn() {
    let mut values = vec![1.0; 100_000];
    values[77_777] = 50.0;
    let lines = course(&chart(&values));
    let points: usize = lines.iter().map(Vec::len).sum();
    assert!(points <= 2 * 801, "{points}");
    let top = lines.iter().flatten().map(|p| p.1).fold(f32::MAX, f32::min);
    let foot = lines.iter().flatten().map(|p| p.1).fold(f32::MIN, f32::max);
    assert!(foot - top > 200.0, "from {foot} up to {top}");
}

#[test]
fn the_part_beyond_an_edge_is_cut_at_it() {
    let line = [(0.0, 10.0), (10.0, 0.0), (20.0, 10.0), (30.0, 10.0)];
    assert_eq!(beyond(&line, 5.0, true), [vec![(5.0, 5.0), (10.0, 0.0), (15.0, 5.0)]]);
    assert_eq!(
        beyond(&line, 5.0, false),
        [vec![(0.0, 10.0), (5.0, 5.0)], vec![(15.0, 5.0), (20.0, 10.0), (30.0, 10.0)]]
    );
    assert!(beyond(&line, -5.0, true).is_empty());
}

#[test]
fn values_at_the_side_differ_in_words() {
    let said = |values: &[f64], unit: &str| -> Vec<String> {
        let points: Vec<_> = values.iter().map(|v| (Timestamp(0), *v)).collect();
        Scale::over(&points, None, unit).unwrap().ticks(unit).into_iter().map(|(_, said)| said).collect()
    };
    assert_eq!(said(&[0.0, 0.41], "s"), ["0 s", "100 ms", "200 ms", "300 ms", "400 ms"]);
    assert_eq!(said(&[0.0, 1000.0], "s"), ["0 s", "5 min 00 s", "10 min 00 s", "15 min 00 s"]);
    assert_eq!(said(&[0.0, 3e9], "bytes"), ["0 B", "1 GiB", "2 GiB", "3 GiB"]);
    assert_eq!(said(&[0.0, 0.8], "ratio"), ["0 %", "20 %", "40 %", "60 %", "80 %"]);
    assert_eq!(said(&[10_000.0, 10_003.0], ""), ["10 000", "10 001", "10 002", "10 003"]);
    assert_eq!(said(&[1e7, 1e7 + 3.0], ""), ["10000000", "10000001", "10000002", "10000003"]);
    assert_eq!(said(&[0.0102, 0.0108], "s"), ["0.0102 s", "0.0104 s", "0.0106 s", "0.0108 s"]);
}

#[test]
fn the_font_has_what_names_and_units_need() {
    let font = Font::load().unwrap();
    let known = "µ·…%°±×÷– ÄÖÜäöüßéèçñ ЖдяЩ αβγλΩ <>[]{}@#$&|~^";
    assert_eq!(font.shown(known), known);
    assert_eq!(font.shown("a日b\u{200d}c\u{fe0f}🔧"), "a?bc?");
    for room in [0.0, 5.0, 20.0, 100.0, 1e9] {
        let fitted = font.fitted("a rather long name of a service", LABEL, room);
        assert!(fitted == "…" || font.width(&fitted, LABEL) <= room, "{fitted}");
    }
}

fn any_kind() -> impl Strategy<Value = MarkKind> {
    prop_oneof![
        Just(MarkKind::Anomaly),
        Just(MarkKind::Action),
        Just(MarkKind::Undo),
        Just(MarkKind::Resolved),
        Just(MarkKind::Fault)
    ]
}

/// Any number, and often one of those that break things.
fn any_value() -> impl Strategy<Value = f64> {
    let odd =
        [0.0, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN, f64::MIN_POSITIVE, 5e-324, 1e300];
    prop_oneof![4 => any::<f64>(), 2 => proptest::sample::select(odd.to_vec()), 4 => -1e3..1e3_f64]
}

fn any_time() -> impl Strategy<Value = i64> {
    prop_oneof![3 => 0..600_000_i64, 1 => any::<i64>(), 1 => proptest::sample::select(vec![i64::MIN, -1, 0, 1, i64::MAX])]
}

fn any_unit() -> impl Strategy<Value = String> {
    let units = ["s", "ms", "bytes", "bytes/s", "1/s", "%", "ratio", "", "jobs"];
    prop_oneof![9 => proptest::sample::select(units.map(str::to_owned).to_vec()), 1 => any::<String>()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_chart_gives_a_picture_or_a_named_error(
        texts in any::<(String, String)>(), unit in any_unit(), edges in (any_time(), any_time()),
        interval in prop_oneof![Just(Duration::ZERO), Just(Duration::MAX), (0..100_000_u64).prop_map(Duration::from_millis)],
        points in proptest::collection::vec((any_time(), any_value()), 0..200),
        band in proptest::option::of((any_value(), any_value())),
        marks in proptest::collection::vec((any_time(), any_kind(), any::<String>()), 0..20),
    ) {
        let chart = Chart {
            service: texts.0.as_str().into(), metric: texts.1, unit, from: Timestamp(edges.0), to: Timestamp(edges.1), interval,
            points: points.into_iter().map(|(at, v)| (Timestamp(at), v)).collect(), band,
            marks: marks.into_iter().map(|(at, kind, words)| Mark { at: Timestamp(at), kind, words }).collect(),
        };
        match png(&chart) {
            Ok(png) => prop_assert!(png.starts_with(b"\x89PNG") && png.len() < 100_000, "{} bytes", png.len()),
            Err(PictureError::NoValues { .. } | PictureError::Backwards { .. }) => {}
            Err(other) => prop_assert!(false, "{other}"),
        }
        let said = words(&chart);
        prop_assert!(said.chars().count() <= MOST_WORDS);
        prop_assert!(!said.chars().any(|c| c.is_control() || clean::hidden_name(c).is_some()));
    }

    #[test]
    fn words_touch_neither_each_other_nor_the_edges(
        marks in proptest::collection::vec((0.0..1000.0_f32, any_kind(), ".{0,80}"), 0..9),
    ) {
        let font = Font::load().unwrap();
        let mut marks: Vec<(f32, Mark)> =
            marks.into_iter().map(|(x, kind, words)| (x, Mark { at: Timestamp(0), kind, words })).collect();
        marks.sort_by(|a, b| a.0.total_cmp(&b.0));
        let given: Vec<(f32, &Mark)> = marks.iter().map(|(x, mark)| (*x, mark)).collect();
        let (placed, left_over) = place(&given, &font, (MARGIN, WIDTH - MARGIN), |m| clean::line(&m.words));
        prop_assert_eq!(placed.len() + left_over.len(), marks.len());
        let span = |l: &Label| (l.words_at.min(l.x - MARK_RADIUS), l.words_to.max(l.x + MARK_RADIUS));
        for (i, a) in placed.iter().enumerate() {
            prop_assert!(a.row < labels::MOST_ROWS);
            prop_assert!(span(a).0 >= MARGIN && span(a).1 <= WIDTH - MARGIN, "{:?}", span(a));
            for b in placed.iter().skip(i + 1) {
                let touch = |a: Spot, b: Spot| a.0 < b.1 && b.0 < a.1;
                prop_assert!(a.row != b.row || !touch(span(a), span(b)), "{} and {}", a.words, b.words);
                let (upper, lower) = if a.row < b.row { (a, b) } else { (b, a) };
                prop_assert!(a.row == b.row || !touch((upper.x, upper.x), span(lower)), "a line through {}", lower.words);
            }
        }
    }
}

proptest! {
    // Each is a thousand long lines.
    #![proptest_config(ProptestConfig { cases: 8, max_shrink_iters: 8, ..ProptestConfig::default() })]

    #[test]
    fn noise_stays_small(values in proptest::collection::vec(prop_oneof![20 => 0.0..0.5_f64, 1 => Just(f64::NAN)], 800..1000)) {
        let marks = (0..8).map(|i| mark(i * 90, MarkKind::Undo, "RUN-1 taken back: restart of local:shop/worker-7")).collect();
        let png = png(&Chart { band: Some((0.1, 0.3)), marks, ..chart(&values) }).unwrap();
        prop_assert!(png.len() < 100_000, "{} bytes", png.len());
    }
}
