//! Training on padded sequences: modules get the lengths, and losses of every step leave the padding out.

use wgru::nn::{
    AttentionPool, Conv1dConfig, Dropout, Embedding, LastState, LastStep, LayerNorm, LayerNormGruConfig, Linear,
    MinGruConfig, Mode, Module, Padded, RecurrentConfig, RunOptions, Sequential, Tanh,
};
use wgru::train::{Batch, Data, HostData, Optimizer, TrainOptions, Trainer, loss};
use wgru::{Device, Error, Result, Rng, Tensor};

use crate::common::{assert_close, fill};
use crate::on_every_backend;

on_every_backend![
    a_module_with_lengths_trains_as_a_step_function,
    losses_of_every_step_leave_padding_out,
    layers_give_each_sequence_its_own_result,
    valid_steps_have_the_gradient_of_their_own,
    divergence_names_the_layer_in_spite_of_padding,
];

const LENGTHS: [usize; 9] = [3, 7, 1, 5, 7, 2, 6, 4, 1];
const STEPS: usize = 7;

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| f64::from(v)).collect()
}

fn values(model: &dyn Module) -> Vec<f32> {
    model.parameters().iter().flat_map(|(_, p)| p.read_blocking().expect("read")).collect()
}

fn trainer(model: &dyn Module, epochs: usize) -> Trainer {
    let optimizer = Optimizer::adam(model.parameters(), 0.02).expect("optimizer");
    let options = TrainOptions { epochs, batch: 4, bucket_by_length: true, ..TrainOptions::default() };
    Trainer::new(optimizer, options, Rng::new(3))
}

/// Inputs `[9, 7, 2]` whose padding has this value.
fn inputs(padding: f32) -> Vec<f32> {
    let mut x = fill(1, LENGTHS.len() * STEPS * 2, 1.0);
    for (row, length) in x.chunks_mut(STEPS * 2).zip(LENGTHS) {
        row[2 * length..].fill(padding);
    }
    x
}

fn padded(device: &Device, padding: f32) -> HostData {
    let data = HostData::new(device, inputs(padding), &[STEPS, 2]).expect("data");
    data.with_lengths(LENGTHS.to_vec()).expect("lengths")
}

fn a_module_with_lengths_trains_as_a_step_function(device: &Device) {
    let model = || {
        let mut rng = Rng::new(5);
        let config = RecurrentConfig { batch_first: true, bidirectional: true, ..RecurrentConfig::gru(2, 4) };
        Sequential::new()
            .push("gru", config.build(device, &mut rng).expect("gru"))
            .push("last", LastState { batch_first: true, bidirectional: true, ..LastState::default() })
            .push("head", Linear::new(device, 8, 1, true, &mut rng).expect("linear"))
    };
    let data = |padding, is_trimmed| {
        let data = padded(device, padding).with_targets(fill(2, LENGTHS.len(), 1.0), &[1]).expect("targets");
        if is_trimmed { data.trimmed().expect("lengths") } else { data }
    };
    let by_module = |padding, is_trimmed| {
        let (model, data) = (model(), data(padding, is_trimmed));
        let mut trainer = trainer(&model, 4);
        let history = trainer.fit_blocking(&model, &data, Some(&data), loss::mse).expect("trained");
        let checked = trainer.evaluate_blocking(&model, &data, loss::mse).expect("evaluated");
        (values(&model), history, checked)
    };
    let by_step = {
        let (model, data) = (model(), data(0.0, false));
        let history = trainer(&model, 4).fit_with_blocking(&data, Some(&data), |batch, mode| {
            let gru: &wgru::nn::Gru = model.layer("gru")?;
            let run = gru.run(batch.x(), RunOptions { lengths: batch.lengths(), ..Default::default() }, mode)?;
            loss::mse(&model.layer::<Linear>("head")?.forward_with(&run.last_state()?, mode)?, batch.targets())
        });
        (values(&model), history.expect("trained"))
    };
    let (weights, history, checked) = by_module(0.0, false);
    // Adam divides by the size of the gradient, so small ones magnify roundings.
    assert_close("weights", &weights, &wide(&by_step.0), 1e-3);
    assert_close("losses", &history.loss, &wide(&by_step.1.loss), 1e-4);
    assert_close("validation", &history.validation, &wide(&by_step.1.validation), 1e-4);
    assert_close("evaluation", &[checked], &[history.validation[3].into()], 1e-5);
    assert_eq!(by_module(f32::NAN, false), (weights.clone(), history.clone(), checked), "padding may be NaN");
    let trimmed = by_module(f32::NAN, true);
    assert_close("weights of trimmed batches", &trimmed.0, &wide(&weights), 1e-3);
    assert_close("losses of trimmed batches", &trimmed.1.loss, &wide(&history.loss), 1e-4);
}

/// The loss of padded batches is the mean over all valid steps, each computed from its sequence alone.
fn losses_of_every_step_leave_padding_out(device: &Device) {
    let mut rng = Rng::new(5);
    let config = RecurrentConfig { batch_first: true, bidirectional: true, ..RecurrentConfig::gru(2, 4) };
    let model = Sequential::new()
        .push("gru", config.build(device, &mut rng).expect("gru"))
        .push("dropout", Dropout::new(0.5).expect("dropout"))
        .push("head", Linear::new(device, 8, 3, true, &mut rng).expect("linear"));
    let classes: Vec<u32> = (0..(LENGTHS.len() * STEPS) as u32).map(|i| i * 5 % 3).collect();
    let data = padded(device, f32::NAN).with_classes(classes.clone()).expect("classes").trimmed().expect("lengths");
    let mut trainer = trainer(&model, 1);
    trainer.options_mut().batch = LENGTHS.len();
    let got = trainer.evaluate_blocking(&model, &data, loss::cross_entropy).expect("evaluated");

    let (x, mut sum) = (inputs(f32::NAN), 0.0);
    for (b, length) in LENGTHS.into_iter().enumerate() {
        let x = &x[b * STEPS * 2..][..length * 2];
        let y = model.forward(&Tensor::from_slice(device, x, &[1, length, 2]).expect("x")).expect("forward");
        let target = Tensor::from_indices(device, &classes[b * STEPS..][..length], &[1, length]).expect("target");
        let mean = loss::cross_entropy(&y, &target).and_then(|loss| loss.item_blocking()).expect("loss");
        sum += f64::from(mean) * length as f64;
    }
    assert_close("loss", &[got], &[sum / LENGTHS.iter().sum::<usize>() as f64], 1e-5);

    let history = trainer.fit_blocking(&model, &data, None, loss::cross_entropy).expect("trained");
    assert!(history.loss[0].is_finite() && values(&model).iter().all(|v| v.is_finite()), "{history:?}");
}

/// Every sequence of a padded batch has the result that it has alone.
fn layers_give_each_sequence_its_own_result(device: &Device) {
    let mut rng = Rng::new(9);
    let recurrent = |rng: &mut Rng, config: RecurrentConfig| {
        RecurrentConfig { batch_first: true, ..config }.build(device, rng).expect("layer")
    };
    let mut models: Vec<(&str, Box<dyn Module>)> = Vec::new();
    models.push((
        "last step",
        Box::new(
            Sequential::new()
                .push("norm", LayerNorm::new(device, 2).expect("norm"))
                .push("lstm", recurrent(&mut rng, RecurrentConfig::lstm(2, 3)))
                .push("last", LastStep { batch_first: true })
                .push("tanh", Tanh),
        ),
    ));
    let reverse = RecurrentConfig { reverse: true, ..RecurrentConfig::gru(2, 3) };
    models.push((
        "reverse",
        Box::new(
            Sequential::new()
                .push("gru", recurrent(&mut rng, reverse))
                .push("last", LastState { batch_first: true, reverse: true, ..LastState::default() }),
        ),
    ));
    let config = MinGruConfig { input: 2, hidden: 3, batch_first: true, ..MinGruConfig::default() };
    models.push((
        "min_gru",
        Box::new(
            Sequential::new()
                .push("min_gru", config.build(device, &mut rng).expect("layer"))
                .push("pool", AttentionPool::new(device, 3, 2, &mut rng).expect("pool"))
                .push("head", Linear::new(device, 3, 2, true, &mut rng).expect("head")),
        ),
    ));
    let config =
        LayerNormGruConfig { input: 2, hidden: 3, batch_first: true, bidirectional: true, ..Default::default() };
    models.push((
        "layer_norm_gru",
        Box::new(
            Sequential::new()
                .push("gru", config.build(device, &mut rng).expect("layer"))
                .push("last", LastState { batch_first: true, bidirectional: true, ..LastState::default() }),
        ),
    ));
    let bidirectional = RecurrentConfig { bidirectional: true, ..RecurrentConfig::gru(2, 3) };
    models.push(("every step", Box::new(recurrent(&mut rng, bidirectional))));
    let x = inputs(0.5);
    let all = Tensor::from_slice(device, &x, &[LENGTHS.len(), STEPS, 2]).expect("x");
    for (name, model) in &models {
        let padded = model.forward_padded(&all, &LENGTHS, &mut Mode::Eval).expect("forward");
        let (y, is_rows) = match &padded {
            Padded::Steps(y) => (y, false),
            Padded::Rows(y) => (y, true),
        };
        assert_eq!(is_rows, *name != "every step", "{name}");
        let (y, width) = (y.read_blocking().expect("read"), y.len() / LENGTHS.len());
        for (b, length) in LENGTHS.into_iter().enumerate() {
            let x = Tensor::from_slice(device, &x[b * STEPS * 2..][..length * 2], &[1, length, 2]).expect("x");
            let want = model.forward(&x).and_then(|y| y.read_blocking()).expect("alone");
            assert_close(&format!("{name}, {b}"), &y[b * width..][..want.len()], &wide(&want), 1e-5);
        }
    }
    // Time first, and a sequence without steps.
    let x = Tensor::from_slice(device, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[3, 2, 1]).expect("x");
    for (is_reverse, want) in [(false, [5.0, 0.0]), (true, [1.0, 0.0])] {
        let last = LastState { reverse: is_reverse, ..LastState::default() };
        let Ok(Padded::Rows(y)) = last.forward_padded(&x, &[3, 0], &mut Mode::Eval) else { panic!("rows") };
        assert_eq!(y.read_blocking().expect("read"), want);
    }
    let Ok(Padded::Rows(y)) = (LastStep { batch_first: false }).forward_padded(&x, &[2, 1], &mut Mode::Eval) else {
        panic!("rows")
    };
    assert_eq!(y.read_blocking().expect("read"), [3.0, 2.0]);
    // Tokens.
    let table = Embedding::new(device, 4, 2, &mut rng).expect("embedding");
    let tokens = Tensor::from_indices(device, &[1, 2, 3, 0], &[2, 2]).expect("tokens");
    assert!(matches!(table.forward_padded(&tokens, &[2, 1], &mut Mode::Eval), Ok(Padded::Steps(_))));
}

fn valid_steps_have_the_gradient_of_their_own(device: &Device) {
    let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, f32::NAN, f32::NAN, f32::NAN, f32::NAN];
    let x = Tensor::from_slice(device, &x, &[2, 3, 2]).expect("x").requires_grad();
    let valid = loss::valid_steps(&x, Some(&[3, 1])).expect("valid");
    assert_eq!(valid.dims(), [4, 2]);
    assert_eq!(valid.read_blocking().expect("read"), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
    let target = Tensor::zeros(device, &[4, 2]).expect("target");
    loss::mse(&valid, &target).and_then(|loss| loss.backward()).expect("backward");
    let grad = x.grad().expect("gradient").read_blocking().expect("read");
    assert_close("gradient", &grad[..8], &[0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0], 1e-6);
    assert_eq!(grad[8..], [0.0; 4]);

    let classes = Tensor::from_indices(device, &[1, 2, 3, 4, 9, 9], &[2, 3]).expect("classes");
    let read = |lengths: Option<&[usize]>| {
        loss::valid_steps(&classes, lengths).and_then(|valid| valid.read_indices_blocking()).expect("read")
    };
    assert_eq!(read(Some(&[0, 2])), [4, 9]);
    assert_eq!(read(None), read(Some(&[3, 3])));
    for (lengths, words) in [(&[3][..], "[2]"), (&[4, 1], "0..=3"), (&[0, 0], "at least one step")] {
        let text = loss::valid_steps(&x, Some(lengths)).expect_err("refused").to_string();
        assert!(text.contains("valid_steps: lengths") && text.contains(words), "{text}");
    }
    assert!(loss::valid_steps(&target.sum().expect("sum"), None).is_err());
}

fn divergence_names_the_layer_in_spite_of_padding(device: &Device) {
    /// Divides by 0 at every step.
    struct Broken;
    impl Module for Broken {
        fn parameters(&self) -> Vec<(String, Tensor)> {
            Vec::new()
        }
        fn forward_with(&self, x: &Tensor, _: &mut Mode) -> Result<Tensor> {
            x.div(&Tensor::zeros(x.device(), x.dims())?)
        }
        fn forward_padded(&self, x: &Tensor, _: &[usize], mode: &mut Mode) -> Result<Padded> {
            self.forward_with(x, mode).map(Padded::Steps)
        }
    }
    let head = || Linear::new(device, 2, 1, true, &mut Rng::new(1)).expect("head");
    let targets = |data: HostData| {
        // Those of the padding are NaN, too.
        let mut targets = fill(3, LENGTHS.len() * STEPS, 1.0);
        targets.chunks_mut(STEPS).zip(LENGTHS).for_each(|(row, length)| row[length..].fill(f32::NAN));
        data.with_targets(targets, &[STEPS, 1]).expect("targets")
    };
    let data = targets(padded(device, f32::NAN));
    let fails = |model: Sequential| {
        let failed = trainer(&model, 1).fit_blocking(&model, &data, None, loss::mse).expect_err("diverged");
        assert!(matches!(failed, Error::Diverged { .. }), "{failed}");
        failed.to_string()
    };
    let text = fails(Sequential::new().push("first", Tanh).push("second", Broken).push("head", head()));
    assert!(text.contains("layer \"second\""), "{text}");
    let healthy = Sequential::new().push("head", head());
    trainer(&healthy, 2).fit_blocking(&healthy, &data, None, loss::mse).expect("padding does not matter");
}

#[test]
fn modules_and_targets_that_do_not_fit_lengths_are_refused() {
    let device = Device::cpu();
    let mut rng = Rng::new(1);
    let conv = Conv1dConfig { input: 2, output: 1, kernel: 3, ..Conv1dConfig::default() };
    let conv = conv.build(&device, &mut rng).expect("conv");
    let data = || padded(&device, 0.0).with_targets(fill(2, LENGTHS.len(), 1.0), &[1]).expect("targets");
    let refused = |model: &dyn Module, data: HostData| {
        trainer(model, 1).fit_blocking(model, &data, None, loss::mse).expect_err("refused").to_string()
    };
    let text = refused(&conv, data());
    assert!(["forward_padded", "lengths", "fit_with"].iter().all(|word| text.contains(word)), "{text}");
    // Of a reverse direction, the last step is the first one that was computed.
    let config = RecurrentConfig { batch_first: true, bidirectional: true, ..RecurrentConfig::gru(2, 1) };
    let gru = config.build(&device, &mut rng).expect("gru");
    let model = Sequential::new().push("gru", gru).push("last", LastStep { batch_first: true });
    assert!(refused(&model, data()).contains("LastState"));
    // A target for each sequence, but an output of every step.
    let linear = Linear::new(&device, 2, 1, true, &mut rng).expect("linear");
    let text = refused(&linear, data());
    assert!(["Trainer::fit: targets", "LastState", "[4, 7]"].iter().all(|word| text.contains(word)), "{text}");
    // A batch without any step.
    let empty = HostData::new(&device, vec![0.0; 8], &[2, 2]).and_then(|data| data.with_lengths(vec![0, 0]));
    let empty = empty.and_then(|data| data.with_targets(vec![0.0; 4], &[2, 1])).expect("data");
    assert!(refused(&linear, empty).contains("at least one step"));
}

/// Lengths of shuffled batches are those of their examples.
#[test]
fn lengths_travel_with_their_examples() {
    let device = Device::cpu();
    let data = padded(&device, 0.0);
    let batch: Batch = data.batch(&[4, 0, 8]).expect("batch");
    assert_eq!(batch.lengths(), Some(&[7, 3, 1][..]));
}
