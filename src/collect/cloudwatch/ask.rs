//! GetMetricData, in batches and pages.

use std::collections::BTreeSet;

use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{ScanBy, StatusCode};

use super::query::Query;
use super::series::Series;
use crate::platform::aws::{Fault, excerpt, iam::Iam};

/// Metrics of one call: as many as CloudWatch takes.
const BATCH: usize = 500;
/// Pages of one batch: a day of minutes for 500 metrics is eight of them.
const MOST_PAGES: usize = 40;

/// The values of these metrics from `start` to `end`, seconds since the epoch, `end` not included.
pub(super) async fn range(client: &Client, queries: &[Query], start: i64, end: i64) -> Result<Series, Fault> {
    let mut series = Series::of(queries.len());
    for (batch, chunk) in queries.chunks(BATCH).enumerate() {
        let first = batch * BATCH;
        let asked: Vec<_> = chunk.iter().enumerate().map(|(n, query)| query.to_aws(&id(first + n))).collect();
        let (mut token, mut seen) = (None, BTreeSet::new());
        for page in 0.. {
            let answer = client
                .get_metric_data()
                .set_metric_data_queries(Some(asked.clone()))
                .start_time(DateTime::from_secs(start))
                .end_time(DateTime::from_secs(end))
                .scan_by(ScanBy::TimestampAscending)
                .set_next_token(token.take())
                .send()
                .await
                .map_err(|e| Fault::of(&e, Iam::GetMetricData))?;
            for result in answer.metric_data_results() {
                let Some(n) = result.id().and_then(number).filter(|n| *n < queries.len()) else { continue };
                let times = result.timestamps().iter().map(DateTime::secs);
                series.add(n, times.zip(result.values().iter().copied()).filter(|(at, _)| (start..end).contains(at)));
                if let Some(status @ (StatusCode::InternalError | StatusCode::Forbidden)) = result.status_code() {
                    let name = queries.get(n).map_or("", |query| query.name.as_str());
                    series.fault(format!("metric `{name}`: CloudWatch says {status}"));
                }
            }
            for message in answer.messages().iter().filter_map(|message| message.value()) {
                series.fault(format!("CloudWatch says: {}", excerpt(message, 200)));
            }
            token = answer.next_token.filter(|token| !token.is_empty());
            let Some(next) = &token else { break };
            if page + 1 >= MOST_PAGES || !seen.insert(next.clone()) {
                series.fault(format!("CloudWatch has more than {MOST_PAGES} pages of values: the rest is left out"));
                break;
            }
        }
    }
    Ok(series)
}

fn id(n: usize) -> String {
    format!("m{n}")
}

fn number(id: &str) -> Option<usize> {
    id.strip_prefix('m')?.parse().ok()
}
