//! Limits the size of submissions, so that a host application that shares the device keeps its frame rate.

use std::time::Duration;

use super::recorder::Size;

/// Estimated fixed cost of a dispatch, in multiply-adds.
const DISPATCH: u64 = 200_000;

/// Estimated cost of a loop iteration, in multiply-adds. On a GPU with few invocations, an iteration waits for memory
/// for 0.1 to 0.6 µs, whatever it computes. The largest submission then has half a million iterations, which take 0.05 to
/// 0.3 s.
const ITERATION: u64 = 32_768;

/// Returns the estimated cost of a loop iteration on an adapter, in multiply-adds. On a CPU, it is what it computes.
pub(super) fn iteration(info: &wgpu::AdapterInfo) -> u64 {
    // wgpu's noop backend reports a CPU, but stands for a GPU in tests that count submissions.
    let is_cpu = info.device_type == wgpu::DeviceType::Cpu && info.backend != wgpu::Backend::Noop;
    if is_cpu { 0 } else { ITERATION }
}

/// Assumed speed of a device before the first measurement, in multiply-adds per second.
const SLOW: f64 = 2e9;

/// GPU time of one submission on an adopted device.
const SLICE: Duration = Duration::from_millis(4);

/// The same on a software adapter, where a frame takes tens of milliseconds and leaves one gap. Measured with the
/// desktop application on llvmpipe (frames of 60 ms): 4, 8, 16, 24 and 32 ms give 19, 25, 40, 56 and 66 percent of the
/// updates without pacing, at 1.13, 1.15, 1.18, 1.28 and 1.37 times the median frame.
const SOFTWARE_SLICE: Duration = Duration::from_millis(20);

/// How work is split into submissions; see [`Device::set_pacing`](crate::Device::set_pacing). Does not affect results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pacing {
    /// [`Slice`](Self::Slice) of 4 ms on a device adopted from a host application (20 ms on a software adapter),
    /// [`Off`](Self::Off) on others.
    #[default]
    Auto,
    /// Submissions are as large as the driver allows and follow one another at once, for the highest throughput.
    Off,
    /// Each submission takes about this much GPU time, estimated from earlier submissions. The next one follows when it
    /// is done, so a submission of the host waits for at most one slice. A thread of the device submits, so recording
    /// never waits for the GPU.
    Slice(Duration),
}

/// Estimates the cost of a dispatch, in multiply-adds, from those that it computes and from the loop iterations of one
/// invocation, of which each costs at least `iteration`.
pub(super) fn cost(work: u64, loops: u64, iteration: u64) -> u64 {
    work.max(loops.saturating_mul(iteration)).saturating_add(DISPATCH)
}

/// Estimates the speed of the device.
pub(super) struct Pace {
    slice: Option<Duration>,
    /// The slice of [`Pacing::Auto`].
    default: Option<Duration>,
    /// Multiply-adds per second.
    rate: f64,
}

impl Pace {
    /// The slice of [`Pacing::Auto`] on an adopted device.
    pub fn slice_of_adopted(is_software: bool) -> Duration {
        if is_software { SOFTWARE_SLICE } else { SLICE }
    }

    pub fn new(pacing: Pacing, default: Option<Duration>) -> Self {
        let mut pace = Self { slice: None, default, rate: SLOW };
        pace.set(pacing);
        pace
    }

    pub fn set(&mut self, pacing: Pacing) {
        self.slice = match pacing {
            Pacing::Auto => self.default,
            Pacing::Off => None,
            Pacing::Slice(time) => Some(time.max(Duration::from_micros(100))),
        };
        // Browsers schedule the GPU themselves, and there is no driver thread.
        if cfg!(target_arch = "wasm32") {
            self.slice = None;
        }
    }

    /// Target GPU time of a submission; `None` if it is unbounded.
    pub fn slice(&self) -> Option<Duration> {
        self.slice
    }

    /// Maximum size of the next submission.
    pub fn size(&self) -> Size {
        match self.slice {
            None => Size::LARGEST,
            Some(slice) => {
                let work = (self.rate * slice.as_secs_f64()) as u64;
                Size { work: work.clamp(1, Size::LARGEST.work), ..Size::LARGEST }
            }
        }
    }

    /// Updates the estimated speed from a submission of `work` that took `took`. Work estimates are rough and other
    /// programs disturb the timing, so one submission changes the estimate only a little.
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
    fn loop_iterations_bound_the_cost_from_below_on_gpus() {
        let of = |device_type, backend| iteration(&wgpu::AdapterInfo::new(device_type, backend));
        let gpu = of(wgpu::DeviceType::IntegratedGpu, wgpu::Backend::Vulkan);
        let cpu = of(wgpu::DeviceType::Cpu, wgpu::Backend::Vulkan);
        assert_eq!(cost(7, 0, gpu), DISPATCH + 7);
        assert_eq!(cost(7, 10, gpu), DISPATCH + 10 * ITERATION);
        assert_eq!(cost(1 << 30, 10, gpu), DISPATCH + (1 << 30));
        assert_eq!(cost(7, 10, cpu), DISPATCH + 7);
        assert_eq!(cost(7, u64::MAX, gpu), u64::MAX);
    }

    #[test]
    fn slices_follow_the_speed_of_the_device() {
        let mut pace = Pace::new(Pacing::Slice(Duration::from_millis(10)), None);
        for _ in 0..100 {
            // A device that computes 10¹¹ multiply-adds per second.
            let work = pace.size().work;
            pace.learn(work, Duration::from_secs_f64(work as f64 / 1e11));
        }
        let work = pace.size().work as f64;
        assert!((0.9e9..1.1e9).contains(&work), "{work}");
        assert_eq!(Pace::new(Pacing::Auto, None).slice(), None);
        assert_eq!(Pace::new(Pacing::Auto, Some(SLICE)).slice(), Some(SLICE));
    }
}
