//! Measures frame times, and the time that a frame spends in wgru.

use std::time::{Duration, Instant};

/// Number of recent frames that the window's figures cover.
const RECENT: usize = 400;
/// Maximum number of frames in a report: an hour at 60 frames per second.
const MOST: usize = 216_000;

/// Times in milliseconds, in chronological order.
#[derive(Clone, Debug, Default)]
pub struct Times(Vec<f32>);

impl Times {
    fn push(&mut self, time: Duration) {
        if self.0.len() < MOST {
            self.0.push(time.as_secs_f32() * 1e3);
        }
    }

    /// Returns the most recent times.
    pub fn recent(&self) -> Times {
        Times(self.0[self.0.len().saturating_sub(RECENT)..].to_vec())
    }

    /// Returns the number of times.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns a quantile of the times (nearest rank), or `None` if there are no times.
    pub fn quantile(&self, share: f64) -> Option<f32> {
        let mut sorted = self.0.clone();
        sorted.sort_unstable_by(f32::total_cmp);
        let rank = (share * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.max(1) - 1).copied()
    }

    /// Counts the times in each of `bins` bins of `width` milliseconds. The last bin includes all longer times.
    pub fn histogram(&self, width: f32, bins: usize) -> Vec<usize> {
        let mut counts = vec![0; bins];
        for time in &self.0 {
            counts[((time / width) as usize).min(bins - 1)] += 1;
        }
        counts
    }
}

/// Measures the frames of the window.
#[derive(Debug)]
pub struct Meter {
    begun: Instant,
    last: Option<Instant>,
    /// Times from the beginning of a frame to the beginning of the next.
    pub frames: Times,
    /// Times spent in wgru on the window's thread, for frames that call wgru.
    pub wgru: Times,
    /// Times of the calls that record an inference.
    pub inference: Times,
    in_frame: Duration,
    /// Number of updates at points in time, for the rate.
    marks: Vec<(Instant, u64)>,
}

impl Meter {
    /// Creates a meter without measurements.
    pub fn new() -> Self {
        Self {
            begun: Instant::now(),
            last: None,
            frames: Times::default(),
            wgru: Times::default(),
            inference: Times::default(),
            in_frame: Duration::ZERO,
            marks: Vec::new(),
        }
    }

    /// Returns the time since the start.
    pub fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Begins a frame. `made` is the number of training updates so far.
    pub fn frame(&mut self, made: u64) {
        let now = Instant::now();
        if let Some(last) = self.last.replace(now) {
            self.frames.push(now - last);
        }
        let spent = std::mem::take(&mut self.in_frame);
        if !spent.is_zero() {
            self.wgru.push(spent);
        }
        self.marks.push((now, made));
        let old = self.marks.partition_point(|(at, _)| now - *at > Duration::from_secs(3));
        self.marks.drain(..old);
    }

    /// Called when the window was closed and reopened: the time in between is not a frame.
    pub fn interrupt(&mut self) {
        self.last = None;
    }

    /// Measures a call into wgru on the window's thread.
    pub fn time<T>(&mut self, call: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let out = call();
        self.in_frame += begun.elapsed();
        out
    }

    /// [`time`](Self::time), for an inference.
    pub fn time_inference<T>(&mut self, call: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let out = self.time(call);
        self.inference.push(begun.elapsed());
        out
    }

    /// Returns the updates per second over the last three seconds.
    pub fn rate(&self) -> f64 {
        match (self.marks.first(), self.marks.last()) {
            (Some((begun, first)), Some((now, last))) if now > begun => {
                last.saturating_sub(*first) as f64 / (*now - *begun).as_secs_f64()
            }
            _ => 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(ms: &[u64]) -> Times {
        let mut times = Times::default();
        ms.iter().for_each(|ms| times.push(Duration::from_millis(*ms)));
        times
    }

    #[test]
    fn quantiles_are_by_nearest_rank() {
        let times = times(&(1..=100).rev().collect::<Vec<_>>());
        assert_eq!(
            (times.quantile(0.5), times.quantile(0.99), times.quantile(1.0)),
            (Some(50.0), Some(99.0), Some(100.0))
        );
        assert_eq!(Times::default().quantile(0.5), None);
    }

    #[test]
    fn histogram_counts_longer_times_in_the_last_bin() {
        assert_eq!(times(&[0, 3, 4, 9, 500]).histogram(4.0, 3), [2, 1, 2]);
    }

    #[test]
    fn wgru_time_counts_in_its_frame() {
        let mut meter = Meter::new();
        meter.frame(0);
        meter.time(|| std::thread::sleep(Duration::from_millis(5)));
        meter.frame(1);
        meter.frame(2);
        assert_eq!((meter.wgru.len(), meter.frames.len()), (1, 2));
        assert!(meter.wgru.quantile(0.5).unwrap() >= 5.0);
    }
}
