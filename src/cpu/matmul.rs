//! [`MatMul`] by packed panels: `b` in panels of 32 columns, `a` in strips of a few rows, sums in registers.
#![allow(unsafe_code, reason = "SIMD intrinsics on raw pointers")]

use std::ops::Range;

use super::scratch;
use super::simd::{Isa, LANES, Lanes, Vector, for_each_isa, load_part, store_part, unrolled, zeros};
use super::thread_pool::{Parts, ThreadPool};
use crate::kernel::IS_LEAN;
use crate::kernels::MatMul;

/// Columns of a panel of `b`.
const PANEL: usize = 2 * LANES;
/// Rows of `a` per call of the inner loop.
const STRIP: usize = 8;
/// Elements of the sum over `k` per pass, so that the panels stay in the caches.
const DEPTH: usize = 256;
/// Columns of `b` packed at a time.
const WIDTH: usize = 1024;
/// Columns of `b` per packing task.
const PACKED: usize = 4 * PANEL;
/// Rows per task. Neither this number nor the split of the columns affects the results.
const ROWS: usize = 8 * STRIP;
/// Rows up to which threads split the columns instead of the rows.
const SHORT: usize = 2 * ROWS;
/// Multiplications below which a second thread costs more than it saves.
const PARALLEL: usize = 1 << 21;
/// Rows, or columns, up to which packing the other matrix would cost as much as the product.
const FEW: usize = 4;
/// Rows of `b` per pass over a few rows of `c`.
const PASS: usize = 8;

#[derive(Clone, Copy)]
struct Const(*const f32);
#[derive(Clone, Copy)]
struct Mut(*mut f32);
// SAFETY: threads read shared slices and write disjoint rows.
unsafe impl Sync for Const {}
// SAFETY: as above.
unsafe impl Sync for Mut {}
// SAFETY: as above.
unsafe impl Send for Const {}
// SAFETY: as above.
unsafe impl Send for Mut {}

/// Computes `c = a·b (+ bias) (+ c)`. The slices must be at least as long as [`MatMul::reach`] says.
pub fn run(isa: Isa, pool: &ThreadPool, p: &MatMul, [a, b, bias]: [&[f32]; 3], c: &mut [f32]) {
    let needed = p.reach();
    assert!(a.len() >= needed.0[0] && b.len() >= needed.0[1] && bias.len() >= needed.0[2] && c.len() >= needed.1[0]);
    let (m, n) = (p.m as usize, p.n as usize);
    for z in 0..p.batch as usize {
        let at = |offset: u32, batch: u32| offset as usize + z * batch as usize;
        // SAFETY: offsets of the first element, within the lengths checked above.
        let (pa, pb) =
            unsafe { (a.as_ptr().add(at(p.a_offset, p.a_batch)), b.as_ptr().add(at(p.b_offset, p.b_batch))) };
        // SAFETY: as above.
        let pc = unsafe { c.as_mut_ptr().add(at(p.c_offset, p.c_batch)) };
        let bias = (p.bias == 1).then_some(bias);
        let k = p.depth(z);
        if m <= FEW && p.a_col == 1 && p.b_row == 1 {
            dots(isa, *p, k, pa, pb, bias, pc, [p.c_row as usize, 1]);
            continue;
        }
        // Threads share large products, which is worth the packing.
        let is_small = m.saturating_mul(n).saturating_mul(k) < PARALLEL;
        if m <= FEW && p.b_col == 1 && is_small && !IS_LEAN {
            let (p, bias) = (*p, bias.map_or(std::ptr::null(), <[f32]>::as_ptr));
            for_each_isa!(isa, passes::<_>(
                p: MatMul, k: usize, pa: *const f32, pb: *const f32, bias: *const f32, pc: *mut f32
            ));
            continue;
        }
        if n <= FEW && p.a_col == 1 && bias.is_none() && is_small && !IS_LEAN {
            few_columns(isa, p, k, pa, pb, pc);
            continue;
        }
        let pool = (!is_small).then_some(pool);
        let size = DEPTH.min(k.max(1)) * WIDTH.min(n.next_multiple_of(PANEL));
        scratch::with(size, |panels| packed(isa, pool, p, k, Const(pa), Const(pb), bias, Mut(pc), panels));
    }
}

#[allow(clippy::too_many_arguments, reason = "all operands of one matrix product")]
fn packed(
    isa: Isa,
    pool: Option<&ThreadPool>,
    p: &MatMul,
    k: usize,
    a: Const,
    b: Const,
    bias: Option<&[f32]>,
    c: Mut,
    panels: &mut [f32],
) {
    let (m, n) = (p.m as usize, p.n as usize);
    let over = |parts: usize, task: &(dyn Fn(usize) + Sync)| match pool {
        Some(pool) => pool.over(parts, task),
        None => (0..parts).for_each(task),
    };
    for col in (0..n).step_by(WIDTH) {
        let width = WIDTH.min(n - col);
        for k0 in (0..k.max(1)).step_by(DEPTH) {
            let depth = DEPTH.min(k - k0);
            let parts = Parts::new(panels);
            let pack = |part: usize| {
                let first = part * PACKED;
                let width = PACKED.min(width - first);
                let range = first * depth..(first + width.next_multiple_of(PANEL)) * depth;
                // SAFETY: rows k0.. and these columns are within b; no other task accesses their panels.
                unsafe { pack_b(isa, p, b, [k0, depth], [col + first, width], parts.get(range)) };
            };
            // Multiplies by the packed panels, starting at column `first`.
            let multiply = |rows: Range<usize>, first: usize, width: usize| {
                let (a, mut strip) = (a, [0.0f32; DEPTH * STRIP]);
                // SAFETY: these columns have been packed, and no task writes to them now.
                let panels = unsafe { parts.as_ptr().add(first * depth).cast_const() };
                for row in rows.clone().step_by(STRIP) {
                    let count = STRIP.min(rows.end - row);
                    // SAFETY: row row and column k0 are within a.
                    let mut from = unsafe { a.0.add(row * p.a_row as usize + k0 * p.a_col as usize) };
                    let is_packed = p.a_col != 1;
                    if is_packed {
                        // SAFETY: rows row..row + count of a exist.
                        unsafe { pack_a(p, from, count, depth, &mut strip) };
                        from = strip.as_ptr();
                    }
                    let block = Block { p: *p, depth, col: col + first, width, row, count, first: k0 == 0, is_packed };
                    let bias = bias.map_or(std::ptr::null(), <[f32]>::as_ptr);
                    // Only this call writes to these rows and columns of c.
                    for_each_isa!(isa, strip_times_panels::<_>(
                        block: Block, from: *const f32, panels: *const f32, bias: *const f32, c: Mut
                    ));
                }
            };
            if m <= SHORT {
                // Each task multiplies the columns that it packed, which would be expensive to move to another thread's
                // cache.
                over(width.div_ceil(PACKED), &|part| {
                    pack(part);
                    multiply(0..m, part * PACKED, PACKED.min(width - part * PACKED));
                });
            } else {
                over(width.div_ceil(PACKED), &pack);
                over(m.div_ceil(ROWS), &|i| multiply(i * ROWS..m.min((i + 1) * ROWS), 0, width));
            }
        }
    }
}

/// `panels[panel, k, 0..32] = b[k0 + k, col + 32·panel ..]`, zero-padded past the width.
unsafe fn pack_b(
    isa: Isa,
    p: &MatMul,
    Const(b): Const,
    [k0, depth]: [usize; 2],
    [col, width]: [usize; 2],
    panels: &mut [f32],
) {
    let (row_step, col_step) = (p.b_row as usize, p.b_col as usize);
    for (panel, out) in panels.chunks_exact_mut(depth * PANEL).enumerate().take(width.div_ceil(PANEL)) {
        let first = col + panel * PANEL;
        let count = PANEL.min(col + width - first);
        if row_step == 1 && count == PANEL {
            // SAFETY: rows k0.. and 32 columns are within b, and out holds a panel.
            let (from, to) = (unsafe { b.add(k0 + first * col_step) }, out.as_mut_ptr());
            for_each_isa!(isa, lined_panel::<_>(from: *const f32, col_step: usize, depth: usize, to: *mut f32));
            continue;
        }
        if row_step == 1 {
            // `b` is stored by columns. Reads one cache line per column at a time, so that the writes stay local too.
            for (part, out) in out.chunks_mut(LANES * PANEL).enumerate() {
                for j in 0..PANEL {
                    for (k, out) in out[j..].iter_mut().step_by(PANEL).enumerate() {
                        let k = k0 + part * LANES + k;
                        // SAFETY: row k < k0 + depth and column first + j < n.
                        *out = if j < count { unsafe { *b.add(k + (first + j) * col_step) } } else { 0.0 };
                    }
                }
            }
            continue;
        }
        if count < PANEL {
            // Fills the whole panel at once, instead of the few remaining columns of each row.
            out.fill(0.0);
        }
        for (k, out) in out.chunks_exact_mut(PANEL).enumerate() {
            // SAFETY: as above.
            unsafe { gather(b.add((k0 + k) * row_step + first * col_step), col_step, count, &mut out[..count]) };
        }
    }
}

/// Packs a full panel of columns that are `step` apart.
#[inline(always)]
unsafe fn lined_panel<V: Lanes>(from: *const f32, step: usize, depth: usize, to: *mut f32) {
    let whole = depth - depth % LANES;
    for half in [0, LANES] {
        // SAFETY: 32 columns of `depth` floats, and a panel as deep.
        unsafe {
            let (from, to) = (from.add(half * step), to.add(half));
            for k in (0..whole).step_by(LANES) {
                V::transpose(from.add(k), step, to.add(k * PANEL), PANEL);
            }
            for k in whole..depth {
                (0..LANES).for_each(|j| *to.add(k * PANEL + j) = *from.add(j * step + k));
            }
        }
    }
}

/// `strip[k, 0..8] = a[i, k]`, zero-padded past the last row; used if the rows of `a` are not contiguous.
unsafe fn pack_a(p: &MatMul, a: *const f32, count: usize, depth: usize, strip: &mut [f32]) {
    let (row_step, col_step) = (p.a_row as usize, p.a_col as usize);
    for (k, strip) in strip.chunks_exact_mut(STRIP).enumerate().take(depth) {
        // SAFETY: rows 0..count and column k of depth are within a.
        unsafe { gather(a.add(k * col_step), row_step, count, strip) };
    }
}

/// Copies `count` floats that are `step` apart, and fills the rest of `out` with zeros.
#[inline(always)]
unsafe fn gather(from: *const f32, step: usize, count: usize, out: &mut [f32]) {
    // SAFETY: the caller guarantees that these floats exist.
    unsafe {
        if step == 1 && count == out.len() {
            out.copy_from_slice(std::slice::from_raw_parts(from, count));
            return;
        }
        let (out, rest) = out.split_at_mut(count);
        for (j, out) in out.iter_mut().enumerate() {
            *out = *from.add(j * step);
        }
        rest.fill(0.0);
    }
}

#[derive(Clone, Copy)]
struct Block {
    p: MatMul,
    depth: usize,
    col: usize,
    width: usize,
    row: usize,
    count: usize,
    /// Whether this is the first part of the sum, which sets `c` (or adds to it, if requested); later parts add.
    first: bool,
    /// Whether `a` is a packed strip `[depth, 8]` instead of rows of the matrix.
    is_packed: bool,
}

#[inline(always)]
unsafe fn strip_times_panels<V: Lanes>(x: Block, a: *const f32, panels: *const f32, bias: *const f32, c: Mut) {
    let most = match V::SUMS {
        16.. => 8,
        6.. => 4,
        _ => 2,
    };
    // Runs all row groups of one panel before the next panel, which stays in the L1 cache after the first group.
    for panel in (x.col..x.col + x.width).step_by(PANEL) {
        let mut done = 0;
        for size in [8, 4, 2, 1] {
            while x.count - done >= size && size <= most {
                // SAFETY: guaranteed by the caller.
                unsafe {
                    match (size, most) {
                        // At most half a panel is left: the second vector would hold only zeros.
                        (8, _) if V::SUMS >= 16 && x.col + x.width - panel <= LANES => {
                            rows_times_panel::<V, 8, 1>(&x, panel, done, a, panels, bias, c)
                        }
                        (8, _) => rows_times_panel::<V, 8, 2>(&x, panel, done, a, panels, bias, c),
                        (4, 8) => rows_times_panel::<V, 4, 2>(&x, panel, done, a, panels, bias, c),
                        (4, _) => rows_times_panel::<V, 4, 1>(&x, panel, done, a, panels, bias, c),
                        (2, 2) => rows_times_panel::<V, 2, 1>(&x, panel, done, a, panels, bias, c),
                        (2, _) => rows_times_panel::<V, 2, 2>(&x, panel, done, a, panels, bias, c),
                        (_, 2) => rows_times_panel::<V, 1, 1>(&x, panel, done, a, panels, bias, c),
                        _ => rows_times_panel::<V, 1, 2>(&x, panel, done, a, panels, bias, c),
                    }
                }
                done += size;
            }
        }
    }
}

/// Computes `R` rows from `done` on, `C` vectors at a time, for the panel that starts at column `panel`.
#[inline(always)]
#[allow(clippy::too_many_arguments, reason = "all operands of one matrix product")]
unsafe fn rows_times_panel<V: Lanes, const R: usize, const C: usize>(
    x: &Block,
    panel: usize,
    done: usize,
    a: *const f32,
    panels: *const f32,
    bias: *const f32,
    c: Mut,
) {
    // SAFETY: a holds R rows from `done` on, panels [.., depth, 32]; rows and columns stored are within c.
    unsafe {
        let end = x.col + x.width;
        for first in (panel..end.min(panel + PANEL)).step_by(C * LANES) {
            let at = (first - x.col) / PANEL * x.depth * PANEL + (first - x.col) % PANEL;
            let acc = if x.is_packed {
                sums::<V, R, C, true>(a.add(done), 1, panels.add(at), x.depth)
            } else {
                let step = x.p.a_row as usize;
                sums::<V, R, C, false>(a.add(done * step), step, panels.add(at), x.depth)
            };
            for half in 0..C {
                let col = first + half * LANES;
                if col >= end {
                    continue;
                }
                let count = LANES.min(end - col);
                for (i, acc) in acc.iter().enumerate() {
                    let to = c.0.add((x.row + done + i) * x.p.c_row as usize + col);
                    let mut v = acc[half];
                    if x.first && !bias.is_null() {
                        v = v.add(load_part(bias.add(col), count));
                    }
                    if !x.first || x.p.accumulate == 1 {
                        v = v.add(load_part(to, count));
                    }
                    store_part(v, to, count);
                }
            }
        }
    }
}

/// `Σ_k a[i, k]·b[k]`. The rows of `a` are `row_step` apart and its columns contiguous, unless it is packed by
/// [`STRIP`].
#[inline(always)]
unsafe fn sums<V: Lanes, const R: usize, const C: usize, const PACKED: bool>(
    a: *const f32,
    row_step: usize,
    b: *const f32,
    depth: usize,
) -> [[V; C]; R] {
    // SAFETY: guaranteed by the caller.
    unsafe {
        let mut acc: [[V; C]; R] = zeros();
        if V::SUMS < 6 {
            let mut sums: [V; R] = zeros();
            // Unrolled twice: the loop overhead is comparable to the arithmetic.
            let mut k = 0;
            while k + 2 <= depth {
                V::add_products(&mut sums, b.add(k * PANEL), column::<R, PACKED>(a, row_step, k));
                V::add_products(&mut sums, b.add((k + 1) * PANEL), column::<R, PACKED>(a, row_step, k + 1));
                k += 2;
            }
            if k < depth {
                V::add_products(&mut sums, b.add(k * PANEL), column::<R, PACKED>(a, row_step, k));
            }
            unrolled!(i < R, { acc[i][0] = sums[i] });
            return acc;
        }
        for k in 0..depth {
            let mut row: [V; C] = zeros();
            unrolled!(j < C, { row[j] = V::load(b.add(k * PANEL + j * LANES)) });
            let column = column::<R, PACKED>(a, row_step, k);
            unrolled!(i < R, {
                let a = V::splat(column[i]);
                unrolled!(j < C, { acc[i][j] = a.fma(row[j], acc[i][j]) });
            });
        }
        acc
    }
}

/// Returns element `k` of each of `R` rows.
#[inline(always)]
unsafe fn column<const R: usize, const PACKED: bool>(a: *const f32, row_step: usize, k: usize) -> [f32; R] {
    let mut v = [0.0; R];
    // SAFETY: guaranteed by the caller.
    unrolled!(i < R, { v[i] = unsafe { *a.add(if PACKED { k * STRIP + i } else { i * row_step + k }) } });
    v
}

/// Adds up rows of `b` without packing, if they are contiguous: each pass adds [`PASS`] rows to a few rows of `c`.
#[inline(always)]
unsafe fn passes<V: Lanes>(p: MatMul, k: usize, a: *const f32, b: *const f32, bias: *const f32, c: *mut f32) {
    let (n, step, a_col) = (p.n as usize, p.b_row as usize, p.a_col as usize);
    // SAFETY: the caller checked the extents of a, b, bias and c.
    unsafe {
        for row in 0..p.m as usize {
            let to = c.add(row * p.c_row as usize);
            for at in (0..n).step_by(LANES) {
                let count = LANES.min(n - at);
                let first = if bias.is_null() { V::splat(0.0) } else { load_part(bias.add(at), count) };
                let first = if p.accumulate == 1 { first.add(load_part(to.add(at), count)) } else { first };
                store_part(first, to.add(at), count);
            }
        }
        let end = b.wrapping_add(k.saturating_sub(1) * step + n);
        let mut done = 0;
        while done < k {
            let is_whole = done + PASS <= k;
            for row in 0..p.m as usize {
                let (a, to) = (a.add(row * p.a_row as usize + done * a_col), c.add(row * p.c_row as usize));
                let rows = Rows { at: b.add(done * step), step, end };
                match is_whole {
                    true => add_rows::<V, PASS>(rows, a, a_col, to, n),
                    false => add_rows::<V, 1>(rows, a, a_col, to, n),
                }
            }
            done += if is_whole { PASS } else { 1 };
        }
    }
}

/// Contiguous rows of `b`, which ends at `end`.
#[derive(Clone, Copy)]
struct Rows {
    at: *const f32,
    step: usize,
    end: *const f32,
}

/// Adds `R` rows, each times an element of `a`, to `to`. The elements stay in registers, because `R` is a constant.
#[inline(always)]
unsafe fn add_rows<V: Lanes, const R: usize>(rows: Rows, a: *const f32, a_col: usize, to: *mut f32, n: usize) {
    // SAFETY: R elements of a, R rows of n floats, and n floats in to.
    unsafe {
        let mut factors: [V; R] = zeros();
        unrolled!(i < R, { factors[i] = V::splat(*a.add(i * a_col)) });
        let mut at = 0;
        while at + LANES <= n {
            let mut sum = V::load(to.add(at));
            unrolled!(i < R, { sum = factors[i].fma(V::load(rows.at.add(i * rows.step + at)), sum) });
            sum.store(to.add(at));
            at += LANES;
        }
        if at < n {
            let count = n - at;
            let mut sum: V = load_part(to.add(at), count);
            unrolled!(i < R, {
                let from = rows.at.add(i * rows.step + at);
                // Lanes past the row are not stored.
                let row = if from.wrapping_add(LANES) <= rows.end { V::load(from) } else { load_part(from, count) };
                sum = factors[i].fma(row, sum);
            });
            store_part(sum, to.add(at), count);
        }
    }
}

/// Computes the transposed product, whose few rows are columns of `b`.
fn few_columns(isa: Isa, p: &MatMul, k: usize, a: *const f32, b: *const f32, c: *mut f32) {
    let turned = |columns: *const f32, step: usize| {
        let p = MatMul { m: p.n, n: p.m, a_row: step as u32, b_col: p.a_row, ..*p };
        dots(isa, p, k, columns, a, None, c, [1, p.c_row as usize]);
    };
    let step = p.b_col as usize;
    if p.b_row == 1 {
        return turned(b, step);
    }
    scratch::with(p.n as usize * k, |columns| {
        for (j, column) in columns.chunks_exact_mut(k.max(1)).enumerate() {
            // SAFETY: column j of b has k elements.
            unsafe { gather(b.add(j * step), p.b_row as usize, k, column) };
        }
        turned(columns.as_ptr(), k);
    });
}

/// Computes dot products without packing, if the rows of `a` and the columns of `b` are contiguous. `steps` are those
/// of the rows and columns of `c`.
#[allow(clippy::too_many_arguments, reason = "all operands of one matrix product")]
fn dots(
    isa: Isa,
    p: MatMul,
    k: usize,
    a: *const f32,
    b: *const f32,
    bias: Option<&[f32]>,
    c: *mut f32,
    steps: [usize; 2],
) {
    let bias = bias.map_or(std::ptr::null(), <[f32]>::as_ptr);
    for_each_isa!(isa, dots_of::<_>(
        p: MatMul, k: usize, a: *const f32, b: *const f32, bias: *const f32, c: *mut f32, steps: [usize; 2]
    ));
}

#[inline(always)]
unsafe fn dots_of<V: Lanes>(
    p: MatMul,
    k: usize,
    a: *const f32,
    b: *const f32,
    bias: *const f32,
    c: *mut f32,
    steps: [usize; 2],
) {
    // SAFETY: guaranteed by the caller.
    unsafe {
        // As many columns at a time as have room for their sums in registers.
        if const { V::SUMS < 4 } {
            dots_by::<V, 2>(p, k, a, b, bias, c, steps);
        } else {
            dots_by::<V, 4>(p, k, a, b, bias, c, steps);
        }
    }
}

/// [`dots_of`], by `C` columns at a time.
#[inline(always)]
unsafe fn dots_by<V: Lanes, const C: usize>(
    p: MatMul,
    k: usize,
    a: *const f32,
    b: *const f32,
    bias: *const f32,
    c: *mut f32,
    [c_row, c_col]: [usize; 2],
) {
    let n = p.n as usize;
    // SAFETY: the caller checked the extents of a, b, bias and c.
    unsafe {
        for col in (0..n).step_by(C) {
            let count = C.min(n - col);
            // Columns past the last one repeat it.
            let columns: [*const f32; C] = std::array::from_fn(|j| b.add((col + j.min(count - 1)) * p.b_col as usize));
            for row in 0..p.m as usize {
                let a = a.add(row * p.a_row as usize);
                let acc: [V; C] = together(a, columns, k);
                for (j, acc) in acc.into_iter().enumerate().take(count) {
                    let mut sum = total(acc);
                    if !bias.is_null() {
                        sum += *bias.add(col + j);
                    }
                    let to = c.add(row * c_row + (col + j) * c_col);
                    *to = if p.accumulate == 1 { *to + sum } else { sum };
                }
            }
        }
    }
}

/// Returns the products of a row with `C` columns, added up lane by lane.
#[inline(always)]
unsafe fn together<V: Lanes, const C: usize>(a: *const f32, columns: [*const f32; C], k: usize) -> [V; C] {
    // SAFETY: the row and the columns have k elements.
    unsafe {
        let mut acc: [V; C] = zeros();
        let mut i = 0;
        while i + LANES <= k {
            let a = V::load(a.add(i));
            unrolled!(j < C, { acc[j] = V::load(columns[j].add(i)).fma(a, acc[j]) });
            i += LANES;
        }
        if i < k {
            let a = load_part::<V>(a.add(i), k - i);
            unrolled!(j < C, { acc[j] = a.fma(load_part(columns[j].add(i), k - i), acc[j]) });
        }
        acc
    }
}

/// Returns the sum of all lanes, added up pairwise.
#[inline(always)]
unsafe fn total<V: Lanes>(v: V) -> f32 {
    let mut lanes = [0.0f32; LANES];
    // SAFETY: as many floats as lanes.
    unsafe {
        v.store(lanes.as_mut_ptr());
        let part = lanes.as_mut_ptr();
        let even = V::Four::load(part).add(V::Four::load(part.add(8)));
        let odd = V::Four::load(part.add(4)).add(V::Four::load(part.add(12)));
        even.add(odd).store(part);
    }
    (lanes[0] + lanes[2]) + (lanes[1] + lanes[3])
}
