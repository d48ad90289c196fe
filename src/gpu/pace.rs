//! How much is submitted at once, so that a host that shares the device keeps its frame rate.

use std::time::Duration;

use super::recorder::Size;

/// Estimated cost of a dispatch of no work, in multiply-adds.
pub(super) const DISPATCH: u64 = 200_000;

/// Multiply-adds a second that a device is taken to compute before anything was measured.
const SLOW: f64 = 2e9;

/// GPU time of a submission on an adopted device.
const SLICE: Duration = Duration::from_millis(4);

/// How work is cut into submissions; see [`Device::set_pacing`](crate::Device::set_pacing). It changes no result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pacing {
    /// [`Slice`](Self::Slice) of 4 ms on a device that was adopted from a host application, [`Off`](Self::Off) on others.
    #[default]
    Auto,
    /// Submissions are as large as a driver allows and follow each other at once: the highest throughput.
    Off,
    /// Each submission takes about this much GPU time, learned from earlier ones, and the next one follows when it is done.
    /// So what the host submits in between waits for one slice at most. A thread of the device submits, so recording never
    /// waits for the GPU.
    Slice(Duration),
}

/// Learns how fast the device is.
pub(super) struct Pace {
    slice: Option<Duration>,
    /// Multiply-adds a second.
    rate: f64,
}

impl Pace {
    pub fn new(pacing: Pacing, is_adopted: bool) -> Self {
        let mut pace = Self { slice: None, rate: SLOW };
        pace.set(pacing, is_adopted);
        pace
    }

    pub fn set(&mut self, pacing: Pacing, is_adopted: bool) {
        self.slice = match pacing {
            Pacing::Auto => is_adopted.then_some(SLICE),
            Pacing::Off => None,
            Pacing::Slice(time) => Some(time.max(Duration::from_micros(100))),
        };
        // There is no driver thread in a browser, which schedules by itself.
        if cfg!(target_arch = "wasm32") {
            self.slice = None;
        }
    }

    /// GPU time of a submission; `None` where it is not bounded.
    pub fn slice(&self) -> Option<Duration> {
        self.slice
    }

    /// How much the next submission may hold.
    pub fn size(&self) -> Size {
        match self.slice {
            None => Size::LARGEST,
            Some(slice) => {
                let work = (self.rate * slice.as_secs_f64()) as u64;
                Size { work: work.clamp(1, Size::LARGEST.work), ..Size::LARGEST }
            }
        }
    }

    /// Learns from a submission of so much work that took so long. Estimates of work are rough and clocks are disturbed
    /// by others, so one submission changes little.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn learn(&mut self, work: u64, took: Duration) {
        let rate = work as f64 / took.as_secs_f64().max(1e-5);
        self.rate = (self.rate * (rate / self.rate).clamp(0.5, 2.0).powf(0.3)).clamp(1e8, 1e14);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_follow_the_speed_of_the_device() {
        let mut pace = Pace::new(Pacing::Slice(Duration::from_millis(10)), false);
        for _ in 0..100 {
            // A device of 10¹¹ multiply-adds a second.
            let work = pace.size().work;
            pace.learn(work, Duration::from_secs_f64(work as f64 / 1e11));
        }
        let work = pace.size().work as f64;
        assert!((0.9e9..1.1e9).contains(&work), "{work}");
        assert_eq!(Pace::new(Pacing::Auto, false).slice(), None);
        assert!(Pace::new(Pacing::Auto, true).slice().is_some());
    }
}
