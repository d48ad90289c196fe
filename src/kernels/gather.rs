//! `out[i, :] = table[index[i], :]`

use crate::error::Result;
use crate::kernel::{Kernel, addressable, at_least_one, params, shader, words};

params! {
    /// `out[i, :] = table[index[i], :]`; an index `≥ table_rows` gives NaN.
    ///
    /// Reads `table` `[table_rows, width]` and `index` `[rows]` (u32); writes `out` `[rows, width]`.
    pub struct Gather {
        /// Rows taken.
        pub rows: u32,
        /// Elements of a row.
        pub width: u32,
        /// Rows of the table.
        pub table_rows: u32,
    }
}

impl Kernel<2, 1> for Gather {
    shader!("gather", ["common/linear"], [table, index: u32] -> [out]);

    fn check(&self) -> Result<()> {
        at_least_one(Self::NAME, [("rows", self.rows), ("width", self.width)])?;
        addressable(Self::NAME, "rows", 0, &[(self.rows, self.width), (self.width, 1)])?;
        addressable(Self::NAME, "table_rows", 0, &[(self.table_rows, self.width), (self.width, 1)])
    }

    fn lens(&self) -> ([usize; 2], [usize; 1]) {
        let [rows, width, table] = [self.rows, self.width, self.table_rows].map(|n| n as usize);
        ([table * width, rows], [rows * width])
    }

    fn run(&self, [table, index]: [&[f32]; 2], [out]: [&mut [f32]; 1]) {
        let width = self.width as usize;
        if width == 1 {
            // Without slices of one element, this is several times as fast.
            for (out, &row) in out.iter_mut().zip(&words(index)[..self.rows as usize]) {
                *out = if row < self.table_rows { table[row as usize] } else { f32::NAN };
            }
            return;
        }
        for (i, &row) in words(index)[..self.rows as usize].iter().enumerate() {
            let out = &mut out[i * width..][..width];
            if row < self.table_rows {
                let from = &table[row as usize * width..][..width];
                // A call of `memcpy` would take longer than a short row.
                match width {
                    ..8 => out.iter_mut().zip(from).for_each(|(out, &v)| *out = v),
                    _ => out.copy_from_slice(from),
                }
            } else {
                out.fill(f32::NAN);
            }
        }
    }
}
