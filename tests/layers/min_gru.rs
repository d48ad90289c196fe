//! The minimal GRU over long sequences, whose scan a GPU splits into chunks.

use wgru::kernels::{MinGruChunks, MinGruChunksBackward, MinGruSequence, MinGruSequenceBackward, Scan};
use wgru::nn::{MinGru, MinGruConfig, MinGruForm, MinGruInput, Mode, Module};
use wgru::{Device, Result, Rng, Tensor};

use crate::common::{assert_close, fill};
use crate::on_every_backend;
use crate::reference::min_gru::Network;
use crate::reference::wide;

/// Gates that forget within a few steps; each state carries only a few roundings.
const QUICK: f64 = 1e-6;
/// Gates that keep a state for 3,000 steps: each step rounds a factor near 1 by 6e-8.
const SLOW: f64 = 3e-4;

on_every_backend![
    min_gru_is_exact_over_ten_thousand_steps,
    min_gru_back_through_ten_thousand_steps_matches_f64,
    min_gru_continues_from_a_carried_state,
    min_gru_stays_finite_for_extreme_gates,
    min_gru_refuses_wrong_input,
    min_gru_kernels_refuse_invalid_parameters,
];

const STEPS: usize = 10_000;

fn layer(device: &Device, form: MinGruForm, reverse: bool) -> Result<MinGru> {
    MinGruConfig { input: 2, hidden: 3, reverse, form, ..Default::default() }.build(device, &mut Rng::new(1))
}

fn network(form: MinGruForm, reverse: bool) -> Network {
    let positive = form == MinGruForm::Log;
    Network { input: 2, hidden: 3, layers: 1, bias: true, bidirectional: false, reverse, positive }
}

const FORMS: [MinGruForm; 2] = [MinGruForm::Linear, MinGruForm::Log];

/// Sets the gates' opening to `z ≈ σ(bias)`.
fn set_gate_bias(layer: &MinGru, bias: f32) -> Result<Vec<Vec<f64>>> {
    let mut all = Vec::new();
    for (name, parameter) in layer.parameters() {
        if name == "layers.0.linear_z.bias" {
            parameter.assign(&[bias; 3])?;
        }
        all.push(wide(&parameter.read_blocking()?));
    }
    Ok(all)
}

fn min_gru_is_exact_over_ten_thousand_steps(device: &Device) {
    let run = |form, reverse, bias, tolerance| -> Result<()> {
        let layer = layer(device, form, reverse)?;
        let parameters = set_gate_bias(&layer, bias)?;
        let (x, h0) = (fill(1, STEPS * 2 * 2, 1.0), [0.3, 0.0, 2.0, 0.1, 0.7, 4.0]);
        let lengths = [STEPS, STEPS - 1234];
        let x_tensor = Tensor::from_slice(device, &x, &[STEPS, 2, 2])?;
        let h0_tensor = Tensor::from_slice(device, &h0, &[1, 2, 3])?;
        let input = MinGruInput { h0: Some(&h0_tensor), lengths: Some(&lengths) };
        let out = layer.run(&x_tensor, input, &mut Mode::Eval)?;
        let (y, h_n) = network(form, reverse).run(&parameters, &wide(&x), &wide(&h0), &lengths);
        let what = format!("{form:?}, reverse {reverse}, bias {bias}");
        assert_close(&format!("output, {what}"), &out.output.read_blocking()?, &y, tolerance);
        assert_close(&format!("h_n, {what}"), &out.h_n.read_blocking()?, &h_n, tolerance);
        Ok(())
    };
    for form in FORMS {
        for reverse in [false, true] {
            run(form, reverse, 0.0, QUICK).expect("run");
            run(form, reverse, -8.0, SLOW).expect("run");
        }
    }
}

/// The gradient of the last state with respect to the first one is the product of all factors.
fn min_gru_back_through_ten_thousand_steps_matches_f64(device: &Device) {
    let run = |form| -> Result<()> {
        let layer = layer(device, form, false)?;
        let parameters = set_gate_bias(&layer, -8.0)?;
        let x = fill(1, STEPS * 2, 1.0);
        let x_tensor = Tensor::from_slice(device, &x, &[STEPS, 1, 2])?;
        let h0 = Tensor::full(device, 0.5, &[1, 1, 3])?.requires_grad();
        let input = MinGruInput { h0: Some(&h0), lengths: None };
        layer.run(&x_tensor, input, &mut Mode::Eval)?.h_n.sum()?.backward()?;
        let product = |unit: usize| -> f64 {
            let pre = |x: &[f32]| {
                (0..2).map(|i| parameters[0][2 * unit + i] * x[i] as f64).sum::<f64>() + parameters[1][unit]
            };
            x.chunks(2).map(|x| 1.0 / (1.0 + pre(x).exp())).product()
        };
        let want: Vec<f64> = (0..3).map(product).collect();
        assert!(want.iter().all(|v| (1e-3..0.5).contains(v)), "{want:?}");
        assert_close(&format!("dh0, {form:?}"), &h0.grad().expect("a gradient").read_blocking()?, &want, SLOW);
        Ok(())
    };
    FORMS.into_iter().for_each(|form| run(form).expect("forward and backward"));
}

fn min_gru_continues_from_a_carried_state(device: &Device) {
    let run = |form| -> Result<()> {
        let layer = layer(device, form, false)?;
        let x = Tensor::from_slice(device, &fill(1, 300 * 2 * 2, 1.0), &[300, 2, 2])?;
        let whole = layer.run(&x, MinGruInput::default(), &mut Mode::Eval)?;
        let first = layer.run(&x.slice(0, 0..170)?, MinGruInput::default(), &mut Mode::Eval)?;
        let input = MinGruInput { h0: Some(&first.h_n), lengths: None };
        let second = layer.run(&x.slice(0, 170..300)?, input, &mut Mode::Eval)?;
        let parts = Tensor::concat(&[&first.output, &second.output], 0)?;
        assert_close(&format!("{form:?}"), &parts.read_blocking()?, &wide(&whole.output.read_blocking()?), QUICK);
        Ok(())
    };
    FORMS.into_iter().for_each(|form| run(form).expect("run"));
}

fn min_gru_stays_finite_for_extreme_gates(device: &Device) {
    let run = |form, scale: f32| -> Result<()> {
        let layer = layer(device, form, false)?;
        let x = Tensor::from_slice(device, &fill(1, 500 * 2, scale), &[500, 1, 2])?.requires_grad();
        let out = layer.run(&x, MinGruInput::default(), &mut Mode::Train(&mut Rng::new(0)))?;
        let parameters: Result<Vec<Vec<f64>>> =
            layer.parameters().iter().map(|(_, p)| Ok(wide(&p.read_blocking()?))).collect();
        let (y, _) = network(form, false).run(&parameters?, &wide(&x.read_blocking()?), &[0.0; 3], &[500]);
        assert_close(&format!("{form:?}, {scale}"), &out.output.read_blocking()?, &y, 1e-5);
        out.output.sum()?.backward()?;
        let dx = x.grad().expect("a gradient").read_blocking()?;
        assert!(dx.iter().all(|v| v.is_finite()), "{form:?}, {scale}");
        Ok(())
    };
    for form in FORMS {
        for scale in [1e3, 1e9, 1e30] {
            run(form, scale).expect("forward and backward");
        }
    }
}

/// Asserts that the error message names each of `words`.
#[track_caller]
fn refused<T>(result: Result<T>, words: &[&str]) {
    let text = result.err().unwrap_or_else(|| panic!("accepted, but should name {words:?}")).to_string();
    assert!(words.iter().all(|w| text.contains(w)), "{text:?} does not name {words:?}");
}

fn zeros(device: &Device, dims: &[usize]) -> Tensor {
    Tensor::zeros(device, dims).expect("zeros")
}

fn min_gru_refuses_wrong_input(device: &Device) {
    let base = MinGruConfig { input: 4, hidden: 5, layers: 2, ..MinGruConfig::default() };
    let mut rng = Rng::new(0);
    for (config, word) in [
        (MinGruConfig { input: 0, ..base.clone() }, "input"),
        (MinGruConfig { hidden: 0, ..base.clone() }, "hidden"),
        (MinGruConfig { layers: 0, ..base.clone() }, "layers"),
        (MinGruConfig { dropout: 1.0, ..base.clone() }, "MinGru"),
        (MinGruConfig { bidirectional: true, reverse: true, ..base.clone() }, "reverse"),
        (MinGruConfig { hidden: usize::MAX, ..base.clone() }, "elements"),
    ] {
        refused(config.build(device, &mut rng), &[word]);
    }
    let layer = base.build(device, &mut rng).expect("a legal configuration");
    let run = |x: &Tensor, input: MinGruInput| layer.run(x, input, &mut Mode::Eval);
    let none = MinGruInput::default();
    let x = zeros(device, &[6, 3, 4]);
    assert!(run(&x, MinGruInput { lengths: Some(&[6, 0, 1]), ..none }).is_ok());
    refused(run(&zeros(device, &[6, 3, 5]), none), &["min_gru", "x", "[steps, batch, 4]", "[6, 3, 5]"]);
    refused(run(&zeros(device, &[6, 4]), none), &["min_gru", "x", "[6, 4]"]);
    refused(run(&x, MinGruInput { lengths: Some(&[6, 7, 1]), ..none }), &["min_gru", "lengths", "0..=6", "7"]);
    refused(run(&x, MinGruInput { lengths: Some(&[6]), ..none }), &["min_gru", "lengths", "[3]", "[1]"]);
    let h0 = zeros(device, &[1, 3, 5]);
    refused(run(&x, MinGruInput { h0: Some(&h0), ..none }), &["min_gru", "h0", "[2, 3, 5]", "[1, 3, 5]"]);
    refused(run(&zeros(&Device::cpu(), &[6, 3, 4]), none), &["min_gru", "x", "device"]);
}

fn min_gru_kernels_refuse_invalid_parameters(device: &Device) {
    let [a, b, c] = [(); 3].map(|()| zeros(device, &[64]));
    let index = Tensor::from_indices(device, &[0; 64], &[64]).expect("indices");
    let scan = Scan { steps: 4, width: 2, log: 0 };
    for (p, word) in [
        (Scan { width: 0, ..scan }, "width"),
        (Scan { log: 2, ..scan }, "log"),
        (Scan { steps: 1 << 16, width: 1 << 16, ..scan }, "steps"),
    ] {
        refused(device.run(&p, [&a, &a, &a], [&b]), &["scan", word]);
    }
    let gru = MinGruSequence { steps: 4, batch: 2, hidden: 2, directions: 1, chunk: 4, ..MinGruSequence::default() };
    for (p, word) in [
        (MinGruSequence { hidden: 0, ..gru }, "hidden"),
        (MinGruSequence { chunk: 0, ..gru }, "chunk"),
        (MinGruSequence { chunk: u32::MAX, ..gru }, "chunk"),
        (MinGruSequence { directions: 3, ..gru }, "directions"),
        (MinGruSequence { reverse: 3, ..gru }, "reverse"),
        (MinGruSequence { log: 2, ..gru }, "log"),
        (MinGruSequence { steps: 1 << 16, batch: 1 << 16, ..gru }, "steps"),
    ] {
        refused(device.run(&p, [&a, &index, &a], [&b, &c]), &["min_gru_sequence", word]);
        refused(device.run(&MinGruChunks(p), [&a, &index], [&b, &c]), &["min_gru_chunks", word]);
        let back = MinGruSequenceBackward(p);
        refused(device.run(&back, [&a, &index, &a, &a, &a, &a], [&b, &c]), &["min_gru_sequence_backward", word]);
        refused(device.run(&MinGruChunksBackward(p), [&a, &index, &a], [&b, &c]), &["min_gru_chunks_backward", word]);
    }
}
