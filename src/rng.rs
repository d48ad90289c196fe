//! Random numbers for weights, shuffles and dropout: Threefry-2x32-20, which is counter-based, so that a shader draws
//! the same numbers from (seed, counter) as the CPU. WGSL twin: `shaders/common/threefry.wgsl`.
//!
//! Source: Salmon, Moraes, Dror, Shaw, *Parallel random numbers: as easy as 1, 2, 3* (2011). It is the same function as
//! in Random123 and JAX.

mod distributions;

/// Returns two random words for two key words and two counter words.
pub fn threefry(key: [u32; 2], counter: [u32; 2]) -> [u32; 2] {
    const ROTATIONS: [u32; 8] = [13, 15, 26, 6, 17, 29, 16, 24];
    let keys = [key[0], key[1], key[0] ^ key[1] ^ 0x1BD1_1BDA];
    let [mut x, mut y] = [counter[0].wrapping_add(keys[0]), counter[1].wrapping_add(keys[1])];
    for round in 0..20u32 {
        x = x.wrapping_add(y);
        y = y.rotate_left(ROTATIONS[(round % 8) as usize]) ^ x;
        if round % 4 == 3 {
            let injection = round / 4 + 1;
            x = x.wrapping_add(keys[(injection % 3) as usize]);
            y = y.wrapping_add(keys[((injection + 1) % 3) as usize]).wrapping_add(injection);
        }
    }
    [x, y]
}

/// A seeded stream of random numbers. Its whole state is `(seed, position)`, so saving and resuming is exact.
///
/// ```
/// use wgru::Rng;
/// let mut a = Rng::new(7);
/// let first = a.uniform(0.0, 1.0);
/// assert_eq!(first, Rng::new(7).uniform(0.0, 1.0));
/// assert_ne!(first, a.uniform(0.0, 1.0));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rng {
    seed: u64,
    position: u64,
}

impl Rng {
    /// Creates a stream at position 0.
    pub fn new(seed: u64) -> Self {
        Self { seed, position: 0 }
    }

    /// Creates the stream of `seed` at `position`, as returned by [`Rng::state`].
    pub fn from_state(seed: u64, position: u64) -> Self {
        Self { seed, position }
    }

    /// Returns `(seed, position)`.
    pub fn state(&self) -> (u64, u64) {
        (self.seed, self.position)
    }

    /// Returns the next 32 random bits.
    pub fn next_u32(&mut self) -> u32 {
        let [word, _] = threefry(split(self.seed), split(self.position));
        self.position += 1;
        word
    }

    /// Returns a number uniformly distributed in `[low, high)`.
    pub fn uniform(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * unit(self.next_u32())
    }

    /// Returns a normally distributed number with mean 0 and variance 1 (Box–Muller).
    pub fn normal(&mut self) -> f32 {
        let radius = (-2.0 * (1.0 - unit(self.next_u32())).ln()).sqrt();
        radius * (std::f32::consts::TAU * unit(self.next_u32())).cos()
    }

    /// Returns an integer uniformly distributed in `0..bound`. Uses multiply-shift, whose bias is below `bound / 2³²`.
    ///
    /// # Panics
    /// If `bound` is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        assert!(bound > 0, "Rng::below: bound must be at least 1");
        ((self.next_u32() as u64 * bound as u64) >> 32) as usize
    }

    /// Returns an index drawn with a probability proportional to its weight. Weights of 0 or less, and NaN, are never
    /// drawn, unless there are no others.
    ///
    /// ```
    /// assert_eq!(wgru::Rng::new(1).weighted(&[0.0, 2.5, 0.0]), 1);
    /// ```
    ///
    /// # Panics
    /// If `weights` is empty.
    pub fn weighted<W: Copy + Into<f64>>(&mut self, weights: &[W]) -> usize {
        assert!(!weights.is_empty(), "Rng::weighted: there must be at least one weight");
        let drawable = || weights.iter().map(|&weight| weight.into()).enumerate().filter(|(_, weight)| *weight > 0.0);
        let total: f64 = drawable().map(|(_, weight)| weight).sum();
        let mut left = f64::from(unit(self.next_u32())) * total;
        let hit = drawable().find(|(_, weight)| {
            left -= weight;
            left < 0.0
        });
        // If rounding leaves a remainder, the last one.
        hit.or(drawable().last()).map_or(0, |(index, _)| index)
    }

    /// Shuffles `items` (Fisher–Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }

    /// Claims a separate stream for one device operation, which counts from 0.
    pub(crate) fn fork(&mut self) -> [u32; 2] {
        [self.next_u32(), self.next_u32()]
    }
}

/// Converts the upper 24 bits of a random word to a float in `[0, 1)`.
pub fn unit(word: u32) -> f32 {
    (word >> 8) as f32 / 16_777_216.0
}

fn split(v: u64) -> [u32; 2] {
    [v as u32, (v >> 32) as u32]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Known answers of Random123 (`kat_vectors`, threefry2x32, 20 rounds).
    #[test]
    fn threefry_gives_the_known_answers() {
        let max = u32::MAX;
        assert_eq!(threefry([0, 0], [0, 0]), [0x6b20_0159, 0x99ba_4efe]);
        assert_eq!(threefry([max, max], [max, max]), [0x1cb9_96fc, 0xbb00_2be7]);
        assert_eq!(threefry([0x1319_8a2e, 0x0370_7344], [0x243f_6a88, 0x85a3_08d3]), [0xc492_3a9c, 0x483d_f7a0]);
    }

    #[test]
    fn uniform_covers_its_range_evenly() {
        let mut rng = Rng::new(1);
        let mut counts = [0; 10];
        for _ in 0..10_000 {
            counts[(rng.uniform(0.0, 10.0)) as usize] += 1;
        }
        assert!(counts.iter().all(|c| (850..1150).contains(c)), "{counts:?}");
    }

    #[test]
    fn shuffle_permutes() {
        let mut items: Vec<usize> = (0..100).collect();
        Rng::new(3).shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }
}
