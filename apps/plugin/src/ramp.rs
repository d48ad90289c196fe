//! Values that change without clicks.

/// A value that moves to its target along a straight line. It advances by samples, so its values do not depend on the
/// sizes of blocks.
pub struct Ramp {
    now: f32,
    target: f32,
    step: f32,
    /// Samples until the target.
    left: u32,
    /// Samples from the old to a new target.
    length: u32,
}

impl Ramp {
    pub fn new(value: f32, length: u32) -> Self {
        Self { now: value, target: value, step: 0.0, left: 0, length: length.max(1) }
    }

    /// Starts to move to `target`, unless it does already.
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
