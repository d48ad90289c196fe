//! [`MatMul`] by packed panels: `b` by 32 columns, `a` by strips of a few rows, registers between them.
#![allow(unsafe_code, reason = "vector instructions on raw pointers")]

use rayon::prelude::*;

use super::lines::Lines;
use super::simd::{Isa, LANES, Lanes, for_each_isa, load_part, store_part};
use crate::kernels::MatMul;

/// Columns of a panel of `b`.
const PANEL: usize = 2 * LANES;
/// Rows of `a` that one call of the inner loop takes.
const STRIP: usize = 8;
/// Part of the sum over `k` whose panels stay in the caches.
const DEPTH: usize = 256;
/// Columns of `b` packed at a time.
const WIDTH: usize = 1024;
/// Rows that one thread takes at a time; fixed, so that the work is cut alike for any number of threads.
const ROWS: usize = 8 * STRIP;
/// Multiplications below which a second thread costs more than it brings.
const PARALLEL: usize = 1 << 21;
/// Rows up to which packing `b` would cost as much as the product.
const FEW_ROWS: usize = 4;

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

/// `c = a·b (+ bias) (+ c)`; the caller checked that the slices are as long as [`MatMul::reach`] says.
pub fn run(isa: Isa, parallel: bool, p: &MatMul, [a, b, bias]: [&[f32]; 3], c: &mut [f32]) {
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
        if m <= FEW_ROWS && p.a_col == 1 && p.b_row == 1 {
            few_rows(isa, p, k, pa, pb, bias, pc);
            continue;
        }
        let parallel = parallel && m * n * k >= PARALLEL;
        packed(isa, parallel, p, k, Const(pa), pb, bias, Mut(pc));
    }
}

#[allow(clippy::too_many_arguments, reason = "one matrix product")]
fn packed(isa: Isa, parallel: bool, p: &MatMul, k: usize, a: Const, b: *const f32, bias: Option<&[f32]>, c: Mut) {
    let (m, n) = (p.m as usize, p.n as usize);
    let mut panels = Lines::zeros(DEPTH * WIDTH.min(n.next_multiple_of(PANEL)));
    for col in (0..n).step_by(WIDTH) {
        let width = WIDTH.min(n - col);
        for k0 in (0..k.max(1)).step_by(DEPTH) {
            let depth = DEPTH.min(k - k0);
            // SAFETY: rows k0.. and columns col.. are within b.
            unsafe { pack_b(p, b, k0, depth, col, width, &mut panels) };
            let panels = &panels[..];
            let rows = |first: usize| {
                let mut strip = [0.0f32; DEPTH * STRIP];
                for row in (first..m.min(first + ROWS)).step_by(STRIP) {
                    let count = STRIP.min(m - row);
                    // SAFETY: rows row..row + count of a and c belong to this call alone.
                    unsafe { pack_a(p, a, row, count, k0, depth, &mut strip) };
                    let block = Block { p: *p, depth, col, width, row, count, first: k0 == 0 };
                    let (strip, panels, c) = (strip.as_ptr(), panels.as_ptr(), c);
                    let bias = bias.map_or(std::ptr::null(), <[f32]>::as_ptr);
                    for_each_isa!(isa, strip_times_panels::<_>(
                        block: Block, strip: *const f32, panels: *const f32, bias: *const f32, c: Mut
                    ));
                }
            };
            if parallel {
                (0..m.div_ceil(ROWS)).into_par_iter().for_each(|i| rows(i * ROWS));
            } else {
                (0..m).step_by(ROWS).for_each(rows);
            }
        }
    }
}

/// `panels[panel, k, 0..32] = b[k0 + k, col + 32·panel ..]`, zeros past the width.
unsafe fn pack_b(p: &MatMul, b: *const f32, k0: usize, depth: usize, col: usize, width: usize, panels: &mut [f32]) {
    let (row_step, col_step) = (p.b_row as usize, p.b_col as usize);
    for (panel, out) in panels.chunks_exact_mut(depth * PANEL).enumerate().take(width.div_ceil(PANEL)) {
        let first = col + panel * PANEL;
        let count = PANEL.min(col + width - first);
        if row_step == 1 {
            // `b` is stored by columns: read each once, in order.
            for j in 0..PANEL {
                for (k, out) in out[j..].iter_mut().step_by(PANEL).enumerate() {
                    // SAFETY: row k0 + k < k and column first + j < n.
                    *out = if j < count { unsafe { *b.add(k0 + k + (first + j) * col_step) } } else { 0.0 };
                }
            }
            continue;
        }
        for (k, out) in out.chunks_exact_mut(PANEL).enumerate() {
            for (j, out) in out.iter_mut().enumerate() {
                // SAFETY: as above.
                *out = if j < count { unsafe { *b.add((k0 + k) * row_step + (first + j) * col_step) } } else { 0.0 };
            }
        }
    }
}

/// `strip[k, 0..8] = a[row + i, k0 + k]`, zeros past the rows.
unsafe fn pack_a(p: &MatMul, a: Const, row: usize, count: usize, k0: usize, depth: usize, strip: &mut [f32]) {
    let (row_step, col_step) = (p.a_row as usize, p.a_col as usize);
    for i in 0..STRIP {
        for (k, out) in strip[i..].iter_mut().step_by(STRIP).enumerate().take(depth) {
            // SAFETY: row + i < m and k0 + k < k.
            *out = if i < count { unsafe { *a.0.add((row + i) * row_step + (k0 + k) * col_step) } } else { 0.0 };
        }
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
    /// The first part of the sum: `c` is set (or added to, if asked), later ones add.
    first: bool,
}

#[inline(always)]
unsafe fn strip_times_panels<V: Lanes>(x: Block, strip: *const f32, panels: *const f32, bias: *const f32, c: Mut) {
    // SAFETY: strip holds [depth, 8], panels [.., depth, 32]; rows and columns stored are within c.
    unsafe {
        for panel in 0..x.width.div_ceil(PANEL) {
            let b = panels.add(panel * x.depth * PANEL);
            let mut acc = [[V::splat(0.0); 2]; STRIP];
            for k in 0..x.depth {
                let (b0, b1) = (V::load(b.add(k * PANEL)), V::load(b.add(k * PANEL + LANES)));
                for (i, acc) in acc.iter_mut().enumerate() {
                    let a = V::splat(*strip.add(k * STRIP + i));
                    acc[0] = a.fma(b0, acc[0]);
                    acc[1] = a.fma(b1, acc[1]);
                }
            }
            for (half, col) in [(0, x.col + panel * PANEL), (1, x.col + panel * PANEL + LANES)] {
                let end = x.col + x.width;
                if col >= end {
                    continue;
                }
                let count = LANES.min(end - col);
                for (i, acc) in acc.iter().enumerate().take(x.count) {
                    let to = c.0.add((x.row + i) * x.p.c_row as usize + col);
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

/// Dot products straight from `a` (rows contiguous) and `b` (columns contiguous).
fn few_rows(isa: Isa, p: &MatMul, k: usize, a: *const f32, b: *const f32, bias: Option<&[f32]>, c: *mut f32) {
    let (p, bias) = (*p, bias.map_or(std::ptr::null(), <[f32]>::as_ptr));
    for_each_isa!(isa, dots::<_>(p: MatMul, k: usize, a: *const f32, b: *const f32, bias: *const f32, c: *mut f32));
}

#[inline(always)]
unsafe fn dots<V: Lanes>(p: MatMul, k: usize, a: *const f32, b: *const f32, bias: *const f32, c: *mut f32) {
    // SAFETY: the caller checked the extents of a, b, bias and c.
    unsafe {
        for col in 0..p.n as usize {
            let b = b.add(col * p.b_col as usize);
            for row in 0..p.m as usize {
                let a = a.add(row * p.a_row as usize);
                let mut acc = [V::splat(0.0); 4];
                let mut i = 0;
                while i + 4 * LANES <= k {
                    for (j, acc) in acc.iter_mut().enumerate() {
                        *acc = V::load(a.add(i + j * LANES)).fma(V::load(b.add(i + j * LANES)), *acc);
                    }
                    i += 4 * LANES;
                }
                while i < k {
                    let count = LANES.min(k - i);
                    acc[0] = load_part::<V>(a.add(i), count).fma(load_part(b.add(i), count), acc[0]);
                    i += LANES;
                }
                let mut lanes = [0.0f32; LANES];
                acc[0].add(acc[1]).add(acc[2].add(acc[3])).store(lanes.as_mut_ptr());
                let mut sum: f32 = lanes.iter().sum();
                if !bias.is_null() {
                    sum += *bias.add(col);
                }
                let to = c.add(row * p.c_row as usize + col);
                *to = if p.accumulate == 1 { *to + sum } else { sum };
            }
        }
    }
}
