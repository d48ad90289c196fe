//! Splits a table by time into training, validation and test.

use std::ops::Range;

/// Rows in an hourly month of 30 days, as for the ETT tables.
const MONTH: usize = 30 * 24;

/// Rows of each part.
#[derive(Clone, Debug, PartialEq)]
pub struct Split {
    pub train: Range<usize>,
    pub validation: Range<usize>,
    pub test: Range<usize>,
}

/// Requested sizes of the parts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sizes {
    pub train: Option<usize>,
    pub validation: Option<usize>,
    pub test: Option<usize>,
}

impl Split {
    /// Splits `rows` rows, whose usual step is `step` hours, so that each part has room for a window and a horizon.
    ///
    /// # Errors
    /// A message that names the sizes and the number of rows.
    pub fn new(rows: usize, step: Option<f64>, sizes: Sizes, window: usize, horizon: usize) -> Result<Self, String> {
        let default = Sizes::usual(rows, step);
        let none_given = sizes.train.or(sizes.validation).or(sizes.test).is_none();
        let sizes = if none_given { default } else { sizes };
        let test = sizes.test.or(default.test).unwrap_or(1);
        let validation = sizes.validation.unwrap_or(test);
        let front = match sizes.train {
            Some(train) => train,
            None => rows.saturating_sub(validation.saturating_add(test)),
        };
        let end = front.checked_add(validation).and_then(|n| n.checked_add(test)).filter(|&n| n <= rows);
        let Some(end) = end else {
            return Err(format!(
                "too few rows: {rows}, but training ({front}), validation ({validation}) and test ({test}) need more"
            ));
        };
        let split = Self { train: 0..front, validation: front..end - test, test: end - test..end };
        let least = window.saturating_add(horizon).saturating_add(1);
        if front < least {
            return Err(format!(
                "too few rows: {front} of {rows} to train on, but a window of {window} and a horizon of {horizon} \
                 need {least}"
            ));
        }
        for (name, part) in [("validation", &split.validation), ("test", &split.test)] {
            if part.len() < horizon {
                return Err(format!("too few rows: {} for {name}, but the horizon is {horizon}", part.len()));
            }
        }
        Ok(split)
    }
}

impl Sizes {
    fn usual(rows: usize, step: Option<f64>) -> Self {
        let (train, validation, test) = match step {
            Some(1.0) if rows >= 20 * MONTH => (Some(12 * MONTH), 4 * MONTH, 4 * MONTH),
            Some(24.0) if rows >= 4 * 365 => (None, 365, 365),
            _ => (None, rows.div_ceil(5), rows.div_ceil(5)),
        };
        Self { train, validation: Some(validation), test: Some(test) }
    }
}

/// Returns the first target rows of the windows whose targets lie in `part`. For target row `t`, the rows
/// `t − window..t` are inputs, and `t..t + horizon` are forecast.
pub fn origins(part: &Range<usize>, window: usize, horizon: usize) -> Range<usize> {
    let first = part.start.max(window);
    first..(part.end + 1).saturating_sub(horizon).max(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Sizes = Sizes { train: None, validation: None, test: None };

    #[test]
    fn daily_years_test_the_last_365_days() {
        let split = Split::new(1461, Some(24.0), NONE, 28, 1).unwrap();
        assert_eq!(split, Split { train: 0..731, validation: 731..1096, test: 1096..1461 });
        assert_eq!(origins(&split.test, 28, 1).len(), 365);
        assert_eq!(origins(&split.train, 28, 1), 28..731);
    }

    #[test]
    fn hourly_months_are_those_of_ett() {
        let ett = Split { train: 0..8640, validation: 8640..11_520, test: 11_520..14_400 };
        assert_eq!(Split::new(17_420, Some(1.0), NONE, 96, 24).unwrap(), ett);
        let sizes = Sizes { train: Some(8640), validation: Some(2880), test: Some(2880) };
        assert_eq!(Split::new(17_420, None, sizes, 96, 24).unwrap(), ett);
        assert_eq!(origins(&ett.test, 96, 24), 11_520..14_377);
    }

    #[test]
    fn other_tables_end_with_the_test() {
        let split = Split::new(100, None, NONE, 5, 2).unwrap();
        assert_eq!(split, Split { train: 0..60, validation: 60..80, test: 80..100 });
        let split = Split::new(100, None, Sizes { test: Some(10), ..NONE }, 5, 2).unwrap();
        assert_eq!(split, Split { train: 0..80, validation: 80..90, test: 90..100 });
    }

    #[test]
    fn impossible_splits_are_refused() {
        for (rows, sizes, window, horizon) in [
            (1, NONE, 1, 1),
            (40, NONE, 28, 1),
            (100, NONE, 5, 21),
            (100, Sizes { train: Some(90), validation: Some(5), test: Some(6) }, 5, 1),
            (100, Sizes { train: Some(usize::MAX), validation: Some(5), test: Some(6) }, 5, 1),
            (100, Sizes { validation: Some(usize::MAX), ..NONE }, 5, 1),
            (100, NONE, usize::MAX, 1),
        ] {
            let why = Split::new(rows, None, sizes, window, horizon).unwrap_err();
            assert!(why.starts_with("too few rows: "), "{why}");
        }
    }
}
