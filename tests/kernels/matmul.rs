//! The nine matrix products, which share parameters and twin.

use wgru::kernel::Kernel;
use wgru::kernels::{
    MatMul, MatMulBlocks, MatMulOuter, MatMulRows, MatMulSubgroup, MatMulSubgroupTall, MatMulTiled, MatMulTiledBlocks,
    MatMulWide,
};
use wgru::{Device, Tensor};

use crate::common::{assert_close, fill, relative_error};
use crate::reference::{dense, wide};
use crate::{bits, buffer, on_every_backend, run, update};

/// A dot product of up to 335 terms: each addition rounds once, and the errors mostly cancel.
const PRODUCT: f64 = 2e-6;

on_every_backend![
    matmul_matches_dot_products_for_every_transpose,
    matmul_follows_strides_offsets_and_batches,
    matmul_adds_the_bias_to_every_row,
    matmul_accumulates_and_touches_nothing_else,
    matmul_splits_k_and_the_parts_add_up,
    matmul_by_subgroups_matches_dot_products,
    matmul_by_wide_tiles_matches_dot_products,
    matmul_by_blocks_matches_dot_products,
    matmul_by_blocks_refuses_other_operands,
    matmul_by_wide_tiles_refuses_other_operands,
    matmul_by_subgroups_refuses_other_operands,
    matmul_comparison_rejects_a_changed_element,
];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Shader {
    Plain,
    Tiled,
    TiledBlocks,
    Blocks,
    Rows,
    Wide,
    Subgroup,
    Tall,
    Outer,
}

const SHADERS: [Shader; 3] = [Shader::Plain, Shader::Tiled, Shader::Rows];

fn product(device: &Device, shader: Shader, p: MatMul, reads: [&Tensor; 3]) -> Vec<f32> {
    let [c] = match shader {
        Shader::Plain => run(device, &p, reads),
        Shader::Tiled => run(device, &MatMulTiled(p), reads),
        Shader::TiledBlocks => run(device, &MatMulTiledBlocks(p), reads),
        Shader::Blocks => run(device, &MatMulBlocks(p), reads),
        Shader::Rows => run(device, &MatMulRows(p), reads),
        Shader::Wide => run(device, &MatMulWide(p), reads),
        Shader::Subgroup => run(device, &MatMulSubgroup(p), reads),
        Shader::Tall => run(device, &MatMulSubgroupTall(p), reads),
        Shader::Outer => run(device, &MatMulOuter(p), reads),
    };
    c
}

fn product_onto(device: &Device, shader: Shader, p: MatMul, reads: [&Tensor; 3], start: &[f32]) -> Vec<f32> {
    let [c] = match shader {
        Shader::Plain => update(device, &p, reads, [start]),
        Shader::Tiled => update(device, &MatMulTiled(p), reads, [start]),
        Shader::TiledBlocks => update(device, &MatMulTiledBlocks(p), reads, [start]),
        Shader::Blocks => update(device, &MatMulBlocks(p), reads, [start]),
        Shader::Rows => update(device, &MatMulRows(p), reads, [start]),
        Shader::Wide => update(device, &MatMulWide(p), reads, [start]),
        Shader::Subgroup => update(device, &MatMulSubgroup(p), reads, [start]),
        Shader::Tall => update(device, &MatMulSubgroupTall(p), reads, [start]),
        Shader::Outer => update(device, &MatMulOuter(p), reads, [start]),
    };
    c
}

/// Expected result: `Σ_i a[row, i]·b[i, col]` of batch item `z`, by the strides of `p`.
fn want(p: &MatMul, z: usize, a: &[f32], b: &[f32]) -> Vec<f64> {
    let u = |v: u32| v as usize;
    let k = if p.k_all == u32::MAX { u(p.k) } else { u(p.k).min(u(p.k_all) - z * u(p.k)) };
    let a = |row: usize, i: usize| a[u(p.a_offset) + z * u(p.a_batch) + row * u(p.a_row) + i * u(p.a_col)] as f64;
    let b = |i: usize, col: usize| b[u(p.b_offset) + z * u(p.b_batch) + i * u(p.b_row) + col * u(p.b_col)] as f64;
    dense::matmul([u(p.m), u(p.n), k], a, b)
}

/// Random `a` and `b` of the lengths that `p` needs.
fn operands(p: &MatMul) -> (Vec<f32>, Vec<f32>) {
    let ([a, b, _], _) = p.lens();
    (fill(1, a, 1.0), fill(2, b, 1.0))
}

fn matmul_matches_dot_products_for_every_transpose(device: &Device) {
    let sizes =
        [[1, 1, 1], [1, 335, 67], [3, 67, 257], [67, 1, 3], [65, 129, 17], [4, 64, 64], [67, 67, 1], [130, 70, 33]];
    for [m, n, k] in sizes {
        let plain = MatMul::new(m, n, k);
        let transposes = [plain, plain.a_transposed(), plain.b_transposed(), plain.a_transposed().b_transposed()];
        for p in transposes {
            let (a, b) = operands(&p);
            let want = want(&p, 0, &a, &b);
            let [a, b] = [a, b].map(|v| buffer(device, &v));
            for shader in SHADERS {
                let c = product(device, shader, p, [&a, &b, &buffer(device, &[])]);
                assert_close(&format!("{shader:?} {p:?}"), &c, &want, PRODUCT);
            }
        }
    }
}

fn matmul_follows_strides_offsets_and_batches(device: &Device) {
    // Rows and batches of `a`, `b` and `c` with gaps between them, in which `c` must stay NaN.
    for [m, n, k] in [[1, 3, 5], [5, 67, 33], [67, 5, 65]] {
        let [mi, ni, ki] = [m, n, k].map(|v: u32| v as usize);
        let p = MatMul {
            batch: 3,
            a_offset: 2,
            a_row: k + 3,
            a_batch: m * (k + 3) + 1,
            b_offset: 5,
            b_row: n + 2,
            b_batch: k * (n + 2) + 4,
            c_offset: 7,
            c_row: n + 4,
            c_batch: m * (n + 4) + 6,
            ..MatMul::new(mi, ni, ki)
        };
        let (a, b) = operands(&p);
        for shader in SHADERS {
            let c = product(device, shader, p, [&buffer(device, &a), &buffer(device, &b), &buffer(device, &[])]);
            let mut rest = c.clone();
            for z in 0..3 {
                let want = want(&p, z, &a, &b);
                for row in 0..mi {
                    let at = (p.c_offset + p.c_batch * z as u32 + p.c_row * row as u32) as usize;
                    let what = format!("{shader:?} item {z} row {row} of {p:?}");
                    assert_close(&what, &c[at..at + ni], &want[row * ni..][..ni], PRODUCT);
                    rest[at..at + ni].fill(f32::NAN);
                }
            }
            assert!(rest.iter().all(|v| v.is_nan()), "{shader:?}: written between the rows");
        }
    }
}

fn matmul_adds_the_bias_to_every_row(device: &Device) {
    for [m, n, k] in [[1, 67, 3], [5, 3, 67], [66, 65, 17]] {
        let p = MatMul { bias: 1, ..MatMul::new(m, n, k).b_transposed() };
        let ((a, b), bias) = (operands(&p), fill(3, n, 2.0));
        let want: Vec<f64> = want(&p, 0, &a, &b).iter().enumerate().map(|(i, v)| v + bias[i % n] as f64).collect();
        for shader in SHADERS {
            let c = product(device, shader, p, [&buffer(device, &a), &buffer(device, &b), &buffer(device, &bias)]);
            assert_close(&format!("{shader:?} {p:?}"), &c, &want, PRODUCT);
        }
    }
}

fn matmul_accumulates_and_touches_nothing_else(device: &Device) {
    for ([m, n, k], bias) in [([3, 5, 7], 0), ([67, 3, 33], 1), ([2, 130, 65], 0)] {
        let p = MatMul { accumulate: 1, bias, c_offset: 4, ..MatMul::new(m, n, k) };
        let ((a, b), row) = (operands(&p), fill(3, n, 2.0));
        let start = [vec![f32::NAN; 4], fill(4, m * n, 3.0)].concat();
        let added = |i: usize| start[4 + i] as f64 + bias as f64 * row[i % n] as f64;
        let want: Vec<f64> = want(&p, 0, &a, &b).iter().enumerate().map(|(i, v)| v + added(i)).collect();
        for shader in SHADERS {
            let reads = [&buffer(device, &a), &buffer(device, &b), &buffer(device, &row)];
            let c = product_onto(device, shader, p, reads, &start);
            assert_eq!(bits(&c[..4]), bits(&start[..4]), "before the offset");
            assert_close(&format!("{shader:?} {p:?}"), &c[4..], &want, PRODUCT);
        }
    }
}

fn matmul_splits_k_and_the_parts_add_up(device: &Device) {
    for ([m, n, k_all], k) in [([3, 5, 67], 16), ([5, 67, 335], 67), ([65, 3, 257], 100), ([1, 1, 3], 2)] {
        for transposed in [false, true] {
            let whole = MatMul::new(m, n, k_all);
            let whole = if transposed { whole.a_transposed().b_transposed() } else { whole };
            let batch = (k_all as u32).div_ceil(k);
            let p = MatMul {
                k,
                batch,
                k_all: k_all as u32,
                a_batch: k * whole.a_col,
                b_batch: k * whole.b_row,
                c_batch: (m * n) as u32,
                ..whole
            };
            let (a, b) = operands(&p);
            assert_eq!((a.len(), b.len()), (m * k_all, k_all * n), "the split reads what the whole reads");
            for shader in SHADERS {
                let c = product(device, shader, p, [&buffer(device, &a), &buffer(device, &b), &buffer(device, &[])]);
                let mut sum = vec![0.0; m * n];
                for (z, part) in c.chunks(m * n).enumerate() {
                    assert_close(&format!("{shader:?} part {z} of {p:?}"), part, &want(&p, z, &a, &b), PRODUCT);
                    sum.iter_mut().zip(part).for_each(|(sum, v)| *sum += v);
                }
                assert_close(&format!("{shader:?} {p:?}"), &sum, &want(&whole, 0, &a, &b), PRODUCT);
            }
        }
    }
}

/// Whether the device can run the shaders for subgroups of eight lanes; the twin always can.
fn has_subgroups(device: &Device) -> bool {
    let info = device.info();
    #[cfg(feature = "gpu")]
    let has = info.adapter.as_ref().is_none_or(|a| a.subgroup == 8);
    #[cfg(not(feature = "gpu"))]
    let has = true;
    if !has {
        eprintln!("SKIPPED on {}: no subgroups of eight lanes", info.name);
    }
    has
}

fn matmul_by_subgroups_matches_dot_products(device: &Device) {
    if has_subgroups(device) {
        matches_dot_products(device, &[Shader::Subgroup, Shader::Tall, Shader::Outer]);
    }
}

fn matmul_by_wide_tiles_matches_dot_products(device: &Device) {
    matches_dot_products(device, &[Shader::Wide]);
}

/// Sizes of products, and whether `a` and `b` are contiguous along `k`.
type Layout<'a> = (&'a [[u32; 3]], [bool; 2]);
const ALONG: Layout = (&[[1, 1, 4], [3, 67, 256], [16, 32, 8], [17, 33, 12], [67, 5, 60], [33, 129, 4]], [true, true]);
const ACROSS: Layout =
    (&[[4, 4, 2], [4, 68, 257 + 1], [16, 32, 8], [20, 36, 14], [68, 8, 62], [36, 132, 2]], [false, false]);
const MIXED: [Layout; 2] = [
    (&[[1, 4, 4], [3, 68, 256], [130, 8, 60], [17, 132, 12]], [true, false]),
    (&[[4, 1, 4], [68, 35, 256], [8, 130, 60], [132, 17, 12]], [false, true]),
];

/// Operands in whole vectors, with gaps.
fn matches_dot_products(device: &Device, shaders: &[Shader]) {
    let layouts = |shader: Shader| match shader {
        Shader::Outer => vec![ACROSS],
        Shader::TiledBlocks | Shader::Blocks => [&[ALONG, ACROSS][..], &MIXED].concat(),
        _ => vec![ALONG],
    };
    let all = shaders.iter().flat_map(|&shader| layouts(shader).into_iter().map(move |layout| (shader, layout)));
    for (shader, [m, n, k], [a_along, b_along]) in
        all.flat_map(|(shader, (sizes, along))| sizes.iter().map(move |&size| (shader, size, along)))
    {
        for (batch, k_all, bias) in [(1, u32::MAX, 1), (3, u32::MAX, 0), (3, 2 * k + 2, 0)] {
            // Gaps between rows and items, in whole vectors; the last part of a split is short.
            let p =
                MatMul { batch, bias, accumulate: bias, a_offset: 4, b_offset: 8, c_offset: 3, ..MatMul::default() };
            let p = MatMul { m, n, k, k_all, c_row: n + 1, c_batch: m * (n + 1) + 2, ..p };
            let [a_row, a_col] = if a_along { [3 * k + 8, 1] } else { [1, m + 4] };
            let [b_col, b_row] = if b_along { [3 * k + 4, 1] } else { [1, n + 8] };
            let mut p = MatMul { a_row, a_col, b_row, b_col, ..p };
            if k_all == u32::MAX {
                (p.a_batch, p.b_batch) = (p.a_row.max(p.a_col) * m.max(k), p.b_row.max(p.b_col) * n.max(k));
            } else {
                (p.a_batch, p.b_batch) = (k * p.a_col, k * p.b_row);
                p.k_all += if a_along || b_along { 2 } else { 0 };
            }
            let ((a, b), row) = (operands(&p), fill(3, n as usize, 2.0));
            let (_, [len]) = p.lens();
            let start = fill(4, len + 1, 3.0);
            let reads = [&buffer(device, &a), &buffer(device, &b), &buffer(device, &row)];
            let c = product_onto(device, shader, p, reads, &start);
            let mut rest = c.clone();
            for z in 0..batch as usize {
                let want = want(&p, z, &a, &b);
                for r in 0..m as usize {
                    let at = (p.c_offset + p.c_batch * z as u32 + p.c_row * r as u32) as usize;
                    let added = |i: usize| bias as f64 * (row[i] as f64 + start[at + i] as f64);
                    let want: Vec<f64> = (0..n as usize).map(|i| want[r * n as usize + i] + added(i)).collect();
                    let what = format!("{shader:?} item {z} row {r} of {p:?}");
                    assert_close(&what, &c[at..at + n as usize], &want, PRODUCT);
                    rest[at..at + n as usize].copy_from_slice(&start[at..at + n as usize]);
                }
            }
            assert_eq!(bits(&rest), bits(&start), "{shader:?}: written between the rows");
        }
    }
}

fn matmul_by_blocks_matches_dot_products(device: &Device) {
    matches_dot_products(device, &[Shader::TiledBlocks, Shader::Blocks]);
}

fn matmul_by_blocks_refuses_other_operands(device: &Device) {
    if !device.is_gpu() {
        return;
    }
    let x = buffer(device, &fill(1, 18, 1.0));
    let p = MatMul::new(4, 4, 4);
    for p in [MatMul { a_offset: 2, ..p }, MatMul { b_row: 5, ..p }, MatMul::new(4, 4, 3), MatMul::new(4, 3, 4)] {
        let c = buffer(device, &[0.0; 16]);
        let error = device.run(&MatMulTiledBlocks(p), [&x, &x, &x], [&c]).expect_err("refused");
        assert!(error.to_string().contains("matmul_tiled_blocks"), "{error}");
        let error = device.run(&MatMulBlocks(p), [&x, &x, &x], [&c]).expect_err("refused");
        assert!(error.to_string().contains("matmul_blocks"), "{error}");
    }
}

fn matmul_by_wide_tiles_refuses_other_operands(device: &Device) {
    if !device.is_gpu() {
        return;
    }
    let x = buffer(device, &fill(1, 18, 1.0));
    let p = MatMul::new(4, 4, 4);
    for p in [p, p.a_transposed(), MatMul { a_offset: 2, ..p.b_transposed() }, MatMul::new(4, 4, 3).b_transposed()] {
        let c = buffer(device, &[0.0; 16]);
        let error = device.run(&MatMulWide(p), [&x, &x, &x], [&c]).expect_err("refused");
        assert!(error.to_string().contains("matmul_wide"), "{error}");
    }
}

fn matmul_by_subgroups_refuses_other_operands(device: &Device) {
    if !device.is_gpu() || !has_subgroups(device) {
        return;
    }
    let p = MatMul::new(4, 4, 4);
    let odd = MatMul { a_offset: 2, ..p.b_transposed() };
    let x = buffer(device, &fill(1, 18, 1.0));
    for p in [p, p.a_transposed(), odd, MatMul::new(4, 4, 3).b_transposed()] {
        let c = buffer(device, &[0.0; 16]);
        let error = device.run(&MatMulSubgroup(p), [&x, &x, &x], [&c]).expect_err("refused");
        assert!(error.to_string().contains("matmul_subgroup"), "{error}");
        let error = device.run(&MatMulSubgroupTall(p), [&x, &x, &x], [&c]).expect_err("refused");
        assert!(error.to_string().contains("matmul_subgroup_tall"), "{error}");
    }
    for p in [p, p.b_transposed(), MatMul { b_offset: 1, ..p.a_transposed() }, MatMul::new(4, 4, 3).a_transposed()] {
        let c = buffer(device, &[0.0; 16]);
        let error = device.run(&MatMulOuter(p), [&x, &x, &x], [&c]).expect_err("refused");
        assert!(error.to_string().contains("matmul_outer"), "{error}");
    }
}

/// Negative control: an error of one thousandth of the largest value in one element is found.
fn matmul_comparison_rejects_a_changed_element(device: &Device) {
    let p = MatMul::new(5, 67, 33);
    let (a, b) = operands(&p);
    let c = product(device, Shader::Plain, p, [&buffer(device, &a), &buffer(device, &b), &buffer(device, &[])]);
    let mut want = want(&p, 0, &a, &b);
    assert!(relative_error(&c, &want) <= PRODUCT);
    want[334] += 1e-3 * wide(&c).iter().fold(0.0, |top: f64, v| top.max(v.abs()));
    assert!(relative_error(&c, &want) > PRODUCT);
}
