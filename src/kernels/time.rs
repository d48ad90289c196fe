//! Time order of a direction; the twin of `shaders/common/time.wgsl`.

/// Steps of a run, and which of its directions are reversed.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    /// T, steps of the longest sequence.
    pub steps: usize,
    /// 0: the second of two directions runs from the last step to the first. 1: the only direction does. 2: none does.
    pub reverse: u32,
}

impl Order {
    /// Whether direction `d` runs from the last step to the first.
    pub fn is_reverse(self, d: usize) -> bool {
        d + self.reverse as usize == 1
    }

    /// Time of the `step`-th step of direction `d`.
    pub fn time_of(self, d: usize, step: usize) -> usize {
        if self.is_reverse(d) { self.steps - 1 - step } else { step }
    }

    /// Slot of `state` that direction `d` reads at time `t`.
    pub fn before(self, d: usize, t: usize) -> usize {
        t + self.is_reverse(d) as usize
    }

    /// Slot of `state` that direction `d` writes at time `t`.
    pub fn after(self, d: usize, t: usize) -> usize {
        t + !self.is_reverse(d) as usize
    }
}
