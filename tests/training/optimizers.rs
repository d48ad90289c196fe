//! RMSprop, parameter groups, frozen parameters, moving averages, and rates over time.

use wgru::nn::{LastStep, Linear, Mode, Module, RecurrentConfig, Sequential, set_requires_grad};
use wgru::train::{
    AdamConfig, AdamWConfig, Ema, HostData, Method, Optimizer, ParameterGroup, ReduceLrOnPlateau, RmsPropConfig,
    Schedule, SgdConfig, TrainOptions, Trainer, loss,
};
use wgru::{Device, Error, Result, Rng, Tensor};

use crate::common::{assert_close, fill};
use crate::on_every_backend;

on_every_backend![
    rmsprop_matches_pytorch_s_formula,
    the_defaults_are_those_of_pytorch,
    groups_have_their_own_rate_and_decay,
    frozen_parameters_do_not_change,
    averages_match_their_formula,
];

fn weight(device: &Device, values: &[f32]) -> Tensor {
    Tensor::from_slice(device, values, &[values.len()]).expect("tensor").requires_grad()
}

fn read(tensor: &Tensor) -> Vec<f32> {
    tensor.read_blocking().expect("read")
}

/// `torch.optim.RMSprop`: `g += λ·w; s = α·s + (1 − α)·g²; w −= lr·g / (√s + ε)`, here with the gradient of `Σ w²·c`.
fn rmsprop_matches_pytorch_s_formula(device: &Device) {
    let (start, slopes) = (fill(1, 7, 1.0), fill(2, 7, 3.0));
    let config = RmsPropConfig { alpha: 0.9, eps: 1e-3, weight_decay: 0.05 };
    let w = weight(device, &start);
    let c = Tensor::from_slice(device, &slopes, &[7]).expect("tensor");
    let mut optimizer =
        Optimizer::new(vec![("w".into(), w.clone())], Method::RmsProp(config), 0.02).expect("optimizer");
    let (mut want, mut square) = (start.iter().map(|&v| f64::from(v)).collect::<Vec<_>>(), [0.0; 7]);
    for _ in 0..10 {
        optimizer.zero_grad();
        w.square().and_then(|s| s.mul(&c)?.sum()?.backward()).expect("backward");
        optimizer.step().expect("step");
        for ((w, s), &c) in want.iter_mut().zip(&mut square).zip(&slopes) {
            let g = 2.0 * *w * f64::from(c) + 0.05 * *w;
            *s = 0.9 * *s + 0.1 * g * g;
            *w -= 0.02 * g / (s.sqrt() + 1e-3);
        }
    }
    assert_close("RMSprop", &read(&w), &want, 3e-6);
    for bad in [RmsPropConfig { alpha: 1.0, ..config }, RmsPropConfig { eps: -1.0, ..config }] {
        assert!(Optimizer::new(vec![("w".into(), w.clone())], Method::RmsProp(bad), 0.1).is_err(), "{bad:?}");
    }
}

/// AdamW has the weight decay of `torch.optim.AdamW`, 0.01, and Adam none.
fn the_defaults_are_those_of_pytorch(device: &Device) {
    // Without a gradient, only the decay moves the weights.
    let moved = |make: fn(Vec<(String, Tensor)>, f64) -> Result<Optimizer>| {
        let w = weight(device, &[1.0, -2.0]);
        let mut optimizer = make(vec![("w".into(), w.clone())], 0.5).expect("optimizer");
        w.scale(0.0).and_then(|x| x.sum()?.backward()).expect("backward");
        optimizer.step().expect("step");
        read(&w)
    };
    assert_eq!(moved(Optimizer::adam), [1.0, -2.0]);
    for make in [Optimizer::adamw, |w, rate| Optimizer::new(w, Method::AdamW(Default::default()), rate)] {
        assert_close("decayed", &moved(make), &[0.995, -1.99], 1e-6);
    }
}

fn groups_have_their_own_rate_and_decay(device: &Device) {
    let adam = AdamConfig { weight_decay: 0.5, ..AdamConfig::default() };
    let adamw = AdamWConfig { weight_decay: 0.5, ..AdamWConfig::default() };
    let sgd = SgdConfig { weight_decay: 0.5, ..SgdConfig::default() };
    let rms = RmsPropConfig { weight_decay: 0.5, ..RmsPropConfig::default() };
    for method in [Method::Sgd(sgd), Method::AdamW(adamw), Method::Adam(adam), Method::RmsProp(rms)] {
        // Each parameter of one optimizer with groups moves as in an optimizer of its own.
        let run = |optimizer: &mut Optimizer, parameters: &[&Tensor]| {
            for _ in 0..3 {
                optimizer.zero_grad();
                parameters.iter().for_each(|w| w.square().and_then(|s| s.sum()?.backward()).expect("backward"));
                optimizer.step().expect("step");
            }
        };
        let [a, b, c] = [1.0, 2.0, 3.0].map(|v| weight(device, &[v, -v]));
        let named = [("body.weight", &a), ("body.bias", &b), ("head.weight", &c)];
        let list = named.map(|(name, w)| (name.to_string(), w.clone())).to_vec();
        let mut optimizer = Optimizer::new(list, method, 0.1).expect("optimizer");
        let no_decay = ParameterGroup { weight_decay: Some(0.0), ..ParameterGroup::default() };
        assert_eq!(optimizer.set_group(no_decay, |name| name.ends_with("bias")).expect("group"), 1);
        let slow = ParameterGroup { rate_scale: 0.25, ..ParameterGroup::default() };
        assert_eq!(optimizer.set_group(slow, |name| name.starts_with("head")).expect("group"), 1);
        run(&mut optimizer, &[&a, &b, &c]);
        let without = match method {
            Method::Sgd(c) => Method::Sgd(SgdConfig { weight_decay: 0.0, ..c }),
            Method::RmsProp(c) => Method::RmsProp(RmsPropConfig { weight_decay: 0.0, ..c }),
            Method::Adam(c) => Method::Adam(AdamConfig { weight_decay: 0.0, ..c }),
            Method::AdamW(c) => Method::AdamW(AdamWConfig { weight_decay: 0.0, ..c }),
        };
        for (got, start, method, rate) in [(&a, 1.0, method, 0.1), (&b, 2.0, without, 0.1), (&c, 3.0, method, 0.025)] {
            let alone = weight(device, &[start, -start]);
            let mut optimizer = Optimizer::new(vec![("w".into(), alone.clone())], method, rate).expect("optimizer");
            run(&mut optimizer, &[&alone]);
            assert_eq!(read(got), read(&alone), "{method:?} at {rate}");
        }
        let text = optimizer.set_group(slow, |name| name == "tail").expect_err("refused").to_string();
        assert!(text.contains("set_group") && text.contains("head.weight"), "{text}");
        let bad = ParameterGroup { rate_scale: f64::NAN, ..ParameterGroup::default() };
        assert!(optimizer.set_group(bad, |_| true).is_err());
    }
}

fn model(device: &Device) -> Sequential {
    let mut rng = Rng::new(5);
    let config = RecurrentConfig { batch_first: true, ..RecurrentConfig::gru(2, 4) };
    Sequential::new()
        .push("gru", config.build(device, &mut rng).expect("gru"))
        .push("last", LastStep { batch_first: true })
        .push("head", Linear::new(device, 4, 1, true, &mut rng).expect("linear"))
}

fn data(device: &Device) -> HostData {
    let data = HostData::new(device, fill(6, 24 * 5 * 2, 1.0), &[5, 2]).expect("data");
    data.with_targets(fill(7, 24, 1.0), &[1]).expect("targets")
}

fn values(model: &dyn Module, part: &str) -> Vec<f32> {
    model.parameters().iter().filter(|(name, _)| name.starts_with(part)).flat_map(|(_, p)| read(p)).collect()
}

fn frozen_parameters_do_not_change(device: &Device) {
    let (model, data) = (model(device), data(device));
    let gru: Vec<Tensor> =
        model.parameters().into_iter().filter(|(name, _)| name.starts_with("gru")).map(|(_, p)| p).collect();
    gru.iter().for_each(|p| p.set_requires_grad(false));
    assert!(gru.iter().all(|p| !p.is_tracked()));
    let (body, head) = (values(&model, "gru"), values(&model, "head"));
    // Decoupled weight decay would move them without a gradient.
    let method = Method::AdamW(AdamWConfig { weight_decay: 0.1, ..AdamWConfig::default() });
    let optimizer = Optimizer::new(model.parameters(), method, 0.05).expect("optimizer");
    let options = TrainOptions { epochs: 2, batch: 8, ..TrainOptions::default() };
    let mut trainer = Trainer::new(optimizer, options, Rng::new(1));
    trainer.fit_blocking(&model, &data, None, loss::mse).expect("fit");
    assert_eq!(values(&model, "gru"), body);
    assert_ne!(values(&model, "head"), head);
    assert!(gru.iter().all(|p| p.grad().is_none()));
    // Thawed, they learn; frozen as a whole, nothing can be learned.
    set_requires_grad(&model, true);
    trainer.options_mut().epochs = 3;
    trainer.fit_blocking(&model, &data, None, loss::mse).expect("fit");
    assert_ne!(values(&model, "gru"), body);
    set_requires_grad(&model, false);
    trainer.options_mut().epochs = 4;
    let text = trainer.fit_blocking(&model, &data, None, loss::mse).expect_err("refused").to_string();
    assert!(text.contains("frozen"), "{text}");
}

#[test]
fn freezing_after_the_forward_pass_keeps_the_gradient_away() {
    let w = weight(&Device::cpu(), &[2.0]);
    let y = w.square().and_then(|y| y.sum()).expect("forward");
    w.set_requires_grad(false);
    y.backward().expect("backward");
    assert!(w.grad().is_none());
    assert!(!w.square().expect("forward").is_tracked() && w.backward().is_err());
    w.clone().set_requires_grad(true);
    w.square().and_then(|y| y.sum()?.backward()).expect("backward");
    assert_eq!(read(&w.grad().expect("gradient")), [4.0]);
}

fn averages_match_their_formula(device: &Device) {
    let w = weight(device, &[1.0, -2.0]);
    let list = vec![("a".to_string(), w.clone()), ("b".to_string(), w.clone())];
    let mut ema = Ema::new(&list, 0.3).expect("averages");
    let mut want = [1.0, -2.0];
    for n in 0..6 {
        let next = [n as f32, 3.0 - n as f32];
        w.assign(&next).expect("assigned");
        ema.update().expect("updated");
        let decay = 0.3f64.min((1.0 + f64::from(n)) / (10.0 + f64::from(n)));
        want = [0, 1].map(|i: usize| decay * want[i] + (1.0 - decay) * f64::from(next[i]));
    }
    let averages = ema.averages();
    assert_eq!(averages.len(), 1, "tied parameters have one average");
    assert_close("averages", &read(&averages[0].1), &want, 1e-6);
    let (average, value) = (read(&averages[0].1), read(&w));
    ema.swap().expect("swapped");
    assert_eq!((read(&w), read(&ema.averages()[0].1)), (average, value.clone()));
    ema.swap().expect("swapped");
    assert_eq!(read(&w), value);
    for decay in [1.0, -0.1, f32::NAN] {
        assert!(Ema::new(&list, decay).is_err(), "{decay}");
    }
}

/// Runs a trainer and returns the rate of every update, and the history's last losses.
fn rates(options: TrainOptions, losses: Option<Vec<f32>>) -> Result<Vec<f64>> {
    let device = Device::cpu();
    let (model, data) = (model(&device), data(&device));
    let mut trainer = Trainer::new(Optimizer::adam(model.parameters(), 0.01)?, options, Rng::new(1));
    let validation = losses.is_some().then_some(&data as &dyn wgru::train::Data);
    // In evaluation mode, the loss is the next one of the list.
    let mut next = losses.into_iter().flatten().collect::<std::collections::VecDeque<f32>>();
    let mut training = trainer.start_with(&data, validation, |batch, mode: &mut Mode| {
        let value = loss::mse(&model.forward_with(batch.x(), mode)?, batch.targets())?;
        match mode {
            Mode::Eval => Tensor::full(value.device(), next.pop_front().expect("a loss"), &[]),
            Mode::Train(_) => Ok(value),
        }
    })?;
    let mut rates = Vec::new();
    while let Some(progress) = training.next_blocking()? {
        rates.push(progress.rate);
    }
    Ok(rates)
}

#[test]
fn warm_up_comes_before_the_schedule() {
    let schedule = Schedule::custom(|base, step| base / (1.0 + step as f64));
    let options = TrainOptions { epochs: 2, batch: 8, warmup: 4, schedule, ..TrainOptions::default() };
    let want = [0.25, 0.5, 0.75, 1.0, 1.0, 0.5].map(|factor| 0.01 * factor);
    assert_eq!(rates(options, None).expect("fit"), want);
    let options = TrainOptions { schedule: Schedule::custom(|_, _| -1.0), ..TrainOptions::default() };
    assert!(matches!(rates(options, None), Err(Error::Value { arg: "rate", .. })));
    assert_eq!(format!("{:?}", Schedule::custom(|base, _| base)), "Custom(CustomSchedule(..))");
    let custom = Schedule::custom(|base, _| base);
    assert!(custom == custom.clone() && custom != Schedule::custom(|base, _| base));
}

/// The rates that `torch.optim.lr_scheduler.ReduceLROnPlateau` gives for these losses.
#[test]
fn a_plateau_lowers_the_rate() {
    let plateau = ReduceLrOnPlateau { factor: 0.5, patience: 1, cooldown: 1, min_lr: 0.002, ..Default::default() };
    let options = TrainOptions { epochs: 12, batch: 24, plateau: Some(plateau), ..TrainOptions::default() };
    // Two bad epochs halve the rate; the next one does not count; 0.99995 is not better than 1 by the threshold.
    let losses = vec![1.0, 0.99995, 1.1, 1.2, 1.2, 1.2, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9];
    let want = [1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.2, 0.2, 0.2].map(|factor| 0.01 * factor);
    let got = rates(options, Some(losses)).expect("fit");
    assert!(got.iter().zip(want).all(|(got, want)| (got - want).abs() <= 1e-12), "{got:?}, not {want:?}");
    for (plateau, word) in [
        (ReduceLrOnPlateau { factor: 1.0, ..Default::default() }, "factor"),
        (ReduceLrOnPlateau { threshold: f64::NAN, ..Default::default() }, "threshold"),
        (ReduceLrOnPlateau { min_lr: -1.0, ..Default::default() }, "min_lr"),
    ] {
        let options = TrainOptions { plateau: Some(plateau), ..TrainOptions::default() };
        let text = rates(options, None).expect_err("refused").to_string();
        assert!(text.contains(word), "{text}");
    }
}
