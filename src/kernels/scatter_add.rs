//! `table[index[i], :] += x[i, :]`, the gradient of [`Gather`](super::Gather)

use crate::error::Result;
use crate::kernel::{Kernel, addressable, at_least_one, linear_groups, params, shader, words};

params! {
    /// `table[index[i], :] += x[i, :]` in the order of `i`. One invocation owns a column, so the result is
    /// deterministic.
    ///
    /// Reads `x` `[rows, width]` and `index` `[rows]` (u32); adds to `table` `[table_rows, width]`.
    /// An index `≥ table_rows` is skipped.
    pub struct ScatterAdd {
        /// Rows added.
        pub rows: u32,
        /// Elements of a row.
        pub width: u32,
        /// Rows of the table.
        pub table_rows: u32,
    }
}

impl Kernel<2, 1> for ScatterAdd {
    shader!("scatter_add", ["common/linear"], [x, index: u32] -> [table]);

    fn check(&self) -> Result<()> {
        at_least_one(Self::NAME, [("rows", self.rows), ("width", self.width)])?;
        addressable(Self::NAME, "rows", 0, &[(self.rows, self.width), (self.width, 1)])?;
        addressable(Self::NAME, "table_rows", 0, &[(self.table_rows, self.width), (self.width, 1)])
    }

    fn loops(&self) -> u64 {
        self.rows.into()
    }

    fn groups(&self) -> [u32; 3] {
        linear_groups(self.width as usize)
    }

    fn lens(&self) -> ([usize; 2], [usize; 1]) {
        let [rows, width, table] = [self.rows, self.width, self.table_rows].map(|n| n as usize);
        ([rows * width, rows], [table * width])
    }

    fn run(&self, [x, index]: [&[f32]; 2], [table]: [&mut [f32]; 1]) {
        let width = self.width as usize;
        for (i, &row) in words(index)[..self.rows as usize].iter().enumerate() {
            if row < self.table_rows {
                let table = &mut table[row as usize * width..][..width];
                for (t, v) in table.iter_mut().zip(&x[i * width..]) {
                    *t += v;
                }
            }
        }
    }
}
