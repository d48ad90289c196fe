//! Comparisons with f64, by part of the library.

mod functions;
mod layers;
mod movement;
mod products;
mod recurrent;
mod reductions;
mod training;

use wgru::kernel::Kernel;
use wgru::{Result, Tensor};

use crate::run::{Run, Stop, Tolerance};

/// A few roundings. Leaves room for the 3 ulp and more that WGSL allows `exp`, `log` and division.
const FEW: Tolerance = Tolerance { forward: 1e-6, gradient: 2e-6 };
/// Sums of some dozen products, and functions of them.
const SUMS: Tolerance = Tolerance { forward: 2e-6, gradient: 5e-6 };
/// Values that are copied or compared, not computed.
const EXACT: f64 = 0.0;

pub async fn all(run: &mut Run<'_>) -> std::result::Result<(), Stop> {
    run.begin("functions", 0.0);
    functions::all(run).await?;
    run.begin("movement", 0.04);
    movement::all(run).await?;
    run.begin("reductions", 0.07);
    reductions::all(run).await?;
    run.begin("products", 0.1);
    products::all(run).await?;
    run.begin("recurrent", 0.15);
    recurrent::all(run).await?;
    run.begin("layers", 0.35);
    layers::all(run).await?;
    run.begin("training", 0.45);
    training::all(run).await
}

/// Runs a kernel on outputs of the lengths that it asks for, which start as NaN.
fn run_kernel<const R: usize, const W: usize, K: Kernel<R, W>>(
    run: &Run,
    kernel: &K,
    reads: [&Tensor; R],
) -> Result<[Tensor; W]> {
    let (_, lens) = kernel.lens();
    let mut writes = Vec::new();
    for len in lens {
        writes.push(Tensor::full(&run.device, f32::NAN, &[len])?);
    }
    let writes: [Tensor; W] = writes.try_into().unwrap_or_else(|_| unreachable!("one per length"));
    run.device.run(kernel, reads, writes.each_ref())?;
    Ok(writes)
}
