//! Random numbers from distributions used in forecasting, for sample paths.

use std::f64::consts::TAU;

use super::Rng;

/// # Distributions
///
/// Computed in f64 from the same stream. A parameter that is NaN, infinite or outside its range gives NaN, so that a
/// model that diverged does not end a program. For the normal distribution, see [`normal`](Rng::normal).
///
/// ```
/// use wgru::Rng;
/// // 1,000 paths of counts, three steps ahead. Each count has the previous one plus 1 as its mean.
/// let mut rng = Rng::new(1);
/// let mut ends: Vec<f32> = (0..1000)
///     .map(|_| (0..3).fold(20.0, |last: f32, _| rng.negative_binomial(5.0, ((last + 1.0) / 5.0).ln())))
///     .collect();
/// ends.sort_by(f32::total_cmp);
/// assert!(ends[50] < 10.0 && ends[500] > 10.0 && ends[950] > 30.0);
/// assert!(rng.negative_binomial(-1.0, 0.0).is_nan());
/// ```
impl Rng {
    /// Returns a number from the gamma distribution with density `x^(shape − 1)·e^(−x) / Γ(shape)`. Its mean and
    /// variance are `shape`. For another scale, multiply the result by it.
    ///
    /// Marsaglia, Tsang: *A simple method for generating gamma variables* (2000).
    pub fn gamma(&mut self, shape: f32) -> f32 {
        self.wide_gamma(shape.into()) as f32
    }

    /// Returns a number from Student's t-distribution with `df` degrees of freedom, around 0 with scale 1.
    pub fn student_t(&mut self, df: f32) -> f32 {
        let half = 0.5 * f64::from(df);
        let normal = self.wide_normal();
        (normal / (self.wide_gamma(half) / half).sqrt()) as f32
    }

    /// Returns a count from the Poisson distribution with mean `rate`, exact below 2²⁴.
    ///
    /// Hörmann: *The transformed rejection method for generating Poisson random variables* (1993).
    pub fn poisson(&mut self, rate: f32) -> f32 {
        self.wide_poisson(rate.into()) as f32
    }

    /// Returns a count from the negative binomial distribution, as `torch.distributions.NegativeBinomial(total_count,
    /// logits=logits)`: its mean is `total_count·e^logits`, its variance `mean·(1 + e^logits)`.
    pub fn negative_binomial(&mut self, total_count: f32, logits: f32) -> f32 {
        // A Poisson distribution whose rate has a gamma distribution.
        let rate = self.wide_gamma(total_count.into()) * f64::from(logits).exp();
        self.wide_poisson(rate) as f32
    }

    /// Returns a number from the Tweedie distribution with `1 < power < 2`, which is 0 or positive. Its variance is
    /// `dispersion·mean^power`.
    pub fn tweedie(&mut self, mean: f32, dispersion: f32, power: f32) -> f32 {
        let [mean, dispersion, power] = [mean, dispersion, power].map(f64::from);
        if !(power > 1.0 && power < 2.0 && mean > 0.0 && dispersion > 0.0) {
            return f32::NAN;
        }
        // A sum of a Poisson number of gamma variables.
        let count = self.wide_poisson(mean.powf(2.0 - power) / (dispersion * (2.0 - power)));
        if count == 0.0 {
            return 0.0;
        }
        let scale = dispersion * (power - 1.0) * mean.powf(power - 1.0);
        (self.wide_gamma(count * (2.0 - power) / (power - 1.0)) * scale) as f32
    }

    /// Returns a number uniformly distributed in (0, 1), of 53 bits.
    fn open(&mut self) -> f64 {
        let word = u64::from(self.next_u32()) << 32 | u64::from(self.next_u32());
        ((word >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    fn wide_normal(&mut self) -> f64 {
        let radius = (-2.0 * self.open().ln()).sqrt();
        radius * (TAU * self.open()).cos()
    }

    fn wide_gamma(&mut self, shape: f64) -> f64 {
        if !(shape > 0.0 && shape.is_finite()) {
            return f64::NAN;
        }
        if shape < 1.0 {
            let factor = self.open().powf(1.0 / shape);
            return self.wide_gamma(shape + 1.0) * factor;
        }
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let x = self.wide_normal();
            let v = (1.0 + c * x).powi(3);
            if v > 0.0 && self.open().ln() < 0.5 * x * x + d * (1.0 - v + v.ln()) {
                return d * v;
            }
        }
    }

    fn wide_poisson(&mut self, rate: f64) -> f64 {
        if !(rate >= 0.0 && rate.is_finite()) {
            return f64::NAN;
        }
        if rate < 10.0 {
            let (least, mut product, mut count) = ((-rate).exp(), self.open(), 0.0);
            while product > least {
                product *= self.open();
                count += 1.0;
            }
            return count;
        }
        let b = 0.931 + 2.53 * rate.sqrt();
        let a = -0.059 + 0.02483 * b;
        let inverse_alpha = 1.1239 + 1.1328 / (b - 3.4);
        let sure = 0.9277 - 3.6224 / (b - 2.0);
        loop {
            let (u, v) = (self.open() - 0.5, self.open());
            let us = 0.5 - u.abs();
            let count = ((2.0 * a / us + b) * u + rate + 0.43).floor();
            if us >= 0.07 && v <= sure {
                return count;
            }
            if count < 0.0 || us < 0.013 && v > us {
                continue;
            }
            let density = count * rate.ln() - rate - log_factorial(count);
            if (v * inverse_alpha / (a / (us * us) + b)).ln() <= density {
                return count;
            }
        }
    }
}

/// `log n!` by Stirling's series, after a recurrence to a large argument.
fn log_factorial(n: f64) -> f64 {
    let (mut product, mut y) = (1.0, n + 1.0);
    while y < 12.0 {
        product *= y;
        y += 1.0;
    }
    let (u, w) = (1.0 / y, 1.0 / (y * y));
    let series = u * (1.0 / 12.0 - w * (1.0 / 360.0 - w * (1.0 / 1260.0 - w / 1680.0)));
    (y - 0.5) * y.ln() - y + 0.5 * TAU.ln() + series - product.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAWS: usize = 40_000;

    /// Returns the mean and variance of draws.
    fn moments(mut draw: impl FnMut() -> f32) -> (f64, f64) {
        let all: Vec<f64> = (0..DRAWS).map(|_| f64::from(draw())).collect();
        let mean = all.iter().sum::<f64>() / DRAWS as f64;
        (mean, all.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / DRAWS as f64)
    }

    #[track_caller]
    fn assert_moments(what: &str, got: (f64, f64), mean: f64, variance: f64) {
        assert!((got.0 - mean).abs() <= 4.0 * (variance / DRAWS as f64).sqrt(), "{what}: mean {}, not {mean}", got.0);
        assert!((got.1 / variance - 1.0).abs() <= 0.06, "{what}: variance {}, not {variance}", got.1);
    }

    #[test]
    fn moments_are_those_of_the_distributions() {
        let mut rng = Rng::new(5);
        for shape in [0.3f32, 1.0, 7.5, 400.0] {
            let (mean, variance) = (f64::from(shape), f64::from(shape));
            assert_moments(&format!("gamma {shape}"), moments(|| rng.gamma(shape)), mean, variance);
        }
        for rate in [0.0f32, 0.4, 9.0, 11.0, 60.0, 5e4] {
            let got = moments(|| rng.poisson(rate));
            match rate {
                0.0 => assert_eq!(got, (0.0, 0.0)),
                _ => assert_moments(&format!("Poisson {rate}"), got, rate.into(), rate.into()),
            }
        }
        for (total_count, logits) in [(0.5f32, 1.0f32), (3.0, -1.0), (20.0, 2.0)] {
            let mean = f64::from(total_count) * f64::from(logits).exp();
            let got = moments(|| rng.negative_binomial(total_count, logits));
            assert_moments("negative binomial", got, mean, mean * (1.0 + f64::from(logits).exp()));
        }
        for (mean, dispersion, power) in [(2.0f32, 0.7f32, 1.5f32), (0.3, 1.0, 1.2), (30.0, 2.0, 1.8)] {
            let variance = f64::from(dispersion) * f64::from(mean).powf(power.into());
            assert_moments("Tweedie", moments(|| rng.tweedie(mean, dispersion, power)), mean.into(), variance);
        }
        assert_moments("Student", moments(|| rng.student_t(12.0)), 0.0, 1.2);
    }

    #[test]
    fn frequencies_are_those_of_the_distributions() {
        let mut rng = Rng::new(6);
        // Poisson probabilities by their recurrence, on both sides of the change of method.
        for rate in [3.0f64, 30.0] {
            let mut counts = [0usize; 60];
            (0..DRAWS).for_each(|_| counts[rng.poisson(rate as f32) as usize] += 1);
            let (mut p, mut square, mut cells) = ((-rate).exp(), 0.0, 0);
            for (k, &count) in counts.iter().enumerate() {
                let want = p * DRAWS as f64;
                if want >= 10.0 {
                    square += (count as f64 - want).powi(2) / want;
                    cells += 1;
                }
                p *= rate / (k + 1) as f64;
            }
            let cells = f64::from(cells);
            assert!(square <= cells + 4.0 * (2.0 * cells).sqrt(), "rate {rate}: χ² = {square} of {cells} cells");
        }
        // For Student's distribution with 2 degrees of freedom, P(t ≤ x) = ½ + x / (2·√(2 + x²)).
        let draws: Vec<f64> = (0..DRAWS).map(|_| f64::from(rng.student_t(2.0))).collect();
        for x in [-3.0, -1.0, 0.0, 0.5, 2.0f64] {
            let want = 0.5 + x / (2.0 * (2.0 + x * x).sqrt());
            let got = draws.iter().filter(|&&draw| draw <= x).count() as f64 / DRAWS as f64;
            assert!((got - want).abs() <= 0.01, "P(t ≤ {x}) is {got}, not {want}");
        }
        // For the Tweedie distribution, P(0) = e^(−rate of the sum).
        let zeros = (0..DRAWS).filter(|_| rng.tweedie(1.0, 1.0, 1.5) == 0.0).count() as f64 / DRAWS as f64;
        assert!((zeros - (-2f64).exp()).abs() <= 0.008, "{zeros}");
    }

    #[test]
    fn draws_repeat_and_invalid_parameters_give_nan() {
        let draw = || {
            let mut rng = Rng::new(9);
            [rng.gamma(2.0), rng.student_t(3.0), rng.poisson(50.0), rng.negative_binomial(2.0, 1.0)]
        };
        assert_eq!(draw(), draw());
        let mut rng = Rng::new(1);
        for bad in [-1.0, f32::NAN, f32::INFINITY] {
            assert!(rng.gamma(bad).is_nan() && rng.student_t(bad).is_nan() && rng.poisson(bad).is_nan());
            assert!(rng.negative_binomial(bad, 0.0).is_nan() && rng.tweedie(bad, 1.0, 1.5).is_nan());
        }
        assert!(rng.tweedie(1.0, 1.0, 2.0).is_nan() && rng.negative_binomial(1.0, f32::INFINITY).is_nan());
    }
}
