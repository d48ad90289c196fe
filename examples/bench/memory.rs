//! Measures memory and time of a training step, with and without recomputing the gates.

use std::time::Instant;

use wgru::nn::{Mode, RecurrentConfig, RecurrentOptions, RunOptions};
use wgru::{Device, Result, Rng, Tensor};

use crate::workloads::Work;

/// Prints the best time of `runs` steps (forward, loss = mean(y²), backward to all weights and to the input), and the
/// peak memory of tensors.
pub fn print(device: &Device, work: &Work, runs: usize) -> Result<()> {
    let Work { batch, steps, hidden, .. } = *work;
    println!("{}: T = {steps}, B = {batch}, I = H = {hidden}", device.info().name);
    for recompute in [false, true] {
        let options = RecurrentOptions { recompute, ..Default::default() };
        let config = RecurrentConfig { options, ..RecurrentConfig::gru(hidden, hidden) };
        let (gru, mut rng) = (config.build(device, &mut Rng::new(0))?, Rng::new(1));
        let x = Tensor::from_slice(device, &work.input(), &[steps, batch, hidden])?.requires_grad();
        let mut best = f64::INFINITY;
        device.reset_peak();
        for _ in 0..runs {
            x.set_grad(None);
            let start = Instant::now();
            let y = gru.run(&x, RunOptions::default(), &mut Mode::Train(&mut rng))?.output;
            y.square()?.mean()?.backward()?;
            device.wait_blocking()?;
            best = best.min(start.elapsed().as_secs_f64());
        }
        let megabytes = device.memory_use().peak as f64 / 1e6;
        println!("  recompute: {recompute:<5}  peak of tensors {megabytes:>7.1} MB  best of {runs}: {best:.3} s");
    }
    Ok(())
}
