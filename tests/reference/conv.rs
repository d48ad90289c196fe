//! Convolution over time, by its definition.

/// The extents of a convolution, and the geometry of its windows.
#[derive(Clone, Copy, Debug)]
pub struct Conv {
    pub steps: usize,
    pub batch: usize,
    pub input: usize,
    pub output: usize,
    pub taps: usize,
    pub stride: usize,
    pub padding: usize,
    pub dilation: usize,
    pub groups: usize,
}

impl Conv {
    /// Number of windows that lie within the padded sequence, counted one by one.
    pub fn outputs(&self) -> usize {
        let last = |o: usize| o * self.stride + (self.taps - 1) * self.dilation;
        (0..).take_while(|&o| last(o) < self.steps + 2 * self.padding).count()
    }

    /// Every `(output step, tap, step of x)` within the sequence.
    pub fn taps(&self) -> Vec<[usize; 3]> {
        let mut all = Vec::new();
        for t in 0..self.steps {
            for j in 0..self.taps {
                for o in 0..self.outputs() {
                    if o * self.stride + j * self.dilation == t + self.padding {
                        all.push([o, j, t]);
                    }
                }
            }
        }
        all
    }

    /// `[outputs, batch, out]` from `x` `[steps, batch, in]`, `weight` `[out, in / groups, taps]` and a bias.
    pub fn run(&self, x: &[f64], weight: &[f64], bias: Option<&[f64]>) -> Vec<f64> {
        let Self { batch, input, output, groups, .. } = *self;
        let (width_in, width_out) = (input / groups, output / groups);
        let start = |i: usize| bias.map_or(0.0, |bias| bias[i % output]);
        let mut y: Vec<f64> = (0..self.outputs() * batch * output).map(start).collect();
        for [o, j, t] in self.taps() {
            for b in 0..batch {
                for to in 0..output {
                    for from in 0..width_in {
                        let source = x[(t * batch + b) * input + to / width_out * width_in + from];
                        y[(o * batch + b) * output + to] += weight[(to * width_in + from) * self.taps + j] * source;
                    }
                }
            }
        }
        y
    }
}
