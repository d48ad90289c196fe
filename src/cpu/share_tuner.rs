//! Whether to share work of microseconds: learned from every call.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Shares that the caller then does alone, doubled each time that it happens again.
pub const ALONE: u32 = 64;
const MOST_ALONE: u32 = 1 << 11;
/// Shares of a helper that are tried, of what it would have if all threads had alike, in quarters: a helper begins later than
/// its caller and is missed at the end, each by the time that a cache line takes from core to core.
pub const TRIED: [usize; 3] = [0, 3, 4];
/// Calls of a size that try each of them at first; from then on one of them is tried again now and then.
const TRIES: u32 = 16;
const PERIOD: u32 = 128;
/// Calls of a trial that only bring the weights into the caches of who will use them.
const SETTLE: u32 = 6;

/// Which of [`TRIED`] was fastest lately, for calls of so much work: whether a microsecond's work is worth sharing depends on
/// the processor, on who else uses it, and on which caches then hold what. Only who uses the pool writes.
#[derive(Default)]
pub struct ShareTuner([Timings; 32]);

/// Calls of half to all of a power of two of work.
#[derive(Default)]
pub struct Timings {
    calls: AtomicU32,
    /// Nanoseconds that a call takes with each share.
    times: [AtomicU32; TRIED.len()],
}

impl ShareTuner {
    pub fn of(&self, work: usize) -> &Timings {
        &self.0[(usize::BITS - work.leading_zeros()).min(31) as usize]
    }
}

impl Timings {
    /// As if sharing alike had long been the fastest.
    #[cfg(test)]
    pub fn share_alike(&self) {
        self.calls.store(PERIOD + PERIOD / 2, Ordering::Relaxed);
        self.times.iter().zip([9, 9, 1]).for_each(|(time, ns)| time.store(ns, Ordering::Relaxed));
    }

    /// Which to take now, and whether its time is to be noted.
    pub fn choose(&self) -> (usize, bool) {
        let calls = self.calls.load(Ordering::Relaxed);
        let begins = TRIES * TRIED.len() as u32;
        // At the end it goes on as if it had begun long ago.
        self.calls.store(calls.checked_add(1).unwrap_or(begins), Ordering::Relaxed);
        if calls < begins {
            return ((calls / TRIES) as usize, calls % TRIES >= SETTLE);
        }
        let (nth, within) = ((calls / PERIOD) as usize, calls % PERIOD);
        if within <= SETTLE {
            return (nth % TRIED.len(), within == SETTLE);
        }
        // What others wrote comes late to who reads it next, after the call: sharing has to win more than that.
        let time = |i: &usize| u64::from(self.times[*i].load(Ordering::Relaxed)) * if *i == 0 { 8 } else { 9 };
        ((0..TRIED.len()).min_by_key(time).unwrap_or(0), within > 2 * SETTLE && within % 8 == 0)
    }

    pub fn note(&self, which: usize, took: Duration) {
        let (time, took) = (&self.times[which], took.as_nanos().min(1 << 30) as u32);
        let before = time.load(Ordering::Relaxed);
        let after = match before {
            0 => took,
            _ if took < before => before - (before - took) / 4,
            // A call that was interrupted says little.
            _ => before + (took - before).min(before / 4) / 4,
        };
        time.store(after.max(1), Ordering::Relaxed);
    }
}

/// Where threads have to take backoff, two are slower than one: what is remembered of it. Only who uses the pool writes.
#[derive(Default)]
pub struct Backoff {
    /// Shares still to be done alone.
    alone: AtomicU32,
    /// How many it were after the last interruption, less what was forgotten since.
    penalty: AtomicU32,
}

impl Backoff {
    /// Whether the next share is to be done alone.
    pub fn take_alone(&self) -> bool {
        let alone = self.alone.load(Ordering::Relaxed);
        self.alone.store(alone.saturating_sub(1), Ordering::Relaxed);
        alone > 0
    }

    /// A share was done together, in time or late.
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
    fn after_an_interruption_shares_are_done_alone_twice_as_many_each_time_until_it_is_forgotten() {
        let backoff = Backoff::default();
        let alone = |backoff: &Backoff| std::iter::from_fn(|| backoff.take_alone().then_some(())).count() as u32;
        assert_eq!(alone(&backoff), 0, "nothing happened yet");
        backoff.note(false);
        assert_eq!(alone(&backoff), 0, "in time");
        for want in [64, 128, 256, 512, 1024, 2048, 2048] {
            backoff.note(true);
            assert_eq!(alone(&backoff), want);
        }
        // Each share in time forgets one of them.
        (0..1900).for_each(|_| backoff.note(false));
        assert_eq!(alone(&backoff), 0);
        backoff.note(true);
        assert_eq!(alone(&backoff), 2 * 148);
        (0..10_000).for_each(|_| backoff.note(false));
        backoff.note(true);
        assert_eq!(alone(&backoff), 64, "forgotten, never below none");
    }

    /// Calls that take these nanoseconds with each share: how often each was taken of the last half.
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
    fn sharing_is_chosen_where_it_wins_and_given_up_where_it_no_longer_does() {
        let tried = Timings::default();
        for (times, best) in
            [([4000, 2900, 2500], 2), ([1000, 1400, 1300], 0), ([1000, 700, 950], 1), ([1000, 970, 950], 0)]
        {
            let taken = taken(&tried, times, 40 * PERIOD as usize);
            assert!(taken[best] > 18 * PERIOD as usize, "{times:?}: {taken:?}");
        }
        // The others are looked at again and again, but seldom.
        let taken = taken(&tried, [1000, 5000, 5000], 40 * PERIOD as usize);
        assert!(taken[1] > 0 && taken[2] > 0 && taken[1] + taken[2] < PERIOD as usize, "{taken:?}");
    }

    #[test]
    fn an_interruption_does_not_change_the_choice() {
        let tried = Timings::default();
        taken(&tried, [4000, 3000, 2500], 40 * PERIOD as usize);
        tried.note(2, Duration::from_millis(10));
        assert!(tried.times[2].load(Ordering::Relaxed) < 2700);
    }
}
