//! Output of the plug-in, in a host that processes offline.

mod common;

use std::path::Path;

use common::models::{Models, fixture, real};
use common::reference::Network;
use common::{INPUT, MIX, OUTPUT, Plugin, error, same, signal};

const RATES: [f64; 4] = [44_100.0, 48_000.0, 88_200.0, 96_000.0];
/// Error of f32 against f64 over thousands of steps, for outputs of magnitude up to 2.
const BOUND: f64 = 5e-7;

/// Compares the output for two channels with the equations in `reference`.
#[track_caller]
fn computes(model: &Path, reference: &Path, rate: f64) {
    let signals = [signal(4000, 1), signal(4000, 2)];
    let output = Plugin::with(model, rate, 2).play(&signals, 256, &[]);
    for (x, y) in signals.iter().zip(&output) {
        let want = Network::open(reference).run(rate, x);
        let largest = want.iter().fold(0.0f64, |largest, v| largest.max(v.abs()));
        assert!((0.01..=2.0).contains(&largest), "{}: outputs of {largest}", model.display());
        let error = error(y, &want);
        println!("{}: error {error:.2e}, outputs up to {largest:.2}", model.display());
        assert!(error <= BOUND, "{}: {error}", model.display());
    }
}

#[test]
fn output_equals_the_equations_in_f64() {
    let models = Models::new();
    let (nam, rtneural) = (models.nam(1, 48_000.0), models.rtneural(2));
    computes(&nam, &nam, 48_000.0);
    let other = models.nam(3, 44_100.0);
    computes(&other, &other, 44_100.0);
    computes(&rtneural, &rtneural, 48_000.0);
    computes(&models.onnx(2), &rtneural, 48_000.0);
    computes(&models.onnx_graph(2), &rtneural, 48_000.0);
    for name in ["rtneural.json", "aidax.json"] {
        computes(&fixture(name), &fixture(name), 48_000.0);
    }
    let changes_sign = |seed: &u64| {
        let output = Network::open(&models.rtneural(*seed)).run(48_000.0, &signal(4000, 1));
        output.iter().any(|v| *v < -1e-3) && output.iter().any(|v| *v > 1e-3)
    };
    let seed = (2..40).find(changes_sign).expect("a model whose output changes its sign");
    for activation in ["tanh", "relu", "sigmoid", "elu"] {
        let path = models.with_activation(seed, activation);
        computes(&path, &path, 48_000.0);
    }
    let rtneural = ["jatinchowdhury18_RTNeural/gru.json", "jatinchowdhury18_RTNeural/lstm_1d.json"];
    for name in rtneural.into_iter().chain(["sdatkinson_NeuralAmpModelerCore/lstm.nam"]) {
        let Some(path) = real(name) else { continue };
        computes(&path, &path, 48_000.0);
    }
}

#[test]
fn output_has_the_same_bits_for_all_sizes_of_blocks() {
    let models = Models::new();
    let nam = models.nam(1, 48_000.0);
    let signals = [signal(9000, 1), signal(9000, 2)];
    let changes = [(100, INPUT, 6.0), (3001, MIX, 0.5), (3500, OUTPUT, -6.0), (3500, INPUT, -3.0)];
    for rate in RATES {
        let play = |block| Plugin::with(&nam, rate, 2).play(&signals, block, &changes);
        let want = play(4096);
        for block in [1, 7, 64, 9000] {
            same(&format!("{rate} Hz, blocks of {block}"), &play(block), &want);
        }
    }
    for onnx in [models.onnx(2), models.onnx_graph(2)] {
        let play = |block| Plugin::with(&onnx, 48_000.0, 2).play(&signals, block, &changes);
        same(&onnx.display().to_string(), &play(7), &play(4096));
    }
}

#[test]
fn mono_is_one_channel_of_stereo() {
    let models = Models::new();
    for model in [models.nam(1, 48_000.0), models.onnx(2), models.onnx_graph(2)] {
        let signals = [signal(3000, 1), signal(3000, 2)];
        let stereo = Plugin::with(&model, 48_000.0, 2).play(&signals, 64, &[]);
        assert!(stereo[0] != stereo[1]);
        for channel in 0..2 {
            let mono = Plugin::with(&model, 48_000.0, 1).play(&signals[channel..=channel], 64, &[]);
            same("mono", &mono, &stereo[channel..=channel]);
        }
    }
}

#[test]
fn mix_of_zero_is_the_input() {
    let models = Models::new();
    let nam = models.nam(1, 48_000.0);
    for rate in RATES {
        let mut plugin = Plugin::with(&nam, rate, 2);
        plugin.play(&[vec![0.0; 4096], vec![0.0; 4096]], 4096, &[(0, MIX, 0.0), (0, INPUT, 12.0)]);
        let mut signals = [signal(3000, 1), signal(3000, 2)];
        signals[0][5] = -0.0;
        signals[1][6] = 1e-42;
        signals[1][7] = f32::INFINITY;
        let output = plugin.play(&signals, 100, &[]);
        let late = plugin.latency();
        assert_eq!(late == 0, rate == 48_000.0, "{rate} Hz");
        for (x, y) in signals.iter().zip(&output) {
            let want = [&vec![0.0; late][..], &x[..3000 - late]].concat();
            same(&format!("{rate} Hz"), std::slice::from_ref(y), &[want]);
        }
    }
}

#[test]
fn without_a_model_the_signal_passes() {
    let mut plugin = Plugin::new();
    plugin.activate(44_100.0);
    let signals = [signal(1000, 1), signal(1000, 2)];
    same("no model", &plugin.play(&signals, 64, &[]), &signals);
    assert_eq!(plugin.latency(), 0);
}

/// Amplitude and phase of a tone of `step` radians per sample.
fn tone(y: &[f32], start: usize, step: f64) -> (f64, f64) {
    // Whole periods, up to a fraction of a sample.
    let count = ((y.len() - start) as f64 * step / std::f64::consts::TAU).floor() * std::f64::consts::TAU / step;
    let samples = start..start + count as usize;
    let (mut re, mut im) = (0.0, 0.0);
    for k in samples.clone() {
        // A Hann window keeps other tones out.
        let window = 1.0 - (std::f64::consts::TAU * (k - start) as f64 / samples.len() as f64).cos();
        let (sin, cos) = (step * k as f64).sin_cos();
        re += window * f64::from(y[k]) * cos;
        im -= window * f64::from(y[k]) * sin;
    }
    (2.0 * re.hypot(im) / samples.len() as f64, im.atan2(re))
}

#[test]
fn models_sound_the_same_at_every_rate() {
    let models = Models::new();
    for own in [44_100.0, 48_000.0, 96_000.0] {
        let nam = models.nam(1, own);
        let at = |rate: f64| {
            let step = std::f64::consts::TAU * 1000.0 / rate;
            let x: Vec<f32> = (0..(rate / 4.0) as usize).map(|k| 0.8 * (step * k as f64).sin() as f32).collect();
            let mut plugin = Plugin::with(&nam, rate, 1);
            let output = plugin.play(&[x], 512, &[]).remove(0);
            let late = plugin.latency();
            [1.0, 2.0, 3.0].map(|harmonic| {
                let (amplitude, phase) = tone(&output, (rate / 20.0) as usize, harmonic * step);
                (amplitude, phase + harmonic * step * late as f64)
            })
        };
        let want = at(own);
        for rate in RATES {
            for (harmonic, (got, want)) in at(rate).into_iter().zip(want).enumerate() {
                let text = format!("{own} Hz at {rate} Hz, harmonic {}: {got:?}, expected {want:?}", harmonic + 1);
                println!("{text}");
                assert!((got.0 - want.0).abs() <= 2e-3 * want.0 + 2e-5, "{text}");
                // Latency is a whole number of samples: half a sample is 0.07 radians of 1 kHz at 44.1 kHz.
                let turn = std::f64::consts::TAU;
                let off = (got.1 - want.1 + turn / 2.0).rem_euclid(turn) - turn / 2.0;
                assert!(want.0 < 1e-3 || off.abs() <= 0.08 * (harmonic + 1) as f64, "{text}");
            }
        }
    }
}

#[test]
fn bad_samples_are_silence_and_leave_no_trace() {
    let models = Models::new();
    for (model, rate) in [(models.nam(1, 48_000.0), 48_000.0), (models.nam(1, 48_000.0), 44_100.0)] {
        let mut plugin = Plugin::with(&model, rate, 1);
        let mut x = signal(2000, 1);
        for (k, bad) in [(100, f32::NAN), (101, f32::INFINITY), (102, f32::NEG_INFINITY), (103, 1e-40)] {
            x[k] = bad;
        }
        let got = plugin.play(&[x.clone()], 64, &[]);
        x[100..104].fill(0.0);
        plugin.reset();
        same("silence", &got, &plugin.play(&[x], 64, &[]));
        let loud = plugin.play(&[vec![f32::MAX; 500]], 64, &[]).remove(0);
        assert!(loud.iter().all(|v| v.is_finite()));
    }
}

#[test]
fn reset_begins_again() {
    let models = Models::new();
    for model in [models.nam(1, 48_000.0), models.onnx(2), models.onnx_graph(2)] {
        for rate in [48_000.0, 44_100.0] {
            let mut plugin = Plugin::with(&model, rate, 2);
            let signals = [signal(3000, 1), signal(3000, 2)];
            let first = plugin.play(&signals, 64, &[]);
            plugin.reset();
            same("reset", &plugin.play(&signals, 64, &[]), &first);
            plugin.deactivate();
            plugin.activate(rate);
            same("activated again", &plugin.play(&signals, 64, &[]), &first);
        }
    }
}
