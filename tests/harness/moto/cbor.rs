//! GetMetricData as today's SDK speaks it (Smithy RPC v2, CBOR), in moto's words: it knows only the query protocol.

use serde_json::{Map, Number, Value, json};

/// What a body says. Times become numbers, in seconds since the epoch.
pub fn decode(bytes: &[u8]) -> Value {
    value(&mut { bytes }).expect("a body in CBOR")
}

fn take<'a>(bytes: &mut &'a [u8], n: usize) -> Option<&'a [u8]> {
    let (head, rest) = bytes.split_at_checked(n)?;
    *bytes = rest;
    Some(head)
}

fn number(bytes: &mut &[u8], info: u8) -> Option<u64> {
    let length = match info {
        0..=23 => return Some(u64::from(info)),
        24..=27 => 1 << (info - 24),
        _ => return None,
    };
    Some(take(bytes, length)?.iter().fold(0, |n, byte| n << 8 | u64::from(*byte)))
}

/// The elements of an array, a map or a text in pieces: so many, or until the break.
fn until_end<T>(bytes: &mut &[u8], info: u8, mut one: impl FnMut(&mut &[u8]) -> Option<T>) -> Option<Vec<T>> {
    let mut all = Vec::new();
    if info == 31 {
        while bytes.first()? != &0xff {
            all.push(one(bytes)?);
        }
        take(bytes, 1)?;
    } else {
        for _ in 0..number(bytes, info)? {
            all.push(one(bytes)?);
        }
    }
    Some(all)
}

fn value(bytes: &mut &[u8]) -> Option<Value> {
    let head = take(bytes, 1)?[0];
    let (major, info) = (head >> 5, head & 31);
    Some(match major {
        0 => json!(number(bytes, info)?),
        1 => json!(-1 - i64::try_from(number(bytes, info)?).ok()?),
        2 | 3 if info == 31 => {
            let pieces = until_end(bytes, info, value)?;
            json!(pieces.iter().filter_map(Value::as_str).collect::<String>())
        }
        2 | 3 => {
            let length = usize::try_from(number(bytes, info)?).ok()?;
            json!(String::from_utf8_lossy(take(bytes, length)?))
        }
        4 => Value::Array(until_end(bytes, info, value)?),
        5 => {
            let pair = |bytes: &mut &[u8]| Some((value(bytes)?.as_str()?.to_owned(), value(bytes)?));
            Value::Object(Map::from_iter(until_end(bytes, info, pair)?))
        }
        6 => {
            number(bytes, info)?;
            value(bytes)?
        }
        _ => match info {
            20 => json!(false),
            21 => json!(true),
            26 => json!(f32::from_bits(u32::try_from(number(bytes, 26)?).ok()?)),
            27 => json!(f64::from_bits(number(bytes, 27)?)),
            _ => Value::Null,
        },
    })
}

/// The parameters of the same call in the query protocol.
pub fn to_form(call: &Value) -> Vec<(String, String)> {
    let mut form = Vec::new();
    for name in ["StartTime", "EndTime"] {
        let seconds = call[name].as_f64().unwrap();
        form.push((name.to_owned(), suture::model::Timestamp((seconds * 1000.0) as i64).to_string()));
    }
    form.push(("ScanBy".to_owned(), call["ScanBy"].as_str().unwrap_or("TimestampAscending").to_owned()));
    for (n, query) in call["MetricDataQueries"].as_array().unwrap().iter().enumerate() {
        let at = format!("MetricDataQueries.member.{}", n + 1);
        let (stat, metric) = (&query["MetricStat"], &query["MetricStat"]["Metric"]);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        form.push((format!("{at}.Id"), text(&query["Id"])));
        form.push((format!("{at}.MetricStat.Period"), stat["Period"].to_string()));
        form.push((format!("{at}.MetricStat.Stat"), text(&stat["Stat"])));
        form.push((format!("{at}.MetricStat.Metric.Namespace"), text(&metric["Namespace"])));
        form.push((format!("{at}.MetricStat.Metric.MetricName"), text(&metric["MetricName"])));
        for (m, dimension) in metric["Dimensions"].as_array().into_iter().flatten().enumerate() {
            let at = format!("{at}.MetricStat.Metric.Dimensions.member.{}", m + 1);
            form.push((format!("{at}.Name"), text(&dimension["Name"])));
            form.push((format!("{at}.Value"), text(&dimension["Value"])));
        }
    }
    form
}

/// Values of one metric: its id, and seconds since the epoch with a value each.
pub type Values = (String, Vec<(i64, f64)>);

/// What moto's XML says.
pub fn from_xml(xml: &str) -> Vec<Values> {
    let between = |text: &str, element: &str| -> Vec<String> {
        let (open, close) = (format!("<{element}>"), format!("</{element}>"));
        let list = text.split_once(&open).and_then(|(_, rest)| rest.split_once(&close)).map_or("", |(list, _)| list);
        list.split("<member>").skip(1).map(|item| item.split('<').next().unwrap().to_owned()).collect()
    };
    let one = |part: &str| {
        let seconds = |time: &String| time.parse::<jiff::Timestamp>().unwrap().as_second();
        let times: Vec<i64> = between(part, "Timestamps").iter().map(seconds).collect();
        let values = between(part, "Values").into_iter().map(|value| value.parse().unwrap());
        (part.split('<').next().unwrap().to_owned(), times.into_iter().zip(values).collect())
    };
    xml.split("<Id>").skip(1).map(one).collect()
}

/// The answer that says this, with the token of the next page where there is one.
pub fn answer(of: &[Values], next: Option<&str>) -> Vec<u8> {
    let results: Vec<Value> = of
        .iter()
        .map(|(id, values)| {
            let times: Vec<Value> = values.iter().map(|(at, _)| json!({ "epoch": at })).collect();
            let values: Vec<f64> = values.iter().map(|(_, value)| *value).collect();
            json!({ "Id": id, "Label": id, "Timestamps": times, "Values": values, "StatusCode": "Complete" })
        })
        .collect();
    let mut whole = json!({ "MetricDataResults": results });
    if let Some(next) = next {
        whole["NextToken"] = json!(next);
    }
    let mut bytes = Vec::new();
    encode(&whole, &mut bytes);
    bytes
}

fn head(major: u8, n: usize, out: &mut Vec<u8>) {
    out.push(major << 5 | 26);
    out.extend_from_slice(&u32::try_from(n).unwrap().to_be_bytes());
}

/// Numbers are written as floats, and `{"epoch": n}` as a time.
fn encode(value: &Value, out: &mut Vec<u8>) {
    let float = |n: &Number, out: &mut Vec<u8>| {
        out.push(0xfb);
        out.extend_from_slice(&n.as_f64().unwrap().to_bits().to_be_bytes());
    };
    match value {
        Value::Null => out.push(0xf6),
        Value::Bool(yes) => out.push(if *yes { 0xf5 } else { 0xf4 }),
        Value::Number(n) => float(n, out),
        Value::String(text) => {
            head(3, text.len(), out);
            out.extend_from_slice(text.as_bytes());
        }
        Value::Array(items) => {
            head(4, items.len(), out);
            items.iter().for_each(|item| encode(item, out));
        }
        Value::Object(fields) => match fields.get("epoch") {
            Some(Value::Number(seconds)) => {
                out.push(0xc1);
                float(seconds, out);
            }
            _ => {
                head(5, fields.len(), out);
                for (name, field) in fields {
                    encode(&json!(name), out);
                    encode(field, out);
                }
            }
        },
    }
}
