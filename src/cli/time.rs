//! Points in time as people write them.

use crate::types::WallMs;

/// Reads milliseconds since the Unix epoch, or a date with or without time in UTC: `2026-01-31`,
/// `2026-01-31T12:00:00`, with an optional `Z`.
pub(super) fn parse_timestamp(text: &str) -> Result<WallMs, String> {
    if let Ok(millis) = text.parse::<i64>() {
        return if millis >= 0 { Ok(WallMs(millis)) } else { Err("a timestamp is not negative".to_owned()) };
    }
    parse_date(text.strip_suffix('Z').unwrap_or(text)).map(WallMs).ok_or_else(|| {
        "expected milliseconds since 1970, or a date in UTC like 2026-01-31 or 2026-01-31T12:00:00".to_owned()
    })
}

/// A timestamp in UTC, as `2026-01-31T12:00:00.000Z`; `-` if there is none.
pub(super) fn format_timestamp(timestamp: WallMs) -> String {
    if timestamp.0 < 0 {
        return "-".to_owned();
    }
    let (days, millis) = (timestamp.0 / DAY_MS, timestamp.0 % DAY_MS);
    let (year, month, day) = civil(days);
    let (hour, minute) = (millis / 3_600_000, millis / 60_000 % 60);
    let (second, milli) = (millis / 1000 % 60, millis % 1000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

const DAY_MS: i64 = 86_400_000;

fn parse_date(text: &str) -> Option<i64> {
    let (date, time) = text.split_once('T').unwrap_or((text, "00:00:00"));
    let number = |text: &str, digits: usize| -> Option<i64> {
        let plain = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| text.parse().ok()).flatten()
    };
    let mut date = date.splitn(3, '-');
    let (year, month, day) = (number(date.next()?, 4)?, number(date.next()?, 2)?, number(date.next()?, 2)?);
    let mut time = time.splitn(3, ':');
    let (hour, minute, second) =
        (number(time.next()?, 2)?, number(time.next()?, 2)?, number(time.next()?, 2)?);
    if year < 1970 || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let days = days(year, month, day);
    // A day that the month does not have comes back as another one.
    if civil(days) != (year, month, day) {
        return None;
    }
    Some(days * DAY_MS + ((hour * 60 + minute) * 60 + second) * 1000)
}

/// Days since 1970-01-01. Years begin in March here, so that a leap day is the last of its year.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The reverse of [`days`].
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_millis_or_dates() {
        assert_eq!(parse_timestamp("1700000000000"), Ok(WallMs(1_700_000_000_000)));
        assert_eq!(parse_timestamp("2023-11-14T22:13:20Z"), Ok(WallMs(1_700_000_000_000)));
        assert_eq!(parse_timestamp("1970-01-01"), Ok(WallMs(0)));
        for wrong in ["", "-5", "yesterday", "2023-02-29", "2023-13-01", "2023-1-1", "2023-01-01T24:00:00"] {
            assert!(parse_timestamp(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn dates_come_back() {
        assert_eq!(format_timestamp(WallMs(-1)), "-");
        assert_eq!(format_timestamp(WallMs(1_700_000_000_123)), "2023-11-14T22:13:20.123Z");
        for day in (0..40_000).step_by(7) {
            let text = format_timestamp(WallMs(day * DAY_MS));
            assert_eq!(parse_timestamp(text.strip_suffix(".000Z").unwrap()), Ok(WallMs(day * DAY_MS)));
        }
    }
}
