//! Cross-entropy of each row of logits against a class

use crate::error::Result;
use crate::kernel::{Kernel, addressable, at_least_one, params, shader, words};
use crate::math::masked;

params! {
    /// `loss[r] = (1 − ε)·(L − x[r, t]) + ε/C·Σ_c (L − x[r, c])` with `L = log Σ_c e^x[r, c]` and `t` the row's target.
    ///
    /// Reads `x` `[rows, classes]` and `target_class` `[rows]` (u32); writes `loss` and `counted`, both `[rows]`.
    /// A row whose target is `ignored` has loss 0 and is not counted; a target `≥ classes` gives NaN.
    pub struct CrossEntropy {
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

impl Kernel<2, 2> for CrossEntropy {
    shader!("cross_entropy", ["common/linear", "common/nan", "common/mask"], [x, target_class: u32] -> [loss, counted]);

    fn check(&self) -> Result<()> {
        at_least_one(Self::NAME, [("rows", self.rows), ("classes", self.classes)])?;
        addressable(Self::NAME, "rows", 0, &[(self.rows, self.classes), (self.classes, 1)])
    }

    fn loops(&self) -> u64 {
        2 * u64::from(self.classes)
    }

    fn lens(&self) -> ([usize; 2], [usize; 2]) {
        let rows = self.rows as usize;
        ([rows * self.classes as usize, rows], [rows, rows])
    }

    fn run(&self, [x, target]: [&[f32]; 2], [loss, counted]: [&mut [f32]; 2]) {
        let classes = self.classes as usize;
        for (row, &t) in words(target)[..self.rows as usize].iter().enumerate() {
            if t == self.ignored {
                (loss[row], counted[row]) = (0.0, 0.0);
                continue;
            }
            let x = &x[row * classes..][..classes];
            let top = x[1..].iter().fold(x[0], |top, &v| if v > top { v } else { top });
            let (mut total, mut mean) = (0.0, 0.0);
            for v in x {
                total += (v - top).exp();
                mean += (v - top) / classes as f32;
            }
            let hit = x.get(t as usize).map_or(f32::NAN, |v| v - top);
            let level = total.ln();
            // Without smoothing, a logit of −∞ marks an impossible class and must not make the loss infinite.
            loss[row] = masked(level - hit, 1.0 - self.smoothing) + masked(level - mean, self.smoothing);
            counted[row] = 1.0;
        }
    }
}
