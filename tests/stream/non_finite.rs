//! NaN and infinity in streams.

use super::{ALLOCATIONS, build, stream};
use crate::common::fill;
use wgru::{Cell, Error, NonFinite, Precision, Stream, StreamOptions};

const BAD: [f32; 3] = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
const FRAMES: usize = 90;

/// Frames `[FRAMES, batch, 2]` of which some of the last sequence hold `bad`: two in a row, and the last of a block.
fn frames(batch: usize, bad: f32) -> (Vec<f32>, [usize; 3]) {
    let (mut x, at) = (fill(3, FRAMES * batch * 2, 1.0), [20, 21, 63]);
    // An infinity in both features, so that their products may have opposite signs.
    at.iter().for_each(|t| x[(t + 1) * batch * 2 - 2..][..2].copy_from_slice(&[bad, -bad]));
    (x, at)
}

fn run(stream: &mut Stream, x: &[f32]) -> Vec<f32> {
    let frame = stream.batch() * stream.input();
    x.chunks(frame).flat_map(|x| stream.step(x).expect("step").to_vec()).collect()
}

/// Calls `check` with a stream for each way of computing, and one that propagates.
fn for_each(policy: NonFinite, mut check: impl FnMut(Stream, Stream, &str)) {
    for cell in Cell::ALL {
        for (hidden, outputs) in [(8, 0), (20, 3), (70, 1)] {
            for (batch, weights) in [(1, Precision::F32), (3, Precision::F32), (1, Precision::F16)] {
                let layer = build(cell, 2, hidden, 2);
                let [one, two] = [policy, NonFinite::Propagate].map(|non_finite| {
                    stream(&layer, outputs, StreamOptions { batch, weights, non_finite, ..Default::default() })
                });
                check(one, two, &format!("{cell}, {hidden} units, batch {batch}, {weights:?}"));
            }
        }
    }
}

/// The values of one sequence in `[steps, batch, width]`.
fn of_row(all: &[f32], batch: usize, row: usize) -> Vec<f32> {
    let width = all.len() / FRAMES / batch;
    all.chunks(width).skip(row).step_by(batch).flatten().copied().collect()
}

#[test]
fn a_held_stream_ignores_frames_that_are_not_finite() {
    for_each(NonFinite::Hold, |mut held, mut plain, name| {
        let batch = held.batch();
        let (x, at) = frames(batch, f32::NAN);
        let got = run(&mut held, &x);
        // The last sequence is one that never saw those frames, and whose outputs there are those of the step before.
        let (seen, width) = (of_row(&x, batch, batch - 1), got.len() / FRAMES / batch);
        let row = of_row(&got, batch, batch - 1);
        let mut want: Vec<f32> = Vec::new();
        for t in 0..FRAMES {
            if at.contains(&t) {
                want.extend_from_within(want.len() - width..);
            } else {
                let all = plain.step(&seen[t * 2..][..2].repeat(batch)).expect("step");
                want.extend(&all[(batch - 1) * width..]);
            }
        }
        // The time when tiny states become 0 may differ, but none is tiny here.
        let worst = row.iter().zip(&want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(row == want, "{name}: {worst:e}");
    });
}

#[test]
fn a_stream_that_resets_starts_over_after_frames_that_are_not_finite() {
    for_each(NonFinite::Reset, |mut resets, mut plain, name| {
        let batch = resets.batch();
        let (x, at) = frames(batch, f32::NAN);
        let got = run(&mut resets, &x);
        let (seen, width) = (of_row(&x, batch, batch - 1), got.len() / FRAMES / batch);
        let row = of_row(&got, batch, batch - 1);
        for (t, x) in seen.chunks(2).enumerate() {
            if at.contains(&t) {
                plain.reset();
                assert!(row[t * width..][..width].iter().all(|v| v.is_finite()), "{name}");
            } else {
                let want = plain.step(&x.repeat(batch)).expect("step");
                assert_eq!(row[t * width..][..width], want[(batch - 1) * width..], "{name}, frame {t}");
            }
        }
    });
}

#[test]
fn other_sequences_of_the_batch_go_on() {
    for policy in [NonFinite::Propagate, NonFinite::Reset, NonFinite::Hold] {
        for_each(policy, |mut one, mut two, name| {
            let batch = one.batch();
            let (bad, _) = frames(batch, f32::NAN);
            let good = fill(3, FRAMES * batch * 2, 1.0);
            let (got, want) = (run(&mut one, &bad), run(&mut two, &good));
            for row in 0..batch - 1 {
                assert_eq!(of_row(&got, batch, row), of_row(&want, batch, row), "{name}");
            }
            let last = of_row(&got, batch, batch - 1);
            assert_eq!(last.iter().all(|v| v.is_finite()), policy != NonFinite::Propagate, "{name}");
        });
    }
}

#[test]
fn blocks_give_the_bits_of_steps_for_every_policy() {
    for policy in [NonFinite::Propagate, NonFinite::Reset, NonFinite::Hold] {
        for bad in BAD {
            for_each(policy, |mut steps, _, name| {
                let mut blocks = steps.clone();
                let (x, _) = frames(steps.batch(), bad);
                let want = run(&mut steps, &x);
                let mut got = vec![0.5; want.len()];
                blocks.process(&x, &mut got).expect("process");
                let same = want.iter().zip(&got).all(|(a, b)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan());
                assert!(same, "{policy:?}, {bad}, {name}");
            });
        }
    }
}

/// Denormal and huge numbers, NaN, infinities and wrong lengths.
#[test]
fn errors_and_odd_frames_allocate_nothing() {
    for policy in [NonFinite::Propagate, NonFinite::Reset, NonFinite::Hold] {
        for hidden in [8, 70] {
            let options = StreamOptions { non_finite: policy, ..Default::default() };
            let mut stream = stream(&build(Cell::Gru, 2, hidden, 2), 2, options);
            let (mut out, state) = (vec![0.0; 64 * 2], vec![0.0; 5]);
            let before = ALLOCATIONS.get();
            for odd in [f32::NAN, f32::INFINITY, f32::MAX, f32::MIN_POSITIVE / 8.0, 0.0] {
                let block = [odd; 128];
                for _ in 0..100 {
                    let is_wrong = |result: Result<(), Error>| matches!(result, Err(Error::Length { .. }));
                    assert!(is_wrong(stream.step(&block[..3]).map(|_| ())));
                    assert!(is_wrong(stream.process(&block[..3], &mut out)));
                    assert!(is_wrong(stream.process(&block, &mut out[..3])));
                    assert!(is_wrong(stream.process_in_place(&mut out[..3])));
                    assert!(is_wrong(stream.set_state(&state)));
                    assert!(stream.process(&block, &mut out).is_ok() && stream.step(&block[..2]).is_ok());
                }
            }
            assert_eq!(ALLOCATIONS.get(), before, "{policy:?}, {hidden} units");
        }
    }
}

#[test]
fn a_model_that_is_not_finite_holds_at_its_start() {
    let layer = build(Cell::Gru, 2, 8, 1);
    wgru::nn::Module::parameters(&layer)[0].1.assign(&[f32::NAN; 48]).expect("assign");
    for policy in [NonFinite::Reset, NonFinite::Hold] {
        let mut stream = stream(&layer, 0, StreamOptions { non_finite: policy, ..Default::default() });
        assert_eq!(stream.step(&[1.0, 1.0]).expect("step"), [0.0; 8]);
        // Neither state is finite before or after the step.
        stream.set_state(&[f32::NAN; 8]).expect("state");
        assert_eq!(stream.step(&[1.0, 1.0]).expect("step"), [0.0; 8]);
    }
}

#[test]
fn above_the_rate_of_the_model_past_states_are_mended_too() {
    for policy in [NonFinite::Reset, NonFinite::Hold] {
        for hidden in [8, 70] {
            let options = StreamOptions { non_finite: policy, rate_ratio: 2.18, ..Default::default() };
            let mut one = stream(&build(Cell::Lstm, 2, hidden, 2), 0, options);
            let mut two = one.clone();
            let (x, last) = (fill(3, 40, 1.0), 2 * hidden);
            let before = run(&mut one, &x);
            let odd = one.step(&[f32::NAN, 1.0]).expect("step").to_vec();
            match policy {
                NonFinite::Hold => assert_eq!(odd, before[before.len() - hidden..]),
                _ => assert_eq!(run(&mut one, &x), run(&mut two, &x), "it starts over"),
            }
            assert!(one.state().len() > 2 * last && one.state().iter().all(|v| v.is_finite()));
        }
    }
}

#[test]
fn an_infinite_state_that_becomes_0_is_mended_in_blocks_too() {
    let layer = build(Cell::RnnRelu, 1, 1, 1);
    for (name, value) in wgru::nn::Module::parameters(&layer) {
        let all = [if name.starts_with("weight_ih") {
            1.0
        } else if name.starts_with("weight_hh") {
            -1.0
        } else {
            0.0
        }];
        value.assign(&all).expect("assign");
    }
    let options = StreamOptions { non_finite: NonFinite::Hold, ..Default::default() };
    let (mut stream, mut out) = (stream(&layer, 0, options), [0.5; 3]);
    stream.process(&[0.25, f32::INFINITY, 0.0], &mut out).expect("process");
    assert_eq!(out, [0.25, 0.25, 0.0]);
}
