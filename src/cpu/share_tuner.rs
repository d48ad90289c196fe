//! Decides from the timings of earlier calls whether to share a few microseconds of work among threads.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Length of the first backoff, in calls. It doubles with each further interruption.
pub const ALONE: u32 = 64;
/// Maximum length of a backoff.
const MOST_ALONE: u32 = 1 << 11;
/// Candidate shares of a worker, in quarters of an equal share. Less than an equal share can be faster: a worker starts
/// later than the caller, and the caller learns later that it has finished, each by the time that a cache line takes
/// between two cores.
pub const TRIED: [usize; 3] = [0, 3, 4];
/// Number of calls in the initial trial of each candidate.
const TRIES: u32 = 16;
/// Number of calls between two later trials, which try the candidates in turn.
const PERIOD: u32 = 128;
/// Number of calls at the start of a trial that are not timed. They bring the weights into the caches of the threads
/// that will use them.
const SETTLE: u32 = 6;

/// Measures which of [`TRIED`] is fastest, separately for each power of two of work. Whether sharing a
/// microsecond of work pays off depends on the processor, on its other load, and on the contents of its caches.
///
/// A caller records the time of an unshared call after it has released the pool, so updates can race. A lost update is
/// harmless.
#[derive(Default)]
pub struct ShareTuner([Timings; 32]);

/// Timings of calls with similar amounts of work: between two powers of two.
#[derive(Default)]
pub struct Timings {
    calls: AtomicU32,
    /// Smoothed duration of a call with each candidate, in nanoseconds.
    times: [AtomicU32; TRIED.len()],
}

impl ShareTuner {
    /// Returns the timings of calls with about this much work.
    pub fn of(&self, work: usize) -> &Timings {
        &self.0[(usize::BITS - work.leading_zeros()).min(31) as usize]
    }
}

impl Timings {
    /// Sets the timings as if an equal share had been measured as fastest.
    #[cfg(test)]
    pub fn share_alike(&self) {
        self.calls.store(PERIOD + PERIOD / 2, Ordering::Relaxed);
        self.times.iter().zip([9, 9, 1]).for_each(|(time, ns)| time.store(ns, Ordering::Relaxed));
    }

    /// Returns the candidate to use for this call, and whether to [`note`](Self::note) its duration.
    pub fn choose(&self) -> (usize, bool) {
        let calls = self.calls.load(Ordering::Relaxed);
        let begins = TRIES * TRIED.len() as u32;
        // On overflow, skips the initial trials.
        self.calls.store(calls.checked_add(1).unwrap_or(begins), Ordering::Relaxed);
        if calls < begins {
            return ((calls / TRIES) as usize, calls % TRIES >= SETTLE);
        }
        let (nth, within) = ((calls / PERIOD) as usize, calls % PERIOD);
        if within <= SETTLE {
            return (nth % TRIED.len(), within == SETTLE);
        }
        // The time of a shared call does not include moving its results between caches later, so it must win by an
        // eighth.
        let time = |i: &usize| u64::from(self.times[*i].load(Ordering::Relaxed)) * if *i == 0 { 8 } else { 9 };
        ((0..TRIED.len()).min_by_key(time).unwrap_or(0), within > 2 * SETTLE && within % 8 == 0)
    }

    /// Updates the smoothed duration of a candidate.
    pub fn note(&self, which: usize, took: Duration) {
        let (time, took) = (&self.times[which], took.as_nanos().min(1 << 30) as u32);
        let before = time.load(Ordering::Relaxed);
        let after = match before {
            0 => took,
            _ if took < before => before - (before - took) / 4,
            // Limits the influence of an interrupted call.
            _ => before + (took - before).min(before / 4) / 4,
        };
        time.store(after.max(1), Ordering::Relaxed);
    }
}

/// Exponential backoff from sharing while threads compete for a core, where two threads are slower than one. Only the
/// holder of the pool's lease uses it.
#[derive(Default)]
pub struct Backoff {
    /// Number of calls that the caller will still run alone.
    alone: AtomicU32,
    /// Length of the last backoff, reduced by one for each punctual shared call since then.
    penalty: AtomicU32,
}

impl Backoff {
    /// Returns whether the caller runs this call alone, and counts the call.
    pub fn take_alone(&self) -> bool {
        let alone = self.alone.load(Ordering::Relaxed);
        self.alone.store(alone.saturating_sub(1), Ordering::Relaxed);
        alone > 0
    }

    /// Records whether a worker was late in a shared call. If so, a backoff begins.
    pub fn note(&self, is_late: bool) {
        let penalty = self.penalty.load(Ordering::Relaxed);
        if is_late {
            let penalty = (2 * penalty).clamp(ALONE, MOST_ALONE);
            self.penalty.store(penalty, Ordering::Relaxed);
            self.alone.store(penalty, Ordering::Relaxed);
        } else {
            self.penalty.store(penalty.saturating_sub(1), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_with_each_late_call_and_decays() {
        let backoff = Backoff::default();
        let alone = |backoff: &Backoff| std::iter::from_fn(|| backoff.take_alone().then_some(())).count() as u32;
        assert_eq!(alone(&backoff), 0, "no backoff before the first late worker");
        backoff.note(false);
        assert_eq!(alone(&backoff), 0, "in time");
        for want in [64, 128, 256, 512, 1024, 2048, 2048] {
            backoff.note(true);
            assert_eq!(alone(&backoff), want);
        }
        // Each punctual shared call reduces the penalty by one.
        (0..1900).for_each(|_| backoff.note(false));
        assert_eq!(alone(&backoff), 0);
        backoff.note(true);
        assert_eq!(alone(&backoff), 2 * 148);
        (0..10_000).for_each(|_| backoff.note(false));
        backoff.note(true);
        assert_eq!(alone(&backoff), 64, "the penalty decays to 0");
    }

    /// Simulates calls that take `times` nanoseconds with each candidate. Returns how often each was used in the second
    /// half.
    fn taken(tried: &Timings, times: [u64; TRIED.len()], calls: usize) -> [usize; TRIED.len()] {
        let mut taken = [0; TRIED.len()];
        for call in 0..calls {
            let (which, notes) = tried.choose();
            if notes {
                tried.note(which, Duration::from_nanos(times[which]));
            }
            taken[which] += (2 * call >= calls) as usize;
        }
        taken
    }

    #[test]
    fn fastest_candidate_is_used_and_the_others_are_tried_again() {
        let tried = Timings::default();
        for (times, best) in
            [([4000, 2900, 2500], 2), ([1000, 1400, 1300], 0), ([1000, 700, 950], 1), ([1000, 970, 950], 0)]
        {
            let taken = taken(&tried, times, 40 * PERIOD as usize);
            assert!(taken[best] > 18 * PERIOD as usize, "{times:?}: {taken:?}");
        }
        // The others are still tried, but rarely.
        let taken = taken(&tried, [1000, 5000, 5000], 40 * PERIOD as usize);
        assert!(taken[1] > 0 && taken[2] > 0 && taken[1] + taken[2] < PERIOD as usize, "{taken:?}");
    }

    #[test]
    fn interrupted_call_does_not_change_the_choice() {
        let tried = Timings::default();
        taken(&tried, [4000, 3000, 2500], 40 * PERIOD as usize);
        tried.note(2, Duration::from_millis(10));
        assert!(tried.times[2].load(Ordering::Relaxed) < 2700);
    }
}
