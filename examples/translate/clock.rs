//! The time of a training run.

use std::f64::consts::PI;
use std::time::Instant;

use wgru::train::Schedule;

/// Seconds that a run has trained, with those before it was interrupted, and its limit.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
    before: f64,
    limit: Option<f64>,
}

impl Clock {
    pub fn start(before: f64, limit: Option<f64>) -> Self {
        Self { start: Instant::now(), before, limit }
    }

    pub fn seconds(&self) -> f64 {
        self.before + self.start.elapsed().as_secs_f64()
    }

    /// Returns the share of the limit that is over, from 0 to 1; `None` without a limit.
    pub fn share(&self) -> Option<f64> {
        self.limit.map(|limit| (self.seconds() / limit).min(1.0))
    }

    /// Whether the time is up.
    pub fn is_over(&self) -> bool {
        self.share() == Some(1.0)
    }

    /// Returns cosine decay to 0: until the limit, or over `updates` without one.
    pub fn schedule(self, updates: u64) -> Schedule {
        match self.limit {
            Some(_) => Schedule::custom(move |rate, _| rate / 2.0 * (1.0 + (PI * self.share().unwrap_or(0.0)).cos())),
            None => Schedule::Cosine { steps: updates, min: 0.0 },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_falls_until_the_limit() {
        let rate = |before, limit| Clock::start(before, limit).schedule(100).rate(0.5, 25);
        assert!((rate(0.0, Some(1e6)) - 0.5).abs() < 1e-3 && (rate(5e5, Some(1e6)) - 0.25).abs() < 1e-3);
        assert_eq!(
            (rate(7.0, Some(6.0)), rate(0.0, None)),
            (0.0, Schedule::Cosine { steps: 100, min: 0.0 }.rate(0.5, 25))
        );
        assert!(Clock::start(7.0, Some(6.0)).is_over() && !Clock::start(7.0, None).is_over());
    }
}
