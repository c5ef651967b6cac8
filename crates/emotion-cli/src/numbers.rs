//! Numbers for people to read.

use std::time::Duration;

/// A number with its thousands set apart.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let first = (digits.len() + 2) % 3 + 1;
    let (head, tail) = digits.split_at(first);
    tail.as_bytes().chunks(3).fold(head.to_string(), |text, three| text + "," + &String::from_utf8_lossy(three))
}

/// `1h 25m`, `3m 20s` or `12s`; `?` for what is not known.
pub fn duration(time: Option<Duration>) -> String {
    let Some(seconds) = time.map(|time| time.as_secs()) else { return "?".into() };
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {:02}s", seconds % 60),
        (0, _, _) => format!("{hours}h {minutes:02}m"),
        _ => format!("{days}d {hours:02}h"),
    }
}

/// `1 file`, `2,000 files`.
pub fn counted(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", grouped(number), if number == 1 { "" } else { "s" })
}

/// A size such as `255 MB`, in powers of 1,000.
#[cfg(feature = "hub")]
pub fn bytes(number: u64) -> String {
    indicatif::DecimalBytes(number).to_string()
}

/// A rate without its fraction.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
pub fn whole(rate: f64) -> u64 {
    rate.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        let numbers = [0, 12, 123, 1234, 12_345, 123_456, 1_234_567];
        let texts = ["0", "12", "123", "1,234", "12,345", "123,456", "1,234,567"];
        assert_eq!(numbers.map(grouped), texts);
    }

    #[test]
    fn nouns_follow_their_numbers() {
        assert_eq!([0, 1, 2000].map(|number| counted(number, "row")), ["0 rows", "1 row", "2,000 rows"]);
    }

    #[test]
    fn times_have_two_units_at_most() {
        let times = [12, 200, 5100, 200_000].map(|seconds| duration(Some(Duration::from_secs(seconds))));
        assert_eq!(times, ["12s", "3m 20s", "1h 25m", "2d 07h"]);
        assert_eq!(duration(None), "?");
    }
}
