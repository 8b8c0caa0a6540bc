use super::*;

fn error(text: &str) -> String {
    Table::parse(text).unwrap_err().to_string()
}

#[test]
fn what_is_wrong_is_said_with_its_place_and_its_remedy() {
    let cases = [
        ("an empty file", "", "is empty; its first line must be a header with the names of the columns"),
        ("only empty lines", "\n\r\n", "is empty; its first line must be a header with the names of the columns"),
        (
            "no header",
            "1767225600,0.5\n1767225660,0.6\n",
            "line 1: has values where the header should be; put a line with the names of the columns above it",
        ),
        (
            "no header, RFC 3339",
            "2026-01-01T00:00:00Z,0.5\n",
            "line 1: has values where the header should be; put a line with the names of the columns above it",
        ),
        (
            "the same name twice",
            "timestamp,cpu,mem, cpu\n",
            "line 1: columns 2 and 4 are both named \"cpu\"; give every column a name of its own",
        ),
        ("no name", "timestamp,cpu,\n", "line 1: column 3 has no name; name it, or leave the column out"),
        (
            "only timestamps",
            "timestamp\n1\n",
            "line 1: has no metric, only timestamps; add a column of numbers for each metric",
        ),
        ("timestamps at the end", "cpu,timestamp\n1,2\n", "line 1: timestamp is column 2; make it the first"),
        (
            "semicolons",
            "timestamp;cpu\n1;2\n",
            "line 1, column 1 \"timestamp;cpu\": the name of a metric cannot contain \";\"; rename it, or, if semicolons \
             separate the columns, write the file with commas",
        ),
        ("no rows", "timestamp,cpu\r\n", "has a header but no rows; write one line for each point in time below it"),
        (
            "too few values",
            "timestamp,cpu,mem\r\n1,2,3\r\n2,3\r\n",
            "line 3: has 2 values, but the header names 3 columns; write one value for each column, and leave a missing \
             one empty",
        ),
        (
            "too many values",
            "cpu,mem\n1,2\n\n1,2,3\n",
            "line 4: has 3 values, but the header names 2 columns; write one value for each column, and leave a missing \
             one empty",
        ),
        (
            "text",
            "timestamp,cpu,mem\n1,2,3\n2,3,fast\n",
            "line 3, column \"mem\": \"fast\" is not a number; write a number such as 0.25, or leave it empty when there \
             is no value",
        ),
        (
            "a date under another name",
            "when,cpu\n2026-01-01T00:00:00Z,3\n",
            "line 2, column \"when\": \"2026-01-01T00:00:00Z\" is not a number; write a number such as 0.25, or leave it \
             empty when there is no value; a first column that says when must be named timestamp",
        ),
        (
            "no time",
            "timestamp,cpu\n1,2\n,3\n",
            "line 3, column \"timestamp\": \"\" is no point in time: every row needs one, or the column must go; write \
             seconds since 1970 such as 1767225600, or RFC 3339 such as 2026-01-01T00:00:00Z",
        ),
        (
            "a word for a time",
            "timestamp,cpu\nnoon,2\n",
            "line 2, column \"timestamp\": \"noon\" is no point in time; write seconds since 1970 such as 1767225600, or \
             RFC 3339 such as 2026-01-01T00:00:00Z",
        ),
        (
            "no zone",
            "timestamp,cpu\n2026-01-01 12:00:00,2\n",
            "line 2, column \"timestamp\": \"2026-01-01 12:00:00\" is no point in time: it has no time zone, such as a Z \
             at the end; write seconds since 1970 such as 1767225600, or RFC 3339 such as 2026-01-01T00:00:00Z",
        ),
        (
            "milliseconds",
            "timestamp,cpu\n1767225600000,2\n",
            "line 2, column \"timestamp\": \"1767225600000\" is no point in time: in seconds it is past the year 5000, so \
             it may be milliseconds; write seconds since 1970 such as 1767225600, or RFC 3339 such as \
             2026-01-01T00:00:00Z",
        ),
        (
            "mixed",
            "timestamp,cpu\r\n1767225600,2\r\n2026-01-01T00:01:00Z,2\r\n",
            "line 3, column \"timestamp\": \"2026-01-01T00:01:00Z\" is in RFC 3339, but the first row has in seconds \
             since 1970; write all timestamps the same way",
        ),
    ];
    for (case, text, expected) in cases {
        assert_eq!(error(text), expected, "{case}");
    }
}

#[test]
fn a_file_that_is_not_there_or_not_text_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let missing = Table::read(&dir.path().join("none.csv")).unwrap_err().to_string();
    assert!(missing.starts_with("cannot be read: No such file"), "{missing}");
    assert!(missing.ends_with("check the path and who may read it"), "{missing}");
    let file = dir.path().join("latin1.csv");
    std::fs::write(&file, b"timestamp,cpu\n1,2\n2,\xe9\n").unwrap();
    assert_eq!(Table::read(&file).unwrap_err().to_string(), "line 3: is not UTF-8 text; save the file as CSV in UTF-8");
}

#[test]
fn missing_values_in_all_their_spellings() {
    let table = Table::parse("a,b\n,NaN\nnull, nan\nNULL,inf\n-Infinity,1e999\n 1 ,-2.5e-3\n").unwrap();
    assert_eq!(table.rows(), 5);
    for row in 0..4 {
        assert!(table.row(row).iter().all(|v| v.is_nan()), "row {row}: {:?}", table.row(row));
    }
    assert_eq!(table.row(4), [1.0, -0.0025]);
    assert!(table.row(5).is_empty());
}

#[test]
fn crlf_a_byte_order_mark_and_quotes_are_accepted() {
    let text =
        sheet::text_of(b"\xef\xbb\xbf\"Timestamp\",\"cpu, user\"\r\n\"10\",\"0.5\"\r\n11.25,0.75".to_vec()).unwrap();
    let table = Table::parse(&text).unwrap();
    assert_eq!(table.names(), ["cpu, user"]);
    assert_eq!((table.at(0), table.at(1)), (Some(Timestamp(10_000)), Some(Timestamp(11_250))));
    assert_eq!(table.time_text(1), "11.25");
    assert_eq!(table.column(0).collect::<Vec<_>>(), [0.5, 0.75]);
}

#[test]
fn timestamps_are_kept_as_they_were_written() {
    let table = Table::parse("timestamp,a\n2026-01-01T01:00:00+01:00,1\n2026-01-01T00:00:00.5Z,2\n").unwrap();
    assert_eq!(table.at(0), Some(Timestamp(1_767_225_600_000)));
    assert_eq!(table.at(1), Some(Timestamp(1_767_225_600_500)));
    assert_eq!(table.time_text(0), "2026-01-01T01:00:00+01:00");
    let without = Table::parse("a\n1\n").unwrap();
    assert_eq!((without.at(0), without.time_text(0)), (None, ""));
}

#[test]
fn how_many_rows_are_learnt_from() {
    let table = |rows: usize| Table::parse(&format!("a\n{}", "1\n".repeat(rows))).unwrap();
    let cases: [(usize, Option<usize>, Result<usize, &str>); 8] = [
        (100, Some(60), Ok(60)),
        (100, None, Ok(50)),
        (41, None, Ok(20)),
        (
            100,
            Some(100),
            Err("has 100 rows, and learning from 100 leaves none to score; set --train-rows below 100, or add rows"),
        ),
        (
            50,
            Some(51),
            Err("has 50 rows, and learning from 51 leaves none to score; set --train-rows below 50, or add rows"),
        ),
        (100, Some(19), Err("has 100 rows, and learning takes at least 20, not 19; raise --train-rows")),
        (15, Some(10), Err("has 15 rows, and learning takes at least 20, not 10; add rows")),
        (
            30,
            None,
            Err("has 30 rows, and learning takes at least 20, not 15, which is half of them; add rows, or set \
                 --train-rows"),
        ),
    ];
    for (rows, asked, expected) in cases {
        let got = table(rows).train_rows(asked).map_err(|e| e.to_string());
        assert_eq!(got, expected.map_err(str::to_owned), "{rows} rows, {asked:?}");
    }
}
