//! Gradient of [`Softmax`](super::Softmax)

use crate::error::Result;
use crate::kernel::{Kernel, addressable, at_least_one, linear_groups, params, shader};
use crate::math::masked;

params! {
    /// `dx = y·(dy − Σ y·dy)` for softmax, `dx = dy − e^y·Σ dy` for log-softmax, over each row. Where softmax is 0, as
    /// in elements that [`MaskedSoftmax`](super::MaskedSoftmax) leaves out, `dx` is 0 and `dy` is ignored.
    ///
    /// Reads `y` and `dy`, writes `dx`, all `[rows, width]`.
    pub struct SoftmaxBackward {
        /// Independent rows.
        pub rows: u32,
        /// Elements of a row.
        pub width: u32,
        /// 1: log-softmax.
        pub log: u32,
    }
}

impl Kernel<2, 1> for SoftmaxBackward {
    shader!("softmax_backward", ["common/linear", "common/nan", "common/mask"], [y, dy] -> [dx]);

    fn check(&self) -> Result<()> {
        at_least_one(Self::NAME, [("rows", self.rows), ("width", self.width)])?;
        addressable(Self::NAME, "rows", 0, &[(self.rows, self.width), (self.width, 1)])
    }

    fn loops(&self) -> u64 {
        2 * u64::from(self.width)
    }

    fn groups(&self) -> [u32; 3] {
        linear_groups(self.rows as usize)
    }

    fn lens(&self) -> ([usize; 2], [usize; 1]) {
        let len = self.rows as usize * self.width as usize;
        ([len, len], [len])
    }

    fn run(&self, [y, dy]: [&[f32]; 2], [dx]: [&mut [f32]; 1]) {
        let width = self.width as usize;
        for first in (0..self.rows as usize).map(|row| row * width) {
            let (y, dy) = (&y[first..first + width], &dy[first..first + width]);
            let total: f32 = y.iter().zip(dy).map(|(&y, &dy)| if self.log == 1 { dy } else { masked(dy, y) }).sum();
            for (i, dx) in dx[first..first + width].iter_mut().enumerate() {
                *dx = if self.log == 1 { dy[i] - y[i].exp() * total } else { masked(dy[i] - total, y[i]) };
            }
        }
    }
}
