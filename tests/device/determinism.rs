//! The same seed and device give the same bits, on the CPU with any number of threads. Runs resumed from a checkpoint
//! continue bit for bit.

use wgru::nn::{
    Dropout, LastState, Linear, Mode, Module, Padding, RecurrentConfig, RecurrentOptions, RunOptions, Sequential,
};
use wgru::train::{AdamConfig, HostData, Method, Optimizer, Schedule, SgdConfig, TrainOptions, Trainer, loss};
use wgru::{Cell, CpuOptions, Device, Rng, Tensor};

use crate::on_every_backend;

on_every_backend![twenty_steps_give_the_same_bits_twice, noise_gives_the_same_bits_twice];

// This test writes a file.
#[cfg(not(target_arch = "wasm32"))]
on_every_backend![a_resumed_run_gives_the_bits_of_a_whole_one];

fn model(device: &Device, hidden: usize, rng: &mut Rng) -> Sequential {
    let config = RecurrentConfig {
        layers: 2,
        batch_first: true,
        dropout: 0.2,
        bidirectional: true,
        ..RecurrentConfig::gru(3, hidden)
    };
    Sequential::new()
        .push("gru", config.build(device, rng).expect("gru"))
        .push("last", LastState { batch_first: true, bidirectional: true, reverse: false })
        .push("dropout", Dropout::new(0.1).expect("dropout"))
        .push("head", Linear::new(device, 2 * hidden, 1, true, rng).expect("head"))
}

fn data(device: &Device, count: usize, steps: usize) -> HostData {
    let mut rng = Rng::new(5);
    let x: Vec<f32> = (0..count * steps * 3).map(|_| rng.uniform(-1.0, 1.0)).collect();
    let y: Vec<f32> = x.chunks(steps * 3).map(|w| w.iter().sum::<f32>().sin()).collect();
    HostData::new(device, x, &[steps, 3]).and_then(|data| data.with_targets(y, &[1])).expect("data")
}

fn options(epochs: usize) -> TrainOptions {
    TrainOptions {
        epochs,
        batch: 8,
        clip_norm: Some(1.0),
        schedule: Schedule::Cosine { steps: 20, min: 1e-3 },
        patience: Some(9),
        ..TrainOptions::default()
    }
}

fn bits(model: &dyn Module) -> Vec<u32> {
    model.parameters().iter().flat_map(|(_, t)| t.read_blocking().expect("read")).map(f32::to_bits).collect()
}

/// Trains for 4 epochs of 5 updates.
fn train(device: &Device, hidden: usize, method: Method) -> Vec<u32> {
    let mut rng = Rng::new(11);
    let model = model(device, hidden, &mut rng);
    let start = bits(&model);
    let optimizer = Optimizer::new(model.parameters(), method, 1e-2).expect("optimizer");
    let mut trainer = Trainer::new(optimizer, options(4), rng);
    let (data, check) = (data(device, 40, 6), data(device, 8, 6));
    let history = trainer.fit_blocking(&model, &data, Some(&check), loss::mse).expect("trained");
    assert_eq!((history.loss.len(), history.validation.len()), (4, 4));
    let end = bits(&model);
    assert_ne!(start, end, "nothing was learned");
    end
}

fn twenty_steps_give_the_same_bits_twice(device: &Device) {
    for method in
        [Method::Adam(AdamConfig::default()), Method::Sgd(SgdConfig { momentum: 0.9, ..SgdConfig::default() })]
    {
        assert_eq!(train(device, 19, method), train(device, 19, method));
    }
}

#[test]
fn threads_do_not_change_the_bits() {
    let cpu = |threads| {
        Device::cpu_with(CpuOptions { threads: Some(threads), ..CpuOptions::default() }).expect("the CPU works")
    };
    let run = |batch: usize, threads| {
        // Large enough that the products and the rows are really split; with few rows, the units of each step are.
        let device = cpu(threads);
        let mut rng = Rng::new(3);
        let config = RecurrentConfig::gru(64, 160);
        let gru = config.build(&device, &mut rng).expect("gru");
        let mut optimizer = Optimizer::adam(gru.parameters(), 1e-3).expect("adam");
        let values: Vec<f32> = (0..24 * batch * 64).map(|_| rng.uniform(-1.0, 1.0)).collect();
        let x = Tensor::from_slice(&device, &values, &[24, batch, 64]).expect("x");
        for _ in 0..20 {
            optimizer.zero_grad();
            let y = gru.forward_with(&x, &mut wgru::nn::Mode::Train(&mut rng)).expect("forward");
            y.square().and_then(|y| y.mean()).and_then(|l| l.backward()).expect("backward");
            optimizer.step().expect("step");
        }
        bits(&gru)
    };
    for batch in [40, 3] {
        let one = run(batch, 1);
        assert!(one.iter().any(|&b| b != 0) && one.iter().all(|&b| f32::from_bits(b).is_finite()));
        assert_eq!(one, run(batch, 2), "batch {batch}, two threads");
        assert_eq!(one, run(batch, 3), "batch {batch}, three threads");
    }
}

/// Runs a few updates of a layer with every kind of noise at once. Returns the bits of all parameters and of an output.
fn noisy(device: &Device, cell: Cell, [hidden, batch]: [usize; 2], seed: u64) -> Vec<u32> {
    let mut rng = Rng::new(seed);
    let is_lstm = cell == Cell::Lstm;
    let options = RecurrentOptions {
        clip: Some(2.0),
        padding: Padding::RepeatLast,
        input_dropout: 0.2,
        recurrent_dropout: 0.3,
        zoneout: 0.1,
        zoneout_cell: if is_lstm { 0.2 } else { 0.0 },
        weight_dropout: 0.2,
        learn_h0: true,
        recompute: false,
    };
    let config = RecurrentConfig {
        projection: if is_lstm { hidden / 2 + 1 } else { 0 },
        layers: 2,
        bidirectional: true,
        peephole: is_lstm,
        dropout: 0.2,
        options,
        ..RecurrentConfig::new(cell, 3, hidden)
    };
    let layer = config.build(device, &mut Rng::new(3)).expect("layer");
    let mut optimizer = Optimizer::adam(layer.parameters(), 1e-2).expect("adam");
    let values: Vec<f32> = (0..6 * batch * 3).map(|_| rng.uniform(-1.0, 1.0)).collect();
    let x = Tensor::from_slice(device, &values, &[6, batch, 3]).expect("x");
    let mut flags = |share| (0..6 * batch).map(|_| rng.uniform(0.0, 1.0) < share).collect::<Vec<_>>();
    let (mask, resets) = (flags(0.8), flags(0.2));
    let input = RunOptions { mask: Some(&mask), resets: Some(&resets), reset_to_h0: true, ..Default::default() };
    let mut last = Vec::new();
    for _ in 0..4 {
        optimizer.zero_grad();
        let run = layer.run(&x, input, &mut Mode::Train(&mut rng)).expect("forward");
        run.output.square().and_then(|y| y.mean()).and_then(|l| l.backward()).expect("backward");
        optimizer.step().expect("step");
        last = run.output.read_blocking().expect("read");
    }
    let parameters = layer.parameters();
    let all = parameters.iter().flat_map(|(_, t)| t.read_blocking().expect("read")).chain(last);
    all.inspect(|v| assert!(v.is_finite())).map(f32::to_bits).collect()
}

fn noise_gives_the_same_bits_twice(device: &Device) {
    for cell in Cell::ALL {
        let once = noisy(device, cell, [7, 5], 1);
        assert_eq!(once, noisy(device, cell, [7, 5], 1), "{cell:?}");
        assert_ne!(once, noisy(device, cell, [7, 5], 2), "{cell:?}: the noise does not depend on its seed");
    }
}

#[test]
fn threads_do_not_change_the_bits_of_noise() {
    for cell in Cell::ALL {
        // Large enough that the products are really split.
        let run = |threads| {
            let options = CpuOptions { threads: Some(threads), ..CpuOptions::default() };
            noisy(&Device::cpu_with(options).expect("the CPU works"), cell, [96, 40], 1)
        };
        let one = run(1);
        assert_eq!(one, run(2), "{cell:?}");
    }
}

#[cfg(not(target_arch = "wasm32"))]
fn a_resumed_run_gives_the_bits_of_a_whole_one(device: &Device) {
    use wgru::io::{TensorFile, load_checkpoint, save_checkpoint_blocking};
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("run.safetensors");
    let data = data(device, 20, 5);
    let check = self::data(device, 6, 5);
    let fresh = || {
        let mut rng = Rng::new(2);
        let model = model(device, 7, &mut rng);
        let optimizer = Optimizer::adamw(model.parameters(), 1e-2).expect("adamw");
        (Trainer::new(optimizer, options(4), rng), model)
    };

    let (mut whole, model) = fresh();
    let all = whole.fit_blocking(&model, &data, Some(&check), loss::mse).expect("whole");
    let want = bits(&model);

    // The checkpoint is saved after two epochs; what the run does later is lost, as in a crash.
    let (mut first, model) = fresh();
    let mut saved = 0;
    let mut training = first.start(&model, &data, Some(&check), loss::mse).expect("started");
    while let Some(at) = training.next_blocking().expect("the run that crashes") {
        if at.loss.is_some() && training.trainer().epoch() == 2 {
            save_checkpoint_blocking(training.trainer(), &model, &path).expect("saved");
            saved += 1;
        }
    }
    assert_eq!(saved, 1);

    let (mut second, model) = fresh();
    load_checkpoint(&mut second, &model, &TensorFile::open(&path).expect("opened")).expect("loaded");
    assert_eq!(second.epoch(), 2);
    let rest = second.fit_blocking(&model, &data, Some(&check), loss::mse).expect("second half");
    assert_eq!(rest.loss, all.loss[2..]);
    assert_eq!((rest.validation, rest.best_epoch), (all.validation[2..].to_vec(), all.best_epoch));
    assert_eq!(bits(&model), want);
}
