//! Reads what JMeter writes: a CSV file with named columns, a line a request.
//!
//! The file is hostile input: columns may be in any order, lines may be cut short (a run that was ended) or mean nothing.
//! Lines that cannot be read are counted; a file of which a hundredth cannot be read is refused.

use std::path::Path;
use std::time::Duration;

use super::{Kind, LoadError, PATIENCE, Tally};

/// The longest file that is read: some ten million requests.
const LONGEST: u64 = 1024 * 1024 * 1024;

/// Where the columns are.
struct Columns {
    time: usize,
    elapsed: usize,
    code: usize,
    success: usize,
}

impl Columns {
    fn find(head: &csv::StringRecord) -> Result<Self, String> {
        let find = |name: &str| {
            let at = head.iter().position(|column| column.trim_start_matches('\u{feff}') == name);
            at.ok_or_else(|| format!("line 1 names no column `{name}`; set jmeter.save.saveservice.print_field_names"))
        };
        Ok(Self {
            time: find("timeStamp")?,
            elapsed: find("elapsed")?,
            code: find("responseCode")?,
            success: find("success")?,
        })
    }

    /// When it was sent, in milliseconds since 1970, how long it took, and what came of it.
    fn read(&self, line: &csv::StringRecord) -> Option<(u64, Duration, Result<(), Kind>)> {
        let sent = line.get(self.time)?.parse().ok()?;
        let elapsed = Duration::from_millis(line.get(self.elapsed)?.parse().ok()?);
        let outcome = match line.get(self.success)? {
            "true" => Ok(()),
            "false" => Err(kind_of(line.get(self.code)?, elapsed)),
            _ => return None,
        };
        Some((sent, elapsed, outcome))
    }
}

/// JMeter's code is the status, or the class of what was thrown.
fn kind_of(code: &str, elapsed: Duration) -> Kind {
    let thrown = code.rsplit([' ', '.']).next().unwrap_or_default();
    match code.parse::<u16>() {
        // Answered well, but an assertion did not like it: there is one on the duration.
        Ok(200..300) if elapsed >= PATIENCE => Kind::Timeout,
        Ok(200..300) => Kind::Other,
        Ok(status) => Kind::Status(status),
        Err(_) if matches!(thrown, "SocketTimeoutException" | "ConnectTimeoutException") => Kind::Timeout,
        Err(_) if matches!(thrown, "ConnectException" | "HttpHostConnectException") => Kind::Refused,
        Err(_) if matches!(thrown, "SocketException" | "NoHttpResponseException") => Kind::Reset,
        Err(_) => Kind::Other,
    }
}

/// Counts a results file. Times are since its earliest request.
///
/// # Errors
/// When it cannot be read, is no such file, or is damaged.
pub fn read(path: &Path) -> Result<Tally, LoadError> {
    let wrong = |why: String| LoadError::Results { path: path.to_owned(), why };
    let file = std::fs::File::open(path).map_err(|e| wrong(e.to_string()))?;
    let size = file.metadata().map_err(|e| wrong(e.to_string()))?.len();
    if size > LONGEST {
        return Err(wrong(format!("{size} bytes are more than the {LONGEST} that are read")));
    }
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(std::io::BufReader::new(file));
    let head = reader.headers().map_err(|e| wrong(e.to_string()))?.clone();
    let columns = Columns::find(&head).map_err(wrong)?;
    let (mut all, mut unread, mut first) = (Vec::new(), 0_usize, None);
    let mut line = csv::StringRecord::new();
    loop {
        match reader.read_record(&mut line) {
            Ok(false) => break,
            Ok(true) => match columns.read(&line) {
                Some(one) => all.push(one),
                None => {
                    unread += 1;
                    first = first.or_else(|| line.position().map(csv::Position::line));
                }
            },
            Err(error) if matches!(error.kind(), csv::ErrorKind::Io(_)) => return Err(wrong(error.to_string())),
            // Not UTF-8, mostly.
            Err(error) => {
                unread += 1;
                first = first.or_else(|| error.position().map(csv::Position::line));
            }
        }
    }
    // The last line of a run that was ended may be half a line.
    if unread > 1 + all.len() / 100 {
        let line = first.unwrap_or_default();
        return Err(wrong(format!(
            "{unread} of {} lines cannot be read, the first is line {line}",
            unread + all.len()
        )));
    }
    if unread > 0 {
        tracing::warn!(path = %path.display(), lines = unread, "lines of JMeter's results cannot be read");
    }
    // They are in the order of the answers; seconds are closed in the order of the questions.
    all.sort_by_key(|(sent, ..)| *sent);
    let began = all.first().map_or(0, |(sent, ..)| *sent);
    let mut tally = Tally::new()?;
    for (sent, elapsed, outcome) in all {
        tally.count(Duration::from_millis(sent.saturating_sub(began)), elapsed, outcome);
    }
    Ok(tally)
}

#[cfg(test)]
mod tests {
    use super::super::Summary;
    use super::*;

    const HEAD: &str = "timeStamp,elapsed,label,responseCode,threadName,success,grpThreads,allThreads,Latency\n";

    fn read_text(text: &[u8]) -> Result<Summary, LoadError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.jtl");
        std::fs::write(&path, text).unwrap();
        read(&path).map(|tally| tally.summary(Duration::from_secs(2)))
    }

    #[test]
    fn good_answers_and_errors_by_kind() {
        let thrown = "Non HTTP response code: ";
        let text = format!(
            "{HEAD}1000,20,buy,200,users 1-1,true,1,1,20\n2100,40,buy,200,\"a, b\",true,1,1,40\n\
             1500,1,buy,503,users 1-2,false,1,1,1\n\
             1600,5001,buy,{thrown}java.net.SocketTimeoutException,users 1-3,false,1,1,0\n\
             1700,2,buy,{thrown}org.apache.http.conn.HttpHostConnectException,users 1-3,false,1,1,0\n\
             1800,2,buy,{thrown}org.apache.http.NoHttpResponseException,users 1-3,false,1,1,0\n\
             1900,5200,buy,200,users 1-3,false,1,1,0\n1950,7,buy,,users 1-3,false,1,1,0\n"
        );
        let got = read_text(text.as_bytes()).unwrap();
        assert_eq!((got.requests, got.good, got.seconds.len()), (8, 2, 2));
        let kinds =
            [(Kind::Status(503), 1), (Kind::Refused, 1), (Kind::Reset, 1), (Kind::Timeout, 2), (Kind::Other, 1)];
        assert_eq!(got.errors, kinds.into());
    }

    #[test]
    fn columns_may_be_elsewhere_but_must_be_there() {
        let got = read_text(b"\xef\xbb\xbfsuccess,responseCode,elapsed,timeStamp\ntrue,200,7,5\n").unwrap();
        assert_eq!((got.good, got.p50.as_millis()), (1, 7));
        for (text, says) in [("", "no column `timeStamp`"), ("1,2,3\n", "no column"), ("<testResults/>", "no column")] {
            let error = read_text(text.as_bytes()).err().unwrap().to_string();
            assert!(error.contains(says), "{error}");
        }
        assert!(read(Path::new("/nowhere/x.jtl")).is_err());
    }

    #[test]
    fn a_cut_line_is_passed_over_and_a_damaged_file_is_not_believed() {
        let good = "1000,20,buy,200,users 1-1,true,1,1,20\n";
        let cut = format!("{HEAD}{}1001,2", good.repeat(3));
        assert_eq!(read_text(cut.as_bytes()).unwrap().requests, 3);
        let hostile: [&[u8]; 5] = [
            b"-1,5,buy,200,t,true\n",
            b"99999999999999999999999,5,buy,200,t,true\n",
            b"1,NaN,buy,200,t,true\n",
            b"1,5,buy,200,t,perhaps\n",
            b"\xff\xfe,5,buy,200,t,true\n",
        ];
        let mut text = HEAD.as_bytes().to_vec();
        hostile.iter().for_each(|line| text.extend_from_slice(line));
        let error = read_text(&text).err().unwrap().to_string();
        assert!(error.contains("5 of 5 lines cannot be read, the first is line 2"), "{error}");
        // Times from the ends of the scale break nothing.
        let ends = format!("{HEAD}0,{0},buy,200,t,true\n{0},{0},buy,200,t,false\n", u64::MAX);
        assert_eq!(read_text(ends.as_bytes()).unwrap().requests, 2);
    }
}
