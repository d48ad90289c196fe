//! Linear ramps, for parameter changes without clicks.

/// A value that moves linearly to its target. It advances sample by sample, so it does not depend on the block sizes.
pub struct Ramp {
    now: f32,
    target: f32,
    step: f32,
    /// Number of samples until the target is reached.
    left: u32,
    /// Number of samples from the old to a new target.
    length: u32,
}

impl Ramp {
    pub fn new(value: f32, length: u32) -> Self {
        Self { now: value, target: value, step: 0.0, left: 0, length: length.max(1) }
    }

    /// Starts to move to `target`, unless that already is the target.
    pub fn set(&mut self, target: f32) {
        if target != self.target {
            (self.target, self.left) = (target, self.length);
            self.step = (target - self.now) / self.length as f32;
        }
    }

    /// Ends the movement at its target.
    pub fn finish(&mut self) {
        (self.now, self.left) = (self.target, 0);
    }

    /// Writes the values of the next samples.
    pub fn fill(&mut self, values: &mut [f32]) {
        for value in values {
            if self.left > 0 {
                self.left -= 1;
                self.now = if self.left == 0 { self.target } else { self.now + self.step };
            }
            *value = self.now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ramp_reaches_its_target_in_equal_steps() {
        let mut ramp = Ramp::new(1.0, 4);
        let mut values = [f32::NAN; 6];
        ramp.set(3.0);
        ramp.fill(&mut values);
        assert_eq!(values, [1.5, 2.0, 2.5, 3.0, 3.0, 3.0]);
    }

    #[test]
    fn ramp_turns_from_where_it_is() {
        let mut ramp = Ramp::new(0.0, 4);
        let mut values = [f32::NAN; 2];
        ramp.set(4.0);
        ramp.fill(&mut values);
        ramp.set(4.0);
        ramp.fill(&mut values);
        assert_eq!(values, [3.0, 4.0]);
        ramp.set(0.0);
        ramp.fill(&mut values);
        assert_eq!(values, [3.0, 2.0]);
        ramp.finish();
        ramp.fill(&mut values);
        assert_eq!(values, [0.0, 0.0]);
    }
}
