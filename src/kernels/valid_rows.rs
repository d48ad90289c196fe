//! Copies the rows of valid steps and zeroes the others

use super::marks::VALID;
use crate::error::Result;
use crate::kernel::{Kernel, addressable, at_least_one, params, shader, words};

params! {
    /// `y[i, :] = x[src_offset + i·src_row ..]` where step `i` is valid, else 0, even if `x` is not finite there. Used
    /// before a product over all steps, in which 0 times NaN would be NaN.
    ///
    /// Reads `marks` `[rows]` ([`marks`](super::marks)) and the rows of `x`; writes `y` `[rows, width]`.
    pub struct ValidRows {
        /// Steps of all sequences, T·B.
        pub rows: u32,
        /// Elements of a row.
        pub width: u32,
        /// Elements from one row of `x` to the next.
        pub src_row: u32,
        /// Index of the first element of `x`.
        pub src_offset: u32,
    }
}

impl Kernel<2, 1> for ValidRows {
    shader!("valid_rows", ["common/linear"], [marks: u32, x] -> [y]);
    const ADDRESSES: bool = false;

    fn check(&self) -> Result<()> {
        at_least_one(Self::NAME, [("rows", self.rows), ("width", self.width)])?;
        addressable(Self::NAME, "rows", 0, &[(self.rows, self.width), (self.width, 1)])?;
        addressable(Self::NAME, "src_row", self.src_offset, &[(self.rows, self.src_row), (self.width, 1)])
    }

    fn lens(&self) -> ([usize; 2], [usize; 1]) {
        let [rows, width, src_row, offset] = [self.rows, self.width, self.src_row, self.src_offset].map(|n| n as usize);
        ([rows, offset + (rows - 1) * src_row + width], [rows * width])
    }

    fn run(&self, [marks, x]: [&[f32]; 2], [y]: [&mut [f32]; 1]) {
        let (width, src_row) = (self.width as usize, self.src_row as usize);
        let marks = &words(marks)[..self.rows as usize];
        for (i, (mark, y)) in marks.iter().zip(y.chunks_exact_mut(width)).enumerate() {
            match mark & VALID {
                0 => y.fill(0.0),
                _ => y.copy_from_slice(&x[self.src_offset as usize + i * src_row..][..width]),
            }
        }
    }
}
