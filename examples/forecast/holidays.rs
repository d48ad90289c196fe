//! Holidays from a file of dates.

use std::collections::BTreeSet;
use std::path::Path;

use crate::common::Result;
use crate::common::files::read_text;
use crate::time::{Step, day_of, parse_hours};

/// Days since 1970.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Holidays(BTreeSet<i64>);

/// Number of values of [`Holidays::at`].
pub const WIDTH: usize = 2;

impl Holidays {
    /// Reads a file with a date at the start of each line; the rest of a line is its name. A first line without a date
    /// is a header.
    ///
    /// # Errors
    /// Names the file, and the first line without a date.
    pub fn open(path: &Path) -> Result<Self> {
        Self::parse(&read_text(path)?).map_err(|why| format!("{}: {why}", path.display()).into())
    }

    fn parse(text: &str) -> std::result::Result<Self, String> {
        let mut days = BTreeSet::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            let date = line.split([',', ';', '\t']).next().unwrap_or("").trim().trim_matches('"');
            match parse_hours(date) {
                Some(hours) => days.insert(day_of(hours)),
                None if number == 0 || line.is_empty() || line.starts_with('#') => continue,
                None => return Err(format!("line {}: {date:?} is not a date such as YYYY-MM-DD", number + 1)),
            };
        }
        match days.is_empty() {
            true => Err("no date".into()),
            false => Ok(Self(days)),
        }
    }

    /// Returns the number of holidays in the row at `hours`, up to the next row, and whether the day after is one.
    pub fn at(&self, hours: f64, step: Step) -> [f32; WIDTH] {
        let first = day_of(hours);
        let after = day_of(step.after(hours, 1)).max(first + 1);
        let count = self.0.range(first..after).count();
        let eve = self.0.contains(&after) && after == first + 1;
        [count as f32, f32::from(u8::from(eve))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holidays_are_counted_by_row() {
        let holidays = Holidays::parse("date,name\n2020-12-25,Christmas\n\n# more\n2020-12-26\n").unwrap();
        let at = |text, step| holidays.at(parse_hours(text).unwrap(), step);
        let (hour, day) = (Step::Hours(1.0), Step::Hours(24.0));
        assert_eq!([at("2020-12-24", day), at("2020-12-25", day)], [[0.0, 1.0], [1.0, 1.0]]);
        assert_eq!([at("2020-12-26 23:00", hour), at("2020-12-27", hour)], [[1.0, 0.0], [0.0, 0.0]]);
        assert_eq!(at("2020-12-01", Step::Months(1)), [2.0, 0.0]);
        assert_eq!(
            Holidays::parse("2020-12-25\n25 December\n").unwrap_err(),
            "line 2: \"25 December\" is not a date such as YYYY-MM-DD"
        );
        assert_eq!(Holidays::parse("date\n").unwrap_err(), "no date");
    }
}
