//! Failed training returns an error and loses nothing; tied weights are one parameter.

use std::sync::atomic::{AtomicUsize, Ordering};

use wgru::io::{TensorFile, checkpoint_to_file, load_checkpoint, load_parameters, parameters_to_file};
use wgru::nn::{Gru, LastStep, Linear, Mode, Module, RecurrentConfig, RunOptions, Sequential, parameter_count};
use wgru::train::{
    AdamConfig, Batch, HostData, Method, Optimizer, Schedule, SgdConfig, TrainOptions, Trainer, clip_grad_norm, loss,
};
use wgru::{Device, Error, Result, Rng, Tensor};

use crate::common::fill;
use crate::on_every_backend;

on_every_backend![
    tied_weights_are_updated_once,
    tied_leaves_add_their_gradients,
    tied_weights_are_clipped_once,
    divergence_by_data_keeps_weights_and_history,
    divergence_by_gradient_names_the_parameter,
    divergence_restores_the_best_weights,
    divergence_names_the_layer,
    divergence_under_clipping_names_the_parameter_at_fault,
    divergence_by_a_frozen_parameter_names_it,
];

const ADAM: Method = Method::Adam(AdamConfig { betas: (0.9, 0.999), eps: 1e-8, weight_decay: 0.0 });
const SGD: Method = Method::Sgd(SgdConfig { momentum: 0.0, dampening: 0.0, weight_decay: 0.0, nesterov: false });

fn weight(device: &Device, values: &[f32]) -> Tensor {
    Tensor::from_slice(device, values, &[values.len()]).expect("tensor").requires_grad()
}

fn list(named: &[(&str, &Tensor)]) -> Vec<(String, Tensor)> {
    named.iter().map(|(name, t)| (name.to_string(), (*t).clone())).collect()
}

fn tied_weights_are_updated_once(device: &Device) {
    for (method, rate) in [(ADAM, 0.1), (SGD, 0.1)] {
        let w = weight(device, &[1.0, -2.0]);
        let mut optimizer = Optimizer::new(list(&[("a", &w), ("b", &w), ("a", &w)]), method, rate).expect("optimizer");
        w.sum().and_then(|loss| loss.backward()).expect("backward");
        optimizer.step().expect("step");
        let got = w.read_blocking().expect("read");
        let moved = [1.0 - got[0], -2.0 - got[1]];
        assert!(moved.iter().all(|m| (m - 0.1).abs() <= 1e-6), "{method:?}: moved by {moved:?}");
    }
}

/// Two leaves that share storage have a gradient each; the parameter's gradient is their sum.
fn tied_leaves_add_their_gradients(device: &Device) {
    let a = weight(device, &[1.0, 2.0]);
    let b = a.reshape(&[1, 2]).expect("view").detach().requires_grad();
    let mut optimizer = Optimizer::new(list(&[("a", &a), ("b", &b)]), ADAM, 0.5).expect("optimizer");
    let loss = a.sum().and_then(|x| x.add(&b.scale(3.0)?.sum()?)).expect("loss");
    loss.backward().expect("backward");
    optimizer.step().expect("step");
    // Adam's first step equals the rate, whatever the gradient; two steps would move twice as far.
    let got = a.read_blocking().expect("read");
    assert!((got[0] - 0.5).abs() <= 1e-6 && (got[1] - 1.5).abs() <= 1e-6, "{got:?}");
    let norm = clip_grad_norm(&optimizer.parameters(), 100.0)
        .expect("clip")
        .expect("a gradient")
        .item_blocking()
        .expect("read");
    assert!((norm - 32f32.sqrt()).abs() <= 1e-5, "(4, 4) and not (1, 1, 3, 3): {norm}");
    optimizer.zero_grad();
    assert!(a.grad().is_none() && b.grad().is_none());
}

fn tied_weights_are_clipped_once(device: &Device) {
    let w = weight(device, &[1.0]);
    w.scale(3.0).and_then(|x| x.sum()?.backward()).expect("backward");
    let norm = clip_grad_norm(&list(&[("a", &w), ("b", &w)]), 1.0).expect("clip").expect("a gradient");
    assert_eq!(norm.item_blocking().expect("read"), 3.0);
    let grad = w.grad().expect("gradient").item_blocking().expect("read");
    assert!((grad - 1.0).abs() <= 1e-5, "{grad}");
}

#[test]
fn tied_weights_are_counted_once_and_saved_under_both_names() {
    struct Tied(Linear);
    impl Module for Tied {
        fn parameters(&self) -> Vec<(String, Tensor)> {
            let named = |part: &str| -> Vec<(String, Tensor)> {
                self.0.parameters().into_iter().map(|(n, t)| (format!("{part}.{n}"), t)).collect()
            };
            let (encoder, decoder) = (named("encoder"), named("decoder"));
            // Repeats the first list, as composing lists easily does.
            [encoder.clone(), decoder, encoder].concat()
        }
        fn forward_with(&self, x: &Tensor, mode: &mut Mode) -> Result<Tensor> {
            self.0.forward_with(&self.0.forward_with(x, mode)?, mode)
        }
    }
    let device = Device::cpu();
    let model = Tied(Linear::new(&device, 3, 3, true, &mut Rng::new(3)).expect("linear"));
    assert_eq!(parameter_count(&model), 12);
    let file = pollster::block_on(parameters_to_file(&model)).expect("file");
    let file = TensorFile::from_bytes("memory", &file.to_bytes().expect("bytes")).expect("read");
    let mut names: Vec<&str> = file.names().collect();
    names.sort_unstable();
    assert_eq!(names, ["decoder.bias", "decoder.weight", "encoder.bias", "encoder.weight"]);
    let copy = Tied(Linear::new(&device, 3, 3, true, &mut Rng::new(4)).expect("linear"));
    load_parameters(&copy, &file).expect("load");
    let values = |model: &Tied| model.parameters()[0].1.read_blocking().expect("read");
    assert_eq!(values(&copy), values(&model));

    // Some programs store tied weights under only one of their names.
    let mut halved = TensorFile::default();
    for name in file.names().filter(|name| name.starts_with('d')) {
        let (dims, values) = file.get(name).expect("there");
        halved.insert(name, dims, values.to_vec());
    }
    let copy = Tied(Linear::new(&device, 3, 3, true, &mut Rng::new(5)).expect("linear"));
    load_parameters(&copy, &halved).expect("one name is enough");
    assert_eq!(values(&copy), values(&model));

    // A file with different values under the two names does not fit: one of them would be lost.
    let mut untied = TensorFile::default();
    for name in file.names() {
        let (dims, values) = file.get(name).expect("there");
        untied.insert(name, dims, values.iter().map(|v| if name.starts_with('d') { v + 1.0 } else { *v }).collect());
    }
    let before = values(&copy);
    let text = load_parameters(&copy, &untied).expect_err("refused").to_string();
    assert!(text.contains("decoder") && text.contains("encoder") && text.contains("ties"), "{text}");
    assert_eq!(values(&copy), before, "a refused file changes nothing");
}

#[test]
fn tied_weights_resume_from_a_checkpoint_bit_for_bit() {
    let device = Device::cpu();
    let run = |epochs: [usize; 2]| {
        let model = Linear::new(&device, 2, 2, true, &mut Rng::new(1)).expect("linear");
        let data =
            HostData::new(&device, fill(1, 32, 1.0), &[2]).and_then(|data| data.with_targets(fill(2, 32, 1.0), &[2]));
        let data = data.expect("data");
        let both = || {
            let again = model.parameters().into_iter().map(|(n, t)| (format!("again.{n}"), t));
            model.parameters().into_iter().chain(again).collect()
        };
        let mut file = None;
        for epochs in epochs {
            let optimizer = Optimizer::new(both(), ADAM, 0.05).expect("optimizer");
            let options = TrainOptions { epochs, batch: 4, ..TrainOptions::default() };
            let mut trainer = Trainer::new(optimizer, options, Rng::new(9));
            if let Some(file) = &file {
                load_checkpoint(&mut trainer, &model, file).expect("resumed");
            }
            trainer.fit_blocking(&model, &data, None, loss::mse).expect("fit");
            file = Some(pollster::block_on(checkpoint_to_file(&trainer, &model)).expect("checkpoint"));
        }
        model.parameters().iter().flat_map(|(_, t)| t.read_blocking().expect("read")).collect::<Vec<_>>()
    };
    assert_eq!(run([2, 5]), run([5, 5]));
}

#[test]
fn parameters_that_cannot_be_trained_are_refused() {
    let device = Device::cpu();
    let (a, b) = (weight(&device, &[1.0]), weight(&device, &[2.0]));
    let refused = |parameters, word: &str| {
        let text = Optimizer::new(parameters, ADAM, 0.1).expect_err("refused").to_string();
        assert!(text.contains(word), "{text}");
    };
    refused(list(&[("w", &a), ("w", &b)]), "two parameters");
    refused(list(&[("w", &a.scale(2.0).expect("scaled"))]), "result of an operation");
    refused(list(&[("w", &Tensor::from_indices(&device, &[1], &[1]).expect("indices"))]), "u32");
    for (method, word) in [
        (Method::Adam(AdamConfig { eps: f32::INFINITY, ..AdamConfig::default() }), "eps"),
        (Method::Sgd(SgdConfig { momentum: f32::NAN, ..SgdConfig::default() }), "momentum"),
        (Method::Sgd(SgdConfig { momentum: 0.5, dampening: f32::NAN, ..SgdConfig::default() }), "dampening"),
    ] {
        let text = Optimizer::new(list(&[("w", &a)]), method, 0.1).expect_err("refused").to_string();
        assert!(text.contains(word), "{text}");
    }
    let mut optimizer = Optimizer::new(list(&[("w", &a)]), ADAM, 0.1).expect("optimizer");
    assert!(matches!(optimizer.set_rate(f64::NAN), Err(Error::Value { arg: "rate", .. })));
    assert_eq!(optimizer.rate(), 0.1);
}

#[test]
fn a_step_without_gradients_says_what_to_do() {
    let w = weight(&Device::cpu(), &[1.0]);
    let mut optimizer = Optimizer::new(list(&[("w", &w)]), ADAM, 0.1).expect("optimizer");
    let text = optimizer.step().expect_err("no gradient").to_string();
    assert!(text.contains("backward()") && text.contains("Mode::Train"), "{text}");
    // One parameter without a gradient is normal, and the others are updated.
    let used = weight(&Device::cpu(), &[1.0]);
    let mut optimizer = Optimizer::new(list(&[("w", &w), ("used", &used)]), ADAM, 0.1).expect("optimizer");
    used.sum().and_then(|loss| loss.backward()).expect("backward");
    optimizer.step().expect("step");
    assert_eq!(w.item_blocking().expect("read"), 1.0);
    assert!(used.item_blocking().expect("read") < 1.0);
}

#[test]
fn a_carried_state_and_evaluation_say_what_to_do() {
    let (device, mut rng) = (Device::cpu(), Rng::new(2));
    let gru = RecurrentConfig::gru(2, 3).build(&device, &mut rng).expect("gru");
    let x = Tensor::from_slice(&device, &fill(5, 8, 1.0), &[4, 1, 2]).expect("x");
    let mut optimizer = Optimizer::new(gru.parameters(), SGD, 0.1).expect("optimizer");
    let mut update = |h0: Option<&Tensor>| -> Result<Tensor> {
        let run = gru.run(&x, RunOptions { h0, ..RunOptions::default() }, &mut Mode::Train(&mut rng))?;
        run.output.sum()?.backward()?;
        optimizer.step()?;
        Ok(run.h_n)
    };
    let carried = update(None).expect("first update");
    let text = update(Some(&carried)).expect_err("the state leads back to old weights").to_string();
    assert!(text.contains("detach()") && text.contains("carried"), "{text}");
    update(Some(&carried.detach())).expect("a detached state");

    let text = gru
        .run(&x, RunOptions::default(), &mut Mode::Eval)
        .and_then(|run| run.output.sum()?.backward())
        .expect_err("nothing to train")
        .to_string();
    assert!(text.contains("Mode::Eval") && text.contains("Mode::Train"), "{text}");
}

/// A GRU, its last step, and a linear layer.
fn model(device: &Device) -> Sequential {
    let mut rng = Rng::new(11);
    let gru: Gru =
        RecurrentConfig { batch_first: true, ..RecurrentConfig::gru(1, 4) }.build(device, &mut rng).expect("gru");
    Sequential::new()
        .push("gru", gru)
        .push("last", LastStep { batch_first: true })
        .push("head", Linear::new(device, 4, 1, true, &mut rng).expect("linear"))
}

/// 48 sequences of three steps; with `bad`, the input of that example contains NaN.
fn data(device: &Device, bad: Option<usize>) -> HostData {
    let mut x = fill(21, 48 * 3, 1.0);
    if let Some(example) = bad {
        x[3 * example + 1] = f32::NAN;
    }
    HostData::new(device, x, &[3, 1]).and_then(|data| data.with_targets(fill(22, 48, 1.0), &[1])).expect("data")
}

fn values(model: &dyn Module) -> Vec<f32> {
    model.parameters().iter().flat_map(|(_, t)| t.read_blocking().expect("read")).collect()
}

fn trainer(model: &dyn Module, epochs: usize, patience: Option<usize>) -> Trainer {
    let optimizer = Optimizer::new(model.parameters(), ADAM, 0.01).expect("optimizer");
    let options = TrainOptions { epochs, batch: 2, shuffle: false, patience, ..TrainOptions::default() };
    Trainer::new(optimizer, options, Rng::new(5))
}

/// `HostData` that returns NaN from its `from`-th batch on.
struct Turning<'a> {
    good: &'a HostData,
    bad: &'a HostData,
    from: usize,
    batches: AtomicUsize,
}

impl wgru::train::Data for Turning<'_> {
    fn len(&self) -> usize {
        self.good.len()
    }
    fn batch(&self, examples: &[usize]) -> Result<Batch> {
        let batch = self.batches.fetch_add(1, Ordering::Relaxed);
        if batch < self.from { self.good.batch(examples) } else { self.bad.batch(examples) }
    }
}

fn divergence_by_data_keeps_weights_and_history(device: &Device) {
    let (model, twin) = (model(device), model(device));
    let (good, bad) = (data(device, None), data(device, Some(7)));
    // Two good epochs of 24 updates, then NaN in update 3 of the third epoch, in example 7.
    let turning = Turning { good: &good, bad: &bad, from: 48, batches: 0.into() };
    let mut trainer_ = trainer(&model, 9, None);
    let failed = trainer_.fit_blocking(&model, &turning, None, loss::mse);
    let text = failed.as_ref().err().map(Error::to_string).unwrap_or_default();
    assert!(matches!(failed, Err(Error::Diverged { epoch: 2, update: 3, .. })), "{text}");
    assert!(text.contains("input of example 7") && text.contains("learning rate"), "{text}");
    assert_eq!(trainer_.history().loss.len(), 2);
    assert_eq!(trainer_.epoch(), 2);

    // The weights are those before that update, whenever the NaN was noticed.
    let mut updates = 0;
    let mut twin_trainer = trainer(&twin, 9, None);
    let mut training = twin_trainer.start(&twin, &good, None, loss::mse).expect("started");
    while let Some(p) = training.next_blocking().expect("update") {
        updates += 1;
        if p.epoch == 2 && p.updates == 3 {
            break;
        }
    }
    training.finish_blocking().expect("stopped");
    assert!(updates > 50);
    assert_eq!(values(&model), values(&twin));
}

fn divergence_by_gradient_names_the_parameter(device: &Device) {
    let model = model(device);
    let data = data(device, None);
    // The loss stays finite, but its gradient overflows: ∂/∂y of 1e30·(1e30·y − 1e30·y) has two parts of 1e60.
    let overflowing = |y: &Tensor, t: &Tensor| -> Result<Tensor> {
        let part = |sign: f32| y.sum()?.scale(1e30)?.scale(sign)?.scale(1e-30)?.scale(1e30);
        let zero = part(1.0)?.add(&part(-1.0)?)?;
        loss::mse(y, t)?.add(&zero.scale(1e30)?)
    };
    let before = values(&model);
    let failed = trainer(&model, 3, None).fit_blocking(&model, &data, None, overflowing);
    let text = failed.as_ref().err().map(Error::to_string).unwrap_or_default();
    assert!(matches!(failed, Err(Error::Diverged { epoch: 0, update: 0, .. })), "{text}");
    assert!(text.contains("gru.weight_ih_l0"), "{text}");
    let after = values(&model);
    assert!(after.iter().all(|v| v.is_finite()));
    assert_eq!(after.len(), before.len());
}

fn divergence_restores_the_best_weights(device: &Device) {
    let model = model(device);
    let (good, bad) = (data(device, None), data(device, Some(10)));
    let turning = Turning { good: &good, bad: &bad, from: 72, batches: 0.into() };
    let mut trainer = trainer(&model, 9, Some(5));
    let mut best = Vec::new();
    let mut least = f32::INFINITY;
    let mut training = trainer.start(&model, &turning, Some(&good), loss::mse).expect("started");
    let failed = loop {
        match training.next_blocking() {
            Ok(Some(p)) => {
                if let Some(loss) = p.validation.filter(|loss| *loss < least) {
                    (least, best) = (loss, values(&model));
                }
            }
            ended => break ended,
        }
    };
    assert!(matches!(failed, Err(Error::Diverged { epoch: 3, update: 5, .. })), "{failed:?}");
    assert!(matches!(training.next_blocking(), Ok(None)), "the run is over");
    drop(training);
    assert_eq!(values(&model), best);
    let history = trainer.history();
    assert_eq!((history.loss.len(), history.validation.len()), (3, 3));
    let best_epoch = history.best_epoch.expect("a best epoch");
    assert_eq!(history.validation[best_epoch], least);
}

fn divergence_names_the_layer(device: &Device) {
    let model = model(device);
    let head = model.parameters().into_iter().find(|(name, _)| name == "head.weight").expect("head").1;
    // z = 0 and a candidate of 1 give a state near 1; the sum of four times 3e38 overflows.
    head.assign(&[3e38; 4]).expect("assign");
    let bias = model.parameters().into_iter().find(|(n, _)| n == "gru.bias_ih_l0").expect("bias").1;
    bias.assign(&[[0.0; 4], [-9.0; 4], [9.0; 4]].concat()).expect("assign");
    let failed = trainer(&model, 1, None).fit_blocking(&model, &data(device, None), None, loss::mse);
    let text = failed.as_ref().err().map(Error::to_string).unwrap_or_default();
    assert!(matches!(failed, Err(Error::Diverged { epoch: 0, update: 0, .. })), "{text}");
    assert!(text.contains("layer \"head\""), "{text}");
}

/// Only the gradient of `head.bias` is NaN. This makes the norm of all gradients NaN, which must not spread it.
fn divergence_under_clipping_names_the_parameter_at_fault(device: &Device) {
    let model = model(device);
    let bias = model.parameters().into_iter().find(|(name, _)| name == "head.bias").expect("head").1;
    let optimizer = Optimizer::new(model.parameters(), ADAM, 0.01).expect("optimizer");
    let options = TrainOptions { epochs: 1, batch: 2, clip_norm: Some(1.0), ..TrainOptions::default() };
    let mut trainer = Trainer::new(optimizer, options, Rng::new(5));
    // √(b − b) is 0 with an infinite slope: ∞·1 − ∞·1.
    let loss = |y: &Tensor, t: &Tensor| loss::mse(y, t)?.add(&bias.sub(&bias)?.sqrt()?.sum()?);
    let failed = trainer.fit_blocking(&model, &data(device, None), None, loss);
    let text = failed.as_ref().err().map(Error::to_string).unwrap_or_default();
    assert!(matches!(failed, Err(Error::Diverged { epoch: 0, update: 0, .. })), "{text}");
    assert!(text.contains("\"head.bias\" is not finite"), "{text}");
    assert!(values(&model).iter().all(|v| v.is_finite()));
}

fn divergence_by_a_frozen_parameter_names_it(device: &Device) {
    let model = model(device);
    let (frozen, trained): (Vec<_>, Vec<_>) = model.parameters().into_iter().partition(|(n, _)| n == "gru.bias_hh_l0");
    frozen[0].1.assign(&[f32::NAN; 12]).expect("assign");
    let optimizer = Optimizer::new(trained, ADAM, 0.01).expect("optimizer");
    let mut trainer = Trainer::new(optimizer, TrainOptions::default(), Rng::new(5));
    let failed = trainer.fit_blocking(&model, &data(device, None), None, loss::mse);
    let text = failed.as_ref().err().map(Error::to_string).unwrap_or_default();
    assert!(matches!(failed, Err(Error::Diverged { .. })) && text.contains("\"gru.bias_hh_l0\""), "{text}");
}

/// A GPU notices the failure some updates later, but leaves generator, step counts and optimizer as a CPU does.
#[test]
fn divergence_leaves_the_same_state_on_every_device() {
    let state = |device: &Device| {
        let model = model(device);
        let (good, bad) = (data(device, None), data(device, Some(7)));
        let turning = Turning { good: &good, bad: &bad, from: 24, batches: 0.into() };
        let mut trainer = trainer(&model, 9, None);
        trainer.options_mut().shuffle = true;
        let failed = trainer.fit_blocking(&model, &turning, None, loss::mse);
        let Err(Error::Diverged { epoch: 1, update, .. }) = failed else { panic!("{failed:?}") };
        let file = pollster::block_on(checkpoint_to_file(&trainer, &model)).expect("checkpoint");
        assert_eq!(file.metadata["updates"], (24 + update).to_string());
        ["steps", "updates", "position", "epoch"].map(|key| file.metadata[key].clone())
    };
    let cpu = state(&Device::cpu());
    assert_eq!(cpu, state(&crate::common::twin()));
    if let Some(gpu) = crate::common::gpu() {
        assert_eq!(cpu, state(&gpu));
    }
}

#[test]
fn best_weights_are_kept_only_with_patience() {
    let device = Device::cpu();
    let (model, data) = (model(&device), data(&device, None));
    let mut trainer = trainer(&model, 2, Some(1));
    trainer.fit_blocking(&model, &data, Some(&data), loss::mse).expect("fit");
    (trainer.options_mut().patience, trainer.options_mut().epochs) = (None, 6);
    let mut last = Vec::new();
    let mut training = trainer.start(&model, &data, None, loss::mse).expect("started");
    while let Some(p) = training.next_blocking().expect("update") {
        if p.loss.is_some() {
            last = values(&model);
        }
    }
    let history = training.finish_blocking().expect("finished");
    assert_eq!(history.best_epoch, None);
    assert_eq!(values(&model), last, "the weights of the last epoch");
    // With a rate of 0, nothing changes any more.
    trainer.set_rate(0.0).expect("rate");
    trainer.options_mut().epochs = 7;
    trainer.fit_blocking(&model, &data, None, loss::mse).expect("fit");
    assert_eq!(values(&model), last);
}

#[test]
fn a_validation_loss_of_nan_ends_training_with_the_best_weights() {
    let device = Device::cpu();
    let model = model(&device);
    let (good, bad) = (data(&device, None), data(&device, Some(3)));
    let mut trainer_ = trainer(&model, 3, Some(2));
    let failed = trainer_.fit_blocking(&model, &good, Some(&bad), loss::mse);
    let text = failed.as_ref().err().map(Error::to_string).unwrap_or_default();
    assert!(matches!(failed, Err(Error::Diverged { epoch: 0, .. })) && text.contains("validation"), "{text}");
    assert_eq!(trainer_.history().loss.len(), 1);
    // Without patience, it is only recorded.
    let history = trainer(&model, 2, None).fit_blocking(&model, &good, Some(&bad), loss::mse).expect("fit");
    assert!(history.validation.iter().all(|loss| loss.is_nan()));
}

#[test]
fn invalid_trainer_options_are_refused() {
    let device = Device::cpu();
    let (model, data) = (model(&device), data(&device, None));
    let before = values(&model);
    let options = |change: &dyn Fn(&mut TrainOptions)| {
        let mut options = TrainOptions { epochs: 1, ..TrainOptions::default() };
        change(&mut options);
        let optimizer = Optimizer::new(model.parameters(), ADAM, 0.01).expect("optimizer");
        let mut trainer = Trainer::new(optimizer, options, Rng::new(1));
        trainer.fit_blocking(&model, &data, None, loss::mse).err().map(|e| e.to_string())
    };
    type Change = fn(&mut TrainOptions);
    let cases: [(Change, &str); 8] = [
        (|o| o.patience = Some(3), "validation data"),
        (|o| o.patience = Some(0), "patience"),
        (|o| o.clip_norm = Some(f32::NAN), "clip_norm"),
        (|o| o.clip_norm = Some(0.0), "clip_norm"),
        (|o| o.batch = 0, "batch"),
        (|o| o.schedule = Schedule::Step { every: 0, gamma: 0.5 }, "every"),
        (|o| o.schedule = Schedule::Step { every: 1, gamma: f64::NAN }, "gamma"),
        (|o| o.schedule = Schedule::Cosine { steps: 3, min: f64::INFINITY }, "min"),
    ];
    for (change, word) in cases {
        let text = options(&change).unwrap_or_default();
        assert!(text.contains(word), "{word}: {text:?}");
    }
    assert_eq!(values(&model), before, "nothing was trained");
    assert_eq!(options(&|_| {}), None);
}
