//! Numbers for people to read.

use std::time::Duration;

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
    fn times_have_two_units_at_most() {
        let times = [12, 200, 5100, 200_000].map(|seconds| duration(Some(Duration::from_secs(seconds))));
        assert_eq!(times, ["12s", "3m 20s", "1h 25m", "2d 07h"]);
        assert_eq!(duration(None), "?");
    }
}
