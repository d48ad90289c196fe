//! Cells stepped by hand are the layers, forward and backward.

#[cfg(wgru_jspi)]
#[macro_use]
extern crate browser_tests;

mod common;

use common::{assert_close, fill, gpu, twin};
use wgru::nn::{Gru, GruCell, Lstm, LstmCell, Mode, Module, RecurrentConfig, Rnn, RnnCell, RunOptions};
use wgru::{Cell, Device, Rng, Tensor};

/// The same kernels on the same numbers, but one product over all steps where the cell has one a step.
const ORDER: f64 = 1e-6;
const STEPS: usize = 5;
const BATCH: usize = 3;
const INPUT: usize = 4;
const HIDDEN: usize = 7;

fn tensor(device: &Device, stream: u32, dims: &[usize]) -> Tensor {
    Tensor::from_slice(device, &fill(stream, dims.iter().product(), 0.9), dims).expect("tensor")
}

fn wide(t: &Tensor) -> Vec<f64> {
    t.to_vec().expect("read").iter().map(|&v| v as f64).collect()
}

/// The layer's output against the stepped one, then the gradients of the same loss.
fn compare(what: &str, layer: &dyn Module, cell: &dyn Module, output: &Tensor, stepped: &[Tensor]) {
    let device = output.device();
    let stepped = Tensor::concat(&stepped.iter().collect::<Vec<_>>(), 0).expect("steps");
    assert_close(what, &stepped.to_vec().expect("read"), &wide(output), ORDER);
    let weight = tensor(device, 9, output.dims());
    for y in [output, &stepped] {
        y.mul(&weight).and_then(|y| y.sum()).and_then(|loss| loss.backward()).expect("backward");
    }
    for ((name, by_layer), (cell_name, by_cell)) in layer.parameters().iter().zip(cell.parameters()) {
        assert_eq!(*name, format!("{cell_name}_l0"));
        let [got, want] = [&by_cell, by_layer].map(|t| t.grad().expect("a gradient"));
        assert_close(&format!("{what}: {name}"), &got.to_vec().expect("read"), &wide(&want), ORDER);
    }
}

fn check(device: &Device) {
    let (input, hidden) = (INPUT, HIDDEN);
    let x = tensor(device, 1, &[STEPS, BATCH, INPUT]);
    let steps: Vec<Tensor> =
        (0..STEPS).map(|t| x.slice(0, t..t + 1).and_then(|x| x.reshape(&[BATCH, INPUT])).expect("a step")).collect();
    let train = &mut Rng::new(1);
    let mode = &mut Mode::Train(train);
    let zeros = |width: usize| Tensor::zeros(device, &[BATCH, width]).expect("zeros");
    let as_step = |h: &Tensor| h.reshape(&[1, h.dims()[0], h.dims()[1]]).expect("a view");

    for reset_after in [true, false] {
        let config = RecurrentConfig { input, hidden, reset_after, ..Default::default() };
        let layer = Gru::new(device, config.clone(), &mut Rng::new(3)).expect("layer");
        let cell = GruCell::new(device, config, &mut Rng::new(3)).expect("cell");
        let mut h = zeros(HIDDEN);
        let stepped: Vec<Tensor> = steps
            .iter()
            .map(|x| {
                h = cell.step(x, &h, mode).expect("step");
                as_step(&h)
            })
            .collect();
        let output = layer.run(&x, RunOptions::default(), mode).expect("run").output;
        compare("gru", &layer, &cell, &output, &stepped);
    }

    for projection in [0, 4] {
        let config = RecurrentConfig { cell: Cell::Lstm, input, hidden, projection, ..Default::default() };
        let layer = Lstm::new(device, config.clone(), &mut Rng::new(3)).expect("layer");
        let cell = LstmCell::new(device, config, &mut Rng::new(3)).expect("cell");
        let (mut h, mut c) = (zeros(if projection == 0 { HIDDEN } else { projection }), zeros(HIDDEN));
        let stepped: Vec<Tensor> = steps
            .iter()
            .map(|x| {
                (h, c) = cell.step(x, &h, &c, mode).expect("step");
                as_step(&h)
            })
            .collect();
        let output = layer.run(&x, RunOptions::default(), mode).expect("run").output;
        compare("lstm", &layer, &cell, &output, &stepped);
    }

    let config = RecurrentConfig { cell: Cell::Rnn, input, hidden, ..Default::default() };
    let layer = Rnn::new(device, config.clone(), &mut Rng::new(3)).expect("layer");
    let cell = RnnCell::new(device, config, &mut Rng::new(3)).expect("cell");
    let mut h = zeros(HIDDEN);
    let stepped: Vec<Tensor> = steps
        .iter()
        .map(|x| {
            h = cell.step(x, &h, mode).expect("step");
            as_step(&h)
        })
        .collect();
    let output = layer.run(&x, RunOptions::default(), mode).expect("run").output;
    compare("rnn", &layer, &cell, &output, &stepped);
}

#[test]
fn cells_are_their_layers_on_the_cpu() {
    [Device::cpu(), twin()].iter().for_each(check);
}

#[test]
fn cells_are_their_layers_on_the_gpu() {
    match gpu() {
        Some(device) => check(&device),
        None => eprintln!("SKIPPED cells on the GPU: no adapter"),
    }
}

#[test]
fn cells_refuse_what_they_have_no_place_for() {
    let device = Device::cpu();
    let base = RecurrentConfig { input: 2, hidden: 3, ..Default::default() };
    for (config, word) in [
        (RecurrentConfig { layers: 2, ..base.clone() }, "layers"),
        (RecurrentConfig { bidirectional: true, ..base.clone() }, "bidirectional"),
        (RecurrentConfig { reverse: true, ..base.clone() }, "reverse"),
        (RecurrentConfig { dropout: 0.1, ..base.clone() }, "dropout"),
        (RecurrentConfig { batch_first: true, ..base.clone() }, "batch_first"),
    ] {
        let error = GruCell::new(&device, config, &mut Rng::new(0)).err().expect("refused").to_string();
        assert!(error.contains(word) && error.contains("gru_cell"), "{error}");
    }
    let cell = GruCell::new(&device, base, &mut Rng::new(0)).expect("cell");
    let step = |x: &[usize], h: &[usize]| cell.step(&tensor(&device, 1, x), &tensor(&device, 1, h), &mut Mode::Eval);
    assert!(step(&[4, 2], &[4, 3]).is_ok());
    for (x, h) in [(&[4, 3][..], &[4, 3][..]), (&[4, 2], &[4, 2]), (&[4, 2], &[3, 3]), (&[1, 4, 2], &[4, 3])] {
        assert!(step(x, h).is_err(), "{x:?}, {h:?}");
    }
}
