//! Measures the plans of a layer on a GPU, next to the estimates in `docs/performance.md`.

use wgru::nn::{Mode, Module, RecurrentConfig};
use wgru::ops::recurrent::Plan;
use wgru::{Cell, Device, Error, Result, Rng};

use crate::timing::time;
use crate::workloads::Work;

const fn work(steps: usize, batch: usize, hidden: usize) -> Work {
    Work { name: "gpu-plans", layers: 1, batch, steps, hidden }
}

/// The shapes of the estimates, and small layers. The steps of the first compute almost nothing, so it measures the overhead
/// per step.
const WORKLOADS: [Work; 6] = [
    work(256, 1, 16),
    work(128, 32, 64),
    work(128, 32, 128),
    work(128, 32, 256),
    work(512, 1, 256),
    work(128, 64, 512),
];

/// Prints the median time of each plan, forward in inference and forward with backward, and per step in µs.
pub fn print(device: &Device, seconds: f64) -> Result<()> {
    println!("{}", device.info().name);
    println!("T, B, H = I   | cell | plan       | forward, ms | per step, µs | with backward, ms | per step, µs");
    for work in WORKLOADS {
        for cell in [Cell::Gru, Cell::Lstm] {
            for plan in [None, Some(Plan::Whole), Some(Plan::Chain), Some(Plan::Steps)] {
                let times = match measure(device, &work, cell, plan, seconds) {
                    Ok([forward, both]) => {
                        let step = |seconds: f64| seconds * 1e6 / work.steps as f64;
                        let (ms, both_ms) = (forward * 1e3, both * 1e3);
                        format!("{ms:11.3} | {:10.2} | {both_ms:17.3} | {:10.2}", step(forward), step(both))
                    }
                    // The plan does not run this cell or size.
                    Err(Error::Value { .. } | Error::Limit { .. }) => "-".to_string(),
                    Err(error) => return Err(error),
                };
                let plan = plan.map_or("(by rules)".to_string(), |plan| plan.to_string());
                println!("{:3}, {:2}, {:4} | {cell:<4} | {plan:<10} | {times}", work.steps, work.batch, work.hidden);
            }
        }
    }
    Ok(())
}

/// Returns the median seconds of a forward pass in inference, and of a forward pass with its backward pass.
fn measure(device: &Device, work: &Work, cell: Cell, plan: Option<Plan>, seconds: f64) -> Result<[f64; 2]> {
    let config = RecurrentConfig { plan, ..RecurrentConfig::new(cell, work.hidden, work.hidden) };
    let layer = config.build(device, &mut Rng::new(0))?;
    let x = work.input_on(device)?;
    let forward = time(seconds, 1, || {
        // Kept until the GPU has run it, since work whose results are dropped is not submitted.
        let _y = layer.forward(&x)?;
        device.wait_blocking()
    })?;
    let (x, mut rng) = (x.requires_grad(), Rng::new(1));
    let both = time(seconds, 1, || {
        layer.parameters().iter().chain([&("x".to_string(), x.clone())]).for_each(|(_, p)| p.set_grad(None));
        layer.forward_with(&x, &mut Mode::Train(&mut rng))?.square()?.mean()?.backward()?;
        device.wait_blocking()
    })?;
    Ok([forward.median, both.median])
}
