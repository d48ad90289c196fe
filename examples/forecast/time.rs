//! Dates in a table, and the cycles that they imply.

/// Returns the hours since 1970 of `YYYY-MM-DD`, optionally with `HH:MM` or `HH:MM:SS` after a space or a `T`; `None`
/// for any other text.
pub fn parse_hours(text: &str) -> Option<f64> {
    let (date, clock) = match text.split_once([' ', 'T']) {
        Some((date, clock)) => (date, Some(clock.trim_end_matches('Z'))),
        None => (text, None),
    };
    let [year, month, day] = numbers(date, '-')?[..] else { return None };
    let lengths = [31, 28 + leap(year) as i64, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let month_index = usize::try_from(month - 1).ok().filter(|&m| m < 12)?;
    if !(1..=9999).contains(&year) || !(1..=lengths[month_index]).contains(&day) {
        return None;
    }
    let before = year - 1;
    let days_to_year = before * 365 + before / 4 - before / 100 + before / 400;
    let days = days_to_year + lengths[..month_index].iter().sum::<i64>() + day - 1 - 719_162;
    let seconds = match clock {
        None => 0,
        Some(clock) => match numbers(clock, ':')?[..] {
            [h, m] if h < 24 && m < 60 => 3600 * h + 60 * m,
            [h, m, s] if h < 24 && m < 60 && s < 61 => 3600 * h + 60 * m + s,
            _ => return None,
        },
    };
    Some(24.0 * days as f64 + seconds as f64 / 3600.0)
}

/// Parses at most three numbers of at most four digits.
fn numbers(text: &str, separator: char) -> Option<Vec<i64>> {
    let number = |part: &str| {
        let plain = (1..=4).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        if plain { part.parse().ok() } else { None }
    };
    let parts: Option<Vec<i64>> = text.split(separator).map(number).collect();
    parts.filter(|p| p.len() <= 3)
}

fn leap(year: i64) -> bool {
    (year % 4 == 0 && year % 100 != 0) || year % 400 == 0
}

/// Returns the usual step in hours, the median of the differences; `None` unless it is positive.
pub fn usual_step(hours: &[f64]) -> Option<f64> {
    let mut steps: Vec<f64> = hours.windows(2).map(|pair| pair[1] - pair[0]).collect();
    steps.sort_by(f64::total_cmp);
    steps.get(steps.len() / 2).copied().filter(|&step| step > 0.0)
}

/// Returns the number of rows after which a series with this step repeats: a day of hours, or a year of days, weeks,
/// months or quarters.
pub fn season_of(step: f64) -> Option<usize> {
    match step {
        s if s <= 12.0 => Some((24.0 / s).round() as usize),
        s if (s - 24.0).abs() < 1.0 => Some(365),
        s if s <= 0.5 * Cycle::Year.hours() => Some((Cycle::Year.hours() / s).round() as usize),
        _ => None,
    }
}

/// A period after which a series may repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cycle {
    /// 24 hours.
    Day,
    /// The Gregorian year of 365.2425 days.
    Year,
}

impl Cycle {
    pub const ALL: [Cycle; 2] = [Cycle::Day, Cycle::Year];

    pub fn name(self) -> &'static str {
        match self {
            Cycle::Day => "day",
            Cycle::Year => "year",
        }
    }

    fn hours(self) -> f64 {
        match self {
            Cycle::Day => 24.0,
            Cycle::Year => 24.0 * 365.2425,
        }
    }

    /// Returns the cycles that `rows` rows of this step cover at least twice, with at least three rows per cycle.
    pub fn learnable(step: f64, rows: usize) -> Vec<Cycle> {
        let fits = |c: &Cycle| 3.0 * step <= c.hours() && 2.0 * c.hours() <= step * rows as f64;
        Cycle::ALL.into_iter().filter(fits).collect()
    }

    /// Returns the sine and cosine of the phase at a time.
    pub fn phase(self, hours: f64) -> [f32; 2] {
        let angle = std::f64::consts::TAU * (hours / self.hours()).fract();
        [angle.sin() as f32, angle.cos() as f32]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_hours_counts_from_1970() {
        assert_eq!(parse_hours("1970-01-01"), Some(0.0));
        assert_eq!(parse_hours("2000-03-01"), Some(24.0 * 11_017.0));
        assert_eq!(parse_hours("2016-07-01 05:30:00"), Some(24.0 * 16_983.0 + 5.5));
        assert_eq!(parse_hours("1969-12-31T23:00Z"), Some(-1.0));
        for bad in ["", "2015-02-29", "2015-13-01", "20150101", "2015-01-01 24:00", "2015-1", "a-b-c", "-1-01-01"] {
            assert_eq!(parse_hours(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn cycles_need_two_turns_in_training() {
        assert_eq!(Cycle::learnable(24.0, 731), [Cycle::Year]);
        assert_eq!(Cycle::learnable(24.0, 730), []);
        assert_eq!(Cycle::learnable(1.0, 8640), [Cycle::Day]);
    }

    #[test]
    fn season_follows_from_the_step() {
        assert_eq!([1.0, 0.25, 24.0, 168.0].map(season_of), [Some(24), Some(96), Some(365), Some(52)]);
        assert_eq!(season_of(24.0 * 365.0), None);
        assert_eq!(usual_step(&[0.0, 1.0, 2.0, 9.0]), Some(1.0));
        assert_eq!(usual_step(&[0.0]), None);
    }
}
