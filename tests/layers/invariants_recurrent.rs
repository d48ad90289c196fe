//! Invariants of every recurrent layer with any options, on random layers: carried state, permuted batch, one row,
//! reversed time, two directions, resets, masked steps, lengths.

use proptest::prelude::*;
use wgru::nn::{Mode, Module, Padding, Recurrent, RecurrentConfig, RecurrentOptions, RecurrentOutput, RunOptions};
use wgru::{Activation, Cell, Device, Rng, Tensor};

use crate::common::assert_close;
use crate::common::recurrent::{PLANS, states};

/// A row in a different batch takes a different path through the SIMD code: a few ulp per step.
const COMPANY: f64 = 2e-6;

#[derive(Clone, Debug)]
struct Shape {
    config: RecurrentConfig,
    steps: usize,
    batch: usize,
    seed: u64,
}

/// Without a clip, a state that overflows becomes infinite instead of the largest finite number.
#[test]
fn a_layer_without_a_clip_overflows_to_infinity() {
    let reference = wgru::CpuOptions { reference: true, ..Default::default() };
    let devices = [Some(Device::cpu()), Device::cpu_with(reference).ok(), crate::common::gpu()];
    for device in devices.into_iter().flatten() {
        let rnn = RecurrentConfig::new(Cell::RnnRelu, 1, 2).build(&device, &mut Rng::new(0)).expect("rnn");
        for (_, parameter) in rnn.parameters() {
            parameter.assign(&vec![10.0; parameter.len()]).expect("assign");
        }
        let x = Tensor::from_slice(&device, &[3e38, 0.0], &[2, 1, 1]).expect("x");
        let y = rnn.forward(&x).and_then(|y| y.read_blocking()).expect("run");
        assert_eq!(y, [f32::INFINITY; 4], "{}", device.info().name);
    }
}

/// The usual activations with one of them replaced, or the usual ones alone for a number of 9 or more.
fn activations(cell: Cell, number: usize) -> Vec<Activation> {
    let other = [
        Activation::HardSigmoid { alpha: 0.2, beta: 0.5 },
        Activation::Softsign,
        Activation::ScaledTanh { alpha: 0.9, beta: 0.7 },
    ];
    let mut all = cell.activations().to_vec();
    match (all.get_mut(number % 3), other.get(number / 3)) {
        (Some(place), Some(other)) => *place = *other,
        _ => all.clear(),
    }
    all
}

fn shapes() -> impl Strategy<Value = Shape> {
    let sizes = (1..5usize, 1..24usize, 1..3usize, 2..8usize, 2..7usize);
    let choices = (0..Cell::ALL.len(), 0..18usize, 0..4usize, 0..4usize);
    (sizes, choices, any::<[bool; 8]>(), any::<u64>()).prop_map(|(sizes, (cell, gates, plan, noise), flags, seed)| {
        let (input, hidden, layers, steps, batch) = sizes;
        let [bias, bidirectional, reverse, peephole, input_forget, repeat, projects, clips] = flags;
        let cell = Cell::ALL[cell];
        let is_lstm = cell == Cell::Lstm;
        let options = RecurrentOptions {
            clip: clips.then_some(0.7),
            padding: if repeat { Padding::RepeatLast } else { Padding::Zero },
            zoneout: if noise == 1 { 0.2 } else { 0.0 },
            zoneout_cell: if noise == 2 && is_lstm { 0.3 } else { 0.0 },
            ..Default::default()
        };
        let mut config = RecurrentConfig {
            projection: if projects && is_lstm { 1 + hidden / 2 } else { 0 },
            layers,
            bias,
            bidirectional,
            reverse: reverse && !bidirectional,
            peephole: peephole && is_lstm,
            input_forget: input_forget && is_lstm,
            activations: activations(cell, gates),
            options,
            ..RecurrentConfig::new(cell, input, hidden)
        };
        if plan > 0 {
            // A layer without options, which two or three plans can run.
            (config.projection, config.peephole, config.input_forget) = (0, false, false);
            config.activations.clear();
            config.options = RecurrentOptions { padding: options.padding, ..Default::default() };
            config.plan = Some(PLANS[(plan - 1) % PLANS.len()]);
        }
        Shape { config, steps, batch, seed }
    })
}

/// A layer with its data: `x` `[T, B, I]`, initial states, and flags per step.
struct Setup {
    device: Device,
    layer: Recurrent,
    x: Tensor,
    h0: Tensor,
    c0: Option<Tensor>,
    mask: Vec<bool>,
    resets: Vec<bool>,
}

fn setup(device: &Device, s: &Shape) -> Setup {
    let mut rng = Rng::new(s.seed);
    let layer = s.config.clone().build(device, &mut rng).expect("layer");
    let mut tensor = |dims: &[usize]| {
        let values: Vec<f32> = (0..dims.iter().product()).map(|_| rng.uniform(-1.0, 1.0)).collect();
        Tensor::from_slice(device, &values, dims).expect("tensor")
    };
    let x = tensor(&[s.steps, s.batch, s.config.input]);
    let [h, c] = states(&s.config, s.batch);
    let (h0, c0) = (tensor(&h), tensor(&c));
    let mut flags = |share: f32| (0..s.steps * s.batch).map(|_| rng.uniform(0.0, 1.0) < share).collect();
    let (mask, resets) = (flags(0.7), flags(0.3));
    Setup { device: device.clone(), layer, x, h0, c0: (s.config.cell == Cell::Lstm).then_some(c0), mask, resets }
}

impl Setup {
    fn run(&self, x: &Tensor, states: (&Tensor, Option<&Tensor>), input: RunOptions) -> RecurrentOutput {
        let input = RunOptions { h0: Some(states.0), c0: states.1, ..input };
        self.layer.run(x, input, &mut Mode::Eval).expect("run")
    }

    fn states(&self) -> (&Tensor, Option<&Tensor>) {
        (&self.h0, self.c0.as_ref())
    }

    /// The initial states, scaled by each direction's factor.
    fn scaled(&self, s: &Shape, factors: [f32; 2], rows: &[usize]) -> (Tensor, Option<Tensor>) {
        let all = s.config.layers * s.config.directions();
        let values: Vec<f32> = (0..all).map(|i| factors[i % s.config.directions()]).collect();
        let factors = Tensor::from_slice(&self.device, &values, &[all, 1, 1]).expect("factors");
        let scale = |t: &Tensor| pick(t, rows).mul(&factors).expect("scaled");
        (scale(&self.h0), self.c0.as_ref().map(scale))
    }
}

fn same(what: &str, a: &Tensor, b: &Tensor) {
    assert_eq!(a.dims(), b.dims(), "{what}");
    let values = |t: &Tensor| t.read_blocking().expect("read");
    let want: Vec<f64> = values(b).iter().map(|&v| v as f64).chain([0.1]).collect();
    assert_close(what, &[&values(a)[..], &[0.1]].concat(), &want, COMPANY);
}

fn same_states(a: &RecurrentOutput, h_n: &Tensor, c_n: Option<&Tensor>) {
    same("h_n", &a.h_n, h_n);
    assert_eq!(a.c_n.is_some(), c_n.is_some());
    if let (Some(a), Some(b)) = (&a.c_n, c_n) {
        same("c_n", a, b);
    }
}

/// Returns the given rows of an axis, in this order.
fn along(x: &Tensor, axis: usize, rows: impl IntoIterator<Item = usize>) -> Tensor {
    let parts: Vec<Tensor> = rows.into_iter().map(|r| x.slice(axis, r..r + 1).expect("row")).collect();
    Tensor::concat(&parts.iter().collect::<Vec<_>>(), axis).expect("rows")
}

fn pick(x: &Tensor, rows: &[usize]) -> Tensor {
    along(x, 1, rows.iter().copied())
}

fn picked(flags: &[bool], batch: usize, rows: &[usize]) -> Vec<bool> {
    flags.chunks(batch).flat_map(|step| rows.iter().map(|&row| step[row])).collect()
}

fn check(body: impl Fn(&Device, &Shape)) {
    for device in [Some(Device::cpu()), crate::common::gpu()].into_iter().flatten() {
        let cases = if device.is_gpu() { 12 } else { 80 };
        let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
        let mut runner = proptest::test_runner::TestRunner::new_with_rng(
            config,
            proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
        );
        let run = runner.run(&shapes(), |shape| {
            body(&device, &shape);
            Ok(())
        });
        run.unwrap_or_else(|e| panic!("on {}: {e}", device.info().name));
    }
}

#[test]
fn two_parts_with_carried_state_equal_the_whole() {
    check(|device, s| {
        // The output that a masked step repeats is not carried over the cut.
        let options = RecurrentOptions { padding: Padding::Zero, ..s.config.options };
        let s = &Shape { config: RecurrentConfig { bidirectional: false, options, ..s.config.clone() }, ..s.clone() };
        let set = setup(device, s);
        let whole = set.run(&set.x, set.states(), RunOptions { mask: Some(&set.mask), ..Default::default() });
        let cut = 1 + s.seed as usize % (s.steps - 1);
        let mut ranges = [0..cut, cut..s.steps];
        if s.config.reverse {
            ranges.reverse();
        }
        let (mut h, mut c, mut outputs) = (set.h0.clone(), set.c0.clone(), Vec::new());
        for range in ranges {
            let mask = Some(&set.mask[range.start * s.batch..range.end * s.batch]);
            let x = set.x.slice(0, range).expect("part");
            let part = set.run(&x, (&h, c.as_ref()), RunOptions { mask, ..Default::default() });
            (h, c) = (part.h_n.clone(), part.c_n.clone());
            outputs.push(part.output);
        }
        if s.config.reverse {
            outputs.reverse();
        }
        same("output", &Tensor::concat(&outputs.iter().collect::<Vec<_>>(), 0).expect("joined"), &whole.output);
        same_states(&whole, &h, c.as_ref());
    });
}

/// Permuted rows, and a single row, with their flags.
#[test]
fn a_permuted_batch_and_a_batch_of_one_give_their_rows() {
    check(|device, s| {
        let set = setup(device, s);
        let lengths: Vec<usize> = (0..s.batch).map(|row| (s.seed as usize % 1000 + 3 * row) % (s.steps + 1)).collect();
        let run = |rows: &[usize]| {
            let [mask, resets] = [&set.mask, &set.resets].map(|flags| picked(flags, s.batch, rows));
            let lengths: Vec<usize> = rows.iter().map(|&row| lengths[row]).collect();
            let (h0, c0) = set.scaled(s, [1.0; 2], rows);
            let input = RunOptions {
                lengths: Some(&lengths),
                mask: Some(&mask),
                resets: Some(&resets),
                reset_to_h0: s.seed % 2 == 0,
                ..Default::default()
            };
            set.run(&pick(&set.x, rows), (&h0, c0.as_ref()), input)
        };
        let mut order: Vec<usize> = (0..s.batch).collect();
        let whole = run(&order);
        Rng::new(s.seed).shuffle(&mut order);
        for rows in [&order[..], &order[..1]] {
            let part = run(rows);
            same("output", &part.output, &pick(&whole.output, rows));
            same_states(&part, &pick(&whole.h_n, rows), whole.c_n.as_ref().map(|c| pick(c, rows)).as_ref());
        }
    });
}

/// Copies the parameters of one layer to another, in order.
fn copy(from: &[(String, Tensor)], to: &[(String, Tensor)]) {
    assert_eq!(from.len(), to.len());
    for ((_, from), (_, to)) in from.iter().zip(to) {
        to.assign(&from.read_blocking().expect("read")).expect("assign");
    }
}

#[test]
fn reverse_is_flip_run_flip() {
    check(|device, s| {
        let s = &Shape {
            config: RecurrentConfig { bidirectional: false, reverse: false, ..s.config.clone() },
            ..s.clone()
        };
        let set = setup(device, s);
        let backwards =
            RecurrentConfig { reverse: true, ..s.config.clone() }.build(device, &mut Rng::new(0)).expect("layer");
        copy(&set.layer.parameters(), &backwards.parameters());
        let flip = |t: &Tensor| along(t, 0, (0..s.steps).rev());
        let flipped: Vec<bool> = set.mask.chunks(s.batch).rev().flatten().copied().collect();
        let by_hand = set.run(&flip(&set.x), set.states(), RunOptions { mask: Some(&flipped), ..Default::default() });
        let backwards = Setup { layer: backwards, ..set };
        let mask = Some(&backwards.mask[..]);
        let got = backwards.run(&backwards.x, backwards.states(), RunOptions { mask, ..Default::default() });
        same("output", &got.output, &flip(&by_hand.output));
        same_states(&got, &by_hand.h_n, by_hand.c_n.as_ref());
    });
}

#[test]
fn bidirectional_is_forward_beside_reverse() {
    check(|device, s| {
        let s = &Shape {
            config: RecurrentConfig { bidirectional: true, reverse: false, layers: 1, ..s.config.clone() },
            ..s.clone()
        };
        let set = setup(device, s);
        let input = RunOptions { mask: Some(&set.mask), resets: Some(&set.resets), ..Default::default() };
        let both = set.run(&set.x, set.states(), input);
        let (parameters, out) = (set.layer.parameters(), s.config.out());
        for (d, own) in parameters.chunks(parameters.len() / 2).enumerate() {
            let config = RecurrentConfig { bidirectional: false, reverse: d == 1, ..s.config.clone() };
            let layer = config.build(device, &mut Rng::new(0)).expect("layer");
            copy(own, &layer.parameters());
            let of = |t: &Tensor| t.slice(0, d..d + 1).expect("a direction");
            let (h0, c0) = (of(&set.h0), set.c0.as_ref().map(of));
            let input = RunOptions { h0: Some(&h0), c0: c0.as_ref(), ..input };
            let one = layer.run(&set.x, input, &mut Mode::Eval).expect("run");
            same("output", &both.output.slice(2, d * out..(d + 1) * out).expect("a direction"), &one.output);
            same_states(&one, &of(&both.h_n), both.c_n.as_ref().map(of).as_ref());
        }
    });
}

#[test]
fn resets_are_separate_sequences() {
    check(|device, s| {
        let set = setup(device, s);
        let row = s.seed as usize % s.batch;
        let resets = picked(&set.resets, s.batch, &[row]);
        let mask = picked(&set.mask, s.batch, &[row]);
        let x = pick(&set.x, &[row]);
        for to_first in [false, true] {
            let (h0, c0) = set.scaled(s, [1.0; 2], &[row]);
            let input =
                RunOptions { mask: Some(&mask), resets: Some(&resets), reset_to_h0: to_first, ..Default::default() };
            let whole = set.run(&x, (&h0, c0.as_ref()), input);
            let starts: Vec<usize> = (0..s.steps).filter(|&t| t == 0 || resets[t]).collect();
            for (k, &from) in starts.iter().enumerate() {
                let to = starts.get(k + 1).copied().unwrap_or(s.steps);
                let begins = [k == 0 && !resets[0], to == s.steps];
                let begins = if s.config.reverse { [begins[1]; 2] } else { begins };
                let (h0, c0) = set.scaled(s, begins.map(|b| (b || to_first) as u32 as f32), &[row]);
                let input = RunOptions { mask: Some(&mask[from..to]), ..Default::default() };
                let part = set.run(&x.slice(0, from..to).expect("part"), (&h0, c0.as_ref()), input);
                same("output", &whole.output.slice(0, from..to).expect("part"), &part.output);
                // A direction's last state is that of the part it processes last.
                let all = s.config.layers * s.config.directions();
                for i in 0..all {
                    let is_reverse = s.config.reverse || (s.config.bidirectional && i % 2 == 1);
                    if if is_reverse { k == 0 } else { to == s.steps } {
                        let of = |t: &Tensor| t.slice(0, i..i + 1).expect("a state");
                        same("h_n", &of(&whole.h_n), &of(&part.h_n));
                        if let (Some(a), Some(b)) = (&whole.c_n, &part.c_n) {
                            same("c_n", &of(a), &of(b));
                        }
                    }
                }
            }
        }
    });
}

#[test]
fn masked_steps_equal_removed_steps() {
    check(|device, s| {
        let set = setup(device, s);
        let row = s.seed as usize % s.batch;
        let mask = picked(&set.mask, s.batch, &[row]);
        let (h0, c0) = set.scaled(s, [1.0; 2], &[row]);
        let x = pick(&set.x, &[row]);
        let whole = set.run(&x, (&h0, c0.as_ref()), RunOptions { mask: Some(&mask), ..Default::default() });
        let kept: Vec<usize> = (0..s.steps).filter(|&t| mask[t]).collect();
        if kept.is_empty() {
            assert!(whole.output.read_blocking().expect("read").iter().all(|&v| v == 0.0), "nothing was processed");
            return same_states(&whole, &h0, c0.as_ref());
        }
        let short = set.run(&along(&x, 0, kept.clone()), (&h0, c0.as_ref()), RunOptions::default());
        same("output", &along(&whole.output, 0, kept.clone()), &short.output);
        same_states(&whole, &short.h_n, short.c_n.as_ref());
        // Masked steps output 0, or the direction's previous output, which is then different input for the next layer.
        let values = whole.output.read_blocking().expect("read");
        let out = s.config.out();
        for (i, &got) in values.iter().enumerate() {
            let (t, d, j) = (i / out / s.config.directions(), i / out % s.config.directions(), i % out);
            if mask[t] {
                continue;
            }
            let is_reverse = s.config.reverse || d == 1;
            let last = if is_reverse { (t..s.steps).find(|&t| mask[t]) } else { (0..t).rev().find(|&t| mask[t]) };
            let last = last.filter(|_| s.config.options.padding == Padding::RepeatLast);
            let want = last.map_or(0.0, |t| values[(t * s.config.directions() + d) * out + j]);
            assert_eq!(got, want, "masked step {t}");
        }
    });
}

#[test]
fn lengths_are_masks_of_prefixes() {
    check(|device, s| {
        let set = setup(device, s);
        let lengths: Vec<usize> = (0..s.batch).map(|row| (s.seed as usize % 1000 + 5 * row) % (s.steps + 1)).collect();
        let mask: Vec<bool> = (0..s.steps * s.batch).map(|i| i / s.batch < lengths[i % s.batch]).collect();
        let a = set.run(&set.x, set.states(), RunOptions { lengths: Some(&lengths), ..Default::default() });
        let b = set.run(&set.x, set.states(), RunOptions { mask: Some(&mask), ..Default::default() });
        let bits = |t: &Tensor| t.read_blocking().expect("read").iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&a.output), bits(&b.output));
        assert_eq!(bits(&a.h_n), bits(&b.h_n));
        assert_eq!(a.c_n.as_ref().map(bits), b.c_n.as_ref().map(bits));
    });
}

/// Negative control: a layer that gets different flags gives different results.
#[test]
#[should_panic(expected = "output: error")]
fn different_masks_are_rejected() {
    check(|device, s| {
        let set = setup(device, s);
        let a = set.run(&set.x, set.states(), RunOptions { mask: Some(&set.mask), ..Default::default() });
        let b = set.run(&set.x, set.states(), RunOptions { mask: Some(&set.resets), ..Default::default() });
        same("output", &a.output, &b.output);
    });
}
