//! Seattle's weather, standardized by the years that the network learns from.

use std::ops::Range;

const TABLE: &str = include_str!("../../../examples/data/seattle-weather.csv");

/// Inputs per day: highest and lowest temperature, rain, wind, and the sine and cosine of the next day's date.
pub const INPUTS: usize = 6;

/// One row of the table.
type Row = (String, f32, f32, f32, f32, String);

/// Weather by day.
pub struct Weather {
    /// `2012-01-31`
    dates: Vec<String>,
    /// °C
    highest: Vec<f32>,
    /// Standardized inputs, by day.
    inputs: Vec<[f32; INPUTS]>,
    /// Mean and standard deviation of the four measured columns over the training days.
    scales: [(f32, f32); 4],
}

impl Weather {
    /// Reads the built-in table.
    ///
    /// # Errors
    /// If the table is damaged.
    pub fn read() -> Result<Self, csv::Error> {
        let mut reader = csv::Reader::from_reader(TABLE.as_bytes());
        let (mut dates, mut rows) = (Vec::new(), Vec::new());
        for row in reader.deserialize() {
            let (date, rain, high, low, wind, _): Row = row?;
            dates.push(date);
            // Most rain falls on few days: its logarithm is spread more evenly.
            rows.push([high, low, rain.ln_1p(), wind]);
        }
        let learned = days_of(&dates, TRAINING);
        let scales = [0, 1, 2, 3].map(|column| scale(rows[learned.clone()].iter().map(|row| row[column])));
        let inputs = (0..rows.len()).map(|day| input(rows[day], &scales, season(&dates, day + 1))).collect();
        Ok(Self { highest: rows.iter().map(|row| row[0]).collect(), dates, inputs, scales })
    }

    /// Returns the days that the network learns from: 2012 and 2013.
    pub fn training(&self) -> Range<usize> {
        days_of(&self.dates, TRAINING)
    }

    /// Returns the days that the validation loss is measured on: 2014.
    pub fn validation(&self) -> Range<usize> {
        days_of(&self.dates, VALIDATION)
    }

    /// Returns the test days: 2015, without the last day, because the table does not contain the day after it.
    pub fn test(&self) -> Range<usize> {
        self.validation().end..self.dates.len() - 1
    }

    /// Returns the date of a day, such as `2015-06-01`.
    pub fn date(&self, day: usize) -> &str {
        self.dates.get(day).map_or("", String::as_str)
    }

    /// Returns the highest temperature of a day in °C.
    pub fn highest(&self, day: usize) -> f32 {
        self.highest[day]
    }

    /// Returns the network's input for a day.
    pub fn input(&self, day: usize) -> [f32; INPUTS] {
        self.inputs[day]
    }

    /// Returns the input for a day whose highest temperature was measured as `degrees`.
    pub fn input_with(&self, day: usize, degrees: f32) -> [f32; INPUTS] {
        let (mean, deviation) = self.scales[0];
        let mut input = self.inputs[day];
        input[0] = (degrees - mean) / deviation;
        input
    }

    /// Returns the network's target for a day: the standardized change of the highest temperature to the next day.
    pub fn target(&self, day: usize) -> f32 {
        self.inputs[day + 1][0] - self.inputs[day][0]
    }

    /// Returns the number of degrees in one unit of the network's output.
    pub fn deviation(&self) -> f32 {
        self.scales[0].1
    }

    /// Returns the root mean square error in °C, over `days`, of the forecast that tomorrow is as warm as today.
    pub fn persistence(&self, days: Range<usize>) -> f32 {
        let count = days.len() as f32;
        let squares: f32 = days.map(|day| (self.highest[day + 1] - self.highest[day]).powi(2)).sum();
        (squares / count).sqrt()
    }
}

const TRAINING: [&str; 2] = ["2012", "2013"];
const VALIDATION: [&str; 1] = ["2014"];

/// Returns the consecutive days of some years.
fn days_of<const N: usize>(dates: &[String], years: [&str; N]) -> Range<usize> {
    let is_in = |date: &String| years.iter().any(|year| date.starts_with(year));
    let start = dates.iter().position(is_in).unwrap_or(0);
    start..start + dates.iter().filter(|date| is_in(date)).count()
}

fn scale(values: impl Iterator<Item = f32> + Clone) -> (f32, f32) {
    let count = values.clone().count() as f32;
    let mean = values.clone().sum::<f32>() / count;
    let variance = values.map(|v| (v - mean).powi(2)).sum::<f32>() / count;
    (mean, variance.sqrt().max(f32::EPSILON))
}

/// Returns the phase of the year as an angle. The table has no gaps, so the days of a year can be counted.
fn season(dates: &[String], day: usize) -> f32 {
    let year_of = |day: usize| dates.get(day).or(dates.last()).map_or("", |date| &date[..4]);
    let first = dates.iter().position(|date| date.starts_with(year_of(day))).unwrap_or(0);
    std::f32::consts::TAU * (day - first) as f32 / 365.25
}

fn input(row: [f32; 4], scales: &[(f32, f32); 4], season: f32) -> [f32; INPUTS] {
    let z = |column: usize| (row[column] - scales[column].0) / scales[column].1;
    [z(0), z(1), z(2), z(3), season.sin(), season.cos()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn years_are_divided_without_overlap() {
        let weather = Weather::read().unwrap();
        assert_eq!(weather.training(), 0..731);
        assert_eq!(weather.validation(), 731..1096);
        assert_eq!(weather.test(), 1096..1460);
        assert_eq!(weather.date(1096), "2015-01-01");
    }

    #[test]
    fn inputs_are_standardised_over_the_training_days() {
        let weather = Weather::read().unwrap();
        for column in 0..4 {
            let (mean, deviation) = scale(weather.training().map(|day| weather.input(day)[column]));
            assert!(mean.abs() < 1e-4 && (deviation - 1.0).abs() < 1e-4, "{column}: {mean} {deviation}");
        }
    }

    #[test]
    fn a_measured_value_reaches_the_input() {
        let weather = Weather::read().unwrap();
        assert!((weather.input_with(5, weather.highest(5))[0] - weather.input(5)[0]).abs() < 1e-5);
        let warmer = weather.input_with(5, weather.highest(5) + weather.deviation())[0];
        assert!((warmer - weather.input(5)[0] - 1.0).abs() < 1e-4);
    }

    #[test]
    fn target_and_deviation_give_degrees() {
        let weather = Weather::read().unwrap();
        let change = weather.highest(8) - weather.highest(7);
        assert!((weather.target(7) * weather.deviation() - change).abs() < 1e-4);
    }
}
