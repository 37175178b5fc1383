//! A point of the journal as it is given on the command line: an entry's number, or a time.

use chrono::DateTime;

/// The state after an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// After the entry of this number; 0 is before the first.
    Seq(u64),
    /// After the last entry that is not later than this: nanoseconds since the Unix epoch.
    Time(u64),
}

/// A point, or what the running daemon holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Other {
    /// A point of the same journal.
    Point(Point),
    /// The running daemon's state.
    Live,
}

/// Parses `SEQ|TIME`.
pub fn point(text: &str) -> Result<Point, String> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        let seq = text.parse();
        return seq
            .map(Point::Seq)
            .map_err(|error| format!("not the number of an entry: {error}"));
    }
    time(text)
        .map(Point::Time)
        .map_err(|error| format!("neither the number of an entry nor a time: {error}"))
}

/// Parses `SEQ|TIME|live`.
pub fn other(text: &str) -> Result<Other, String> {
    if text == "live" {
        return Ok(Other::Live);
    }
    point(text).map(Other::Point)
}

/// Parses a time (RFC 3339, with its offset) into nanoseconds since the Unix epoch.
pub fn time(text: &str) -> Result<u64, String> {
    let parsed = DateTime::parse_from_rfc3339(text).map_err(|error| {
        format!("{error}; write it as 2026-01-31T14:00:00Z or 2026-01-31T14:00:00+02:00")
    })?;
    parsed
        .timestamp_nanos_opt()
        .and_then(|ns| u64::try_from(ns).ok())
        .ok_or_else(|| "times are those from 1970 to 2262".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_and_a_time_are_told_apart() {
        assert_eq!(point("0"), Ok(Point::Seq(0)));
        assert_eq!(point("17"), Ok(Point::Seq(17)));
        let hour = 3_600_000_000_000;
        for text in ["1970-01-01T01:00:00Z", "1970-01-01T03:00:00.0+02:00"] {
            assert_eq!(point(text), Ok(Point::Time(hour)), "{text}");
        }
        assert_eq!(other("live"), Ok(Other::Live));
        assert_eq!(other("3"), Ok(Other::Point(Point::Seq(3))));
    }

    #[test]
    fn what_is_neither_is_refused() {
        for text in [
            "",
            "-1",
            "yesterday",
            "live",
            "99999999999999999999",
            "2026-01-31",
            "2026-01-31T14:00:00",
            "1969-12-31T23:59:59Z",
        ] {
            assert!(point(text).is_err(), "{text}");
        }
    }
}
