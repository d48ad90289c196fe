//! Matrix products by every shader.

use wgru::kernels::{
    MatMul, MatMulBlocks, MatMulOuter, MatMulRows, MatMulSubgroup, MatMulSubgroupTall, MatMulTiled, MatMulTiledBlocks,
    MatMulWide,
};
use wgru::{Device, Result, Tensor};

use super::{Pace, on_device};
use crate::run::{Key, Run, Stop, fill};

/// The shaders of a product, by the names that tuning uses.
pub const SHADERS: [&str; 9] =
    ["plain", "tiled", "tiled-blocks", "blocks", "rows", "wide", "subgroup", "tall", "outer"];

/// Whether a shader can run the product on the device.
pub fn can_run(device: &Device, shader: &str, p: &MatMul) -> bool {
    let has_subgroups = device.info().adapter.as_ref().is_some_and(|a| a.subgroup == 8);
    match shader {
        "tiled-blocks" | "blocks" => p.is_in_blocks(),
        "wide" => p.is_in_vectors(),
        "subgroup" | "tall" => has_subgroups && p.is_in_vectors(),
        "outer" => has_subgroups && p.is_in_vectors_across(),
        _ => true,
    }
}

/// `c = a·b`, by the shader of this name.
pub fn multiply(device: &Device, shader: &str, p: MatMul, reads: [&Tensor; 3], c: &Tensor) -> Result<()> {
    match shader {
        "tiled" => device.run(&MatMulTiled(p), reads, [c]),
        "tiled-blocks" => device.run(&MatMulTiledBlocks(p), reads, [c]),
        "blocks" => device.run(&MatMulBlocks(p), reads, [c]),
        "rows" => device.run(&MatMulRows(p), reads, [c]),
        "wide" => device.run(&MatMulWide(p), reads, [c]),
        "subgroup" => device.run(&MatMulSubgroup(p), reads, [c]),
        "tall" => device.run(&MatMulSubgroupTall(p), reads, [c]),
        "outer" => device.run(&MatMulOuter(p), reads, [c]),
        _ => device.run(&p, reads, [c]),
    }
}

/// Rows, columns and depth: single rows, the products of layers, and squares.
const SIZES: [[usize; 3]; 10] = [
    [1, 768, 256],
    [64, 64, 64],
    [1, 3072, 1024],
    [32, 768, 256],
    [128, 128, 128],
    [256, 256, 256],
    [1024, 768, 256],
    [512, 512, 512],
    [1024, 1024, 1024],
    [2048, 2048, 2048],
];

pub async fn all(run: &mut Run<'_>) -> std::result::Result<(), Stop> {
    let sizes = if run.options.quick { &SIZES[..2] } else { &SIZES[..] };
    for (layout, done) in [("along", 0.53), ("across", 0.6)] {
        let mut pace = Pace::default();
        run.begin("products", done);
        for &[m, n, k] in sizes {
            let p = MatMul::new(m, n, k);
            let p = if layout == "along" { p.b_transposed() } else { p.a_transposed() };
            let shaders = SHADERS.into_iter().filter(|shader| match *shader {
                "rows" => m <= 4,
                "tiled" | "tiled-blocks" | "blocks" => m >= 64,
                _ => true,
            });
            let name = format!("{m}×{n}×{k}");
            let device = run.device.clone();
            let a = Tensor::from_slice(&device, &fill(1, m * k, 1.0), &[m * k]);
            let Some(a) = on_device(run, &name, a) else { continue };
            let b = Tensor::from_slice(&device, &fill(2, n * k, 1.0), &[n * k]);
            let Some(b) = on_device(run, &name, b) else { continue };
            let Some(c) = on_device(run, &name, Tensor::zeros(&device, &[m * n])) else { continue };
            let Some(none) = on_device(run, &name, Tensor::zeros(&device, &[1])) else { continue };
            for shader in shaders.filter(|shader| can_run(&device, shader, &p)) {
                let key = Key { kind: "product", of: layout, dims: &[m as u64, n as u64, k as u64], choice: shader };
                let work = (m * n * k) as f64;
                let call = || multiply(&device, shader, p, [&a, &b, &none], &c);
                let took = run.time(key, pace.expects(shader, work), call).await?;
                pace.took(shader, work, took);
            }
        }
    }
    Ok(())
}
