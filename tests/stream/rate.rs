//! Streams above the sample rate of their model continue from the states of a fractional number of steps ago.

use wgru::nn::{Module, Recurrent, RecurrentConfig, RecurrentOptions};
use wgru::{Cell, Device, Interpolation, Rng, Stream, StreamOptions};

use super::common::{assert_close, fill};
use super::reference::recurrent::Direction;
use super::reference::{dot, wide};
use super::{ALLOCATIONS, F32, build, goes_on, stream};

/// 44.1 to 48 kHz, other ratios between two steps, and whole numbers of steps.
const RATIOS: [f64; 6] = [1.0, 48_000.0 / 44_100.0, 1.5, 2.0, 2.18, 192_000.0 / 44_100.0];
const BOTH: [Interpolation; 2] = [Interpolation::Linear, Interpolation::Lagrange];

fn at(rate_ratio: f64, interpolation: Interpolation) -> StreamOptions {
    StreamOptions { rate_ratio, interpolation, ..Default::default() }
}

/// The value at `place` of the polynomial through `points` of a place and a value, by Neville's algorithm.
fn neville(points: &[(f64, f64)], place: f64) -> f64 {
    let mut values: Vec<f64> = points.iter().map(|(_, v)| *v).collect();
    for width in 1..points.len() {
        for i in 0..points.len() - width {
            let (a, b) = (points[i].0, points[i + width].0);
            values[i] = ((place - b) * values[i] + (a - place) * values[i + 1]) / (a - b);
        }
    }
    values[0]
}

/// Interpolates a history of one value per step, of which the step at 0 is the first. Before it, the value is `first`.
fn past(history: &[f64], first: f64, place: f64, interpolation: Interpolation) -> f64 {
    let whole = place.floor();
    let (from, to) = match interpolation {
        _ if place == whole => (whole, whole),
        Interpolation::Linear => (whole, whole + 1.0),
        Interpolation::Lagrange => {
            let last = history.len() as f64 - 1.0;
            if whole + 2.0 > last { (last - 2.0, last) } else { (whole - 1.0, whole + 2.0) }
        }
    };
    let points = (from as i64..=to as i64).map(|t| {
        let value = usize::try_from(t).map_or(first, |t| history[t]);
        (t as f64, value)
    });
    neville(&points.collect::<Vec<_>>(), place)
}

/// The outputs `[T, H]` of one sequence, in f64, from the definition. Layers start from `first` `[parts, layers, H]`.
fn reference(layer: &Recurrent, x: &[f32], first: &[f64], ratio: f64, interpolation: Interpolation) -> Vec<f64> {
    let config = layer.config();
    let (h, gates) = (config.hidden, config.cell.gates());
    let parameters = layer.parameters();
    let mut input: Vec<Vec<f64>> = x.chunks(config.input).map(wide).collect();
    for l in 0..config.layers {
        let values = |name: &str| {
            let tensor = &parameters.iter().find(|(n, _)| *n == format!("{name}_l{l}")).expect("a parameter").1;
            wide(&tensor.read_blocking().expect("read"))
        };
        let (w, u) = (values("weight_ih"), values("weight_hh"));
        let (b_ih, b_hh) = (values("bias_ih"), values("bias_hh"));
        let cell = Direction { config, u: &u, bias: &b_hh, w_hr: None, peephole: &[] };
        // By part and unit, one value per step.
        let mut history = vec![vec![Vec::new(); h]; config.cell.states()];
        for t in 0..input.len() {
            let x = &input[t];
            let a: Vec<f64> = (0..gates * h).map(|row| dot(&w[row * x.len()..][..x.len()], x) + b_ih[row]).collect();
            let state = |part: usize| -> Vec<f64> {
                let first = |unit: usize| first[(part * config.layers + l) * h + unit];
                let value = |unit: usize| past(&history[part][unit], first(unit), t as f64 - ratio, interpolation);
                (0..h).map(value).collect()
            };
            let old = state(0);
            let c = if config.cell.states() == 2 { state(1) } else { vec![] };
            let (new, new_c) = cell.step(&a, &old, &old, &c);
            for (part, values) in [new, new_c].iter().enumerate().take(config.cell.states()) {
                values.iter().enumerate().for_each(|(unit, v)| history[part][unit].push(*v));
            }
        }
        input = (0..input.len()).map(|t| history[0].iter().map(|unit| unit[t]).collect()).collect();
    }
    input.concat()
}

#[test]
fn states_of_earlier_steps_match_a_plain_loop() {
    let mut worst = 0.0f64;
    for cell in Cell::ALL {
        // Small layers, and those that are computed in blocks.
        for (input, hidden, layers) in [(1, 8, 1), (2, 20, 2), (3, 5, 3), (2, 67, 1)] {
            let layer = build(cell, input, hidden, layers);
            let zeros = vec![0.0; cell.states() * layers * hidden];
            for ratio in RATIOS {
                for interpolation in BOTH {
                    let x = fill(3, 40 * input, 1.0);
                    let want = reference(&layer, &x, &zeros, ratio, interpolation);
                    for batch in [1, 2] {
                        let mut stream = stream(&layer, 0, StreamOptions { batch, ..at(ratio, interpolation) });
                        let got: Vec<f32> = x
                            .chunks(input)
                            .flat_map(|x| {
                                // The last sequence of the batch is the one to compare.
                                let x = [vec![0.5; (batch - 1) * input], x.to_vec()].concat();
                                stream.step(&x).expect("step")[(batch - 1) * hidden..].to_vec()
                            })
                            .collect();
                        let what = format!("{cell} of {hidden}, {layers} layers, {ratio}, {interpolation:?}, {batch}");
                        assert_close(&what, &got, &want, F32);
                        worst = worst.max(super::common::relative_error(&got, &want));
                    }
                }
            }
        }
    }
    println!("streams at other rates: worst error {worst:.1e} of the largest value");
}

/// Negative control: neighboring ratios and the two interpolations differ by more than the tolerance.
#[test]
fn ratios_and_interpolations_are_told_apart() {
    let layer = build(Cell::Lstm, 1, 8, 1);
    let x = fill(3, 40, 1.0);
    let run = |ratio, interpolation| {
        let mut out = vec![0.0; 40 * 8];
        stream(&layer, 0, at(ratio, interpolation)).process(&x, &mut out).expect("process");
        out
    };
    let (linear, lagrange) = (Interpolation::Linear, Interpolation::Lagrange);
    let base = wide(&run(2.18, linear));
    for (ratio, interpolation) in [(2.18, lagrange), (2.2, linear), (1.0, linear), (3.18, linear)] {
        let error = super::common::relative_error(&run(ratio, interpolation), &base);
        assert!(error > 100.0 * F32, "{ratio}, {interpolation:?}: {error:e}");
    }
}

#[test]
fn a_ratio_of_one_changes_no_bit() {
    for cell in Cell::ALL {
        for hidden in [8, 67] {
            let layer = build(cell, 1, hidden, 2);
            let x = fill(3, 300, 1.0);
            let [a, b, c] = [StreamOptions::default(), at(1.0, BOTH[0]), at(1.0, BOTH[1])].map(|options| {
                let (mut stream, mut out) = (stream(&layer, 1, options), vec![0.0f32; 300]);
                stream.process(&x, &mut out).expect("process");
                (out.iter().map(|v| v.to_bits()).collect::<Vec<_>>(), stream.state().to_vec())
            });
            assert!(a == b && a == c, "{cell} of {hidden}");
        }
    }
}

/// At a whole ratio, a stream is as many independent models, each of which gets every `ratio`-th frame.
#[test]
fn whole_ratios_interleave_models() {
    for cell in Cell::ALL {
        let layer = build(cell, 1, 8, 2);
        for ratio in [2, 3] {
            let (x, mut out) = (fill(3, 300, 1.0), vec![0.0; 300]);
            stream(&layer, 1, at(ratio as f64, Interpolation::Lagrange)).process(&x, &mut out).expect("process");
            for phase in 0..ratio {
                let every = |values: &[f32]| values.iter().copied().skip(phase).step_by(ratio).collect::<Vec<_>>();
                let (x, mut own) = (every(&x), vec![0.0; 300 / ratio]);
                stream(&layer, 1, StreamOptions::default()).process(&x, &mut own).expect("process");
                assert_eq!(own, every(&out), "{cell}, {ratio}, phase {phase}");
            }
        }
    }
}

#[test]
fn blocks_give_the_bits_of_steps() {
    for cell in Cell::ALL {
        for (hidden, outputs, batch) in [(8, 1, 1), (20, 0, 1), (8, 2, 2), (67, 1, 1)] {
            for ratio in RATIOS {
                let layer = build(cell, 2, hidden, 2);
                let options = StreamOptions { batch, ..at(ratio, Interpolation::Lagrange) };
                let [mut steps, mut blocks] = [(); 2].map(|()| stream(&layer, outputs, options));
                let x = fill(5, 150 * batch * 2, 1.0);
                let want: Vec<f32> = x.chunks(batch * 2).flat_map(|x| steps.step(x).expect("step").to_vec()).collect();
                let (mut got, width) = (vec![f32::NAN; want.len()], want.len() / 150);
                let mut at = 0;
                for length in [1, 7, 100, 31, 11] {
                    let (x, out) = (&x[at * batch * 2..], &mut got[at * width..]);
                    blocks.process(&x[..length * batch * 2], &mut out[..length * width]).expect("process");
                    at += length;
                }
                assert!(want.iter().zip(&got).all(|(a, b)| a.to_bits() == b.to_bits()), "{cell} of {hidden}, {ratio}");
                assert_eq!(steps.state(), blocks.state());
            }
        }
    }
}

#[test]
fn resets_snapshots_and_forks_include_earlier_states() {
    for cell in Cell::ALL {
        for hidden in [20, 67] {
            for ratio in RATIOS {
                for interpolation in BOTH {
                    let options = StreamOptions { batch: 2, ..at(ratio, interpolation) };
                    goes_on(stream(&build(cell, 3, hidden, 2), 0, options));
                    let options = at(ratio, interpolation);
                    goes_on(stream(&build(cell, 6, hidden, 1), 3, options));
                }
            }
        }
    }
    let mut stream = stream(&build(Cell::Lstm, 1, 8, 2), 0, at(2.5, Interpolation::Linear));
    let before = stream.state().to_vec();
    assert_eq!(before.len(), 3 * 2 * 2 * 8, "of three steps");
    assert!(stream.set_state(&[0.0; 32]).is_err(), "of one step");
    assert_eq!(stream.state(), before);
}

#[test]
fn earlier_steps_are_those_of_the_first_state() {
    let options = RecurrentOptions { learn_h0: true, ..Default::default() };
    for cell in [Cell::Gru, Cell::Lstm] {
        let config = RecurrentConfig { options, layers: 2, ..RecurrentConfig::new(cell, 1, 3) };
        let layer = config.build(&Device::cpu(), &mut Rng::new(1)).expect("layer");
        let mut first = vec![];
        for (i, name) in ["h0", "c0"].into_iter().take(cell.states()).enumerate() {
            let state = layer.parameters().into_iter().find(|(n, _)| n == name).expect("a state").1;
            let values = fill(i as u32, 6, 0.9);
            state.assign(&values).expect("assign");
            first.extend(wide(&values));
        }
        let x = fill(3, 30, 1.0);
        let want = reference(&layer, &x, &first, 2.18, Interpolation::Lagrange);
        let mut stream = stream(&layer, 0, at(2.18, Interpolation::Lagrange));
        for _ in 0..2 {
            let mut out = vec![0.0; want.len()];
            stream.process(&x, &mut out).expect("process");
            assert_close(&format!("{cell}"), &out, &want, F32);
            stream.reset();
        }
    }
}

#[test]
fn silence_ends_in_zeros() {
    let layer = RecurrentConfig { bias: false, ..RecurrentConfig::gru(1, 8) };
    let layer = layer.build(&Device::cpu(), &mut Rng::new(7)).expect("layer");
    let mut stream = stream(&layer, 0, at(2.18, Interpolation::Lagrange));
    stream.step(&[1.0]).expect("step");
    for _ in 0..40_000 {
        stream.step(&[0.0]).expect("step");
    }
    assert!(stream.state().iter().all(|v| *v == 0.0), "{:?}", stream.state());
}

#[test]
fn steps_allocate_nothing() {
    for (cell, hidden) in [(Cell::Gru, 16), (Cell::Lstm, 16), (Cell::Lstm, 67)] {
        for ratio in RATIOS {
            let mut stream = stream(&build(cell, 1, hidden, 2), 1, at(ratio, Interpolation::Lagrange));
            let (block, mut out) = (fill(1, 100, 1.0), [0.0; 100]);
            let snapshot = stream.state().to_vec();
            let before = ALLOCATIONS.get();
            for x in &block {
                stream.step(&[*x]).expect("step");
            }
            for _ in 0..20 {
                stream.process(&block, &mut out).expect("process");
                stream.set_state(&snapshot).expect("state");
                stream.reset();
            }
            assert_eq!(ALLOCATIONS.get(), before, "{cell} of {hidden}, {ratio}");
        }
    }
}

#[test]
fn unsuitable_ratios_are_refused() {
    let layer = build(Cell::Gru, 1, 8, 1);
    for ratio in [0.0, -1.0, 44_100.0 / 48_000.0, 64.5, f64::NAN, f64::INFINITY] {
        let error = Stream::new(&layer, at(ratio, Interpolation::Linear)).err().expect("refused").to_string();
        assert!(error.contains("rate_ratio") && error.contains("resample"), "{error}");
    }
    assert!(Stream::new(&layer, at(64.0, Interpolation::Linear)).is_ok());
}
