//! Generates dates in everyday formats and in ISO 8601.

use wgru::Rng;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// A day of the Gregorian calendar.
#[derive(Clone, Copy, Debug)]
struct Date {
    year: usize,
    /// From 1.
    month: usize,
    day: usize,
}

/// Maximum number of generated dates, because the number of distinct ones is limited.
pub const MOST: usize = 100_000;

/// Returns `count` pairs with distinct sources. `count` must be at most [`MOST`].
pub fn pairs(count: usize, rng: &mut Rng) -> Vec<(String, String)> {
    let mut seen = std::collections::HashSet::new();
    let mut out = Vec::with_capacity(count);
    while out.len() < count {
        let date = Date::any(rng);
        let source = date.written(rng);
        if seen.insert(source.clone()) {
            out.push((source, date.iso()));
        }
    }
    out
}

impl Date {
    /// Returns a random day from 1950 to 2049.
    fn any(rng: &mut Rng) -> Self {
        let (year, month) = (1950 + rng.below(100), 1 + rng.below(12));
        Self { year, month, day: 1 + rng.below(days_of(year, month)) }
    }

    fn iso(self) -> String {
        format!("{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }

    /// Writes the date in one of ten ways. Two-digit years are from 1950 to 2049, and numeric forms have the day first.
    fn written(self, rng: &mut Rng) -> String {
        let Self { year, month, day } = self;
        let (name, short) = (MONTHS[month - 1], &MONTHS[month - 1][..3]);
        let (two, weekday) = (year % 100, DAYS[self.weekday()]);
        let nth = format!("{day}{}", suffix(day));
        match rng.below(10) {
            0 => format!("{day} {name} {year}"),
            1 => format!("{name} {day}, {year}"),
            2 => format!("{weekday}, {day} {name} {year}"),
            3 => format!("{weekday}, the {nth} of {name} {year}"),
            4 => format!("the {nth} of {name}, {year}"),
            5 => format!("{day}/{month}/{year}"),
            6 => format!("{day}.{month}.{two:02}"),
            7 => format!("{short} {nth} '{two:02}"),
            8 => format!("{day:02}-{short}-{two:02}"),
            _ => format!("{year}, {name} {nth}"),
        }
    }

    /// Returns 0 for Sunday, 1 for Monday, … (Sakamoto's rule).
    fn weekday(self) -> usize {
        const SHIFT: [usize; 12] = [0, 3, 2, 5, 0, 3, 5, 1, 4, 6, 2, 4];
        let year = if self.month < 3 { self.year - 1 } else { self.year };
        (year + year / 4 - year / 100 + year / 400 + SHIFT[self.month - 1] + self.day) % 7
    }
}

fn days_of(year: usize, month: usize) -> usize {
    match month {
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn suffix(day: usize) -> &'static str {
    match day {
        1 | 21 | 31 => "st",
        2 | 22 => "nd",
        3 | 23 => "rd",
        _ => "th",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weekdays_are_those_of_the_calendar() {
        for (year, month, day, name) in [
            (1969, 7, 20, "Sunday"),
            (2000, 2, 29, "Tuesday"),
            (1950, 1, 1, "Sunday"),
            (2024, 12, 25, "Wednesday"),
            (2049, 12, 31, "Friday"),
        ] {
            assert_eq!(DAYS[Date { year, month, day }.weekday()], name, "{year}-{month}-{day}");
        }
    }

    #[test]
    fn pairs_are_distinct_and_name_the_same_day() {
        let all = pairs(2000, &mut Rng::new(1));
        assert_eq!(all, pairs(2000, &mut Rng::new(1)));
        let sources: std::collections::HashSet<_> = all.iter().map(|(source, _)| source).collect();
        assert_eq!(sources.len(), 2000);
        for (source, target) in &all {
            let numbers: Vec<usize> = target.split('-').map(|part| part.parse().expect("a number")).collect();
            assert!((1950..2050).contains(&numbers[0]) && (1..=12).contains(&numbers[1]), "{target}");
            assert!(source.contains(&numbers[2].to_string()), "{source}: {target}");
        }
    }
}
