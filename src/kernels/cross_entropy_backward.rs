//! The gradient of [`CrossEntropy`](super::CrossEntropy)

use crate::error::Result;
use crate::kernel::{Kernel, addressable, at_least_one, linear_groups, params, shader, words};

params! {
    /// `dx[r, c] = dloss[r]·(softmax(x[r, :])[c] − (1 − ε)·[c = t] − ε/C)`; 0 where the target is `ignored`, NaN where
    /// it is `≥ classes`.
    ///
    /// Reads `x` `[rows, classes]`, `target_class` `[rows]` (u32) and `dloss` `[rows]`; writes `dx` `[rows, classes]`.
    pub struct CrossEntropyBackward {
        /// Independent rows.
        pub rows: u32,
        /// Logits of a row.
        pub classes: u32,
        /// The target of rows that are not counted.
        pub ignored: u32,
        /// ε, the label smoothing.
        pub smoothing: f32,
    }
}

impl Kernel<3, 1> for CrossEntropyBackward {
    shader!("cross_entropy_backward", ["common/linear", "common/nan"], [x, target_class: u32, dloss] -> [dx]);

    fn check(&self) -> Result<()> {
        at_least_one(Self::NAME, [("rows", self.rows), ("classes", self.classes)])?;
        addressable(Self::NAME, "rows", 0, &[(self.rows, self.classes), (self.classes, 1)])
    }

    fn loops(&self) -> u64 {
        3 * u64::from(self.classes)
    }

    fn groups(&self) -> [u32; 3] {
        linear_groups(self.rows as usize)
    }

    fn lens(&self) -> ([usize; 3], [usize; 1]) {
        let (rows, len) = (self.rows as usize, self.rows as usize * self.classes as usize);
        ([len, rows, rows], [len])
    }

    fn run(&self, [x, target, dloss]: [&[f32]; 3], [dx]: [&mut [f32]; 1]) {
        let classes = self.classes as usize;
        for (row, &t) in words(target)[..self.rows as usize].iter().enumerate() {
            let x = &x[row * classes..][..classes];
            let top = x[1..].iter().fold(x[0], |top, &v| if v > top { v } else { top });
            let scale = if t < self.classes { dloss[row] } else { f32::NAN };
            let total: f32 = x.iter().map(|v| (v - top).exp()).sum();
            for (c, dx) in dx[row * classes..][..classes].iter_mut().enumerate() {
                let hit = if c as u32 == t { 1.0 - self.smoothing } else { 0.0 } + self.smoothing / classes as f32;
                let d = scale * ((x[c] - top).exp() / total - hit);
                *dx = if t == self.ignored { 0.0 } else { d };
            }
        }
    }
}
