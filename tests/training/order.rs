//! The examples of updates: accumulation, buckets of similar length, lanes that continue, and the state carried along.

use std::sync::Mutex;

use wgru::nn::{Embedding, LastStep, Linear, Mode, Module, RecurrentConfig, RunOptions, Sequential};
use wgru::train::{Batch, CarriedState, Data, HostData, Optimizer, TokenLanes, TrainOptions, Trainer, loss};
use wgru::{Device, Result, Rng, Tensor};

use crate::common::{assert_close, fill};
use crate::on_every_backend;

on_every_backend![
    accumulated_gradients_are_those_of_one_batch,
    padding_has_no_gradient,
    carried_states_continue_a_sequence,
    trimmed_batches_have_the_same_losses,
];

fn model(device: &Device) -> Sequential {
    let mut rng = Rng::new(5);
    let config = RecurrentConfig { batch_first: true, ..RecurrentConfig::gru(2, 4) };
    Sequential::new()
        .push("gru", config.build(device, &mut rng).expect("gru"))
        .push("last", LastStep { batch_first: true })
        .push("head", Linear::new(device, 4, 1, true, &mut rng).expect("linear"))
}

fn values(model: &dyn Module) -> Vec<f32> {
    model.parameters().iter().flat_map(|(_, p)| p.read_blocking().expect("read")).collect()
}

fn accumulated_gradients_are_those_of_one_batch(device: &Device) {
    // 22 examples: the last update has 6, in batches of 4 and 2.
    let data = || {
        let data = HostData::new(device, fill(1, 22 * 5 * 2, 1.0), &[5, 2]).expect("data");
        data.with_targets(fill(2, 22, 1.0), &[1]).expect("targets")
    };
    let run = |batch: usize, accumulate: usize| {
        let model = model(device);
        let optimizer = Optimizer::adam(model.parameters(), 0.01).expect("optimizer");
        let options = TrainOptions { epochs: 2, batch, accumulate, clip_norm: Some(0.1), ..TrainOptions::default() };
        let mut trainer = Trainer::new(optimizer, options, Rng::new(3));
        let (data, mut updates) = (data(), 0);
        let mut training = trainer.start(&model, &data, None, loss::mse).expect("started");
        while training.next_blocking().expect("update").is_some() {
            updates += 1;
        }
        let history = training.finish_blocking().expect("finished");
        (values(&model), history.loss, updates)
    };
    let (weights, losses, updates) = run(16, 1);
    let (got, got_losses, got_updates) = run(4, 4);
    assert_eq!((updates, got_updates), (4, 4));
    let wide = |values: &[f32]| values.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
    // Adam divides by the size of the gradient, so small ones magnify roundings.
    assert_close("weights", &got, &wide(&weights), 2e-4);
    assert_close("losses", &got_losses, &wide(&losses), 1e-5);
}

/// Records the lengths of the examples in each batch.
struct Recorded(HostData, Mutex<Vec<Vec<usize>>>);

impl Data for Recorded {
    fn len(&self) -> usize {
        self.0.len()
    }
    fn length(&self, example: usize) -> Option<usize> {
        self.0.length(example)
    }
    fn batch(&self, examples: &[usize]) -> Result<Batch> {
        self.1.lock().expect("recorded").push(examples.to_vec());
        self.0.batch(examples)
    }
}

#[test]
fn buckets_hold_examples_of_similar_length() {
    let device = Device::cpu();
    let lengths: Vec<usize> = (0..103).map(|i| 1 + i * 37 % 50).collect();
    let sequences: Vec<Vec<f32>> = lengths.iter().map(|&length| vec![0.5; length]).collect();
    let data = || HostData::from_sequences(&device, &sequences, 1).expect("data").with_targets(vec![0.0; 103], &[1]);
    let run = |bucket_by_length: bool, seed: u64| {
        let data = Recorded(data().and_then(HostData::trimmed).expect("data"), Mutex::default());
        let layer = Linear::new(&device, 1, 1, true, &mut Rng::new(1)).expect("linear");
        let optimizer = Optimizer::adam(layer.parameters(), 0.01).expect("optimizer");
        let options = TrainOptions { epochs: 2, batch: 5, accumulate: 2, bucket_by_length, ..TrainOptions::default() };
        let mut trainer = Trainer::new(optimizer, options, Rng::new(seed));
        let fitted = trainer.fit_with_blocking(&data, None, |batch, mode| {
            let y = layer.forward_with(&batch.x().mean_axis(1)?.squeeze(1)?, mode)?;
            loss::mse(&y, batch.targets())
        });
        fitted.expect("fit");
        data.1.into_inner().expect("recorded")
    };
    let padding = |batches: &[Vec<usize>]| -> usize {
        let of = |batch: &Vec<usize>| batch.len() * batch.iter().map(|&i| lengths[i]).max().unwrap_or(0);
        batches.iter().map(of).sum()
    };
    let (plain, bucketed) = (run(false, 1), run(true, 1));
    let total: usize = 2 * lengths.iter().sum::<usize>();
    assert!(padding(&bucketed) < total + total / 10, "{} of {total}", padding(&bucketed));
    assert!(padding(&plain) > total + total / 2, "{} of {total}", padding(&plain));
    // Every epoch has every example once, in another order; the same seed gives the same order.
    assert_eq!(bucketed.len(), 2 * 21);
    for epoch in bucketed.chunks(21) {
        let mut all: Vec<usize> = epoch.iter().flatten().copied().collect();
        all.sort_unstable();
        assert_eq!(all, (0..103).collect::<Vec<_>>());
        assert_eq!(epoch.iter().map(Vec::len).collect::<Vec<_>>(), [vec![5; 20], vec![3]].concat());
    }
    assert_ne!(bucketed[..21], bucketed[21..]);
    assert_eq!(bucketed, run(true, 1));
    assert_ne!(bucketed, run(true, 2));
    let firsts: Vec<usize> = bucketed[..20].iter().map(|batch| lengths[batch[0]]).collect();
    assert!(!firsts.is_sorted(), "the batches are shuffled");
}

#[test]
fn buckets_need_shuffled_examples_with_lengths() {
    let device = Device::cpu();
    let (model, data) = (model(&device), HostData::new(&device, vec![0.0; 40], &[5, 2]).expect("data"));
    let data = data.with_targets(vec![0.0; 4], &[1]).expect("targets");
    let refused = |options: TrainOptions| {
        let optimizer = Optimizer::adam(model.parameters(), 0.01).expect("optimizer");
        let mut trainer = Trainer::new(optimizer, options, Rng::new(1));
        trainer.fit_blocking(&model, &data, None, loss::mse).expect_err("refused").to_string()
    };
    let text = refused(TrainOptions { bucket_by_length: true, ..TrainOptions::default() });
    assert!(text.contains("bucket_by_length") && text.contains("lengths"), "{text}");
    let text = refused(TrainOptions { bucket_by_length: true, shuffle: false, ..TrainOptions::default() });
    assert!(text.contains("bucket_by_length") && text.contains("shuffle"), "{text}");
    assert!(refused(TrainOptions { accumulate: 0, ..TrainOptions::default() }).contains("accumulate"));
}

fn trimmed_batches_have_the_same_losses(device: &Device) {
    let sequences: Vec<Vec<f32>> = (0..6).map(|i| fill(i, 2 * (1 + 3 * i as usize), 1.0)).collect();
    let steps = 16;
    let data = || {
        let data = HostData::from_sequences(device, &sequences, 2).expect("data");
        data.with_classes((0..6 * steps as u32).map(|i| i % 4).collect()).expect("classes per step")
    };
    let gru = RecurrentConfig { batch_first: true, bidirectional: true, ..RecurrentConfig::gru(2, 2) };
    let gru = gru.build(device, &mut Rng::new(2)).expect("gru");
    let output = |data: &HostData, examples: &[usize]| {
        let batch = data.batch(examples).expect("batch");
        let options = RunOptions { lengths: batch.lengths(), ..RunOptions::default() };
        let run = gru.run(batch.x(), options, &mut Mode::Eval).expect("run");
        (run.last_state().and_then(|h| h.read_blocking()).expect("read"), batch)
    };
    let (whole, trimmed) = (data(), data().trimmed().expect("lengths"));
    let (want, full) = output(&whole, &[0, 2]);
    let (got, cut) = output(&trimmed, &[0, 2]);
    assert_eq!((full.x().dims(), cut.x().dims()), (&[2, 16, 2][..], &[2, 7, 2][..]));
    assert_eq!((full.targets().dims(), cut.targets().dims()), (&[2, 16][..], &[2, 7][..]));
    let [all, some] = [&full, &cut].map(|batch| batch.targets().read_indices_blocking().expect("read"));
    assert_eq!([&all[..7], &all[16..23]].concat(), some);
    assert_close("states", &got, &want.iter().map(|&v| f64::from(v)).collect::<Vec<_>>(), 1e-6);
    let text = HostData::new(device, vec![0.0], &[]).expect("data").trimmed().expect_err("refused").to_string();
    assert!(text.contains("lengths"), "{text}");
}

/// Targets whose extent is the number of steps by chance stay whole.
#[test]
fn only_targets_of_every_step_are_trimmed() {
    let device = Device::cpu();
    let sequences = [vec![1.0, 2.0, 3.0], vec![4.0], vec![5.0, 6.0]];
    let data = || HostData::from_sequences(&device, &sequences, 1).expect("data");
    let y: Vec<f32> = (0..9).map(|i| i as f32).collect();
    let targets = |data: HostData| {
        let batch = data.trimmed().and_then(|data| data.batch(&[2, 1])).expect("batch");
        assert_eq!(batch.x().dims(), [2, 2, 1]);
        (batch.targets().dims().to_vec(), batch.targets().read_blocking().expect("read"))
    };
    let whole = data().with_targets(y.clone(), &[3]).expect("targets");
    assert_eq!(targets(whole), (vec![2, 3], vec![6.0, 7.0, 8.0, 3.0, 4.0, 5.0]));
    let of_steps = data().with_step_targets(y.clone(), &[]).expect("targets");
    assert_eq!(targets(of_steps), (vec![2, 2], vec![6.0, 7.0, 3.0, 4.0]));
    let replaced = data().with_step_targets(y.clone(), &[1]).and_then(|data| data.with_targets(y.clone(), &[3]));
    assert_eq!(targets(replaced.expect("targets")).0, [2, 3]);
    let text = data().with_step_targets(y.clone(), &[2]).expect_err("refused").to_string();
    assert!(text.contains("with_step_targets") && text.contains("3 of [3, 2]"), "{text}");
    let numbers = HostData::new(&device, y.clone(), &[]).and_then(|data| data.with_step_targets(y, &[]));
    assert!(numbers.expect_err("refused").to_string().contains("time"));
}

fn padding_has_no_gradient(device: &Device) {
    let mut rng = Rng::new(4);
    let table = Embedding::new(device, 4, 2, &mut rng).expect("embedding");
    let before = table.weight().read_blocking().expect("read");
    let table = table.with_padding_idx(1).expect("padding");
    assert_eq!(table.padding_idx(), Some(1));
    let zeroed = table.weight().read_blocking().expect("read");
    assert_eq!(zeroed, [&before[..2], &[0.0, 0.0], &before[4..]].concat());
    let index = Tensor::from_indices(device, &[1, 3, 1, 0, 3], &[5]).expect("indices");
    let y = table.forward_with(&index, &mut Mode::Train(&mut rng)).expect("forward");
    let dy = fill(5, 10, 1.0);
    y.backward_with(&Tensor::from_slice(device, &dy, &[5, 2]).expect("tensor")).expect("backward");
    let grad = table.weight().grad().expect("gradient").read_blocking().expect("read");
    assert_eq!(grad, [dy[6], dy[7], 0.0, 0.0, 0.0, 0.0, dy[2] + dy[8], dy[3] + dy[9]]);
    let text = table.with_padding_idx(4).expect_err("refused").to_string();
    assert!(text.contains("padding_idx") && text.contains("below 4"), "{text}");
}

#[test]
fn lanes_cover_the_tokens_in_order() {
    let device = Device::cpu();
    let data = TokenLanes::new(&device, (0..26).collect(), 3, 4).expect("data");
    // Lanes of (26 − 1) / 3 = 8 tokens: 2 windows each.
    assert_eq!((data.len(), data.lanes()), (6, Some(3)));
    let read = |t: &Tensor| t.read_indices_blocking().expect("read");
    let batch = data.batch(&[3, 4, 5]).expect("batch");
    assert_eq!(read(batch.x()), [4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23]);
    assert_eq!(read(batch.targets()), [5, 6, 7, 8, 13, 14, 15, 16, 21, 22, 23, 24]);
    assert_eq!(batch.x().dims(), [3, 4]);
    assert!(data.batch(&[6]).is_err());
    let text = TokenLanes::new(&device, (0..12).collect(), 3, 4).expect_err("too few").to_string();
    assert!(text.contains("at least 13"), "{text}");
    assert!(TokenLanes::new(&device, (0..13).collect(), 3, 4).is_ok());
    assert!(TokenLanes::new(&device, vec![], 0, 4).is_err() && TokenLanes::new(&device, vec![1; 9], 2, 0).is_err());
}

/// The state after each batch is that of one run over the whole lane, and every epoch and evaluation begins anew.
fn carried_states_continue_a_sequence(device: &Device) {
    let mut rng = Rng::new(6);
    let tokens: Vec<u32> = (0..41).map(|i| i * 7 % 5).collect();
    let data = TokenLanes::new(device, tokens.clone(), 2, 5).expect("data");
    let embedding = Embedding::new(device, 5, 3, &mut rng).expect("embedding");
    for config in [RecurrentConfig::gru(3, 4), RecurrentConfig { layers: 2, ..RecurrentConfig::lstm(3, 4) }] {
        let layer = RecurrentConfig { batch_first: true, ..config }.build(device, &mut rng).expect("layer");
        let parameters = layer.parameters();
        let ends = Mutex::new(Vec::new());
        let options = TrainOptions { epochs: 2, batch: 2, shuffle: false, ..TrainOptions::default() };
        // With a rate of 0, the weights stay the same.
        let mut trainer = Trainer::new(Optimizer::adam(parameters, 0.0).expect("optimizer"), options, Rng::new(1));
        let mut carried = CarriedState::default();
        let fitted = trainer.fit_with_blocking(&data, Some(&data), |batch, mode| {
            let run = carried.run(&layer, &embedding.forward(batch.x())?, batch, mode)?;
            ends.lock().expect("ends").push(run.h_n.read_blocking()?);
            run.output.square()?.mean()
        });
        fitted.expect("fit");
        let ends = ends.into_inner().expect("ends");
        assert_eq!(ends.len(), 2 * (4 + 4), "training and validation of two epochs");
        // Lanes of 20 tokens.
        let x = Tensor::from_indices(device, &tokens[..40], &[2, 20]).expect("tokens");
        let x = embedding.forward(&x).expect("embedded");
        for (i, end) in ends.iter().enumerate() {
            let part = x.slice(1, 0..5 * (i % 4 + 1)).expect("slice");
            let run = layer.run(&part, RunOptions::default(), &mut Mode::Eval).expect("run");
            let want: Vec<f64> = run.h_n.read_blocking().expect("read").iter().map(|&v| f64::from(v)).collect();
            assert_close(&format!("batch {i}"), end, &want, 2e-6);
        }
        trainer.options_mut().batch = 4;
        let refused = trainer.fit_with_blocking(&data, None, |batch, _| batch.x().square());
        let text = refused.expect_err("refused").to_string();
        assert!(text.contains("batch: 2") && text.contains("shuffle: false"), "{text}");
    }
}
