//! Training by step functions: several inputs, lengths, classes, and the same bits as training a module.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use wgru::io::{TensorFile, checkpoint_to_file_with, load_checkpoint_with};
use wgru::nn::{
    Dropout, Embedding, Gru, LastStep, Linear, Mode, Module, RecurrentConfig, RunOptions, Sequential, named_parameters,
};
use wgru::train::{Batch, Data, HostData, Optimizer, Reduction, Schedule, Snapshot, TrainOptions, Trainer, loss};
use wgru::{Device, Error, Result, Rng, Tensor};

use crate::common::fill;
use crate::on_every_backend;

on_every_backend![
    steps_and_modules_give_the_same_bits,
    a_run_of_steps_resumes_bit_for_bit,
    a_run_of_steps_resumes_from_a_checkpoint,
    padding_does_not_matter,
    classes_of_every_step_are_learned,
    batches_hold_every_input,
    divergence_of_a_step_names_the_batch,
];

const COUNT: usize = 24;
const STEPS: usize = 5;

fn bits(parameters: &[(String, Tensor)]) -> Vec<u32> {
    parameters.iter().flat_map(|(_, t)| t.read_blocking().expect("read")).map(f32::to_bits).collect()
}

fn gru(device: &Device, input: usize, hidden: usize, rng: &mut Rng) -> Gru {
    RecurrentConfig { batch_first: true, ..RecurrentConfig::gru(input, hidden) }.build(device, rng).expect("gru")
}

fn linear(device: &Device, input: usize, output: usize, rng: &mut Rng) -> Linear {
    Linear::new(device, input, output, true, rng).expect("linear")
}

/// A model that draws random numbers during training.
fn model(device: &Device) -> Sequential {
    let mut rng = Rng::new(11);
    Sequential::new()
        .push("gru", gru(device, 2, 6, &mut rng))
        .push("last", LastStep { batch_first: true })
        .push("dropout", Dropout::new(0.2).expect("dropout"))
        .push("head", linear(device, 6, 1, &mut rng))
}

fn data(device: &Device) -> HostData {
    let data = HostData::new(device, fill(1, COUNT * STEPS * 2, 1.0), &[STEPS, 2]).expect("inputs");
    data.with_targets(fill(2, COUNT, 1.0), &[1]).expect("targets")
}

fn trainer(parameters: Vec<(String, Tensor)>, epochs: usize) -> Trainer {
    let optimizer = Optimizer::adam(parameters, 0.02).expect("optimizer");
    let options = TrainOptions { epochs, batch: 7, ..TrainOptions::default() };
    Trainer::new(optimizer, options, Rng::new(5))
}

fn steps_and_modules_give_the_same_bits(device: &Device) {
    let run = |fit: &dyn Fn(&mut Trainer, &Sequential, &HostData) -> Result<()>| {
        let (model, data) = (model(device), data(device));
        let mut trainer = trainer(model.parameters(), 6);
        let options = trainer.options_mut();
        (options.clip_norm, options.patience) = (Some(0.5), Some(2));
        options.schedule = Schedule::Cosine { steps: 20, min: 1e-3 };
        fit(&mut trainer, &model, &data).expect("trained");
        let history = trainer.history().clone();
        assert!(!history.loss.is_empty() && history.best_epoch.is_some());
        let checked = trainer.evaluate_blocking(&model, &data, loss::mse).expect("evaluated");
        let by_step =
            |batch: &Batch, mode: &mut Mode| loss::mse(&model.forward_with(batch.x(), mode)?, batch.targets());
        assert_eq!(trainer.evaluate_with_blocking(&data, by_step).expect("evaluated"), checked);
        (bits(&model.parameters()), history, checked)
    };
    let by_module = run(&|trainer, model, data| trainer.fit_blocking(model, data, Some(data), loss::mse).map(drop));
    let by_step = run(&|trainer, model, data| {
        let fitted = trainer.fit_with_blocking(data, Some(data), |batch, mode| {
            loss::mse(&model.forward_with(batch.x(), mode)?, batch.targets())
        });
        fitted.map(drop)
    });
    let by_hand = run(&|trainer, model, data| {
        let mut training = trainer.start(model, data, Some(data), |x, y| loss::mse_with(x, y, Reduction::Mean))?;
        let mut reports = 0;
        while training.next_blocking()?.is_some() {
            reports += 1;
        }
        let history = training.finish_blocking()?;
        assert_eq!(reports, 4 * history.loss.len(), "one for each update");
        Ok(())
    });
    assert_eq!(by_step, by_module);
    assert_eq!(by_hand, by_module);
}

fn a_run_of_steps_resumes_from_a_checkpoint(device: &Device) {
    let data = data(device);
    let run = |epochs: usize, from: Option<&TensorFile>| {
        let mut rng = Rng::new(4);
        let (gru, head) = (gru(device, 2, 6, &mut rng), linear(device, 6, 1, &mut rng));
        let parameters = named_parameters(&[("gru", &gru), ("head", &head)]);
        let mut trainer = trainer(parameters.clone(), epochs);
        if let Some(file) = from {
            load_checkpoint_with(&mut trainer, file).expect("loaded");
        }
        let step = |batch: &Batch, mode: &mut Mode| {
            let state = gru.run(batch.x(), RunOptions::default(), mode)?.last_state()?;
            loss::mse(&head.forward_with(&mode.dropout(&state, 0.2)?, mode)?, batch.targets())
        };
        trainer.fit_with_blocking(&data, None, step).expect("trained");
        let file = pollster::block_on(checkpoint_to_file_with(&trainer)).expect("checkpoint");
        (bits(&parameters), TensorFile::from_bytes("checkpoint", &file.to_bytes().expect("bytes")).expect("read"))
    };
    let (first, file) = run(1, None);
    let (whole, _) = run(3, None);
    assert_eq!(run(3, Some(&file)).0, whole);
    assert_ne!(first, whole);
}

fn a_run_of_steps_resumes_bit_for_bit(device: &Device) {
    let build = || {
        let mut rng = Rng::new(4);
        let (gru, head) = (gru(device, 2, 6, &mut rng), linear(device, 6, 1, &mut rng));
        let parameters = named_parameters(&[("gru", &gru), ("head", &head)]);
        let trainer = trainer(parameters.clone(), 3);
        (gru, head, parameters, trainer)
    };
    let data = data(device);
    let run = |from: Option<&Snapshot>| {
        let (gru, head, parameters, mut trainer) = build();
        trainer.keep_every(Some(3));
        if let Some(snapshot) = from {
            trainer.resume_with(snapshot).expect("resumed");
        }
        let mut snapshots: Vec<Snapshot> = Vec::new();
        let step = |batch: &Batch, mode: &mut Mode| {
            let state = gru.run(batch.x(), RunOptions::default(), mode)?.last_state()?;
            let y = head.forward_with(&state, mode)?;
            loss::mse(&mode.dropout(&y, 0.2)?, batch.targets())
        };
        let mut training = trainer.start_with(&data, None, step).expect("started");
        while training.next_blocking().expect("update").is_some() {
            snapshots.extend(training.trainer().snapshot().cloned());
        }
        training.finish_blocking().expect("trained");
        snapshots.extend(trainer.snapshot().cloned());
        snapshots.dedup_by_key(|snapshot| snapshot.updates());
        (bits(&parameters), snapshots)
    };
    let (want, snapshots) = run(None);
    assert!(snapshots.len() >= 2, "{}", snapshots.len());
    for snapshot in snapshots.iter().filter(|snapshot| snapshot.updates() < 12) {
        assert_eq!(run(Some(snapshot)).0, want, "from update {}", snapshot.updates());
    }
    // A model with these names resumes from it, too; another one does not, and stays as it is.
    let (gru, head, parameters, mut other) = build();
    other.resume(&Parts { gru, head }, &snapshots[0]).expect("resumed");
    assert_ne!(bits(&parameters), bits(&build().2), "the weights of the snapshot");
    let unlike = linear(device, 3, 3, &mut Rng::new(1));
    let before = bits(&unlike.parameters());
    assert!(matches!(other.resume(&unlike, &snapshots[0]), Err(Error::Format { .. })));
    assert_eq!(bits(&unlike.parameters()), before);
}

struct Parts {
    gru: Gru,
    head: Linear,
}

impl Module for Parts {
    wgru::parts!(gru, head);

    fn forward_with(&self, x: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        self.head.forward_with(&self.gru.forward_with(x, mode)?, mode)
    }
}

/// Two padded classes: NaN as padding and zeros give the same bits, so lengths reach the layer.
fn padding_does_not_matter(device: &Device) {
    let lengths: Vec<usize> = (0..COUNT).map(|i| 1 + i % STEPS).collect();
    let labels: Vec<u32> = (0..COUNT).map(|i| (i / 2 % 2) as u32).collect();
    let run = |padding: f32| {
        let mut rng = Rng::new(3);
        let (gru, head) = (gru(device, 1, 8, &mut rng), linear(device, 8, 2, &mut rng));
        let value = |i: usize| match i % STEPS < lengths[i / STEPS] {
            true => 2.0 * labels[i / STEPS] as f32 - 1.0,
            false => padding,
        };
        let data = HostData::new(device, (0..COUNT * STEPS).map(value).collect(), &[STEPS, 1])
            .and_then(|data| data.with_classes(labels.clone())?.with_lengths(lengths.clone()))
            .expect("data");
        let parameters = named_parameters(&[("gru", &gru), ("head", &head)]);
        let mut trainer = trainer(parameters.clone(), 15);
        let history = trainer.fit_with_blocking(&data, None, |batch, mode| {
            let run = gru.run(batch.x(), RunOptions { lengths: batch.lengths(), ..Default::default() }, mode)?;
            loss::cross_entropy(&head.forward_with(&run.last_state()?, mode)?, batch.targets())
        });
        let history = history.expect("trained");
        assert!(history.loss[14] < 0.2, "{:?}", history.loss);
        (bits(&parameters), history)
    };
    assert_eq!(run(f32::NAN), run(0.0));
}

/// The loss over `[B, T, C]` and `[B, T]` is that over their rows.
fn classes_of_every_step_are_learned(device: &Device) {
    let x = fill(7, COUNT * STEPS, 1.0);
    let labels: Vec<u32> = x.iter().map(|&v| u32::from(v > 0.0)).collect();
    let data = HostData::new(device, x, &[STEPS, 1]).and_then(|data| data.with_classes(labels)).expect("data");
    let batch = data.batch(&[3, 4]).expect("batch");
    assert_eq!((batch.x().dims(), batch.targets().dims()), (&[2, STEPS, 1][..], &[2, STEPS][..]));
    let mut rng = Rng::new(8);
    let model = Sequential::new().push("gru", gru(device, 1, 8, &mut rng)).push("head", linear(device, 8, 3, &mut rng));
    let mut trainer = trainer(model.parameters(), 20);
    let history = trainer.fit_blocking(&model, &data, None, loss::cross_entropy).expect("trained");
    assert!(history.loss[19] < 0.5 * history.loss[0], "{:?}", history.loss);
    let whole = trainer.evaluate_blocking(&model, &data, loss::cross_entropy).expect("evaluated");
    let rows = trainer.evaluate_blocking(&model, &data, |x, y| {
        loss::cross_entropy(&x.reshape(&[y.len(), 3])?, &y.reshape(&[y.len()])?)
    });
    assert_eq!(rows.expect("evaluated"), whole);
    // Swapped batch and time axes are refused.
    let turned = |x: &Tensor, y: &Tensor| loss::cross_entropy(&x.permute(&[1, 0, 2])?, y);
    let text = trainer.evaluate_blocking(&model, &data, turned).expect_err("refused").to_string();
    assert!(text.contains("cross_entropy") && text.contains("target"), "{text}");
}

fn batches_hold_every_input(device: &Device) {
    let tokens: Vec<u32> = (0..COUNT as u32 * 3).map(|i| i % 7).collect();
    let data = HostData::from_indices(device, tokens.clone(), &[3])
        .and_then(|data| data.with_input((0..COUNT).map(|i| i as f32).collect(), &[]))
        .and_then(|data| data.with_indices((0..COUNT as u32).collect(), &[1]))
        .and_then(|data| data.with_targets(vec![0.5; COUNT * 2], &[2]))
        .expect("data");
    let embedding = Embedding::new(device, 7, 4, &mut Rng::new(2)).expect("embedding");
    let head = linear(device, 4, 2, &mut Rng::new(3));
    let mut trainer = trainer(named_parameters(&[("embedding", &embedding), ("head", &head)]), 2);
    let mut seen = Vec::new();
    let history = trainer.fit_with_blocking(&data, None, |batch, mode| {
        let [first, second, third] = batch.inputs() else { panic!("{} inputs", batch.inputs().len()) };
        assert_eq!(batch.len(), batch.examples().len());
        assert_eq!((second.dims(), third.dims()), (&[batch.len()][..], &[batch.len(), 1][..]));
        let numbers: Vec<f32> = batch.examples().iter().map(|&i| i as f32).collect();
        assert_eq!(second.read_blocking()?, numbers, "rows match the examples");
        seen.extend_from_slice(batch.examples());
        let y =
            head.forward_with(&embedding.forward_with(first, mode)?.sum_axis(1)?.reshape(&[batch.len(), 4])?, mode)?;
        loss::mse(&y, batch.targets())
    });
    let history = history.expect("trained");
    assert!(history.loss[1] < history.loss[0]);
    seen.sort_unstable();
    let twice: Vec<usize> = (0..2 * COUNT).map(|i| i / 2).collect();
    assert_eq!(seen, twice, "every example occurs once per epoch");
}

fn divergence_of_a_step_names_the_batch(device: &Device) {
    let fails = |inputs: Vec<f32>, lengths: Option<Vec<usize>>, second: Vec<f32>, factor: f32| {
        let head = linear(device, 2, 1, &mut Rng::new(3));
        let data = HostData::new(device, inputs, &[STEPS, 2])
            .and_then(|data| data.with_input(second, &[1]))
            .and_then(|data| data.with_targets(fill(2, COUNT, 1.0), &[1]))
            .and_then(|data| match lengths {
                Some(lengths) => data.with_lengths(lengths),
                None => Ok(data),
            })
            .expect("data");
        let mut trainer = trainer(named_parameters(&[("head", &head)]), 1);
        (trainer.options_mut().shuffle, trainer.options_mut().batch) = (false, 12);
        let before = bits(&head.parameters());
        let failed = trainer.fit_with_blocking(&data, None, |batch, mode| {
            // The first step alone counts, and the second input as a shift.
            let x = batch.x().slice(1, 0..1)?.reshape(&[batch.len(), 2])?;
            let y = head.forward_with(&x, mode)?.add(&batch.inputs()[1])?;
            loss::mse(&y, batch.targets())?.scale(factor)
        });
        let error = failed.expect_err("diverged");
        assert!(matches!(error, Error::Diverged { epoch: 0, .. }), "{error}");
        assert!(head.parameters().iter().all(|(_, t)| t.read_blocking().expect("read").iter().all(|v| v.is_finite())));
        let Error::Diverged { update, .. } = error else { unreachable!() };
        (error.to_string(), update, before == bits(&head.parameters()))
    };
    let good = || fill(1, COUNT * STEPS * 2, 1.0);
    let zeros = || vec![0.0; COUNT];

    // Padding is NaN in every example, and allowed; example 15 is at fault.
    let mut padded = good();
    padded.chunks_mut(STEPS * 2).for_each(|row| row[4..].fill(f32::NAN));
    let mut bad = padded.clone();
    bad[15 * STEPS * 2 + 1] = f32::INFINITY;
    let (text, update, _) = fails(bad, Some(vec![2; COUNT]), zeros(), 1.0);
    assert!(text.contains("input 1 of example 15") && update == 1, "{text}");

    let mut second = zeros();
    second[3] = f32::NAN;
    let (text, update, unchanged) = fails(good(), None, second, 1.0);
    assert!(text.contains("input 2 of example 3") && update == 0 && unchanged, "{text}");

    // Valid data and weights: the fault is in the step function itself.
    let (text, update, unchanged) = fails(padded, Some(vec![2; COUNT]), zeros(), f32::INFINITY);
    assert!(text.contains("examples 0, 1, 2, 3, 4, 5, 6, 7 and 4 more") && text.contains("finite"), "{text}");
    assert!(update == 0 && unchanged, "{text}");
}

#[test]
fn callbacks_see_every_update_and_can_end_the_run() {
    let device = Device::cpu();
    let (model, data) = (model(&device), data(&device));
    let mut trainer = trainer(model.parameters(), 3);
    let heard = Arc::new(AtomicUsize::new(0));
    let count = heard.clone();
    trainer.on_progress(move |progress, trainer| {
        count.fetch_add(1, Ordering::Relaxed);
        assert_eq!(trainer.epoch(), progress.epoch + usize::from(progress.loss.is_some()));
        assert_eq!(progress.loss.is_some(), progress.updates == progress.of);
        match progress.epoch == 1 && progress.updates == 2 {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    });
    let history = trainer.fit_blocking(&model, &data, None, loss::mse).expect("stopped");
    assert_eq!((heard.load(Ordering::Relaxed), history.loss.len(), history.stopped_early), (6, 1, true));
    // A second callback replaces the first one.
    let count = heard.clone();
    trainer.on_progress(move |_, _| {
        count.fetch_add(1, Ordering::Relaxed);
        ControlFlow::Continue(())
    });
    let history = trainer.fit_blocking(&model, &data, None, loss::mse).expect("trained");
    assert_eq!((heard.load(Ordering::Relaxed), history.loss.len(), history.stopped_early), (6 + 8, 2, false));
}

#[test]
fn a_break_after_the_last_update_does_not_stop_early() {
    let device = Device::cpu();
    let (model, data) = (model(&device), data(&device));
    let mut trainer = trainer(model.parameters(), 1);
    trainer.on_progress(|progress, _| match progress.loss {
        Some(_) => ControlFlow::Break(()),
        None => ControlFlow::Continue(()),
    });
    let history = trainer.fit_blocking(&model, &data, None, loss::mse).expect("trained");
    assert_eq!((history.loss.len(), history.stopped_early), (1, false));
}

#[test]
fn preparing_a_step_changes_no_weights() {
    let device = Device::cpu();
    let (model, data) = (model(&device), data(&device));
    let trainer = trainer(model.parameters(), 1);
    let before = bits(&model.parameters());
    let mut calls = 0;
    trainer
        .prepare_with(&data, |batch, mode| {
            calls += 1;
            assert!(matches!(mode, Mode::Train(_)));
            loss::mse(&model.forward_with(batch.x(), mode)?, batch.targets())
        })
        .expect("prepared");
    assert_eq!(calls, 1);
    assert_eq!(bits(&model.parameters()), before);
    assert!(model.parameters().iter().all(|(_, p)| p.grad().is_none()));
}

#[test]
fn debug_output_omits_the_weights() {
    let device = Device::cpu();
    let (model, data) = (model(&device), data(&device));
    let trainer = trainer(model.parameters(), 1);
    for (text, word) in [
        (format!("{trainer:?}"), "epochs: 1"),
        (format!("{trainer:?}"), "gru.weight_ih_l0 [18, 2]"),
        (format!("{data:?}"), "[5, 2] f32"),
        (format!("{model:?}"), "\"head\""),
        (format!("{:?}", gru(&device, 2, 6, &mut Rng::new(1))), "hidden: 6"),
        (format!("{:?}", linear(&device, 2, 6, &mut Rng::new(1))), "[6, 2]"),
    ] {
        assert!(text.contains(word) && text.len() < 1500, "{word}: {text}");
    }
}
