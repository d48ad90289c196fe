//! Streams, low-precision weights, and the minimal GRU.

use wgru::nn::{MinGruConfig, MinGruForm, MinGruInput, Mode, Module, RecurrentConfig, RunOptions};
use wgru::{Cell, Device, Precision, Rng, Stream, StreamOptions, Tensor};

use super::{Answer, Row, STEPS, Weights, assert_none, devices, differences, rows, run, scale, set, weights};

use crate::common::{gpu, twin};

/// Frame by frame, with weights of every precision.
#[test]
fn streams_match_the_layer() {
    let (device, mut all) = (Device::cpu(), Vec::new());
    for config in Cell::ALL.map(|cell| RecurrentConfig::new(cell, 1, 1)) {
        let rows = rows(config.cell == Cell::Lstm);
        for (number, weights) in weights(config.cell.gates()).iter().enumerate() {
            let want = run(&device, &config, weights, &rows, false);
            for precision in [Precision::F32, Precision::F16, Precision::Bf16, Precision::Int8] {
                // Only weights that are exact in low precision.
                if number >= 5 && precision != Precision::F32 {
                    continue;
                }
                let got = stream(&device, &config, weights, &rows, precision);
                // With int8, a row has a single scale, so a non-finite input makes all of it NaN. The largest f32
                // overflows when it is scaled back after rounding.
                let is_below = |row: &Row| [row.x, row.h, row.c].iter().all(|v| v.abs() < f32::MAX);
                let skip = |i: usize| precision == Precision::Int8 && !is_below(&rows[i]);
                let what = format!("{:?} as a stream of {precision:?}, {weights:?}", config.cell);
                all.extend(differences(&what, &rows, &got, &want, skip));
            }
        }
    }
    assert_none(&all);
}

fn stream(device: &Device, config: &RecurrentConfig, weights: &Weights, rows: &[Row], precision: Precision) -> Answer {
    let layer = config.clone().build(device, &mut Rng::new(0)).expect("layer");
    set(&layer, weights);
    let options = StreamOptions { batch: rows.len(), weights: precision, ..Default::default() };
    let mut stream = Stream::new(&layer, options).expect("stream");
    let of = |f: fn(&Row) -> f32| rows.iter().map(f).collect::<Vec<f32>>();
    let cells = if config.cell == Cell::Lstm { of(|r| r.c) } else { Vec::new() };
    stream.set_state(&[of(|r| r.h), cells].concat()).expect("state");
    let mut all: Vec<f32> = (0..STEPS).flat_map(|_| stream.step(&of(|r| r.x)).expect("step").to_vec()).collect();
    all.extend(stream.state());
    let of_row = |i: usize| all.iter().skip(i).step_by(rows.len()).map(|&v| f64::from(v)).collect();
    Answer { parts: (0..rows.len()).map(of_row).collect() }
}

/// Weights that are exact in 16 and 8 bits change nothing.
#[test]
fn low_precision_layers_match_the_layer() {
    let Some(device) = gpu() else { return };
    let mut all = Vec::new();
    for cell in [Cell::Gru, Cell::GruResetBefore] {
        let rows = rows(false);
        for weights in &weights(3)[..5] {
            let want = run(&twin(), &RecurrentConfig::new(cell, 1, 1), weights, &rows, false);
            for precision in [Precision::F16, Precision::Bf16, Precision::Int8] {
                let config = RecurrentConfig::new(cell, 1, 1);
                let gru = config.build(&device, &mut Rng::new(0)).and_then(|gru| gru.with_weights(precision));
                let gru = gru.expect("layer");
                for ((_, parameter), values) in gru.parameters().iter().zip(weights) {
                    parameter.assign(values).expect("assign");
                }
                let tensor = |values: Vec<f32>, steps: usize| {
                    Tensor::from_slice(&device, &values.repeat(steps), &[steps, rows.len(), 1]).expect("allocated")
                };
                let x = tensor(rows.iter().map(|r| r.x).collect(), STEPS);
                let h0 = tensor(rows.iter().map(|r| r.h).collect(), 1);
                let input = RunOptions { h0: Some(&h0), ..Default::default() };
                let out = gru.run(&x, input, &mut Mode::Eval).expect("run");
                let read = [out.output, out.h_n].map(|t| t.read_blocking().expect("read")).concat();
                let of_row = |i: usize| read.iter().skip(i).step_by(rows.len()).map(|&v| f64::from(v)).collect();
                let got = Answer { parts: (0..rows.len()).map(of_row).collect() };
                // With int8, integers up to 127 are multiplied before the scale is applied.
                let skip = |i: usize| precision == Precision::Int8 && scale(&rows[i]) > 1e36;
                all.extend(differences(&format!("{cell:?} with {precision:?}, {weights:?}"), &rows, &got, &want, skip));
            }
        }
    }
    assert_none(&all);
}

#[test]
fn min_gru_matches_the_twins() {
    let (devices, rows, mut all) = (devices(), rows(false), Vec::new());
    for form in [MinGruForm::Linear, MinGruForm::Log] {
        for (z, h) in [(0.0, 0.0), (1.0, 1.0), (1.0, -1.0), (-1.0, 0.0), (0.0, 1.0)] {
            let run = |device: &Device| {
                let config = MinGruConfig { input: 1, hidden: 1, form, ..Default::default() };
                let layer = config.build(device, &mut Rng::new(0)).expect("layer");
                for (name, parameter) in layer.parameters() {
                    let weight = if name.contains("linear_z") { z } else { h };
                    parameter.assign(&[if name.contains("bias") { 0.0 } else { weight }]).expect("assign");
                }
                let tensor = |values: Vec<f32>, steps: usize| {
                    Tensor::from_slice(device, &values.repeat(steps), &[steps, rows.len(), 1]).expect("allocated")
                };
                let x = tensor(rows.iter().map(|r| r.x).collect(), STEPS);
                let h0 = tensor(rows.iter().map(|r| r.h).collect(), 1);
                let out = layer.run(&x, MinGruInput { h0: Some(&h0), lengths: None }, &mut Mode::Eval).expect("run");
                let read = out.output.read_blocking().expect("read");
                let of_row = |i: usize| read.iter().skip(i).step_by(rows.len()).map(|&v| f64::from(v)).collect();
                Answer { parts: (0..rows.len()).map(of_row).collect() }
            };
            let want = run(&devices[0]);
            for device in &devices[1..] {
                let what = format!("{form:?} on {}, {z}, {h}", device.info().name);
                all.extend(differences(&what, &rows, &run(device), &want, |_| false));
            }
        }
    }
    assert_none(&all);
}
