//! Invariants of every GRU, on random shapes: carried state, permuted batch, reversed time, one row of a batch.

use proptest::prelude::*;
use wgru::nn::{Gru, Mode, Module, RecurrentConfig, RecurrentOutput, RunOptions};
use wgru::ops::recurrent::Plan;
use wgru::{Cell, Device, Rng, Tensor};

use crate::common::assert_close;

/// A row in a different batch takes a different path through the SIMD code: a few ulp.
const COMPANY: f64 = 1e-6;

#[derive(Clone, Debug)]
struct Shape {
    config: RecurrentConfig,
    steps: usize,
    batch: usize,
    seed: u64,
}

fn shapes() -> impl Strategy<Value = Shape> {
    let sizes = (1..5usize, 1..40usize, 1..3usize, 2..9usize, 2..12usize);
    (sizes, any::<[bool; 4]>(), any::<u64>()).prop_map(|((input, hidden, layers, steps, batch), flags, seed)| {
        let [bias, bidirectional, reset_after, chain] = flags;
        let plan = Some(if chain { Plan::Chain } else { Plan::Whole });
        let cell = if reset_after { Cell::Gru } else { Cell::GruResetBefore };
        let config = RecurrentConfig { layers, bias, bidirectional, plan, ..RecurrentConfig::new(cell, input, hidden) };
        Shape { config, steps, batch, seed }
    })
}

struct Setup {
    gru: Gru,
    x: Tensor,
    h0: Tensor,
}

fn setup(device: &Device, s: &Shape) -> Setup {
    let mut rng = Rng::new(s.seed);
    let gru = s.config.clone().build(device, &mut rng).expect("gru");
    let mut tensor = |dims: &[usize]| {
        let values: Vec<f32> = (0..dims.iter().product()).map(|_| rng.uniform(-1.0, 1.0)).collect();
        Tensor::from_slice(device, &values, dims).expect("tensor")
    };
    let x = tensor(&[s.steps, s.batch, s.config.input]);
    let [h, _] = crate::common::recurrent::states(&s.config, s.batch);
    let h0 = tensor(&h);
    Setup { gru, x, h0 }
}

fn run(gru: &Gru, x: &Tensor, h0: Option<&Tensor>, lengths: Option<&[usize]>) -> RecurrentOutput {
    gru.run(x, RunOptions { h0, lengths, ..Default::default() }, &mut Mode::Eval).expect("run")
}

fn same(what: &str, a: &Tensor, b: &Tensor) {
    let want: Vec<f64> = b.read_blocking().expect("read").iter().map(|&v| v as f64).collect();
    assert_eq!(a.dims(), b.dims(), "{what}");
    assert_close(what, &a.read_blocking().expect("read"), &want, COMPANY);
}

/// Returns the given rows of the batch (axis 1), in this order.
fn pick(x: &Tensor, rows: &[usize]) -> Tensor {
    let parts: Vec<Tensor> = rows.iter().map(|&r| x.slice(1, r..r + 1).expect("row")).collect();
    Tensor::concat(&parts.iter().collect::<Vec<_>>(), 1).expect("rows")
}

fn devices() -> Vec<Device> {
    // One GPU device for all cases, since opening a device takes longer than a case.
    [Some(Device::cpu()), crate::common::gpu()].into_iter().flatten().collect()
}

fn check(body: impl Fn(&Device, &Shape)) {
    for device in devices() {
        let cases = if device.is_gpu() { 12 } else { 60 };
        let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
        let mut runner = proptest::test_runner::TestRunner::new_with_rng(
            config,
            proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
        );
        runner
            .run(&shapes(), |shape| {
                body(&device, &shape);
                Ok(())
            })
            .unwrap_or_else(|e| panic!("on {}: {e}", device.info().name));
    }
}

#[test]
fn two_parts_with_carried_state_equal_the_whole() {
    check(|device, s| {
        if s.config.bidirectional {
            return;
        }
        let Setup { gru, x, h0 } = setup(device, s);
        let whole = run(&gru, &x, Some(&h0), None);
        let cut = 1 + s.seed as usize % (s.steps - 1);
        let first = run(&gru, &x.slice(0, 0..cut).expect("part"), Some(&h0), None);
        let second = run(&gru, &x.slice(0, cut..s.steps).expect("part"), Some(&first.h_n), None);
        let joined = Tensor::concat(&[&first.output, &second.output], 0).expect("joined");
        same("output", &joined, &whole.output);
        same("h_n", &second.h_n, &whole.h_n);
    });
}

#[test]
fn a_permuted_batch_gives_a_permuted_output() {
    check(|device, s| {
        let Setup { gru, x, h0 } = setup(device, s);
        let whole = run(&gru, &x, Some(&h0), None);
        let mut order: Vec<usize> = (0..s.batch).collect();
        Rng::new(s.seed).shuffle(&mut order);
        let permuted = run(&gru, &pick(&x, &order), Some(&pick(&h0, &order)), None);
        same("output", &permuted.output, &pick(&whole.output, &order));
        same("h_n", &permuted.h_n, &pick(&whole.h_n, &order));
    });
}

#[test]
fn a_batch_of_one_is_a_row_of_the_batch() {
    check(|device, s| {
        let Setup { gru, x, h0 } = setup(device, s);
        let row = s.seed as usize % s.batch;
        let whole = run(&gru, &x, Some(&h0), None);
        let one = run(&gru, &pick(&x, &[row]), Some(&pick(&h0, &[row])), None);
        same("output", &one.output, &pick(&whole.output, &[row]));
        same("h_n", &one.h_n, &pick(&whole.h_n, &[row]));
    });
}

#[test]
fn reverse_is_flip_run_flip() {
    check(|device, s| {
        let config = RecurrentConfig { bidirectional: false, layers: 1, ..s.config.clone() };
        let Setup { gru, x, h0 } = setup(device, &Shape { config: config.clone(), ..s.clone() });
        let backwards = RecurrentConfig { reverse: true, ..config }.build(device, &mut Rng::new(0)).expect("gru");
        for ((_, from), (_, to)) in gru.parameters().iter().zip(backwards.parameters()) {
            to.assign(&from.read_blocking().expect("read")).expect("assign");
        }
        let flip = |t: &Tensor| {
            let parts: Vec<Tensor> = (0..s.steps).rev().map(|i| t.slice(0, i..i + 1).expect("step")).collect();
            Tensor::concat(&parts.iter().collect::<Vec<_>>(), 0).expect("flipped")
        };
        let reversed = run(&backwards, &x, Some(&h0), None);
        let by_hand = run(&gru, &flip(&x), Some(&h0), None);
        same("output", &reversed.output, &flip(&by_hand.output));
        same("h_n", &reversed.h_n, &by_hand.h_n);
    });
}

#[test]
fn a_padded_sequence_equals_the_sequence_alone() {
    check(|device, s| {
        let Setup { gru, x, h0 } = setup(device, s);
        let lengths: Vec<usize> = (0..s.batch).map(|row| 1 + (s.seed as usize % 1000 + 3 * row) % s.steps).collect();
        let padded = run(&gru, &x, Some(&h0), Some(&lengths));
        let row = s.batch - 1;
        let alone = pick(&x, &[row]).slice(0, 0..lengths[row]).expect("valid steps");
        let alone = run(&gru, &alone, Some(&pick(&h0, &[row])), None);
        let output = pick(&padded.output, &[row]);
        same("output", &output.slice(0, 0..lengths[row]).expect("valid"), &alone.output);
        same("h_n", &pick(&padded.h_n, &[row]), &alone.h_n);
        if lengths[row] < s.steps {
            let rest = output.slice(0, lengths[row]..s.steps).expect("padding").read_blocking().expect("read");
            assert!(rest.iter().all(|&v| v == 0.0), "padding is not 0");
        }
    });
}
