//! Dates as hours since 1970, the step between them, and their continuation.

/// Returns the hours since 1970 of `YYYY-MM-DD`, optionally with `HH:MM` or `HH:MM:SS` after a space or a `T`, or of
/// `YYYY-MM`; `None` for any other text.
pub fn parse_hours(text: &str) -> Option<f64> {
    let (date, clock) = match text.split_once([' ', 'T']) {
        Some((date, clock)) => (date, Some(clock.trim_end_matches('Z'))),
        None => (text, None),
    };
    let [year, month, day] = match numbers(date, '-')?[..] {
        [year, month, day] => [year, month, day],
        [year, month] if date.len() == 7 && clock.is_none() => [year, month, 1],
        _ => return None,
    };
    if !(1..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=days_in(year, month)).contains(&day) {
        return None;
    }
    let seconds = match clock {
        None => 0,
        Some(clock) => match numbers(clock, ':')?[..] {
            [h, m] if h < 24 && m < 60 => 3600 * h + 60 * m,
            [h, m, s] if h < 24 && m < 60 && s < 61 => 3600 * h + 60 * m + s,
            _ => return None,
        },
    };
    Some(24.0 * days_since_1970([year, month, day]) as f64 + seconds as f64 / 3600.0)
}

/// [`parse_hours`], and also `YYYYMMDD` and `YYYY`, which other columns may hold as numbers.
pub fn parse_named(text: &str) -> Option<f64> {
    match text.len() {
        8 if text.is_ascii() => parse_hours(&format!("{}-{}-{}", &text[..4], &text[4..6], &text[6..])),
        4 if text.is_ascii() => parse_hours(&format!("{text}-01-01")),
        _ => parse_hours(text),
    }
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

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + i64::from(leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days between 1 January of year 1 and of 1970.
const TO_1970: i64 = 719_162;

fn days_before_year(year: i64) -> i64 {
    let before = year - 1;
    before * 365 + before.div_euclid(4) - before.div_euclid(100) + before.div_euclid(400)
}

fn days_since_1970([year, month, day]: [i64; 3]) -> i64 {
    let months: i64 = (1..month).map(|month| days_in(year, month)).sum();
    days_before_year(year) + months + day - 1 - TO_1970
}

/// Returns year, month and day.
fn civil(days: i64) -> [i64; 3] {
    let days = days + TO_1970;
    // Never too late, because no year has more than 366 days.
    let mut year = days.div_euclid(366) + 1;
    while days_before_year(year + 1) <= days {
        year += 1;
    }
    let (mut month, mut left) = (1, days - days_before_year(year));
    while left >= days_in(year, month) {
        left -= days_in(year, month);
        month += 1;
    }
    [year, month, left + 1]
}

/// The day of a time, counted from 1970.
pub fn day_of(hours: f64) -> i64 {
    // Minutes as fractions of an hour are not exact.
    ((hours + 1e-6) / 24.0).floor() as i64
}

/// Writes a time in the format of the text of another one.
pub fn format_like(hours: f64, pattern: &str) -> String {
    let (seconds, day) = ((hours * 3600.0).round() as i64, 86_400);
    let ([year, month, date], clock) = (civil(seconds.div_euclid(day)), seconds.rem_euclid(day));
    match pattern.len() {
        4 => return format!("{year:04}"),
        7 => return format!("{year:04}-{month:02}"),
        8 => return format!("{year:04}{month:02}{date:02}"),
        _ => {}
    }
    let mut out = format!("{year:04}-{month:02}-{date:02}");
    let parts = if let Some((_, clock)) = pattern.split_once([' ', 'T']) { clock.split(':').count() } else { 0 };
    // A clock that the pattern lacks is written all the same, unless it is midnight.
    let parts = if parts == 0 && clock != 0 { 2 } else { parts };
    if parts > 0 {
        let separator = if pattern.contains('T') { 'T' } else { ' ' };
        out += &format!("{separator}{:02}:{:02}", clock / 3600, clock / 60 % 60);
        if parts > 2 {
            out += &format!(":{:02}", clock % 60);
        }
        out += if pattern.ends_with('Z') { "Z" } else { "" };
    }
    out
}

/// The time from one row to the next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    Hours(f64),
    /// Calendar months: 1, 3 for quarters, 12 for years.
    Months(i64),
}

impl Step {
    /// Returns the usual step between ascending times: the median. `None` if it is 0, or if there is only one time.
    pub fn of(hours: &[f64]) -> Option<Self> {
        let mut steps: Vec<f64> = hours.windows(2).map(|pair| pair[1] - pair[0]).filter(|&step| step > 0.0).collect();
        steps.sort_by(f64::total_cmp);
        let usual = *steps.get(steps.len() / 2)?;
        // Differences of hours are not exact, and a small error adds up over many steps.
        let seconds = (usual * 3600.0).round();
        let usual = if seconds > 0.0 { seconds / 3600.0 } else { usual };
        for (months, days) in [(1, 28.0..=31.0), (3, 89.0..=92.0), (12, 365.0..=366.0)] {
            let step = Self::Months(months);
            if days.contains(&(usual / 24.0)) && hours.iter().all(|&hour| step.index(hours[0], hour).is_some()) {
                return Some(step);
            }
        }
        Some(Self::Hours(usual))
    }

    /// Returns the approximate length in hours.
    pub fn hours(self) -> f64 {
        match self {
            Self::Hours(hours) => hours,
            Self::Months(months) => months as f64 * Cycle::Year.hours() / 12.0,
        }
    }

    /// Returns the time `steps` steps after `start`. The day of a month stays, as far as the month has it; the last day
    /// of a month stays the last.
    pub fn after(self, start: f64, steps: i64) -> f64 {
        match self {
            Self::Hours(hours) => start + steps as f64 * hours,
            Self::Months(months) => {
                let day = day_of(start);
                let [year, month, date] = civil(day);
                let months = 12 * year + month - 1 + steps * months;
                let (to_year, to_month) = (months.div_euclid(12), months.rem_euclid(12) + 1);
                let longest = days_in(to_year, to_month);
                let date = if date == days_in(year, month) { longest } else { date.min(longest) };
                24.0 * days_since_1970([to_year, to_month, date]) as f64 + start - 24.0 * day as f64
            }
        }
    }

    /// Returns the number of steps from `start` to `hours`; `None` if it is not whole.
    pub fn index(self, start: f64, hours: f64) -> Option<i64> {
        let about = match self {
            Self::Hours(step) => ((hours - start) / step).round(),
            Self::Months(months) => {
                let ([y, m, _], [year, month, _]) = (civil(day_of(start)), civil(day_of(hours)));
                ((12 * (year - y) + month - m) as f64 / months as f64).round()
            }
        } as i64;
        ((self.after(start, about) - hours).abs() < 1e-3 * self.hours().min(1.0)).then_some(about)
    }

    /// Describes one step, or `count` steps: `day`, `24 hours`, `3 rows`.
    pub fn name(step: Option<Self>, count: usize) -> String {
        let unit = match step {
            Some(Self::Hours(1.0)) => "hour",
            Some(Self::Hours(24.0)) => "day",
            Some(Self::Hours(168.0)) => "week",
            Some(Self::Months(1)) => "month",
            Some(Self::Months(3)) => "quarter",
            Some(Self::Months(12)) => "year",
            _ => "row",
        };
        if count == 1 { unit.into() } else { format!("{count} {unit}s") }
    }

    /// Returns the number of rows after which a series with this step repeats: a day of hours, or a year of days,
    /// weeks, months or quarters.
    pub fn season(self) -> Option<usize> {
        match self.hours() {
            s if s <= 12.0 => Some((24.0 / s).round() as usize),
            s if (s - 24.0).abs() < 1.0 => Some(365),
            s if s <= 0.5 * Cycle::Year.hours() => Some((Cycle::Year.hours() / s).round() as usize),
            _ => None,
        }
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Hours(hours) => write!(f, "{hours} hours"),
            Self::Months(months) => write!(f, "{months} months"),
        }
    }
}

/// A period after which a series may repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Cycle {
    /// 24 hours
    Day,
    /// Seven days
    Week,
    /// The Gregorian year of 365.2425 days
    Year,
}

impl Cycle {
    pub fn name(self) -> &'static str {
        match self {
            Cycle::Day => "day",
            Cycle::Week => "week",
            Cycle::Year => "year",
        }
    }

    fn hours(self) -> f64 {
        match self {
            Cycle::Day => 24.0,
            Cycle::Week => 7.0 * 24.0,
            Cycle::Year => 24.0 * 365.2425,
        }
    }

    /// Number of frequencies. Three tell the seven days of a week apart.
    fn harmonics(self) -> usize {
        if self == Cycle::Week { 3 } else { 1 }
    }

    /// Returns the number of values of [`phases`](Self::phases).
    pub fn width(self) -> usize {
        2 * self.harmonics()
    }

    /// Returns the cycles that `rows` rows of this step cover at least twice, with at least three rows per cycle,
    /// except for the week.
    pub fn learnable(step: f64, rows: usize) -> Vec<Cycle> {
        let fits = |c: &Cycle| 3.0 * step <= c.hours() && 2.0 * c.hours() <= step * rows as f64;
        [Cycle::Day, Cycle::Year].into_iter().filter(fits).collect()
    }

    /// Returns the sine and cosine of the phase at a time, for each frequency.
    pub fn phases(self, hours: f64) -> impl Iterator<Item = f32> {
        let turns = (hours / self.hours()).fract();
        (1..=self.harmonics()).flat_map(move |times| {
            let angle = std::f64::consts::TAU * turns * times as f64;
            [angle.sin() as f32, angle.cos() as f32]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_hours_counts_from_1970() {
        assert_eq!(parse_hours("1970-01-01"), Some(0.0));
        assert_eq!(parse_hours("1970-02"), Some(24.0 * 31.0));
        assert_eq!(parse_hours("2000-03-01"), Some(24.0 * 11_017.0));
        assert_eq!(parse_hours("2016-07-01 05:30:00"), Some(24.0 * 16_983.0 + 5.5));
        assert_eq!(parse_hours("1969-12-31T23:00Z"), Some(-1.0));
        for bad in ["", "2015-02-29", "2015-13-01", "20150101", "2015-01-01 24:00", "2015-1", "a-b-c", "-1-01-01"] {
            assert_eq!(parse_hours(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn times_are_written_as_they_were_read() {
        for text in ["1970-01-01", "2000-02-29 23:59:58", "1999-12-31T07:05Z", "2024-11", "0001-01-01", "9999-12-31"] {
            assert_eq!(format_like(parse_hours(text).unwrap(), text), text);
        }
        for text in ["19580329", "1871", "2020-01-01 10:00"] {
            assert_eq!(format_like(parse_named(text).unwrap(), text), text);
        }
        assert_eq!(["19581329", "é871", "187", "é80329"].map(parse_named), [None; 4]);
        assert_eq!(format_like(parse_hours("2020-01-01 12:00").unwrap(), "2020-01-01"), "2020-01-01 12:00");
    }

    fn steps(texts: &[&str]) -> Option<Step> {
        let hours: Vec<f64> = texts.iter().map(|text| parse_hours(text).unwrap()).collect();
        Step::of(&hours)
    }

    #[test]
    fn steps_are_hours_or_months() {
        assert_eq!(steps(&["2020-01-01", "2020-01-02", "2020-01-03", "2020-01-09"]), Some(Step::Hours(24.0)));
        assert_eq!(steps(&["2020-01-31", "2020-02-29", "2020-03-31"]), Some(Step::Months(1)));
        assert_eq!(steps(&["2020-01-01", "2020-04-01", "2020-07-01"]), Some(Step::Months(3)));
        assert_eq!(steps(&["2019-05-01", "2020-05-01", "2021-05-01"]), Some(Step::Months(12)));
        assert_eq!(steps(&["2020-01-01", "2020-01-31", "2020-03-01"]), Some(Step::Hours(24.0 * 30.0)));
        assert_eq!((steps(&["2020-01-01"]), steps(&["2020-01-01", "2020-01-01"])), (None, None));
    }

    #[test]
    fn steps_count_and_continue() {
        let time = |text| parse_hours(text).unwrap();
        let month = Step::Months(1);
        let next = |n| format_like(month.after(time("2020-01-31"), n), "2020-01-31");
        assert_eq!([next(1), next(3), next(13)], ["2020-02-29", "2020-04-30", "2021-02-28"]);
        assert_eq!(month.index(time("2020-01-15"), time("2021-03-15")), Some(14));
        assert_eq!(month.index(time("2020-01-15"), time("2021-03-16")), None);
        let minutes: Vec<f64> = [7, 8, 9].map(|minute| time("2020-01-01") + f64::from(minute) / 60.0).to_vec();
        let minute = Step::of(&minutes).unwrap();
        assert_eq!(minute.index(minutes[0], time("2030-01-01 00:07")), Some(3653 * 1440));
        let five_minutes = Step::Hours(1.0 / 12.0);
        assert_eq!(five_minutes.index(time("2020-01-01 00:00"), time("2021-01-01 00:05")), Some(366 * 288 + 1));
        assert_eq!(Step::Hours(24.0).index(0.0, 36.0), None);
    }

    #[test]
    fn cycles_need_two_turns_in_training() {
        assert_eq!(Cycle::learnable(24.0, 731), [Cycle::Year]);
        assert_eq!(Cycle::learnable(24.0, 730), []);
        assert_eq!(Cycle::learnable(1.0, 8640), [Cycle::Day]);
        let monday: Vec<f32> = Cycle::Week.phases(24.0 * 4.0).collect();
        let later: Vec<f32> = Cycle::Week.phases(24.0 * 11.0).collect();
        assert_eq!(monday.len(), Cycle::Week.width());
        assert!(monday.iter().zip(&later).all(|(a, b)| (a - b).abs() < 1e-5), "{monday:?} {later:?}");
    }

    #[test]
    fn season_follows_from_the_step() {
        let hours = [1.0, 0.25, 24.0, 168.0].map(|hours| Step::Hours(hours).season());
        assert_eq!(hours, [Some(24), Some(96), Some(365), Some(52)]);
        assert_eq!([1, 3, 12].map(|months| Step::Months(months).season()), [Some(12), Some(4), None]);
        assert_eq!(Step::name(Some(Step::Months(3)), 2), "2 quarters");
        assert_eq!([Step::Hours(0.25), Step::Months(1)].map(|step| step.to_string()), ["0.25 hours", "1 months"]);
    }
}
