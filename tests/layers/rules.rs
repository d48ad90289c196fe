//! Shaders that the rules choose on hardware only, through layers. A layer must bind the shader that it runs: small
//! layers once failed on every hardware GPU, because it bound another one.

use wgru::nn::{Mode, Module, RecurrentConfig};
use wgru::ops::adapters::{Rules, rules, set_rules};
use wgru::ops::recurrent::Plan;
use wgru::{Cell, Device, Precision, Result, Rng, Tensor};

use crate::common::{fill, relative_error};
use crate::on_every_backend;

/// The order of the sums differs.
const SHADERS: f64 = 2e-6;

on_every_backend![layers_run_every_shader];

/// The output, and the gradient of `weight_hh` of a training step in f32.
fn results(device: &Device, config: &RecurrentConfig, weights: Precision) -> Result<[Vec<f32>; 2]> {
    let layer = config.build(device, &mut Rng::new(1))?;
    let layer = if weights == Precision::F32 { layer } else { layer.with_weights(weights)? };
    let x = Tensor::from_slice(device, &fill(2, 4 * 3 * config.input, 1.0), &[4, 3, config.input])?;
    if weights != Precision::F32 {
        return Ok([layer.forward(&x)?.read_blocking()?, vec![1.0]]);
    }
    let y = layer.forward_with(&x, &mut Mode::Train(&mut Rng::new(0)))?;
    y.square()?.sum()?.backward()?;
    let gradient = layer.parameters()[1].1.grad().expect("a gradient");
    Ok([y.read_blocking()?, gradient.read_blocking()?])
}

fn layers_run_every_shader(device: &Device) {
    let usual = rules(device);
    for (cell, hidden) in [Cell::Gru, Cell::Lstm].into_iter().flat_map(|cell| [5, 40, 100].map(|h| (cell, h))) {
        for plan in [Plan::Whole, Plan::Chain] {
            let config = RecurrentConfig { plan: Some(plan), ..RecurrentConfig::new(cell, 4, hidden) };
            let low = [Precision::F16, Precision::Int8].into_iter().filter(|_| device.is_gpu());
            for weights in [Precision::F32].into_iter().chain(low) {
                let [plain, shared] = [0, u64::MAX].map(|busy| {
                    set_rules(device, Some(Rules { busy, ..usual }));
                    results(device, &config, weights).expect("ran")
                });
                for (plain, shared) in plain.iter().zip(&shared) {
                    let wide: Vec<f64> = plain.iter().map(|&v| v.into()).collect();
                    let error = relative_error(shared, &wide);
                    assert!(error <= SHADERS, "{cell} {hidden} {plan} {weights:?}: {error:.1e}");
                }
            }
        }
    }
    set_rules(device, None);
    assert_eq!(rules(device), usual);
}

/// Estimates of a hardware GPU on a software adapter: what programs do with a layer of any size.
#[test]
#[cfg(feature = "gpu")]
fn layers_run_by_the_rules_of_hardware() {
    let Some(device) = crate::common::gpu() else { return eprintln!("SKIPPED: no adapter") };
    let hardware = wgru::ops::adapters::estimates(wgru::AdapterClass::Discrete, false);
    set_rules(&device, Some(hardware));
    for hidden in [1, 16, 64, 65, 128, 129, 260] {
        let [y, gradient] = results(&device, &RecurrentConfig::gru(4, hidden), Precision::F32).expect("ran");
        assert!(y.iter().chain(&gradient).all(|v| v.is_finite()));
    }
}
