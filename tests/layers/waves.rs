//! Layers give the same results as a wavefront and one after another.

use wgru::nn::{Mode, RecurrentConfig, RunOptions};
use wgru::{Cell, CpuOptions, Device, Result, Rng, Tensor};

use crate::common::{assert_close, fill, gpu};

/// Layers, batch, steps, input, hidden: work for at least four chunks, and not a multiple of them.
const SIZES: [[usize; 5]; 4] = [[2, 1, 1301, 7, 96], [3, 3, 307, 40, 128], [2, 2, 157, 5, 200], [4, 7, 400, 33, 80]];

fn cpu(threads: usize) -> Device {
    Device::cpu_with(CpuOptions { threads: Some(threads), ..CpuOptions::default() }).expect("a CPU")
}

/// Returns the layer's results for mixed lengths, resets, and nonzero initial states.
fn outputs(device: &Device, cell: Cell, [layers, batch, steps, input, hidden]: [usize; 5]) -> Result<[Vec<f32>; 2]> {
    let x = Tensor::from_slice(device, &fill(1, steps * batch * input, 1.0), &[steps, batch, input])?;
    let state = Tensor::from_slice(device, &fill(2, layers * batch * hidden, 0.9), &[layers, batch, hidden])?;
    let lengths: Vec<usize> = (0..batch).map(|row| steps - row * steps / (batch + 1)).collect();
    let resets: Vec<bool> = (0..steps * batch).map(|i| i % 97 == 5).collect();
    let options = RunOptions {
        h0: Some(&state),
        c0: (cell == Cell::Lstm).then_some(&state),
        lengths: Some(&lengths),
        resets: Some(&resets),
        ..Default::default()
    };
    let config = RecurrentConfig { layers, ..RecurrentConfig::new(cell, input, hidden) };
    let out = config.build(device, &mut Rng::new(3))?.run(&x, options, &mut Mode::Eval)?;
    let last: Vec<&Tensor> = [&out.h_n].into_iter().chain(&out.c_n).collect();
    Ok([out.output.read_blocking()?, Tensor::concat(&last, 0)?.read_blocking()?])
}

#[test]
fn cpu_results_do_not_depend_on_concurrent_layers() {
    for cell in Cell::ALL {
        for mut size in SIZES {
            // A simple RNN layer has fewer multiplications.
            size[4] *= if cell.gates() == 1 { 2 } else { 1 };
            let device = cpu(1);
            let want = outputs(&device, cell, size).expect("one after the other");
            assert!(want.iter().flatten().all(|v| v.is_finite()) && want[0].iter().any(|v| *v != 0.0));
            let alone = device.memory_use().peak;
            for threads in [2, 3] {
                let device = cpu(threads);
                let got = outputs(&device, cell, size).expect("as a wavefront");
                assert!(got == want, "{cell} {size:?}, {threads} threads");
                // Concurrent layers hold their projections at the same time.
                assert!(device.memory_use().peak > alone, "{cell} {size:?}: ran one after the other");
            }
        }
    }
}

#[test]
fn the_gpu_matches_the_cpu() {
    let Some(device) = gpu() else { return };
    for cell in Cell::ALL {
        // By the whole plan; and by the chain, on software adapters unless the reset gate acts before the product.
        for size in [[2, 2, 150, 3, 20], [3, 1, 131, 5, 72]] {
            let want = outputs(&cpu(1), cell, size).expect("the CPU");
            let got = outputs(&device, cell, size).expect("the GPU");
            for (got, want) in got.iter().zip(want) {
                let want: Vec<f64> = want.into_iter().map(f64::from).collect();
                assert_close(&format!("{cell} {size:?}"), got, &want, 2e-5);
            }
        }
    }
}
