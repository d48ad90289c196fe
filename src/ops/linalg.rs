//! Matrix products: selection of the shader by shape, and split-K.

use super::adapters::{has_narrow_subgroups, is_software, rules};
use super::reduce::{SumOptions, sum_into};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::kernel::Kernel;
use crate::kernels::{
    Copy, MatMul, MatMulBlocks, MatMulOuter, MatMulRows, MatMulSubgroup, MatMulSubgroupTall, MatMulTiled,
    MatMulTiledBlocks, MatMulWide,
};
use crate::shape::Shape;
use crate::tensor::Tensor;
use crate::tuning::{Answer, Layout, Question, Rules, Variant, class};

/// Maximum number of rows for which a workgroup per column is faster than tiles.
const FEW_ROWS: u32 = 4;
/// Minimum number of rows and columns that fill the tiles.
const TILE: u32 = 64;
/// Minimum number of rows and columns for which repacking operands along `k` pays off.
const LINED: u32 = 16;
/// Number of workgroups that keeps a GPU busy; with fewer, a long sum is split.
const BUSY: u32 = 64;
/// Minimum number of terms per part of a split sum.
const SPLIT: u32 = 512;
/// Maximum number of terms per part: a longer sequential sum loses precision, and some drivers end its loop.
const LONGEST: u32 = 1 << 15;

/// Returns the shader variant selected by the rules as a value.
pub(crate) fn variant(device: &Device, p: &MatMul) -> Variant {
    if !device.is_gpu() {
        return Variant::Plain;
    }
    if has_narrow_subgroups(device) && p.is_in_vectors() {
        // Tall tiles are more than a tenth faster, unless padding rows cost that much.
        let is_tall = 9 * u64::from(p.m.div_ceil(32)) * 2 <= 10 * u64::from(p.m.div_ceil(16));
        if is_tall { Variant::Tall } else { Variant::Subgroup }
    } else if has_narrow_subgroups(device) && p.is_in_vectors_across() {
        Variant::Outer
    } else if is_software(device) {
        // Barriers are expensive here.
        if p.is_in_vectors() { Variant::Wide } else { Variant::Plain }
    } else if p.m <= FEW_ROWS && p.b_row == 1 && p.k >= TILE && p.n <= 65_535 {
        Variant::Rows
    } else if p.m >= TILE && p.n >= TILE && p.k >= 16 {
        tiled(&rules(device), p)
    } else {
        Variant::Plain
    }
}

/// Returns the variant of a product that fills tiles on a hardware GPU.
pub(crate) fn tiled(rules: &Rules, p: &MatMul) -> Variant {
    let tiles = p.m.div_ceil(TILE).saturating_mul(p.n.div_ceil(TILE)).saturating_mul(p.batch);
    match p.is_in_blocks() {
        true if rules.blocks_in_registers => Variant::Blocks,
        // With fewer tiles of 64 lanes than that, 256 lanes share a tile. An estimate.
        true if 64 * u64::from(tiles) >= 2 * rules.busy => Variant::TiledBlocks,
        _ => Variant::Tiled,
    }
}

/// Number of parts into which the sum over `k` is split; 1 keeps it whole.
fn splits(device: &Device, p: &MatMul) -> u32 {
    let tiles = p.m.div_ceil(32) * p.n.div_ceil(32);
    if !device.is_gpu() || !can_split(p) {
        return 1;
    }
    let least = p.k.div_ceil(LONGEST).min(BUSY);
    (p.k / SPLIT).clamp(1, (BUSY / tiles).max(1)).max(least)
}

fn can_split(p: &MatMul) -> bool {
    p.batch == 1 && p.c_row == p.n && p.bias == 0
}

/// Returns the variant and the number of splits by the rules.
pub(crate) fn rule(device: &Device, p: &MatMul) -> (Variant, u32) {
    let splits = splits(device, p);
    (variant(device, &part(p, splits)), splits)
}

/// Whether a variant with this number of splits can run the product.
pub(crate) fn takes(device: &Device, (variant, splits): (Variant, u32), p: &MatMul) -> bool {
    let parts = splits == 1 || (can_split(p) && (2..=BUSY).contains(&splits) && p.k / splits >= 16);
    let part = part(p, splits.clamp(1, BUSY));
    parts
        && match variant {
            Variant::Plain | Variant::Tiled => true,
            Variant::TiledBlocks | Variant::Blocks => part.is_in_blocks(),
            Variant::Rows => part.n <= 65_535,
            Variant::Wide => part.is_in_vectors(),
            Variant::Subgroup | Variant::Tall => device.subgroup() == MatMulSubgroup::SUBGROUP && part.is_in_vectors(),
            Variant::Outer => device.subgroup() == MatMulOuter::SUBGROUP && part.is_in_vectors_across(),
        }
}

/// Returns the variant and the number of splits: the tuned choice if there is one, else by the rules.
pub(crate) fn choice(device: &Device, p: &MatMul) -> (Variant, u32) {
    if !device.is_gpu() || p.batch > 1 {
        return rule(device, p);
    }
    let layout = match () {
        () if p.is_in_vectors() => Layout::Along,
        () if p.is_in_vectors_across() => Layout::Across,
        () => Layout::Mixed,
    };
    let question = Question::Product { sizes: [p.m, p.n, p.k].map(class), layout, splits: can_split(p) };
    match device.tuned().answer(question) {
        Some(Answer::Product(variant, splits)) if takes(device, (variant, splits), p) => (variant, splits),
        _ => rule(device, p),
    }
}

/// Returns the product as a batch of `splits` partial sums, written from the start of a separate buffer.
fn part(p: &MatMul, splits: u32) -> MatMul {
    if splits == 1 {
        return *p;
    }
    let k = p.k.div_ceil(splits).next_multiple_of(4);
    MatMul {
        k,
        batch: p.k.div_ceil(k),
        k_all: p.k,
        a_batch: k * p.a_col,
        b_batch: k * p.b_row,
        c_offset: 0,
        c_batch: p.m * p.n,
        accumulate: 0,
        ..*p
    }
}

/// `c = a·b (+ bias) (+ c)`
pub fn product(p: &MatMul, a: &Tensor, b: &Tensor, bias: Option<&Tensor>, c: &Tensor) -> Result<()> {
    let p = &MatMul { bias: bias.is_some() as u32, ..*p };
    let is_ready = p.is_in_vectors() || (p.is_in_vectors_across() && has_narrow_subgroups(a.device()));
    let pays = p.batch == 1 && p.k_all == u32::MAX && p.k.is_multiple_of(4) && p.m.min(p.n) >= LINED;
    if is_software(a.device()) && !is_ready && pays {
        return product_of_lined(p, a, b, bias, c);
    }
    product_by(choice(a.device(), p), p, a, b, bias, c)
}

/// Runs the product with a given variant and number of splits.
pub(crate) fn product_by(
    (variant, splits): (Variant, u32),
    p: &MatMul,
    a: &Tensor,
    b: &Tensor,
    bias: Option<&Tensor>,
    c: &Tensor,
) -> Result<()> {
    if splits == 1 {
        return product_with(variant, p, a, b, bias, c);
    }
    let (part, len) = (part(p, splits), p.m as usize * p.n as usize);
    let partial = Tensor::empty("matmul", a.device(), &[part.batch as usize, len])?;
    product_with(variant, &part, a, b, None, &partial)?;
    let options = SumOptions { accumulate: p.accumulate == 1, ..SumOptions::default() };
    sum_into(&partial, [1, part.batch as usize, len], options, c, p.c_offset as usize)
}

/// Runs the product after repacking the operands that are not contiguous along `k`.
fn product_of_lined(p: &MatMul, a: &Tensor, b: &Tensor, bias: Option<&Tensor>, c: &Tensor) -> Result<()> {
    let mut p = MatMul { a_batch: 0, b_batch: 0, ..*p };
    let (mut left, mut right) = (a.clone(), b.clone());
    if p.a_col != 1 || p.a_offset % 4 + p.a_row % 4 > 0 {
        left = lined(a, p.a_offset, [p.m, p.k], [p.a_row, p.a_col])?;
        p = MatMul { a_offset: 0, a_row: p.k, a_col: 1, ..p };
    }
    if p.b_row != 1 || p.b_offset % 4 + p.b_col % 4 > 0 {
        right = lined(b, p.b_offset, [p.n, p.k], [p.b_col, p.b_row])?;
        p = MatMul { b_offset: 0, b_row: 1, b_col: p.k, ..p };
    }
    product(&p, &left, &right, bias, c)
}

/// Copies the rows and columns of `x`, given by their strides, to a contiguous tensor.
fn lined(x: &Tensor, offset: u32, [rows, cols]: [u32; 2], [row, col]: [u32; 2]) -> Result<Tensor> {
    let out = Tensor::empty("matmul", x.device(), &[rows as usize, cols as usize])?;
    let kernel = Copy {
        dims: [1, 1, rows, cols],
        src_strides: [0, 0, row, col],
        dst_strides: [0, 0, cols, 1],
        src_offset: offset,
        dst_offset: 0,
    };
    x.device().run(&kernel, [x], [&out])?;
    Ok(out)
}

/// A right-hand side `[k, n]` of many products, in the layout that the device reads fastest.
pub struct Rhs {
    pub tensor: Tensor,
    row: u32,
    col: u32,
}

impl Rhs {
    pub fn new(b: &Tensor) -> Result<Self> {
        let [k, n] = [b.dims()[0], b.dims()[1]].map(|n| n as u32);
        if is_software(b.device()) && k.is_multiple_of(4) {
            return Ok(Self { tensor: lined(b, 0, [n, k], [1, n])?, row: 1, col: k });
        }
        Ok(Self { tensor: b.clone(), row: n, col: 1 })
    }

    /// Returns `p` with the rows from `first` on as its right-hand side.
    pub fn rows_from(&self, first: usize, p: MatMul) -> MatMul {
        MatMul { b_offset: first as u32 * self.row, b_row: self.row, b_col: self.col, ..p }
    }
}

/// Runs the product with a given variant, without splitting it.
pub(crate) fn product_with(
    variant: Variant,
    p: &MatMul,
    a: &Tensor,
    b: &Tensor,
    bias: Option<&Tensor>,
    c: &Tensor,
) -> Result<()> {
    let bias = bias.unwrap_or(a);
    match variant {
        Variant::Plain => a.device().run(p, [a, b, bias], [c]),
        Variant::Tiled => a.device().run(&MatMulTiled(*p), [a, b, bias], [c]),
        Variant::TiledBlocks => a.device().run(&MatMulTiledBlocks(*p), [a, b, bias], [c]),
        Variant::Blocks => a.device().run(&MatMulBlocks(*p), [a, b, bias], [c]),
        Variant::Rows => a.device().run(&MatMulRows(*p), [a, b, bias], [c]),
        Variant::Subgroup => a.device().run(&MatMulSubgroup(*p), [a, b, bias], [c]),
        Variant::Wide => a.device().run(&MatMulWide(*p), [a, b, bias], [c]),
        Variant::Tall => a.device().run(&MatMulSubgroupTall(*p), [a, b, bias], [c]),
        Variant::Outer => a.device().run(&MatMulOuter(*p), [a, b, bias], [c]),
    }
}

/// The axes of a product of two tensors: `[.., m, k] · [k, n]`, or `[batch.., m, k] · [batch.., k, n]`.
pub struct Axes {
    batch: usize,
    m: usize,
    k: usize,
    n: usize,
    dims: Vec<usize>,
}

impl Axes {
    pub fn of(a: &Tensor, b: &Tensor) -> Result<Self> {
        let few = |arg, dims| Err(Error::shape("matmul", arg, "at least two axes", dims));
        match (a.dims(), b.dims()) {
            ([.., _, k], [kb, n]) if k == kb => {
                let m = a.len() / k;
                let dims = [&a.dims()[..a.dims().len() - 1], &[*n]].concat();
                Ok(Self { batch: 1, m, k: *k, n: *n, dims })
            }
            ([batch @ .., m, k], [b_batch @ .., kb, n]) if batch == b_batch && k == kb => {
                let dims = [batch, &[*m, *n]].concat();
                Ok(Self { batch: batch.iter().product(), m: *m, k: *k, n: *n, dims })
            }
            ([batch @ .., _, k], [_, .., _]) => {
                let batch = if b.dims().len() == 2 { &[] } else { batch };
                let batch: String = batch.iter().map(|extent| format!("{extent}, ")).collect();
                Err(Error::shape("matmul", "rhs", format!("[{batch}{k}, n]"), b.dims()))
            }
            ([_, .., _], dims) => few("rhs", dims),
            (dims, _) => few("self", dims),
        }
    }

    /// Returns the shapes to expand the operands to, if their batch axes differ but broadcast.
    pub fn broadcast(a: &Tensor, b: &Tensor) -> Option<[Vec<usize>; 2]> {
        let ([a_batch @ .., m, k], [b_batch @ .., kb, n]) = (a.dims(), b.dims()) else { return None };
        if b_batch.is_empty() || a_batch == b_batch || k != kb {
            return None;
        }
        let shape = |dims: &[usize]| Shape::new("matmul", dims).ok();
        let batch = Shape::broadcast("matmul", &shape(a_batch)?, &shape(b_batch)?).ok()?;
        Some([[batch.dims(), &[*m, *k]].concat(), [batch.dims(), &[*k, *n]].concat()])
    }

    fn batched(&self, p: MatMul, [a, b, c]: [usize; 3]) -> MatMul {
        let [a_batch, b_batch, c_batch] = [a, b, c].map(|n| n as u32);
        MatMul { batch: self.batch as u32, a_batch, b_batch, c_batch, ..p }
    }
}

/// `a·b` over the last two axes.
pub fn matmul(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    a.check_dtype("matmul", "self", "f32")?;
    b.check_dtype("matmul", "rhs", "f32")?;
    a.device().check_same("matmul", "rhs", b)?;
    let x = Axes::of(a, b)?;
    let c = Tensor::empty("matmul", a.device(), &x.dims)?;
    let p = x.batched(MatMul::new(x.m, x.n, x.k), [x.m * x.k, x.k * x.n, x.m * x.n]);
    product(&p, a, b, None, &c)?;
    Ok(c)
}

/// `da = dc·bᵀ`, `db = aᵀ·dc`
pub fn matmul_backward(a: &Tensor, b: &Tensor, dc: &Tensor) -> Result<[Tensor; 2]> {
    let x = Axes::of(a, b)?;
    let da = Tensor::empty("matmul_backward", a.device(), a.dims())?;
    let db = Tensor::empty("matmul_backward", a.device(), b.dims())?;
    let (mk, kn, mn) = (x.m * x.k, x.k * x.n, x.m * x.n);
    product(&x.batched(MatMul::new(x.m, x.k, x.n).b_transposed(), [mn, kn, mk]), dc, b, None, &da)?;
    product(&x.batched(MatMul::new(x.k, x.n, x.m).a_transposed(), [mk, mn, kn]), a, dc, None, &db)?;
    Ok([da, db])
}

/// `y = x·Wᵀ + b`, with `W` `[out, in]` as in PyTorch.
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    x.check_dtype("linear", "x", "f32")?;
    weight.check_dtype("linear", "weight", "f32")?;
    let [out, input] = weight.dims()[..] else {
        return Err(Error::shape("linear", "weight", "[out, in]", weight.dims()));
    };
    if x.dims().last() != Some(&input) {
        return Err(Error::shape("linear", "x", format!("[.., {input}]"), x.dims()));
    }
    if let Some(bias) = bias {
        bias.check_dtype("linear", "bias", "f32")?;
        if bias.dims() != [out] {
            return Err(Error::shape("linear", "bias", format!("[{out}]"), bias.dims()));
        }
    }
    let dims = [&x.dims()[..x.dims().len() - 1], &[out]].concat();
    let y = Tensor::empty("linear", x.device(), &dims)?;
    product(&MatMul::new(x.len() / input, out, input).b_transposed(), x, weight, bias, &y)?;
    Ok(y)
}

/// `dx = dy·W`, `dW = dyᵀ·x`, `db = Σ dy`; computes only those that are `wanted`.
pub fn linear_backward(x: &Tensor, weight: &Tensor, dy: &Tensor, wanted: [bool; 3]) -> Result<[Option<Tensor>; 3]> {
    let (out, input) = (weight.dims()[0], weight.dims()[1]);
    let rows = x.len() / input;
    let empty = |dims: &[usize]| Tensor::empty("linear_backward", x.device(), dims);
    let dx = || -> Result<Tensor> {
        let dx = empty(x.dims())?;
        product(&MatMul::new(rows, input, out), dy, weight, None, &dx)?;
        Ok(dx)
    };
    let dw = || -> Result<Tensor> {
        let dw = empty(weight.dims())?;
        product(&MatMul::new(out, input, rows).a_transposed(), dy, x, None, &dw)?;
        Ok(dw)
    };
    let db = || -> Result<Tensor> {
        let db = empty(&[out])?;
        sum_into(dy, [1, rows, out], SumOptions::default(), &db, 0)?;
        Ok(db)
    };
    let [of_x, of_weight, of_bias] = wanted;
    Ok([of_x.then(dx).transpose()?, of_weight.then(dw).transpose()?, of_bias.then(db).transpose()?])
}
