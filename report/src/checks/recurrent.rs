//! Recurrent layers: every cell, plan, shader and precision, with padding and initial states.

use wgru::nn::{Mode, Module, Padding, Plan, Recurrent, RecurrentConfig, RecurrentOptions, RunOptions};
use wgru::ops::adapters::{Rules, rules, set_rules};
use wgru::{Cell, Precision, Result, Tensor};

use crate::reference::recurrent::{Steps, run as run_f64};
use crate::reference::{dot, wide};
use crate::run::{Run, Slopes, Stop, Tolerance, fill, gradient_error, worst_error};

/// A few steps, each with sums of up to 130 products.
const LAYER: Tolerance = Tolerance { forward: 4e-6, gradient: 2e-5 };

/// Extents of a run.
#[derive(Clone, Copy)]
struct Extents {
    steps: usize,
    batch: usize,
    input: usize,
    hidden: usize,
    bidirectional: bool,
}

/// Fewer units than a block of 16; more than the 64 whose weights fit in registers; several blocks and rows of four
/// sequences.
const EXTENTS: [Extents; 3] = [
    Extents { steps: 5, batch: 3, input: 3, hidden: 5, bidirectional: true },
    Extents { steps: 4, batch: 5, input: 4, hidden: 48, bidirectional: false },
    Extents { steps: 3, batch: 2, input: 4, hidden: 132, bidirectional: false },
];

/// The data of a layer's run, and the expected results.
struct Case {
    config: RecurrentConfig,
    lengths: Vec<usize>,
    dims: Vec<Vec<usize>>,
    /// `x`, `h0`, `c0` (empty without a cell state), then the parameters.
    values: Vec<Vec<f32>>,
    /// Output, last states and last cell states, one after the other.
    want: Vec<f64>,
    dy: Vec<f32>,
    slopes: Option<Slopes>,
}

impl Case {
    /// With `quantized`, every row of the recurrent matrices has whole multiples of a power of two, up to ±127, which
    /// all formats represent exactly.
    fn new(config: RecurrentConfig, e: Extents, quantized: bool, slopes: bool) -> Self {
        let lengths: Vec<usize> = (0..e.batch).map(|row| (e.steps - row % 3).max(1)).collect();
        let [h, c] = config.state_dims(e.batch);
        let is_lstm = config.cell == Cell::Lstm;
        let mut dims = vec![vec![e.steps, e.batch, e.input], h.to_vec(), if is_lstm { c.to_vec() } else { vec![0] }];
        let scale = 1.0 / (e.hidden as f32).sqrt();
        let mut values: Vec<Vec<f32>> =
            dims.iter().zip(1..).map(|(dims, stream)| fill(stream, dims.iter().product(), 0.9)).collect();
        // The shapes of the parameters do not depend on the device.
        let layer = Recurrent::new(
            &wgru::Device::cpu(),
            RecurrentConfig { plan: None, ..config.clone() },
            &mut wgru::Rng::new(0),
        );
        for (k, (name, parameter)) in layer.iter().flat_map(|layer| layer.parameters()).enumerate() {
            let mut of = fill(10 + k as u64, parameter.len(), scale);
            if quantized && name.starts_with("weight_hh") {
                let unit = (scale / 127.0).log2().floor().exp2();
                of.iter_mut().for_each(|v| *v = (*v / scale * 127.0).round() * unit);
                of.chunks_mut(e.hidden).for_each(|row| row[0] = 127.0 * unit);
            }
            dims.push(parameter.dims().to_vec());
            values.push(of);
        }
        let valid = (0..e.steps * e.batch).map(|i| i / e.batch < lengths[i % e.batch]).collect();
        let steps = Steps { valid, ..Steps::all(e.steps, e.batch) };
        let reference = |v: &[Vec<f64>]| {
            let (y, h_n, c_n) = run_f64(&config, &v[3..], &v[0], [&v[1], &v[2]], &steps, &[]);
            [y, h_n, c_n].concat()
        };
        let all: Vec<Vec<f64>> = values.iter().map(|values| wide(values)).collect();
        let want = reference(&all);
        let dy = fill(99, want.len(), 1.0);
        let slopes = slopes.then(|| {
            // An empty input has no slopes.
            let given: Vec<Vec<f64>> = all.iter().filter(|values| !values.is_empty()).cloned().collect();
            Slopes::of(&given, |moved| {
                let mut moved = moved.to_vec();
                if !is_lstm {
                    moved.insert(2, Vec::new());
                }
                dot(&reference(&moved), &wide(&dy))
            })
        });
        Self { config, lengths, dims, values, want, dy, slopes }
    }

    /// Returns the largest errors of the results and of the gradients, in inference without gradients.
    async fn run(&self, run: &Run<'_>, plan: Option<Plan>, weights: Precision) -> Result<(f64, Option<f64>)> {
        let device = &run.device;
        let trains = weights == Precision::F32 && self.slopes.is_some();
        let leaf = |k: usize| -> Result<Option<Tensor>> {
            let (values, dims) = (&self.values[k], &self.dims[k]);
            if values.is_empty() {
                return Ok(None);
            }
            let tensor = Tensor::from_slice(device, values, dims)?;
            Ok(Some(if trains { tensor.requires_grad() } else { tensor }))
        };
        let states = [leaf(0)?, leaf(1)?, leaf(2)?];
        let mut next = 3..self.values.len();
        let config = RecurrentConfig { plan, ..self.config.clone() };
        let layer = Recurrent::from_parameters(device, config, |_, dims| {
            let values = next.next().map_or(&[][..], |k| &self.values[k][..]);
            Tensor::from_slice(device, values, dims)
        })?;
        let layer = if weights == Precision::F32 { layer } else { layer.with_weights(weights)? };
        let [Some(x), h0, c0] = &states else { return Ok((f64::INFINITY, None)) };
        let lengths = Some(&self.lengths[..]);
        let options = RunOptions { h0: h0.as_ref(), c0: c0.as_ref(), lengths, ..Default::default() };
        let mut rng = wgru::Rng::new(0);
        let mut mode = if trains { Mode::Train(&mut rng) } else { Mode::Eval };
        let out = layer.run(x, options, &mut mode)?;
        let parts: Vec<&Tensor> = [&out.output, &out.h_n].into_iter().chain(&out.c_n).collect();
        let mut got = Vec::new();
        for part in &parts {
            got.extend(part.read().await?);
        }
        let worst = worst_error(&got, &self.want);
        let Some(slopes) = self.slopes.as_ref().filter(|_| trains) else { return Ok((worst, None)) };
        let (mut sum, mut from) = (None, 0);
        for part in parts {
            let dy = Tensor::from_slice(device, &self.dy[from..from + part.len()], part.dims())?;
            let term = part.mul(&dy)?.sum()?;
            sum = Some(match sum {
                None => term,
                Some(sum) => term.add(&sum)?,
            });
            from += part.len();
        }
        if let Some(sum) = sum {
            sum.backward()?;
        }
        let leaves: Vec<Tensor> =
            states.iter().flatten().cloned().chain(layer.parameters().into_iter().map(|(_, tensor)| tensor)).collect();
        Ok((worst, Some(gradient_error(slopes, &leaves).await?)))
    }
}

/// The shaders of the fused plans, with the rules that choose them.
fn shaders(run: &Run) -> [(&'static str, Rules); 2] {
    let rules = rules(&run.device);
    [("plain", Rules { busy: 0, ..rules }), ("split", Rules { busy: u64::MAX, ..rules })]
}

pub async fn all(run: &mut Run<'_>) -> std::result::Result<(), Stop> {
    let result = plans(run).await;
    set_rules(&run.device, None);
    result?;
    options(run).await
}

async fn plans(run: &mut Run<'_>) -> std::result::Result<(), Stop> {
    for cell in Cell::ALL {
        for e in EXTENTS {
            let config =
                RecurrentConfig { bidirectional: e.bidirectional, ..RecurrentConfig::new(cell, e.input, e.hidden) };
            let name = format!("{cell} {}×{}×{}", e.steps, e.batch, e.hidden);
            run.at(&name)?;
            let (whole, low) = (Case::new(config.clone(), e, false, true), Case::new(config, e, true, false));
            for (shader, rules) in shaders(run) {
                set_rules(&run.device, Some(rules));
                for plan in [Plan::Whole, Plan::Chain] {
                    let name = format!("{name} {plan} {shader}");
                    run.at(&name)?;
                    let result = whole.run(run, Some(plan), Precision::F32).await;
                    run.found(&name, LAYER, result)?;
                    for weights in [Precision::F16, Precision::Bf16, Precision::Int8] {
                        let name = format!("{name} {weights:?}");
                        run.at(&name)?;
                        let result = low.run(run, Some(plan), weights).await;
                        run.found(&name, LAYER, result)?;
                    }
                }
            }
            set_rules(&run.device, None);
            let name = format!("{name} {}", Plan::Steps);
            let result = whole.run(run, Some(Plan::Steps), Precision::F32).await;
            run.found(&name, LAYER, result)?;
        }
    }
    Ok(())
}

/// Options, which the plan by steps runs, and layers as the rules run them.
async fn options(run: &mut Run<'_>) -> std::result::Result<(), Stop> {
    let e = Extents { steps: 5, batch: 3, input: 3, hidden: 6, bidirectional: true };
    let of = |cell: Cell, options: RecurrentOptions| RecurrentConfig {
        bidirectional: true,
        options,
        ..RecurrentConfig::new(cell, e.input, e.hidden)
    };
    let usual = RecurrentOptions::default();
    let clip = RecurrentOptions { clip: Some(0.3), padding: Padding::RepeatLast, ..usual };
    let zoneout = RecurrentOptions { zoneout: 0.25, ..usual };
    let lstm = of(Cell::Lstm, RecurrentOptions { zoneout_cell: 0.125, ..zoneout });
    let cases = [
        ("gru with two layers", RecurrentConfig { layers: 2, ..of(Cell::Gru, usual) }, true),
        ("gru recomputed", of(Cell::Gru, RecurrentOptions { recompute: true, ..usual }), true),
        ("gru clipped", of(Cell::Gru, clip), true),
        ("gru reset before, clipped", of(Cell::GruResetBefore, clip), true),
        ("rnn clipped", of(Cell::Rnn, clip), true),
        ("lstm with peepholes", RecurrentConfig { peephole: true, ..of(Cell::Lstm, usual) }, true),
        ("lstm projected", RecurrentConfig { projection: 4, ..of(Cell::Lstm, usual) }, true),
        // Without noise, zoneout mixes the states; training would draw them.
        ("gru with zoneout", of(Cell::Gru, zoneout), false),
        ("lstm with zoneout", lstm, false),
    ];
    for (name, config, slopes) in cases {
        run.at(name)?;
        let case = Case::new(config, e, false, slopes);
        let result = case.run(run, None, Precision::F32).await;
        run.found(name, LAYER, result)?;
    }
    Ok(())
}
