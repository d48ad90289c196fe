//! Twenty-two overlapping bands, about as wide as those that hearing separates.

use realfft::num_complex::Complex;

pub const BANDS: usize = 22;
/// Frequencies at which a band is 1 and its neighbors are 0, in units of 200 Hz, which are four bins.
const CENTERS: [usize; BANDS] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 34, 40, 48, 60, 78, 100];
const BINS: usize = 4;

/// Calls `each` with every bin below the last center, the band below it, and its weight in the next band.
fn for_each_bin(mut each: impl FnMut(usize, usize, f32)) {
    for band in 0..BANDS - 1 {
        let (first, end) = (BINS * CENTERS[band], BINS * CENTERS[band + 1]);
        (first..end).for_each(|bin| each(bin, band, (bin - first) as f32 / (end - first) as f32));
    }
}

/// Returns the sums of `Re(x·conj(y))` per band, times `scale`. The outer bands have one side, which counts twice.
pub fn correlate(x: &[Complex<f32>], y: &[Complex<f32>], scale: f32) -> [f32; BANDS] {
    let mut sums = [0.0; BANDS];
    for_each_bin(|bin, band, weight| {
        let product = scale * (x[bin].re * y[bin].re + x[bin].im * y[bin].im);
        sums[band] += (1.0 - weight) * product;
        sums[band + 1] += weight * product;
    });
    sums[0] *= 2.0;
    sums[BANDS - 1] *= 2.0;
    sums
}

/// Calls `each` with every bin and the value between those of its bands. Bins above the last center have 0.
pub fn interpolate(bands: &[f32; BANDS], bins: usize, mut each: impl FnMut(usize, f32)) {
    for_each_bin(|bin, band, weight| each(bin, (1.0 - weight) * bands[band] + weight * bands[band + 1]));
    (BINS * CENTERS[BANDS - 1]..bins).for_each(|bin| each(bin, 0.0));
}

/// The orthonormal discrete cosine transform of type 2.
pub struct Cosines([[f32; BANDS]; BANDS]);

impl Cosines {
    pub fn new() -> Self {
        let n = BANDS as f64;
        let cosine = |i: usize, j: usize| {
            let norm = if i == 0 { (1.0 / n).sqrt() } else { (2.0 / n).sqrt() };
            (norm * ((j as f64 + 0.5) * i as f64 * std::f64::consts::PI / n).cos()) as f32
        };
        Self(std::array::from_fn(|i| std::array::from_fn(|j| cosine(i, j))))
    }

    pub fn transform(&self, x: &[f32; BANDS]) -> [f32; BANDS] {
        std::array::from_fn(|i| self.0[i].iter().zip(x).map(|(c, x)| c * x).sum())
    }
}
