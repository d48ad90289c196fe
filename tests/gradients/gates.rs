//! The gates that a run returns match the equations at every valid step, with every plan.

use wgru::nn::{Mode, Module, RecurrentConfig, RunOptions};
use wgru::{Cell, Device, Rng, Tensor};

use crate::common::recurrent::{PLANS, activations};
use crate::common::{assert_close, fill, twin};
use crate::reference::recurrent::{Direction, activate};
use crate::reference::{dot, wide};

/// Up to five cells in a row in f32, on a GPU with its `exp`.
const GATES: f64 = 4e-6;

const STEPS: usize = 5;
const BATCH: usize = 3;

/// The gates of a step in PyTorch's order; `a` is the input term of the pre-activations.
fn gates(direction: &Direction, a: &[f64], h: &[f64]) -> Vec<Vec<f64>> {
    let width = direction.config.hidden;
    let gate = |g: usize, rec: &[f64]| -> Vec<f64> {
        let f = activations(direction.config)[g];
        (0..width).map(|i| activate(f, a[g * width + i] + rec[i])).collect()
    };
    let times = |a: &[f64], b: &[f64]| -> Vec<f64> { a.iter().zip(b).map(|(a, b)| a * b).collect() };
    if !direction.config.cell.is_gru() {
        return (0..direction.config.cell.gates()).map(|g| gate(g, &direction.product(g, h))).collect();
    }
    let [r, z] = [0, 1].map(|g| gate(g, &direction.product(g, h)));
    let inner = match direction.config.cell {
        Cell::GruResetBefore => direction.product(2, &times(&r, h)),
        _ => times(&r, &direction.product(2, h)),
    };
    let n = gate(2, &inner);
    vec![r, z, n]
}

fn check(device: &Device, config: &RecurrentConfig) {
    let layer = config.clone().build(device, &mut Rng::new(9)).expect("layer");
    let (h, x) = (config.hidden, fill(1, STEPS * BATCH * config.input, 1.0));
    let mask: Vec<bool> = (0..STEPS * BATCH).map(|i| i % 4 != 1).collect();
    let input = RunOptions { mask: Some(&mask), gates: true, ..Default::default() };
    let tensor = Tensor::from_slice(device, &x, &[STEPS, BATCH, config.input]).expect("x");
    let run = layer.run(&tensor, input, &mut Mode::Eval).expect("run");
    let shown: Vec<Vec<f32>> = run.gates[0].iter().map(|(_, t)| t.read_blocking().expect("read")).collect();
    assert_eq!((run.gates.len(), shown.len()), (1, config.cell.gates()));
    assert!(run.gates[0].iter().all(|(_, t)| t.dims() == [STEPS, BATCH, 2 * h]));

    let parameters: Vec<Vec<f64>> =
        layer.parameters().iter().map(|(_, p)| wide(&p.read_blocking().expect("read"))).collect();
    let (mut got, mut want) = (Vec::new(), Vec::new());
    for (d, own) in parameters.chunks(4).enumerate() {
        let direction = Direction { config, u: &own[1], bias: &own[3], w_hr: None, peephole: &[] };
        for row in 0..BATCH {
            let (mut state, mut c) = (vec![0.0; h], vec![0.0; if config.cell == Cell::Lstm { h } else { 0 }]);
            for step in 0..STEPS {
                let t = if d == 1 { STEPS - 1 - step } else { step };
                if !mask[t * BATCH + row] {
                    continue;
                }
                let from = wide(&x[(t * BATCH + row) * config.input..][..config.input]);
                let a: Vec<f64> = own[0].chunks(config.input).zip(&own[2]).map(|(w, b)| dot(w, &from) + b).collect();
                for (values, shown) in gates(&direction, &a, &state).into_iter().zip(&shown) {
                    got.extend(&shown[(t * BATCH + row) * 2 * h + d * h..][..h]);
                    want.extend(values);
                }
                (state, c) = direction.step(&a, &state, &state, &c);
            }
        }
    }
    assert_close(&format!("gates of {config:?} on {}", device.info().name), &got, &want, GATES);
}

#[test]
fn returned_gates_match_the_equations() {
    for device in [Some(Device::cpu()), Some(twin()), crate::common::gpu()].into_iter().flatten() {
        for cell in Cell::ALL {
            let config = RecurrentConfig { bidirectional: true, ..RecurrentConfig::new(cell, 2, 17) };
            PLANS.iter().for_each(|&plan| check(&device, &RecurrentConfig { plan: Some(plan), ..config.clone() }));
        }
    }
}

#[test]
fn gates_are_returned_only_on_request() {
    let device = Device::cpu();
    for cell in Cell::ALL {
        let layer = RecurrentConfig::new(cell, 2, 3).build(&device, &mut Rng::new(1)).expect("layer");
        let x = Tensor::zeros(&device, &[2, 1, 2]).expect("x");
        assert!(layer.run(&x, RunOptions::default(), &mut Mode::Eval).expect("run").gates.is_empty());
    }
}
