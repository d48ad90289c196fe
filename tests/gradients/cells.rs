//! Every recurrent layer with every option: outputs, and gradients of `x`, the initial states and all parameters.

use wgru::nn::{HostInput, Mode, Module, Padding, RecurrentConfig, RecurrentOptions, RunOptions, run_f64};
use wgru::ops::recurrent::Plan;
use wgru::{Activation, Cell, Device, Rng, Tensor};

use crate::common::recurrent::{PLANS, states};
use crate::common::{assert_close, fill, relative_error, twin};
use crate::reference::recurrent::{Noise, Steps, factors, run};
use crate::reference::{differences, dot, wide};

/// Forward: up to ten consecutive cells in f32. Gradients: sums over fifteen steps. The central differences in f64 are
/// accurate to 1e-9.
const CPU: [f64; 2] = [1e-6, 3e-6];
/// A shader's `exp` is only accurate to a few ulp.
#[cfg(feature = "gpu")]
const GPU: [f64; 2] = [4e-6, 1e-5];

const STEPS: usize = 5;
const BATCH: usize = 3;
const SEED: u64 = 17;

/// Which optional descriptions of the steps a run gets.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Given {
    Nothing,
    Lengths,
    Mask,
    Resets,
    ResetsToFirst,
    All,
}

const GIVEN: [Given; 6] =
    [Given::Nothing, Given::Lengths, Given::Mask, Given::Resets, Given::ResetsToFirst, Given::All];

/// One row without a valid step, one full row, one short row.
const LENGTHS: [usize; BATCH] = [0, 5, 3];

/// `[T, B]`: a masked first step, gaps and a masked row; resets at the start, in gaps, and in adjacent steps.
fn flags() -> [Vec<bool>; 2] {
    let flag = |words: [&str; STEPS]| words.concat().chars().map(|c| c == '1').collect();
    [flag(["010", "110", "010", "000", "110"]), flag(["001", "010", "110", "110", "001"])]
}

/// `[T, B, width]` as `[B, T, width]`.
fn batch_first<T: Copy>(values: &[T]) -> Vec<T> {
    swapped(values, [STEPS, BATCH])
}

fn swapped<T: Copy>(values: &[T], [outer, inner]: [usize; 2]) -> Vec<T> {
    let width = values.len() / outer / inner;
    let row = |i: usize, o: usize| values[(o * inner + i) * width..][..width].to_vec();
    (0..inner).flat_map(|i| (0..outer).flat_map(move |o| row(i, o))).collect()
}

/// Returns the noise that a run with `rng` draws, in the order of the draws.
fn noise(config: &RecurrentConfig, rng: &mut Rng) -> Vec<Noise> {
    let o = &config.options;
    let mut fork = || [rng.next_u32(), rng.next_u32()];
    let mut layer = |index: usize| {
        let width = if index == 0 { config.input } else { config.directions() * config.out() };
        let mut input = vec![1.0; STEPS * BATCH * width];
        if index > 0 && config.dropout > 0.0 {
            input = factors(config.dropout, fork(), input.len());
        }
        if o.input_dropout > 0.0 {
            let mask = factors(o.input_dropout, fork(), BATCH * width);
            input.iter_mut().enumerate().for_each(|(i, v)| *v *= mask[i % mask.len()]);
        }
        let zone = (o.zoneout > 0.0 || o.zoneout_cell > 0.0).then(&mut fork);
        let recurrent = (o.recurrent_dropout > 0.0).then(&mut fork);
        let count = config.cell.gates() * config.hidden * config.out();
        let drops = if o.weight_dropout > 0.0 { config.directions() } else { 0 };
        let weights = (0..drops).map(|_| factors(o.weight_dropout, fork(), count)).collect();
        Noise { input, zone, recurrent, weights }
    };
    (0..config.layers).map(&mut layer).collect()
}

/// A layer, its input, and the reference's results.
struct Case {
    config: RecurrentConfig,
    given: Given,
    dys: [Vec<f32>; 3],
    values: Vec<Vec<f32>>,
    want: [Vec<f64>; 3],
    gradients: Vec<Vec<f64>>,
}

impl Case {
    /// `values` are x, h0, c0 and the parameters; learned initial states are the last parameters.
    fn new(config: &RecurrentConfig, given: Given) -> Self {
        let is_lstm = config.cell == Cell::Lstm;
        let learned = config.options.learn_h0;
        let batch = if learned { 1 } else { BATCH };
        let [h, c] = states(config, batch).map(|dims| dims.iter().product());
        let layer = config.clone().build(&twin(), &mut Rng::new(5)).expect("a legal configuration");
        let mut values = vec![fill(1, STEPS * BATCH * config.input, 1.0), fill(2, h, 0.9)];
        values.push(fill(3, if is_lstm { c } else { 0 }, 0.9));
        let own = layer.parameters();
        let first = if learned { 1 + is_lstm as usize } else { 0 };
        values.extend(own[..own.len() - first].iter().map(|(_, p)| p.read_blocking().expect("read")));

        let mut steps = Steps::all(STEPS, BATCH);
        let [mask, resets] = flags();
        if matches!(given, Given::Lengths | Given::All) {
            (0..STEPS * BATCH).for_each(|i| steps.valid[i] &= i / BATCH < LENGTHS[i % BATCH]);
        }
        if matches!(given, Given::Mask | Given::All) {
            (0..STEPS * BATCH).for_each(|i| steps.valid[i] &= mask[i]);
        }
        if matches!(given, Given::Resets | Given::ResetsToFirst | Given::All) {
            steps.resets = resets;
            steps.to_first = given != Given::Resets;
        }
        let noise = noise(config, &mut Rng::new(SEED));
        let repeated = |v: &[f64], width: usize| -> Vec<f64> {
            v.chunks(width).flat_map(|state| (0..BATCH / batch).flat_map(|_| state.to_vec())).collect()
        };
        let forward = |v: &[Vec<f64>]| {
            let h0 = if learned { repeated(&v[1], config.out()) } else { v[1].clone() };
            let c0 = if learned { repeated(&v[2], config.hidden) } else { v[2].clone() };
            run(config, &v[3..], &v[0], [&h0, &c0], &steps, &noise)
        };
        let inputs: Vec<Vec<f64>> = values.iter().map(|v| wide(v)).collect();
        let (y, h_n, c_n) = forward(&inputs);
        let dys = [fill(11, y.len(), 1.0), fill(12, h_n.len(), 1.0), fill(13, c_n.len(), 1.0)];
        let gradients = differences(&inputs, |moved| {
            let (y, h_n, c_n) = forward(moved);
            [y, h_n, c_n].iter().zip(&dys).map(|(v, dy)| dot(v, &wide(dy))).sum()
        });
        Self { config: config.clone(), given, dys, values, want: [y, h_n, c_n], gradients }
    }

    /// Runs the layer forward and backward and compares everything. Returns the worst errors.
    #[track_caller]
    fn check(&self, device: &Device, plan: Option<Plan>, [forward, backward]: [f64; 2]) -> [f64; 2] {
        let mut worst = [0.0f64; 2];
        let mut compare = |what: String, got: &[f32], want: &[f64], pass: usize| {
            assert_close(&what, got, want, [forward, backward][pass]);
            worst[pass] = worst[pass].max(relative_error(got, want));
        };
        let config = RecurrentConfig { plan, ..self.config.clone() };
        let what = format!("{:?} of {config:?} on {}", self.given, device.info().name);
        let is_lstm = config.cell == Cell::Lstm;
        let layer = config.clone().build(device, &mut Rng::new(5)).expect("a legal configuration");
        let learned = config.options.learn_h0;
        let mut parameters = layer.parameters();
        if learned {
            // The initial states come last in the layer's order, but first in ours.
            let first = parameters.split_off(parameters.len() - 1 - is_lstm as usize);
            for ((_, state), values) in first.iter().zip(&self.values[1..]) {
                state.assign(values).expect("assigned");
            }
            parameters.splice(0..0, first);
        }
        let tensor = |v: &[f32], dims: &[usize]| Tensor::from_slice(device, v, dims).expect("uploaded");
        let by_time = |v: &[f32], width: usize| match config.batch_first {
            true => tensor(&batch_first(v), &[BATCH, STEPS, width]),
            false => tensor(v, &[STEPS, BATCH, width]),
        };
        let flags = flags().map(|v| if config.batch_first { batch_first(&v) } else { v });
        let x = by_time(&self.values[0], config.input).requires_grad();
        let [h, c] = states(&config, BATCH);
        let given = |v: &[f32], dims: &[usize]| (!learned && !v.is_empty()).then(|| tensor(v, dims).requires_grad());
        let (h0, c0) = (given(&self.values[1], &h), given(&self.values[2], &c));
        let input = RunOptions {
            h0: h0.as_ref(),
            c0: c0.as_ref(),
            lengths: matches!(self.given, Given::Lengths | Given::All).then_some(&LENGTHS[..]),
            mask: matches!(self.given, Given::Mask | Given::All).then_some(&flags[0][..]),
            resets: matches!(self.given, Given::Resets | Given::ResetsToFirst | Given::All).then_some(&flags[1][..]),
            reset_to_h0: matches!(self.given, Given::ResetsToFirst | Given::All),
            gates: false,
        };
        let ran = layer.run(&x, input, &mut Mode::Train(&mut Rng::new(SEED))).expect("run");
        let read = |t: &Tensor| t.read_blocking().expect("read");
        let back = |v: Vec<f32>| if config.batch_first { swapped(&v, [BATCH, STEPS]) } else { v };
        compare(format!("output: {what}"), &back(read(&ran.output)), &self.want[0], 0);
        compare(format!("h_n: {what}"), &read(&ran.h_n), &self.want[1], 0);
        let mut loss = ran.output.mul(&by_time(&self.dys[0], config.directions() * config.out())).and_then(|v| v.sum());
        let states = [(Some(&ran.h_n), &h), (ran.c_n.as_ref(), &c)];
        for ((state, dims), dy) in states.into_iter().zip(&self.dys[1..]) {
            let Some(state) = state else { continue };
            let part = state.mul(&tensor(dy, dims)).and_then(|v| v.sum()).expect("a part of the loss");
            loss = loss.and_then(|loss| loss.add(&part));
        }
        if let Some(c_n) = &ran.c_n {
            compare(format!("c_n: {what}"), &read(c_n), &self.want[2], 0);
        }
        loss.and_then(|loss| loss.backward()).expect("backward");

        let mut leaves = vec![("x".to_string(), x.clone())];
        leaves.extend(h0.map(|h0| ("h0".to_string(), h0)));
        leaves.extend(c0.map(|c0| ("c0".to_string(), c0)));
        leaves.extend(parameters);
        let wanted = self.gradients.iter().filter(|g| !g.is_empty());
        assert_eq!(leaves.len(), wanted.clone().count(), "{what}: leaves");
        for (i, ((name, leaf), want)) in leaves.iter().zip(wanted).enumerate() {
            let grad = read(&leaf.grad().unwrap_or_else(|| panic!("{name} has no gradient: {what}")));
            let grad = if i == 0 { back(grad) } else { grad };
            // The cotangents are of order 1, so a much smaller gradient is the result of cancellation.
            let (grad, want) = (with_floor(&grad), with_floor(want));
            compare(format!("gradient of {name}: {what}"), &grad, &want, 1);
        }
        worst
    }

    /// Checks the library's own f64 run of a layer without noise.
    #[track_caller]
    fn check_oracle(&self) {
        let config = &self.config;
        let layer = config.clone().build(&Device::cpu(), &mut Rng::new(5)).expect("a legal configuration");
        let by_time = |v: Vec<f32>| if config.batch_first { batch_first(&v) } else { v };
        let [mask, resets] = flags().map(|v| if config.batch_first { batch_first(&v) } else { v });
        let given = self.given;
        let input = HostInput {
            x: by_time(self.values[0].clone()),
            dims: if config.batch_first { [BATCH, STEPS, config.input] } else { [STEPS, BATCH, config.input] },
            h0: Some(self.values[1].clone()),
            c0: (config.cell == Cell::Lstm).then(|| self.values[2].clone()),
            lengths: matches!(given, Given::Lengths | Given::All).then(|| LENGTHS.to_vec()),
            mask: matches!(given, Given::Mask | Given::All).then_some(mask),
            resets: matches!(given, Given::Resets | Given::ResetsToFirst | Given::All).then_some(resets),
            reset_to_h0: matches!(given, Given::ResetsToFirst | Given::All),
        };
        let ran = pollster::block_on(run_f64(&layer, &input)).expect("run");
        let output = if config.batch_first { swapped(&ran.output, [BATCH, STEPS]) } else { ran.output };
        for (got, want) in [output, ran.h_n, ran.c_n].iter().zip(&self.want) {
            assert_eq!(got.len(), want.len());
            assert!(got.iter().zip(want).all(|(a, b)| (a - b).abs() <= 1e-13), "{given:?} of {config:?}");
        }
    }
}

/// Appends 0.1 to the values, so that errors are relative to at least 0.1.
fn with_floor<T: Copy + From<f32>>(values: &[T]) -> Vec<T> {
    values.iter().copied().chain([T::from(0.1)]).collect()
}

fn note(worst: &mut [f64; 2], errors: [f64; 2]) {
    worst.iter_mut().zip(errors).for_each(|(worst, error)| *worst = worst.max(error));
}

/// Checks both CPU paths, and the fused plans where they apply. Returns the worst errors.
#[track_caller]
fn check(config: &RecurrentConfig, given: Given) -> [f64; 2] {
    let case = Case::new(config, given);
    let mut runs = vec![(Device::cpu(), None), (twin(), Some(Plan::Steps))];
    let layer = config.clone().build(&twin(), &mut Rng::new(0)).expect("a legal configuration");
    if layer.plan() != Plan::Steps {
        let fused = PLANS.iter().filter(|plan| **plan != Plan::Steps);
        runs.extend(fused.map(|plan| (twin(), Some(*plan))));
        runs.push((Device::cpu(), Some(Plan::Steps)));
    }
    let mut worst = [0.0; 2];
    runs.iter().for_each(|(device, plan)| note(&mut worst, case.check(device, *plan, CPU)));
    worst
}

fn directed(config: &RecurrentConfig) -> [RecurrentConfig; 3] {
    [
        config.clone(),
        RecurrentConfig { reverse: true, ..config.clone() },
        RecurrentConfig { bidirectional: true, ..config.clone() },
    ]
}

/// A small layer with all weights of its cell: the LSTM's projection narrower than its cell state.
fn full(cell: Cell) -> RecurrentConfig {
    let plain = RecurrentConfig::new(cell, 2, 3);
    if cell == Cell::Lstm { RecurrentConfig { projection: 2, peephole: true, ..plain } } else { plain }
}

#[test]
fn gradients_match_differences_in_every_structure() {
    let (mut count, mut worst) = (0, [0.0; 2]);
    for cell in Cell::ALL {
        for config in directed(&RecurrentConfig::new(cell, 2, 3)) {
            for (layers, bias, batch_first) in [(1, true, false), (2, true, true), (2, false, false)] {
                for given in GIVEN {
                    note(&mut worst, check(&RecurrentConfig { layers, bias, batch_first, ..config.clone() }, given));
                    count += 1;
                }
            }
        }
    }
    assert_eq!(count, 5 * 3 * 3 * 6);
    println!("worst errors: outputs {:.2e}, gradients {:.2e}", worst[0], worst[1]);
}

#[test]
fn lstm_gradients_match_with_projection_peepholes_and_coupled_gates() {
    for (projection, peephole, input_forget) in
        [(2, false, false), (0, true, false), (0, false, true), (5, true, false), (0, true, true), (2, true, true)]
    {
        let config = RecurrentConfig { projection, peephole, input_forget, ..RecurrentConfig::lstm(2, 3) };
        for config in directed(&config) {
            for (layers, given) in [(1, Given::Nothing), (2, Given::All), (1, Given::Lengths)] {
                check(&RecurrentConfig { layers, ..config.clone() }, given);
            }
        }
    }
}

const ACTIVATIONS: [Activation; 11] = [
    Activation::Sigmoid,
    Activation::Tanh,
    Activation::Relu,
    Activation::Affine { alpha: 0.7, beta: -0.2 },
    Activation::LeakyRelu { alpha: 0.1 },
    Activation::ThresholdedRelu { alpha: 0.2 },
    Activation::ScaledTanh { alpha: 1.3, beta: 0.8 },
    Activation::HardSigmoid { alpha: 0.9, beta: 0.5 },
    Activation::Elu { alpha: 0.9 },
    Activation::Softsign,
    Activation::Softplus,
];

#[test]
fn gradients_match_with_every_activation_in_every_place() {
    for cell in Cell::ALL {
        for place in 0..cell.activations().len() {
            for activation in ACTIVATIONS {
                let mut activations = cell.activations().to_vec();
                activations[place] = activation;
                let clip = (place == 0).then_some(0.6);
                let options = RecurrentOptions { clip, ..Default::default() };
                check(&RecurrentConfig { activations, options, ..full(cell) }, Given::Nothing);
            }
        }
    }
}

/// The options without noise, then each kind of noise alone and all together.
fn options() -> Vec<RecurrentOptions> {
    let none = RecurrentOptions::default();
    let repeat = RecurrentOptions { padding: Padding::RepeatLast, ..none };
    vec![
        RecurrentOptions { clip: Some(0.4), ..none },
        repeat,
        RecurrentOptions { learn_h0: true, ..none },
        RecurrentOptions { input_dropout: 0.3, ..none },
        RecurrentOptions { recurrent_dropout: 0.4, ..none },
        RecurrentOptions { zoneout: 0.3, ..none },
        RecurrentOptions { weight_dropout: 0.3, ..none },
        RecurrentOptions {
            clip: Some(0.8),
            input_dropout: 0.2,
            recurrent_dropout: 0.3,
            zoneout: 0.2,
            weight_dropout: 0.2,
            learn_h0: true,
            ..repeat
        },
    ]
}

/// The options, including those that only an LSTM has.
fn options_of(cell: Cell) -> Vec<RecurrentOptions> {
    let mut all = options();
    if cell == Cell::Lstm {
        all.push(RecurrentOptions { zoneout_cell: 0.4, ..Default::default() });
        let last = all[7];
        all.push(RecurrentOptions { zoneout_cell: 0.3, ..last });
    }
    all
}

#[test]
fn gradients_match_with_every_option_and_the_noise_of_the_forward_pass() {
    let mut worst = [0.0; 2];
    for cell in Cell::ALL {
        for options in options_of(cell) {
            for config in directed(&RecurrentConfig { options, ..full(cell) }) {
                note(&mut worst, check(&config, Given::Nothing));
                note(&mut worst, check(&config, Given::Resets));
                note(&mut worst, check(&RecurrentConfig { layers: 2, dropout: 0.25, ..config }, Given::All));
            }
        }
    }
    println!("worst errors: outputs {:.2e}, gradients {:.2e}", worst[0], worst[1]);
}

#[test]
#[cfg(feature = "gpu")]
fn gradients_match_differences_on_the_gpu() {
    let Some(device) = crate::common::gpu() else {
        eprintln!("SKIPPED gradients of the recurrent family on the GPU: no adapter");
        return;
    };
    let mut worst = [0.0; 2];
    for cell in Cell::ALL {
        for options in options_of(cell) {
            let config = RecurrentConfig { options, bidirectional: true, ..full(cell) };
            note(&mut worst, Case::new(&config, Given::All).check(&device, None, GPU));
        }
        for (reverse, given) in [(false, Given::ResetsToFirst), (true, Given::Mask), (true, Given::All)] {
            let case = Case::new(&RecurrentConfig { reverse, layers: 2, ..RecurrentConfig::new(cell, 2, 3) }, given);
            PLANS.iter().for_each(|&plan| note(&mut worst, case.check(&device, Some(plan), GPU)));
        }
    }
    println!("worst errors on the GPU: outputs {:.2e}, gradients {:.2e}", worst[0], worst[1]);
}

#[test]
fn gradients_match_with_recomputed_gates() {
    let options = RecurrentOptions { recompute: true, clip: Some(0.8), learn_h0: true, ..Default::default() };
    for cell in Cell::ALL {
        for config in directed(&RecurrentConfig { options, ..full(cell) }) {
            for given in [Given::Nothing, Given::Lengths, Given::Mask, Given::Resets] {
                check(&RecurrentConfig { layers: 2, ..config.clone() }, given);
            }
        }
    }
}

#[test]
fn the_library_in_f64_matches_the_equations() {
    let quiet = options().into_iter().filter(|o| o.clip.is_some() != (o.padding == Padding::RepeatLast));
    let quiet: Vec<RecurrentOptions> = quiet.filter(|o| !o.learn_h0).chain([RecurrentOptions::default()]).collect();
    assert_eq!(quiet.len(), 3);
    for cell in Cell::ALL {
        for given in GIVEN {
            for options in &quiet {
                let config =
                    RecurrentConfig { options: *options, layers: 2, batch_first: given == Given::All, ..full(cell) };
                directed(&config).iter().for_each(|config| Case::new(config, given).check_oracle());
            }
        }
        #[cfg(panic = "unwind")]
        {
            let zoned = RecurrentOptions { zoneout: 0.3, ..Default::default() };
            let case = Case::new(&RecurrentConfig { options: zoned, ..full(cell) }, Given::Mask);
            assert!(std::panic::catch_unwind(|| case.check_oracle()).is_err(), "random zoneout passes as its mean");
        }
    }
}

/// Negative control: a layer with one option does not match the reference for another.
#[test]
#[cfg(panic = "unwind")]
fn different_options_are_rejected() {
    let device = Device::cpu();
    for cell in Cell::ALL {
        let configs: Vec<RecurrentConfig> =
            options_of(cell).into_iter().map(|options| RecurrentConfig { options, ..full(cell) }).collect();
        for (i, config) in configs.iter().enumerate() {
            let mut case = Case::new(config, Given::Mask);
            case.check(&device, None, CPU);
            let other = &configs[(i + 1) % configs.len()];
            case.config.options = RecurrentOptions { learn_h0: config.options.learn_h0, ..other.options };
            let check = std::panic::AssertUnwindSafe(|| case.check(&device, None, [1e-4, 1e-4]));
            assert!(std::panic::catch_unwind(check).is_err(), "{:?} and {:?} agree", config.options, other.options);
        }
    }
}
