//! `c = a·b (+ bias) (+ c)`: one parameter struct and one twin, nine shaders

use crate::error::{Error, Result};
use crate::kernel::{Kernel, addressable, at_least_one, at_most, loopable, params, shader};

params! {
    /// `c = a·b (+ bias) (+ c)` for each batch item. Operands are addressed by strides, so transposes are free.
    ///
    /// Reads `a` `[batch, m, k]`, `b` `[batch, k, n]` and `bias` `[n]`; writes `c` `[batch, m, n]`.
    /// Split-K is a batch whose items each take `k` of the `k_all` columns, and the last one the remainder.
    pub struct MatMul {
        /// Rows of `c`.
        pub m: u32,
        /// Columns of `c`.
        pub n: u32,
        /// Columns of `a` in one batch item.
        pub k: u32,
        /// Independent products.
        pub batch: u32,
        /// First element of `a`.
        pub a_offset: u32,
        /// Elements of `a` from one batch item to the next.
        pub a_batch: u32,
        /// Elements of `a` from one row to the next.
        pub a_row: u32,
        /// Elements of `a` from one column to the next.
        pub a_col: u32,
        /// First element of `b`.
        pub b_offset: u32,
        /// Elements of `b` from one batch item to the next.
        pub b_batch: u32,
        /// Elements of `b` from one row to the next.
        pub b_row: u32,
        /// Elements of `b` from one column to the next.
        pub b_col: u32,
        /// First element of `c`.
        pub c_offset: u32,
        /// Elements of `c` from one batch item to the next.
        pub c_batch: u32,
        /// Elements of `c` from one row to the next; its columns are contiguous.
        pub c_row: u32,
        /// Columns of `a` over all items of a split-K batch; `u32::MAX` when the items are independent.
        pub k_all: u32,
        /// 1: add `bias` to every row.
        pub bias: u32,
        /// 1: add to the current content of `c`.
        pub accumulate: u32,
    }
}

impl MatMul {
    /// `c [m, n] = a [m, k] · b [k, n]`, all contiguous.
    pub fn new(m: usize, n: usize, k: usize) -> Self {
        let [m, n, k] = [m, n, k].map(|v| v as u32);
        Self { m, n, k, batch: 1, a_row: k, a_col: 1, b_row: n, b_col: 1, c_row: n, k_all: u32::MAX, ..Self::default() }
    }

    /// The same product, with `b` stored as `[n, k]`.
    pub fn b_transposed(self) -> Self {
        Self { b_row: 1, b_col: self.k, ..self }
    }

    /// The same product, with `a` stored as `[k, m]`.
    pub fn a_transposed(self) -> Self {
        Self { a_row: 1, a_col: self.m, ..self }
    }

    /// Inner extent of the product in batch item `z`.
    pub fn depth(&self, z: usize) -> usize {
        let done = (z as u64 * self.k as u64).min(self.k_all as u64);
        (self.k as u64).min(self.k_all as u64 - done) as usize
    }

    /// Whether both operands are contiguous along `k`, with all rows and offsets multiples of four.
    pub fn is_in_vectors(&self) -> bool {
        let parts = [self.k, self.a_offset, self.a_batch, self.a_row, self.b_offset, self.b_batch, self.b_col];
        let whole = self.k_all == u32::MAX || self.k_all.is_multiple_of(4);
        self.a_col == 1 && self.b_row == 1 && whole && parts.iter().all(|n| n.is_multiple_of(4))
    }

    /// Whether both operands are contiguous across `k`, in whole vectors of four, with an even `k`.
    pub fn is_in_vectors_across(&self) -> bool {
        let parts = [self.m, self.n, self.a_offset, self.a_batch, self.a_col, self.b_offset, self.b_batch, self.b_row];
        let even = self.k.is_multiple_of(2) && (self.k_all == u32::MAX || self.k_all.is_multiple_of(2));
        self.a_row == 1 && self.b_col == 1 && even && parts.iter().all(|n| n.is_multiple_of(4))
    }

    /// Whether each operand is contiguous along one of its axes, in whole vectors of four.
    pub fn is_in_blocks(&self) -> bool {
        let whole = |n: u32| n.is_multiple_of(4);
        let is_deep = whole(self.k) && (self.k_all == u32::MAX || whole(self.k_all));
        let of = |offset, batch, [outer, outer_stride, k_stride]: [u32; 3]| {
            let lined = if k_stride == 1 {
                is_deep && whole(outer_stride)
            } else {
                outer_stride == 1 && whole(outer) && whole(k_stride)
            };
            lined && whole(offset) && whole(batch)
        };
        of(self.a_offset, self.a_batch, [self.m, self.a_row, self.a_col])
            && of(self.b_offset, self.b_batch, [self.n, self.b_col, self.b_row])
    }

    fn check_blocks(&self, op: &'static str) -> Result<()> {
        match self.is_in_blocks() {
            true => Ok(()),
            false => Err(Error::value(op, "strides", "operands contiguous along one axis in whole vectors", "others")),
        }
    }

    fn check_vectors(&self, op: &'static str) -> Result<()> {
        match self.is_in_vectors() {
            true => Ok(()),
            false => Err(Error::value(op, "strides", "operands along k in whole vectors of four", "others")),
        }
    }

    fn check_extents(&self, op: &'static str) -> Result<()> {
        let Self { m, n, k, batch, .. } = *self;
        at_least_one(op, [("m", m), ("n", n), ("k", k), ("batch", batch)])?;
        at_most(op, [("bias", self.bias, 1), ("accumulate", self.accumulate, 1)])?;
        loopable(op, [("m", m), ("n", n), ("k", k)])?;
        let before_last = u64::from(batch - 1) * u64::from(k);
        if before_last >= u64::from(self.k_all) {
            return Err(Error::value(op, "k_all", format!("more than {before_last}"), self.k_all));
        }
        if (m > 1 && self.c_row < n)
            || (batch > 1 && u64::from(self.c_batch) < u64::from(m - 1) * u64::from(self.c_row) + u64::from(n))
        {
            return Err(Error::value(op, "c_row and c_batch", "rows and items that do not overlap", self.c_row));
        }
        addressable(op, "a", self.a_offset, &[(batch, self.a_batch), (m, self.a_row), (k, self.a_col)])?;
        addressable(op, "b", self.b_offset, &[(batch, self.b_batch), (k, self.b_row), (n, self.b_col)])?;
        addressable(op, "c", self.c_offset, &[(batch, self.c_batch), (m, self.c_row), (n, 1)])
    }

    /// Words that each buffer must hold.
    pub fn reach(&self) -> ([usize; 3], [usize; 1]) {
        let at = |offset: u32, steps: [(u32, u32); 3]| {
            offset as usize + steps.iter().map(|&(n, s)| (n as usize - 1) * s as usize).sum::<usize>() + 1
        };
        // The second-to-last item reads a full `k`, and may extend past a shorter last item.
        let items =
            [(self.batch.max(2) - 1, self.k.min(self.k_all)), (self.batch, self.depth(self.batch as usize - 1) as u32)];
        let most = |f: &dyn Fn(u32, u32) -> usize| items.iter().map(|&(batch, k)| f(batch, k)).max().unwrap_or(0);
        (
            [
                most(&|batch, k| at(self.a_offset, [(batch, self.a_batch), (self.m, self.a_row), (k, self.a_col)])),
                most(&|batch, k| at(self.b_offset, [(batch, self.b_batch), (k, self.b_row), (self.n, self.b_col)])),
                if self.bias == 1 { self.n as usize } else { 0 },
            ],
            [at(self.c_offset, [(self.batch, self.c_batch), (self.m, self.c_row), (self.n, 1)])],
        )
    }
}

impl Kernel<3, 1> for MatMul {
    shader!("matmul", ["common/matmul", "common/operands"], [a, b, bias] -> [c]);

    fn check(&self) -> Result<()> {
        self.check_extents(Self::NAME)
    }

    fn loops(&self) -> u64 {
        self.k.into()
    }

    fn groups(&self) -> [u32; 3] {
        [self.n.div_ceil(32), self.m.div_ceil(32), self.batch]
    }

    fn lens(&self) -> ([usize; 3], [usize; 1]) {
        self.reach()
    }

    fn work(&self) -> u64 {
        [self.m, self.n, self.k, self.batch].into_iter().fold(1, |n, v| n.saturating_mul(v.into()))
    }

    fn run(&self, [a, b, bias]: [&[f32]; 3], [c]: [&mut [f32]; 1]) {
        let n = self.n as usize;
        let mut sums = vec![0.0f32; n];
        for z in 0..self.batch as usize {
            for row in 0..self.m as usize {
                sums.fill(0.0);
                for i in 0..self.depth(z) {
                    let at = |offset: u32, batch: u32, step: usize| offset as usize + z * batch as usize + step;
                    let v = a[at(self.a_offset, self.a_batch, row * self.a_row as usize + i * self.a_col as usize)];
                    let ib = at(self.b_offset, self.b_batch, i * self.b_row as usize);
                    for (col, sum) in sums.iter_mut().enumerate() {
                        *sum += v * b[ib + col * self.b_col as usize];
                    }
                }
                let ic = self.c_offset as usize + z * self.c_batch as usize + row * self.c_row as usize;
                for (col, (c, &sum)) in c[ic..ic + n].iter_mut().zip(&sums).enumerate() {
                    let v = if self.bias == 1 { sum + bias[col] } else { sum };
                    *c = if self.accumulate == 1 { *c + v } else { v };
                }
            }
        }
    }
}

macro_rules! variant {
    ($(#[$meta:meta])* $name:ident, $stem:literal, [$($parts:literal),+], $groups:expr, $loops:expr $(, $($own:tt)+)?) => {
        params! {
            $(#[$meta])*
            pub struct $name(pub MatMul);
        }

        impl Kernel<3, 1> for $name {
            shader!($stem, [$($parts),+], [a, b, bias] -> [c]);

            fn check(&self) -> Result<()> {
                self.0.check_extents(Self::NAME)
            }

            fn groups(&self) -> [u32; 3] {
                let groups: fn(&MatMul) -> [u32; 3] = $groups;
                groups(&self.0)
            }

            fn loops(&self) -> u64 {
                let loops: fn(u64) -> u64 = $loops;
                loops(self.0.k.into())
            }

            fn lens(&self) -> ([usize; 3], [usize; 1]) {
                self.0.reach()
            }

            fn work(&self) -> u64 {
                self.0.work()
            }

            fn run(&self, reads: [&[f32]; 3], writes: [&mut [f32]; 1]) {
                self.0.run(reads, writes)
            }

            $($($own)+)?
        }
    };
}

variant!(
    /// [`MatMul`] by tiles in workgroup memory: for large products on hardware GPUs.
    MatMulTiled,
    "matmul_tiled",
    ["common/matmul", "common/operands"],
    |p| [p.n.div_ceil(64), p.m.div_ceil(64), p.batch],
    |k| 2 * k
);
variant!(
    /// [`MatMul`] by tiles in workgroup memory, eight rows by eight columns per invocation, for operands in whole vectors
    /// ([`MatMul::is_in_blocks`]): for products of many tiles on hardware GPUs.
    MatMulTiledBlocks,
    "matmul_tiled_blocks",
    ["common/matmul", "common/blocks"],
    |p| [p.n.div_ceil(64), p.m.div_ceil(64), p.batch],
    |k| k / 2 + 8 * 9,

    fn check_shader(&self) -> Result<()> {
        self.0.check_blocks(Self::NAME)
    }
);
variant!(
    /// [`MatMul`] by vectors without workgroup memory, for operands in whole vectors ([`MatMul::is_in_blocks`]): for GPUs
    /// whose workgroup memory is ordinary cached memory.
    MatMulBlocks,
    "matmul_blocks",
    ["common/matmul", "common/blocks"],
    |p| [p.n.div_ceil(32), p.m.div_ceil(32), p.batch],
    |k| k / 4 + 5,

    fn check_shader(&self) -> Result<()> {
        self.0.check_blocks(Self::NAME)
    }
);
variant!(
    /// [`MatMul`] for few rows: each workgroup splits the sum over `k` of one column among its lanes.
    MatMulRows,
    "matmul_rows",
    ["common/matmul", "common/operands"],
    |p| [p.n, p.m.div_ceil(4), p.batch],
    |k| k / 64 + 8
);
variant!(
    /// [`MatMul`] with eight rows by eight columns per invocation, for operands contiguous along `k` in whole vectors
    /// ([`MatMul::is_in_vectors`]): for software adapters without subgroups.
    MatMulWide,
    "matmul_wide",
    ["common/matmul"],
    |p| [p.n.div_ceil(128), p.m.div_ceil(32), p.batch],
    |k| k / 4 + 8 * 9,

    fn check_shader(&self) -> Result<()> {
        self.0.check_vectors(Self::NAME)
    }
);
variant!(
    /// [`MatMul`] on subgroups of eight lanes, for operands contiguous along `k` in whole vectors:
    /// [`MatMul::is_in_vectors`].
    MatMulSubgroup,
    "matmul_subgroup",
    ["common/matmul"],
    |p| [p.n.div_ceil(32), p.m.div_ceil(16), p.batch],
    |k| k / 4 + 16 * 4,
    const SUBGROUP: u32 = 8;

    fn check_shader(&self) -> Result<()> {
        self.0.check_vectors(Self::NAME)
    }
);
variant!(
    /// [`MatMulSubgroup`] with twice the rows per subgroup.
    MatMulSubgroupTall,
    "matmul_subgroup_tall",
    ["common/matmul"],
    |p| [p.n.div_ceil(32), p.m.div_ceil(32), p.batch],
    |k| k / 4 + 32 * 4,
    const SUBGROUP: u32 = 8;

    fn check_shader(&self) -> Result<()> {
        self.0.check_vectors(Self::NAME)
    }
);
variant!(
    /// [`MatMul`] on subgroups of eight lanes, for operands contiguous across `k` in whole vectors:
    /// [`MatMul::is_in_vectors_across`].
    MatMulOuter,
    "matmul_outer",
    ["common/matmul"],
    |p| [p.n.div_ceil(32), p.m.div_ceil(16), p.batch],
    |k| k / 2 + 16 * 4,
    const SUBGROUP: u32 = 8;

    fn check_shader(&self) -> Result<()> {
        match self.0.is_in_vectors_across() {
            true => Ok(()),
            false => Err(Error::value(Self::NAME, "strides", "operands across an even k in whole vectors", "others")),
        }
    }
);
