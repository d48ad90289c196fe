//! Moving averages in a trainer, best weights, resuming with all options, logs, class weights, attention pooling,
//! partial loading, and the learning-rate range test.

use std::sync::{Arc, Mutex};

use wgru::io::{self, TensorFile};
use wgru::nn::{AttentionPool, LastStep, Linear, Mode, Module, RecurrentConfig, Sequential};
use wgru::train::loss::{self, CrossEntropyOptions};
use wgru::train::{
    HostData, Optimizer, RateTestOptions, ReduceLrOnPlateau, Reduction, Schedule, TrainOptions, Trainer,
};
use wgru::{Device, Result, Rng, Tensor};

use crate::common::{assert_close, fill};
use crate::on_every_backend;
use crate::reference::{differences, dot, wide};

on_every_backend![
    averages_are_validated_and_remain,
    all_options_resume_bit_for_bit,
    class_weights_match_the_definition,
    attention_pooling_matches_its_equations,
    a_rate_test_leaves_the_weights_alone,
];

fn model(device: &Device) -> Sequential {
    let mut rng = Rng::new(5);
    let config = RecurrentConfig { batch_first: true, ..RecurrentConfig::gru(2, 4) };
    Sequential::new()
        .push("gru", config.build(device, &mut rng).expect("gru"))
        .push("last", LastStep { batch_first: true })
        .push("head", Linear::new(device, 4, 1, true, &mut rng).expect("linear"))
}

fn data(device: &Device, stream: u32) -> HostData {
    let data = HostData::new(device, fill(stream, 24 * 5 * 2, 1.0), &[5, 2]).expect("data");
    data.with_targets(fill(stream + 1, 24, 1.0), &[1]).expect("targets")
}

fn values(model: &dyn Module) -> Vec<f32> {
    model.parameters().iter().flat_map(|(_, p)| p.read_blocking().expect("read")).collect()
}

fn trainer(model: &dyn Module, options: TrainOptions) -> Trainer {
    Trainer::new(Optimizer::adam(model.parameters(), 0.02).expect("optimizer"), options, Rng::new(3))
}

/// Runs with averages, beside a run without them whose weights are averaged by hand.
fn averages_are_validated_and_remain(device: &Device) {
    let (data, held_out) = (data(device, 1), data(device, 3));
    let options = TrainOptions { epochs: 3, batch: 8, ..TrainOptions::default() };
    let plain = model(device);
    let mut average: Vec<f64> = wide(&values(&plain));
    let mut latest = Vec::new();
    let mut run = trainer(&plain, options.clone());
    let mut training = run.start(&plain, &data, None, loss::mse).expect("started");
    let mut n = 0.0f64;
    while training.next_blocking().expect("update").is_some() {
        latest = values(&plain);
        let decay = 0.6f64.min((1.0 + n) / (10.0 + n));
        // The averages start at the values after the first update, as in PyTorch's AveragedModel.
        match n as usize {
            0 => average = wide(&latest),
            _ => average.iter_mut().zip(&latest).for_each(|(a, &v)| *a = decay * *a + (1.0 - decay) * f64::from(v)),
        }
        n += 1.0;
    }
    training.finish_blocking().expect("finished");

    let averaged = model(device);
    let mut run = trainer(&averaged, TrainOptions { ema: Some(0.6), ..options.clone() });
    let mut training = run.start(&averaged, &data, Some(&held_out), loss::mse).expect("started");
    let mut between = Vec::new();
    while training.next_blocking().expect("update").is_some() {
        between = values(&averaged);
    }
    let history = training.finish_blocking().expect("finished");
    assert_eq!(between, latest, "during the run, the parameters are their own");
    assert_close("averages", &values(&averaged), &average, 2e-6);
    let loss = run.evaluate_blocking(&averaged, &held_out, loss::mse).expect("evaluated");
    assert_eq!(history.validation.last(), Some(&loss), "the averages are validated");

    // With patience, the best averages remain, and can be saved.
    let best = model(device);
    let mut run = trainer(&best, TrainOptions { ema: Some(0.6), patience: Some(3), ..options });
    assert!(run.best_parameters().is_none());
    let history = run.fit_blocking(&best, &data, Some(&held_out), loss::mse).expect("fit");
    let loss = run.evaluate_blocking(&best, &held_out, loss::mse).expect("evaluated");
    assert_eq!(history.validation.iter().copied().reduce(f32::min), Some(loss));
    let copy = model(device);
    io::load_parameters(&copy, &run.best_parameters().expect("best weights")).expect("loaded");
    assert_eq!(values(&copy), values(&best));
    let bad = trainer(&best, TrainOptions { ema: Some(1.0), ..TrainOptions::default() }).fit_blocking(
        &best,
        &data,
        None,
        loss::mse,
    );
    assert!(bad.expect_err("refused").to_string().contains("decay"));
}

/// A run with every option, interrupted within an epoch and between two, ends with the same bits.
fn all_options_resume_bit_for_bit(device: &Device) {
    let sequences: Vec<Vec<f32>> = (0..24).map(|i| fill(i, 2 * (1 + i as usize % 7), 1.0)).collect();
    let data = || {
        let data = HostData::from_sequences(device, &sequences, 2).expect("data").trimmed().expect("lengths");
        data.with_targets(fill(9, 24, 1.0), &[1]).expect("targets")
    };
    let plateau = ReduceLrOnPlateau { factor: 0.5, patience: 0, threshold: 0.5, ..Default::default() };
    let options = || TrainOptions {
        epochs: 5,
        batch: 3,
        accumulate: 2,
        bucket_by_length: true,
        warmup: 3,
        schedule: Schedule::custom(|base, step| base / (1.0 + 0.1 * step as f64)),
        plateau: Some(plateau),
        ema: Some(0.9),
        patience: Some(5),
        ..TrainOptions::default()
    };
    let config = RecurrentConfig { batch_first: true, ..RecurrentConfig::gru(2, 4) };
    let build = || {
        let mut rng = Rng::new(5);
        let gru = config.clone().build(device, &mut rng).expect("gru");
        let head = Linear::new(device, 4, 1, true, &mut rng).expect("linear");
        Sequential::new().push("gru", gru).push("head", head)
    };
    // Runs at most this many updates. Returns the weights, the rates until the last snapshot, and the snapshot.
    let run = |from: Option<&TensorFile>, most: usize| -> (Vec<f32>, Vec<f64>, TensorFile) {
        let (model, data) = (build(), data());
        let mut trainer = trainer(&model, options());
        trainer.keep_every(Some(1));
        if let Some(file) = from {
            io::load_checkpoint_with(&mut trainer, file).expect("resumed");
        }
        let [gru, head] = [0, 1].map(|i| {
            let parts = ["gru.", "head."];
            model.parameters().into_iter().filter(|(name, _)| name.starts_with(parts[i])).collect::<Vec<_>>()
        });
        let mut rates = Vec::new();
        let mut training = trainer
            .start_with(&data, Some(&data), |batch, mode| {
                let steps = batch.x().permute(&[1, 0, 2])?;
                let mean = steps.masked_mean(batch.lengths().expect("lengths"))?;
                let y = mean.linear(&mode.parameter(&gru[0].1).slice(0, 0..4)?, None)?.tanh()?;
                let y = y.linear(&mode.parameter(&head[0].1), Some(&mode.parameter(&head[1].1)))?;
                loss::mse(&y, batch.targets())
            })
            .expect("started");
        for _ in 0..most {
            match training.next_blocking().expect("update") {
                Some(progress) => rates.push(progress.rate),
                None => break,
            }
        }
        training.finish_blocking().expect("finished");
        let snapshot = trainer.snapshot().expect("a snapshot");
        // A GPU skips snapshots while one is on its way.
        if most < 20 {
            rates.truncate(snapshot.updates() as usize);
        }
        let file = snapshot.to_file();
        (values(&model), rates, TensorFile::from_bytes("memory", &file.to_bytes().expect("bytes")).expect("file"))
    };
    let (want, want_rates, _) = run(None, usize::MAX);
    assert_eq!(want_rates.len(), 20);
    assert!(want_rates[19] < 0.5 * want_rates[4], "the plateau lowered the rate: {want_rates:?}");
    for most in [4, 6, 11] {
        let (_, first, file) = run(None, most);
        assert!(file.names().any(|name| name.starts_with("ema.")));
        let (got, rest, _) = run(Some(&file), usize::MAX);
        let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!([&first[..], &rest].concat(), want_rates, "after {most} updates");
        assert_eq!(bits(&got), bits(&want), "after {most} updates");
    }
}

#[test]
fn progress_tells_the_running_loss_and_the_best_epoch() {
    let device = Device::cpu();
    let (model, data, held_out) = (model(&device), data(&device, 1), data(&device, 3));
    let mut run = trainer(&model, TrainOptions { epochs: 4, batch: 8, patience: Some(4), ..TrainOptions::default() });
    let losses = Mutex::new(Vec::new());
    let mut training = run
        .start_with(&data, Some(&held_out), |batch, mode| {
            let value = loss::mse(&model.forward_with(batch.x(), mode)?, batch.targets())?;
            if let Mode::Train(_) = mode {
                losses.lock().expect("losses").push(value.item_blocking()?);
            }
            Ok(value)
        })
        .expect("started");
    let mut least = f32::INFINITY;
    while let Some(progress) = training.next_blocking().expect("update") {
        let all = losses.lock().expect("losses");
        let epoch = &all[3 * progress.epoch..];
        let mean = epoch.iter().sum::<f32>() / epoch.len() as f32;
        let running = progress.running.expect("known on the CPU");
        assert!((running - mean).abs() <= 1e-6, "{running}, not {mean}");
        assert_eq!(progress.is_best, progress.validation.is_some_and(|loss| loss < least));
        least = progress.validation.map_or(least, |loss| least.min(loss));
    }
    training.finish_blocking().expect("finished");
}

#[test]
#[cfg(not(target_arch = "wasm32"))]
fn csv_logs_are_whole_and_continue() {
    use wgru::train::{CsvLog, Progress};
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("with spaces.csv");
    let progress = |epoch, loss: Option<f32>, validation| Progress {
        epoch,
        updates: 2,
        of: 2,
        running: loss,
        rate: 0.5,
        loss,
        validation,
        is_best: false,
    };
    let text = || std::fs::read_to_string(&path).expect("read");
    let mut log = CsvLog::create(&path).expect("log");
    assert_eq!(text(), "epoch,loss,val_loss,learning_rate\n");
    log.record(&progress(0, None, None)).expect("recorded");
    log.record(&progress(0, Some(1.5), Some(2.0))).expect("recorded");
    log.record(&progress(1, Some(f32::NAN), None)).expect("recorded");
    log.record(&progress(2, Some(1.0), None)).expect("recorded");
    let rows = "epoch,loss,val_loss,learning_rate\n0,1.5,2,0.5\n1,NaN,,0.5\n";
    assert_eq!(text(), format!("{rows}2,1,,0.5\n"));
    // A run that resumes at epoch 2 replaces its row.
    let mut log = CsvLog::append(&path).expect("log");
    log.record(&progress(2, Some(0.75), None)).expect("recorded");
    assert_eq!(text(), format!("{rows}2,0.75,,0.5\n"));
    CsvLog::append(folder.path().join("new.csv"))
        .expect("a new log")
        .record(&progress(0, Some(1.0), None))
        .expect("row");
    for (content, line) in
        [("", "line 1"), ("a,b\n", "line 1"), ("epoch,loss,val_loss,learning_rate\n0,1\nx\n", "line 3")]
    {
        std::fs::write(&path, content).expect("written");
        let error = CsvLog::append(&path).expect_err("refused").to_string();
        assert!(error.contains(line) && error.contains("with spaces.csv"), "{error}");
        assert_eq!(text(), content, "a refused file does not change");
    }
    assert!(CsvLog::create(folder.path()).is_err());
}

/// Reads the events of a log back by the rules of TFRecord and protocol buffers. TensorBoard reads the same file:
/// `tensorboard --inspect --event_file FILE`.
#[test]
#[cfg(not(target_arch = "wasm32"))]
fn tensorboard_logs_hold_every_scalar() {
    use wgru::train::TensorBoardLog;
    let folder = tempfile::tempdir().expect("a folder");
    let mut log = TensorBoardLog::create(folder.path().join("run 1")).expect("log");
    log.scalar("loss", 0, 1.5).expect("written");
    log.scalar("a tag", 300, -0.25).expect("written");
    let file = std::fs::read(log.path()).expect("read");
    let (mut rest, mut events) = (&file[..], Vec::new());
    while !rest.is_empty() {
        let length = u64::from_le_bytes(rest[..8].try_into().expect("eight bytes")) as usize;
        events.push(rest[12..12 + length].to_vec());
        rest = &rest[12 + length + 4..];
    }
    assert_eq!(events.len(), 3);
    assert!(events[0].ends_with(b"\x1a\x0dbrain.Event:2"));
    // Step 300, and a summary of one value: its tag and number.
    let value = [&[0x0a, 5][..], b"a tag", &[0x15], &(-0.25f32).to_le_bytes()].concat();
    let summary = [&[0x0a, value.len() as u8][..], &value].concat();
    assert_eq!(events[2][9..], [&[0x10, 0xac, 0x02, 0x2a, summary.len() as u8][..], &summary].concat());
}

#[test]
fn partial_loading_names_what_does_not_match() {
    let device = Device::cpu();
    let mut rng = Rng::new(1);
    let mut linear = |input, output| Linear::new(&device, input, output, true, &mut rng).expect("linear");
    let old = Sequential::new().push("body", linear(3, 4)).push("classes", linear(4, 5));
    let new = Sequential::new().push("body", linear(3, 4)).push("value", linear(4, 1));
    let file = pollster::block_on(io::parameters_to_file(&old)).expect("file");
    let before = values(&new);
    assert!(io::load_parameters(&new, &file).is_err());
    assert_eq!(values(&new), before);
    let mut keys = io::load_parameters_partly(&new, &file).expect("loaded");
    keys.unexpected_keys.sort();
    assert_eq!(keys.missing_keys, ["value.weight", "value.bias"]);
    assert_eq!(keys.unexpected_keys, ["classes.bias", "classes.weight"]);
    assert_eq!(values(&new)[..16], values(&old)[..16]);
    assert_eq!(values(&new)[16..], before[16..]);
    // A shared name of another shape, and no shared name at all, are errors.
    let other = Sequential::new().push("body", linear(3, 2)).push("value", linear(2, 1));
    let before = values(&other);
    assert!(io::load_parameters_partly(&other, &file).expect_err("refused").to_string().contains("body"));
    let foreign = Sequential::new().push("tail", linear(3, 2));
    let text = io::load_parameters_partly(&foreign, &file).expect_err("refused").to_string();
    assert!(text.contains("none of the model's 2 parameters"), "{text}");
    assert_eq!(values(&other), before);
}

/// PyTorch's definition: rows weigh as their target does; smoothing spreads over the weighted classes.
fn class_weights_match_the_definition(device: &Device) {
    let (rows, classes, ignored) = (7, 4, 200u32);
    let x = fill(11, rows * classes, 3.0);
    let target: Vec<u32> = (0..rows as u32).map(|i| if i == 3 { ignored } else { i * 3 % 4 }).collect();
    let weights = [0.5f32, 2.0, 0.0, 1.25];
    let t = Tensor::from_indices(device, &target, &[rows]).expect("targets");
    let weight = Tensor::from_slice(device, &weights, &[classes]).expect("weights");
    for smoothing in [0.0f32, 0.2] {
        let losses = |x: &[f64]| -> Vec<f64> {
            let row = |(x, &t): (&[f64], &u32)| {
                if t == ignored {
                    return 0.0;
                }
                let total: f64 = x.iter().map(|v| v.exp()).sum();
                let q = |c: usize| {
                    f64::from(smoothing) / classes as f64
                        + if c == t as usize { 1.0 - f64::from(smoothing) } else { 0.0 }
                };
                x.iter().enumerate().map(|(c, v)| -f64::from(weights[c]) * q(c) * (v.exp() / total).ln()).sum()
            };
            x.chunks(classes).zip(&target).map(row).collect()
        };
        let counted: f64 = target.iter().filter(|&&t| t != ignored).map(|&t| f64::from(weights[t as usize])).sum();
        for reduction in [Reduction::None, Reduction::Sum, Reduction::Mean] {
            let reduced = |x: &[f64]| match reduction {
                Reduction::None => losses(x),
                Reduction::Sum => vec![losses(x).iter().sum()],
                Reduction::Mean => vec![losses(x).iter().sum::<f64>() / counted],
            };
            let logits = Tensor::from_slice(device, &x, &[rows, classes]).expect("logits").requires_grad();
            let options = CrossEntropyOptions {
                weight: Some(&weight),
                ignore_index: Some(ignored),
                label_smoothing: smoothing,
                reduction,
            };
            let got = loss::cross_entropy_with(&logits, &t, options).expect("loss");
            let want = reduced(&wide(&x));
            assert_close(&format!("{reduction:?}"), &got.read_blocking().expect("read"), &want, 2e-6);
            let dy = fill(12, want.len(), 1.0);
            got.backward_with(&Tensor::from_slice(device, &dy, got.dims()).expect("dy")).expect("backward");
            let slope = differences(&[wide(&x)], |x| dot(&reduced(&x[0]), &wide(&dy)));
            let grad = logits.grad().expect("gradient").read_blocking().expect("read");
            assert_close(&format!("{reduction:?}: gradient"), &grad, &slope[0], 3e-6);
        }
    }
    let logits = Tensor::zeros(device, &[rows, classes]).expect("logits");
    let short = Tensor::ones(device, &[3]).expect("weights");
    let options = CrossEntropyOptions { weight: Some(&short), ignore_index: Some(ignored), ..Default::default() };
    let text = loss::cross_entropy_with(&logits, &t, options).expect_err("refused").to_string();
    assert!(text.contains("weight") && text.contains("[4]"), "{text}");
}

fn attention_pooling_matches_its_equations(device: &Device) {
    let (batch, steps, width, units) = (3, 5, 4, 3);
    let pool = AttentionPool::new(device, width, units, &mut Rng::new(2)).expect("pool");
    let names: Vec<String> = pool.parameters().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["key.weight", "key.bias", "score.weight"]);
    let lengths = [5usize, 2, 0];
    let mut x = fill(13, batch * steps * width, 1.0);
    let parameters: Vec<Vec<f64>> =
        pool.parameters().iter().map(|(_, p)| wide(&p.read_blocking().expect("read"))).collect();
    let reference = |inputs: &[Vec<f64>]| -> Vec<f64> {
        let [x, w, b, v] = inputs else { unreachable!("four inputs") };
        let row = |(i, &length): (usize, &usize)| {
            let step = |t: usize| &x[(i * steps + t) * width..][..width];
            let score = |t: usize| -> f64 {
                (0..units).map(|u| v[u] * (dot(&w[u * width..][..width], step(t)) + b[u]).tanh()).sum()
            };
            let all: Vec<f64> = (0..length).map(|t| score(t).exp()).collect();
            let total: f64 = all.iter().sum();
            (0..width).map(|f| all.iter().enumerate().map(|(t, e)| e / total * step(t)[f]).sum()).collect::<Vec<f64>>()
        };
        lengths.iter().enumerate().flat_map(row).collect()
    };
    let inputs = [vec![wide(&x)], parameters].concat();
    let want = reference(&inputs);
    let dy = fill(14, want.len(), 1.0);
    let slopes = differences(&inputs, |moved| dot(&reference(moved), &wide(&dy)));
    // Padding may be NaN.
    for (i, &length) in lengths.iter().enumerate() {
        x[(i * steps + length) * width..(i + 1) * steps * width].fill(f32::NAN);
    }
    let leaf = Tensor::from_slice(device, &x, &[batch, steps, width]).expect("x").requires_grad();
    let mut rng = Rng::new(1);
    let pooled = pool.run(&leaf, Some(&lengths), &mut Mode::Train(&mut rng)).expect("pooled");
    assert_close("pooled", &pooled.output.read_blocking().expect("read"), &want, 2e-6);
    let weights = pooled.weights.read_blocking().expect("read");
    assert!(weights[7..].iter().all(|&w| w == 0.0) && (weights[5] + weights[6] - 1.0).abs() <= 1e-6, "{weights:?}");
    pooled.output.backward_with(&Tensor::from_slice(device, &dy, &[batch, width]).expect("dy")).expect("backward");
    let leaves = [vec![leaf], pool.parameters().into_iter().map(|(_, p)| p).collect()].concat();
    for (i, (leaf, want)) in leaves.iter().zip(&slopes).enumerate() {
        assert_close(&format!("gradient {i}"), &leaf.grad().expect("grad").read_blocking().expect("read"), want, 3e-6);
    }
    // Without lengths, as with full ones.
    let x = Tensor::ones(device, &[1, 3, width]).expect("x");
    assert_close("constant", &pool.forward(&x).and_then(|y| y.read_blocking()).expect("read"), &[1.0; 4], 1e-6);
    assert!(pool.run(&x, Some(&[4]), &mut Mode::Eval).is_err() && pool.run(&x, Some(&[]), &mut Mode::Eval).is_err());
    assert!(AttentionPool::new(device, 0, 1, &mut rng).is_err());
}

fn a_rate_test_leaves_the_weights_alone(device: &Device) {
    let (model, data) = (model(device), data(device, 1));
    let run = trainer(&model, TrainOptions { batch: 8, ..TrainOptions::default() });
    let before = values(&model);
    let options = RateTestOptions { low: 1e-5, high: 100.0, updates: 60 };
    let test = run.test_rates_blocking(&model, &data, options, loss::mse).expect("tested");
    assert_eq!(values(&model), before);
    assert!(model.parameters().iter().all(|(_, p)| p.grad().is_none()));
    assert!((test.rates[0] - 1e-5).abs() <= 1e-12 && test.rates.is_sorted() && test.rates.len() == test.losses.len());
    let best = test.suggestion().expect("a rate");
    assert!((1e-4..1.0).contains(&best), "{best}: {test:?}");
    // A loss that fails: the weights come back all the same.
    let calls = Arc::new(Mutex::new(0));
    let failed = run.test_rates_with_blocking(&data, options, |batch, mode| -> Result<Tensor> {
        *calls.lock().expect("calls") += 1;
        if *calls.lock().expect("calls") == 5 {
            return batch.x().reshape(&[1]);
        }
        loss::mse(&model.forward_with(batch.x(), mode)?, batch.targets())
    });
    assert!(failed.is_err());
    assert_eq!(values(&model), before);
    for (low, high, updates) in [(0.0, 1.0, 10), (1.0, 0.5, 10), (0.1, 1.0, 1), (f64::NAN, 1.0, 10)] {
        let options = RateTestOptions { low, high, updates };
        assert!(run.test_rates_blocking(&model, &data, options, loss::mse).is_err(), "{options:?}");
    }
}
