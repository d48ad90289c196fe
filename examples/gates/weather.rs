//! Seattle's weather, standardized by the years that the network learns from.

use std::error::Error;
use std::ops::Range;

const TABLE: &str = include_str!("../data/seattle-weather.csv");
/// Inputs per day: highest and lowest temperature, rain, wind.
pub const FEATURES: usize = 4;

/// Weather by day.
pub struct Weather {
    /// `2012-01-31`
    pub dates: Vec<String>,
    /// °C
    pub highest: Vec<f32>,
    /// Standardized inputs, by day.
    inputs: Vec<[f32; FEATURES]>,
    mean: f32,
    deviation: f32,
}

impl Weather {
    /// Reads the table.
    ///
    /// # Errors
    /// If the table is damaged.
    pub fn read() -> Result<Self, Box<dyn Error>> {
        let mut reader = csv::Reader::from_reader(TABLE.as_bytes());
        let (mut dates, mut rows) = (Vec::new(), Vec::new());
        for row in reader.deserialize() {
            let (date, rain, high, low, wind, _): (String, f32, f32, f32, f32, String) = row?;
            dates.push(date);
            // Most rain falls on a few days: its logarithm is spread more evenly.
            rows.push([high, low, rain.ln_1p(), wind]);
        }
        let mut weather =
            Self { dates, highest: rows.iter().map(|r| r[0]).collect(), inputs: rows, mean: 0.0, deviation: 1.0 };
        let learned = weather.last_year().start;
        for feature in 0..FEATURES {
            let column = || weather.inputs[..learned].iter().map(|row| row[feature]);
            let mean = column().sum::<f32>() / learned as f32;
            let deviation = (column().map(|v| (v - mean).powi(2)).sum::<f32>() / learned as f32).sqrt();
            if feature == 0 {
                (weather.mean, weather.deviation) = (mean, deviation);
            }
            weather.inputs.iter_mut().for_each(|row| row[feature] = (row[feature] - mean) / deviation);
        }
        Ok(weather)
    }

    /// Returns the days of the last year, which is not used for training.
    pub fn last_year(&self) -> Range<usize> {
        let year = |date: &String| date.split('-').next().map(String::from);
        let last = self.dates.last().and_then(year);
        let start = self.dates.iter().position(|date| year(date) == last).unwrap_or(0);
        start..self.dates.len()
    }

    /// Returns the network's input for a day.
    pub fn input(&self, day: usize) -> [f32; FEATURES] {
        self.inputs[day]
    }

    /// Returns the standardized highest temperature of the next day.
    pub fn target(&self, day: usize) -> f32 {
        self.inputs[day + 1][0]
    }

    /// Converts from the network's scale to °C.
    pub fn degrees(&self, standard: f32) -> f32 {
        self.mean + self.deviation * standard
    }
}
