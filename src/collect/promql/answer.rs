//! Reads the answers of the query API as they stand in memory: no tree is built, labels are borrowed.
//!
//! Must never take in more series or points than allowed, or fail on fields that it does not know: Thanos, Mimir and
//! VictoriaMetrics add their own. Values that are no finite numbers are left out. Pure; called by whoever asked.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer as _;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::collect::names::excerpt;

/// Series of one answer: twice what 2,000 services with twenty buckets in two pods each have.
pub(super) const MOST_SERIES: usize = 200_000;
/// Points of one answer: what the greatest body that is read can hold of the shortest points, and half of that.
const MOST_POINTS: usize = 3_000_000;
/// Labels of one series that are looked at. Ours have three or four.
const MOST_LABELS: usize = 64;
/// Warnings that are kept.
const MOST_WARNINGS: usize = 5;

/// The labels of one series.
#[derive(Debug, Default)]
pub(super) struct Labels<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl Labels<'_> {
    /// The value of a label; one that is missing is empty, as everywhere in Prometheus.
    pub fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(label, _)| label == name).map_or("", |(_, value)| value)
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

/// Takes the series of an answer, one after the other.
pub(super) trait Sink {
    /// Points are seconds since the epoch and finite values.
    fn series(&mut self, labels: &Labels<'_>, points: &[(f64, f64)]);
}

/// What an answer says besides its series.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// Kind and words of the error that the whole answer is.
    pub error: Option<(String, String)>,
    /// A few, shortened.
    pub warnings: Vec<String>,
    /// A part of the stores did not answer (VictoriaMetrics says so).
    pub partial: bool,
    pub series: usize,
}

/// Reads a whole body.
///
/// # Errors
/// In words: when it is no JSON of that shape, or more than is taken in. Series before the fault were handed on.
pub(super) fn read(body: &[u8], most_series: usize, sink: &mut dyn Sink) -> Result<Said, String> {
    let mut reader = Reader { sink, most_series, points_left: MOST_POINTS, said: Said::default() };
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    (&mut deserializer)
        .deserialize_map(Envelope { reader: &mut reader })
        .and_then(|()| deserializer.end())
        .map_err(|e| excerpt(&e.to_string(), 160))?;
    Ok(reader.said)
}

struct Reader<'s> {
    sink: &'s mut dyn Sink,
    most_series: usize,
    points_left: usize,
    said: Said,
}

/// `{"status": .., "data": .., "error": .., "warnings": ..}`
struct Envelope<'r, 's> {
    reader: &'r mut Reader<'s>,
}

impl<'de> Visitor<'de> for Envelope<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an answer of the query API")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let (mut status, mut kind, mut words) = (String::new(), String::new(), None);
        while let Some(key) = map.next_key_seed(Text)? {
            match &*key {
                "status" => status = excerpt(&map.next_value_seed(Text)?, 20),
                "errorType" => kind = excerpt(&map.next_value_seed(Text)?, 40),
                "error" => words = Some(excerpt(&map.next_value_seed(Text)?, 300)),
                "isPartial" => self.reader.said.partial = map.next_value::<bool>()?,
                "warnings" => map.next_value_seed(Warnings(&mut self.reader.said.warnings))?,
                "data" => map.next_value_seed(Data { reader: self.reader })?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        match status.as_str() {
            "success" => Ok(()),
            "error" => {
                self.reader.said.error = Some((kind, words.unwrap_or_default()));
                Ok(())
            }
            _ => Err(A::Error::custom("it has no `status`: is this the query API?")),
        }
    }
}

struct Data<'r, 's> {
    reader: &'r mut Reader<'s>,
}

impl<'de> DeserializeSeed<'de> for Data<'_, '_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Data<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`resultType` and `result`")
    }

    /// An error has no data.
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key_seed(Text)? {
            if key == "result" {
                map.next_value_seed(Result_ { reader: self.reader })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// A list of series, or one point: what `resultType` says shows anyway.
struct Result_<'r, 's> {
    reader: &'r mut Reader<'s>,
}

impl<'de> DeserializeSeed<'de> for Result_<'_, '_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Result_<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of series")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let (mut points, mut scalar) = (Vec::new(), (None, None));
        while let Some(item) = seq.next_element_seed(Item { reader: self.reader, points: &mut points })? {
            match item {
                Entry::Series => {}
                Entry::Number(at) if scalar.0.is_none() => scalar.0 = Some(at),
                Entry::Number(value) => scalar.1 = Some(value),
            }
        }
        if let (Some(at), Some(value)) = scalar
            && value.is_finite()
        {
            self.reader.said.series += 1;
            self.reader.sink.series(&Labels::default(), &[(at, value)]);
        }
        Ok(())
    }
}

enum Entry {
    Series,
    /// Half of a scalar, `[1700000000.1, "3"]`. Text that is no number is NaN.
    Number(f64),
}

struct Item<'r, 's, 'p> {
    reader: &'r mut Reader<'s>,
    /// Used again for every series.
    points: &'p mut Vec<(f64, f64)>,
}

impl<'de> DeserializeSeed<'de> for Item<'_, '_, '_> {
    type Value = Entry;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Entry, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Item<'_, '_, '_> {
    type Value = Entry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a series")
    }

    fn visit_f64<E>(self, number: f64) -> Result<Entry, E> {
        Ok(Entry::Number(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Entry, E> {
        #[allow(clippy::cast_precision_loss, reason = "a time in seconds, or a count that nobody needs exactly")]
        Ok(Entry::Number(number as f64))
    }

    fn visit_str<E>(self, text: &str) -> Result<Entry, E> {
        Ok(Entry::Number(text.parse().unwrap_or(f64::NAN)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entry, A::Error> {
        let mut labels = Labels::default();
        self.points.clear();
        while let Some(key) = map.next_key_seed(Text)? {
            match &*key {
                "metric" => map.next_value_seed(LabelMap(&mut labels))?,
                "value" => map.next_value_seed(Point(self.points))?,
                "values" => map.next_value_seed(Points { reader: self.reader, points: self.points })?,
                // Native histograms come as `histogram`; there are no numbers in them that we could take.
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        self.reader.said.series += 1;
        if self.reader.said.series > self.reader.most_series {
            let most = self.reader.most_series;
            return Err(A::Error::custom(format!("it has more than {most} series: aggregate, or select fewer")));
        }
        if !self.points.is_empty() {
            self.reader.sink.series(&labels, self.points);
        }
        Ok(Entry::Series)
    }
}

struct LabelMap<'l, 'a>(&'l mut Labels<'a>);

impl<'de> DeserializeSeed<'de> for LabelMap<'_, 'de> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for LabelMap<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("labels")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some((name, value)) = map.next_entry_seed(Text, Text)? {
            if self.0.0.len() < MOST_LABELS {
                self.0.0.push((name, value));
            }
        }
        Ok(())
    }
}

struct Points<'r, 's, 'p> {
    reader: &'r mut Reader<'s>,
    points: &'p mut Vec<(f64, f64)>,
}

impl<'de> DeserializeSeed<'de> for Points<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Points<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("points")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(Point(self.points))?.is_some() {
            let Some(left) = self.reader.points_left.checked_sub(1) else {
                return Err(A::Error::custom(format!("it has more than {MOST_POINTS} points: ask for less time")));
            };
            self.reader.points_left = left;
        }
        Ok(())
    }
}

/// `[1700000000.1, "3"]`. One that is not finite is not taken.
struct Point<'p>(&'p mut Vec<(f64, f64)>);

impl<'de> DeserializeSeed<'de> for Point<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Point<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time and a value")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let at: f64 = seq.next_element()?.ok_or_else(|| A::Error::custom("a point without a time"))?;
        let value = seq.next_element_seed(Text)?.ok_or_else(|| A::Error::custom("a point without a value"))?;
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        let value = value.parse().unwrap_or(f64::NAN);
        if at.is_finite() && f64::is_finite(value) {
            self.0.push((at, value));
        }
        Ok(())
    }
}

struct Warnings<'w>(&'w mut Vec<String>);

impl<'de> DeserializeSeed<'de> for Warnings<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Warnings<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("warnings")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(warning) = seq.next_element_seed(Text)? {
            if self.0.len() < MOST_WARNINGS {
                self.0.push(excerpt(&warning, 200));
            }
        }
        Ok(())
    }
}

/// Text that is borrowed where it can be. `null` is empty.
struct Text;

impl<'de> DeserializeSeed<'de> for Text {
    type Value = Cow<'de, str>;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Text {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Seen = Vec<(Vec<(String, String)>, Vec<(f64, f64)>)>;

    #[derive(Default)]
    struct All(Seen);

    impl Sink for All {
        fn series(&mut self, labels: &Labels<'_>, points: &[(f64, f64)]) {
            let labels = labels.0.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
            self.0.push((labels, points.to_vec()));
        }
    }

    fn all(body: &str) -> (Result<Said, String>, Seen) {
        let mut seen = All::default();
        let said = read(body.as_bytes(), 3, &mut seen);
        (said, seen.0)
    }

    #[test]
    fn vectors_matrices_and_scalars_are_read() {
        let (said, seen) = all(r#"{"status":"success","data":{"resultType":"vector","result":[
                {"metric":{"a":"x","b":"y \"z\""},"value":[1700000000.5,"1.5"]},
                {"metric":{},"value":[1700000000,"NaN"]},
                {"metric":{"a":"u"},"value":[1700000000,"+Inf"],"more":[{}]}]},"stats":{"x":[1]}}"#);
        assert_eq!(said.unwrap().series, 3);
        let labels = vec![("a".to_owned(), "x".to_owned()), ("b".to_owned(), "y \"z\"".to_owned())];
        assert_eq!(seen, [(labels, vec![(1_700_000_000.5, 1.5)])]);

        let (_, seen) = all(
            r#"{"data":{"result":[{"values":[[1,"2"],[2,"-Inf"],[3,"4e3"]],"metric":{"a":"x"}}],"resultType":"matrix"},
                "status":"success"}"#,
        );
        assert_eq!(seen[0].1, [(1.0, 2.0), (3.0, 4000.0)]);

        let (_, seen) = all(r#"{"status":"success","data":{"resultType":"scalar","result":[1700000000.1,"7"]}}"#);
        assert_eq!(seen, [(vec![], vec![(1_700_000_000.1, 7.0)])]);
        let (said, seen) = all(r#"{"status":"success","data":{"resultType":"string","result":[1700000000.1,"hm"]}}"#);
        assert!(said.is_ok() && seen.is_empty());
    }

    #[test]
    fn errors_warnings_and_partial_answers_are_told() {
        let (said, _) = all(r#"{"status":"error","errorType":"bad_data","error":"parse error","data":null}"#);
        assert_eq!(said.unwrap().error, Some(("bad_data".to_owned(), "parse error".to_owned())));
        let (said, _) = all(
            r#"{"status":"success","isPartial":true,"data":{"result":[]},"warnings":["1","2","3","4","5","6","7"]}"#,
        );
        let said = said.unwrap();
        assert!(said.partial && said.warnings.len() == MOST_WARNINGS);
        assert!(all(r#"{"status":"success","data":{"result":null},"warnings":null}"#).0.is_ok());
    }

    #[test]
    fn what_is_something_else_is_refused_in_words() {
        let too_many = format!(
            r#"{{"status":"success","data":{{"result":[{}]}}}}"#,
            [r#"{"metric":{},"value":[1,"1"]}"#; 4].join(",")
        );
        let deep = format!(r#"{{"status":{}"#, "[".repeat(100_000));
        for (body, says) in [
            ("<html>", "expected"),
            ("{}", "no `status`"),
            ("[]", "an answer of the query API"),
            (r#"{"status":"success","data":{"result":[{"metric":{"a":1}}]}}"#, "expected text"),
            (r#"{"status":"success","data":{"result":[{"metric":{},"value":[]}]}}"#, "without a time"),
            (r#"{"status":"success","data":{"res"#, "EOF"),
            (r#"{"status":"success"} more"#, "trailing"),
            (&too_many, "more than 3 series"),
            (&deep, ""),
        ] {
            let error = all(body).0.unwrap_err();
            assert!(error.contains(says) && error.len() < 250, "{error} should say {says}");
        }
    }

    #[test]
    fn labels_are_bounded() {
        let labels: Vec<String> = (0..100).map(|i| format!(r#""l{i}":"v""#)).collect();
        let body = format!(
            r#"{{"status":"success","data":{{"result":[{{"metric":{{{}}},"value":[1,"1"]}}]}}}}"#,
            labels.join(",")
        );
        struct Count(usize);
        impl Sink for Count {
            fn series(&mut self, labels: &Labels<'_>, _: &[(f64, f64)]) {
                self.0 = labels.len();
            }
        }
        let mut count = Count(0);
        read(body.as_bytes(), 3, &mut count).unwrap();
        assert_eq!(count.0, MOST_LABELS);
    }
}
