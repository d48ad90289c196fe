//! Simulates a sensor in real time: streams the weather of days outside the training set through the trained GRU, day
//! by day.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wgru::{Result, Rng, Stream};

use crate::weather::Weather;
use crate::worker::Trained;

/// Number of days that the window shows.
pub const SHOWN: usize = 150;
/// Maximum number of steps per frame, after the window was hidden.
const CATCH_UP: usize = 400;
/// Minimum and maximum number of days between two faults.
const QUIET: Range<usize> = 25..70;
/// Shift of the sensor's value by a fault, in °C.
const SHIFT: f32 = 13.0;

/// One day as the sensor reported it.
#[derive(Clone, Copy, Debug)]
pub struct Day {
    /// Days since the sensor was switched on.
    pub number: usize,
    /// Row in the table.
    pub row: usize,
    /// °C
    pub measured: f32,
    /// °C, forecast the day before.
    pub forecast: f32,
    /// Distance between the two, in standard errors of the forecast.
    pub score: f32,
    /// Whether a sensor fault was injected.
    pub is_fault: bool,
}

/// Plays the validation and test days in a loop.
pub struct Player {
    weather: Arc<Weather>,
    stream: Option<Stream>,
    serial: u64,
    pub is_running: bool,
    /// Days per second.
    pub speed: f32,
    /// Scores above this are anomalies.
    pub threshold: f32,
    /// Whether the sensor fails at random times.
    pub fails: bool,
    pub days: VecDeque<Day>,
    /// Mean time of a step, and number of steps so far.
    pub step: Duration,
    pub steps: u64,
    number: usize,
    forecast: Option<f32>,
    /// Standard error of the forecast in °C, measured on the validation days.
    error: f32,
    next_fault: usize,
    owed: f32,
    rng: Rng,
}

impl Player {
    /// Creates a player without a model.
    pub fn new(weather: Arc<Weather>) -> Self {
        Self {
            weather,
            stream: None,
            serial: 0,
            is_running: true,
            speed: 20.0,
            threshold: 3.0,
            fails: true,
            days: VecDeque::with_capacity(SHOWN + 1),
            step: Duration::ZERO,
            steps: 0,
            number: 0,
            forecast: None,
            error: 3.0,
            next_fault: 20,
            owed: 0.0,
            rng: Rng::new(7),
        }
    }

    /// Continues with new weights, and with the old state if the sizes match.
    pub fn take(&mut self, trained: &Trained, error: f32) {
        if error.is_finite() && error > 0.0 {
            self.error = error;
        }
        if self.serial == trained.serial {
            return;
        }
        let mut stream = trained.stream.clone();
        if let Some(old) = &self.stream {
            // A state of a different size is an error, and the new stream keeps its initial state.
            let _ = stream.set_state(old.state());
        }
        (self.stream, self.serial) = (Some(stream), trained.serial);
    }

    /// Makes the sensor fail on the next day.
    pub fn inject(&mut self) {
        self.next_fault = self.number;
    }

    /// Plays the days that are due after `elapsed`, at most [`CATCH_UP`] of them.
    ///
    /// # Errors
    /// Errors from [`Stream::step`].
    pub fn advance(&mut self, elapsed: Duration) -> Result<()> {
        if !self.is_running || self.stream.is_none() {
            return Ok(());
        }
        self.owed = (self.owed + elapsed.as_secs_f32() * self.speed).min(CATCH_UP as f32);
        while self.owed >= 1.0 {
            self.owed -= 1.0;
            self.play_day()?;
        }
        Ok(())
    }

    fn play_day(&mut self) -> Result<()> {
        let Some(stream) = &mut self.stream else { return Ok(()) };
        let days = self.weather.validation().start..self.weather.test().end;
        let row = days.start + self.number % days.len();
        let is_fault = self.number == self.next_fault;
        if self.number >= self.next_fault {
            self.next_fault = match self.fails {
                true => self.number + QUIET.start + self.rng.below(QUIET.len()),
                false => usize::MAX,
            };
        }
        let shift = if is_fault { SHIFT * if self.rng.below(2) == 0 { 1.0 } else { -1.0 } } else { 0.0 };
        let measured = self.weather.highest(row) + shift;
        // The first day has no forecast.
        let forecast = self.forecast.unwrap_or(measured);
        let score = (measured - forecast).abs() / self.error;
        self.days.push_back(Day { number: self.number, row, measured, forecast, score, is_fault });
        if self.days.len() > SHOWN {
            self.days.pop_front();
        }

        let begun = Instant::now();
        let change = stream.step(&self.weather.input_with(row, measured))?[0];
        let took = begun.elapsed();
        self.steps += 1;
        self.step = if self.steps == 1 { took } else { self.step.mul_f32(0.98) + took.mul_f32(0.02) };
        self.forecast = Some(measured + change * self.weather.deviation());
        self.number += 1;
        Ok(())
    }

    /// Sets whether the sensor fails at random times.
    pub fn set_fails(&mut self, fails: bool) {
        self.fails = fails;
        self.next_fault = if fails { self.number + QUIET.start } else { usize::MAX };
    }

    /// Returns the number of shown days whose score exceeds the threshold, and the number of those with a sensor fault.
    pub fn found(&self) -> (usize, usize) {
        let above = || self.days.iter().filter(|day| day.score > self.threshold);
        (above().count(), above().filter(|day| day.is_fault).count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Forecaster;
    use wgru::Device;

    fn player() -> Player {
        let weather = Arc::new(Weather::read().unwrap());
        let model = Forecaster::new(&Device::cpu(), 8, &mut Rng::new(1)).unwrap();
        let mut player = Player::new(weather);
        player.take(&Trained { stream: model.stream().unwrap(), serial: 1 }, 3.0);
        player
    }

    #[test]
    fn days_arrive_in_real_time() {
        let mut player = player();
        player.speed = 10.0;
        player.advance(Duration::from_millis(450)).unwrap();
        assert_eq!(player.days.len(), 4);
        player.advance(Duration::from_millis(50)).unwrap();
        assert_eq!(player.days.len(), 5);
        player.is_running = false;
        player.advance(Duration::from_secs(9)).unwrap();
        assert_eq!(player.days.len(), 5);
    }

    #[test]
    fn an_injected_fault_is_found() {
        let mut player = player();
        player.set_fails(false);
        player.advance(Duration::from_secs(2)).unwrap();
        player.inject();
        player.advance(Duration::from_millis(50)).unwrap();
        let day = *player.days.back().unwrap();
        assert!(day.is_fault && (day.measured - player.weather.highest(day.row)).abs() > 12.0);
        assert_eq!(player.days.iter().filter(|day| day.is_fault).count(), 1);
    }

    #[test]
    fn playback_catches_up_by_a_bounded_number_of_steps() {
        let mut player = player();
        player.advance(Duration::from_secs(100_000)).unwrap();
        assert_eq!((player.steps, player.days.len()), (CATCH_UP as u64, SHOWN));
    }
}
