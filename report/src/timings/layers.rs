//! Recurrent layers by every plan and shader: inference, training steps, and low precision.

use wgru::nn::{Mode, Module, Plan, Recurrent, RecurrentConfig};
use wgru::ops::adapters::{Rules, rules, set_rules};
use wgru::train::Optimizer;
use wgru::{Cell, Precision, Result, Rng, Tensor};

use super::{Pace, on_device};
use crate::run::{Key, Run, Stop, fill};

/// Steps, batch, units. The first computes almost nothing, so it measures the overhead of a step.
const SIZES: [[usize; 3]; 10] = [
    [64, 1, 16],
    [64, 1, 64],
    [64, 32, 64],
    [64, 1, 128],
    [64, 32, 128],
    [64, 1, 256],
    [64, 32, 256],
    [64, 64, 512],
    [32, 128, 1024],
    [32, 8, 2048],
];

pub async fn all(run: &mut Run<'_>) -> std::result::Result<(), Stop> {
    let result = plans(run).await;
    set_rules(&run.device, None);
    result
}

/// A plan, and the rules under which it uses one of its shaders.
struct Choice {
    name: String,
    plan: Plan,
    rules: Rules,
}

fn choices(run: &Run) -> Vec<Choice> {
    let rules = rules(&run.device);
    let is_hardware = run.device.info().is_hardware_gpu();
    let (plain, split) = (Rules { busy: 0, ..rules }, Rules { busy: u64::MAX, ..rules });
    let mut all = Vec::new();
    for plan in [Plan::Whole, Plan::Chain] {
        // On adapters that compute on the CPU, the rules never split sums.
        if is_hardware {
            all.push(Choice { name: format!("{plan} split"), plan, rules: split });
        }
        all.push(Choice { name: format!("{plan} plain"), plan, rules: plain });
    }
    all.push(Choice { name: Plan::Steps.to_string(), plan: Plan::Steps, rules });
    all
}

async fn plans(run: &mut Run<'_>) -> std::result::Result<(), Stop> {
    let choices = choices(run);
    let quick = run.options.quick;
    let sizes = if quick { &SIZES[..2] } else { &SIZES[..] };
    let cells: &[Cell] = if quick { &[Cell::Gru] } else { &[Cell::Gru, Cell::Lstm] };
    // Sizes are the outer loop, so that a run that ends early has all choices of some sizes.
    let mut pace = Pace::default();
    for (i, &size) in sizes.iter().enumerate() {
        run.begin("layers", 0.65 + 0.33 * i as f64 / sizes.len() as f64);
        for &cell in cells {
            for choice in &choices {
                set_rules(&run.device, Some(choice.rules));
                layer(run, &mut pace, cell, size, choice, None).await?;
            }
            set_rules(&run.device, None);
        }
        if !quick {
            for weights in [Precision::F16, Precision::Int8] {
                let plan = Plan::choose_fused(&run.device, size[2]);
                let choice =
                    Choice { name: format!("{plan} {weights:?}").to_lowercase(), plan, rules: rules(&run.device) };
                layer(run, &mut pace, Cell::Gru, size, &choice, Some(weights)).await?;
            }
        }
    }
    Ok(())
}

async fn layer(
    run: &mut Run<'_>,
    pace: &mut Pace,
    cell: Cell,
    [steps, batch, hidden]: [usize; 3],
    choice: &Choice,
    weights: Option<Precision>,
) -> std::result::Result<(), Stop> {
    if choice.plan.check(&run.device, hidden, Some(cell)).is_err() {
        return Ok(());
    }
    let device = run.device.clone();
    let name = format!("{cell} {steps}×{batch}×{hidden} {}", choice.name);
    let layer = || -> Result<Recurrent> {
        let config = RecurrentConfig { plan: Some(choice.plan), ..RecurrentConfig::new(cell, hidden, hidden) };
        let layer = config.build(&device, &mut Rng::new(1))?;
        weights.map_or(Ok(layer.clone()), |weights| layer.with_weights(weights))
    };
    let layer = match layer() {
        Ok(layer) => layer,
        Err(error) => {
            run.skip(name, error.to_string());
            return Ok(());
        }
    };
    let dims = [steps, batch, hidden];
    let x = Tensor::from_slice(&device, &fill(1, dims.iter().product(), 1.0), &dims);
    let Some(x) = on_device(run, &name, x) else { return Ok(()) };
    // Multiply-adds of a run, plus the overhead of its steps, which takes as long as these on a slow adapter.
    let work = (steps * (2 * cell.gates() * hidden * hidden * batch + 20_000)) as f64;
    let dims = dims.map(|n| n as u64);
    let (of, choice) = (cell.to_string(), &choice.name);
    let key = Key { kind: "forward", of: &of, dims: &dims, choice };
    let id = format!("{cell} {choice}");
    let took = run.time(key, pace.expects(&id, work), || layer.forward(&x)).await?;
    pace.took(&id, work, took);
    let Some(seconds) = took.filter(|_| weights.is_none()) else { return Ok(()) };

    let mut optimizer = match Optimizer::adam(layer.parameters(), 1e-3) {
        Ok(optimizer) => optimizer,
        Err(error) => {
            run.skip(name, error.to_string());
            return Ok(());
        }
    };
    let key = Key { kind: "training", ..key };
    let id = format!("training {id}");
    // A training step computes about three times as much as inference.
    let expected = pace.expects(&id, work).max(3.0 * seconds);
    let mut rng = Rng::new(2);
    let took = run
        .time(key, expected, || {
            optimizer.zero_grad();
            let loss = layer.forward_with(&x, &mut Mode::Train(&mut rng))?.square()?.mean()?;
            loss.backward()?;
            optimizer.step()?;
            Ok(loss)
        })
        .await?;
    pace.took(&id, work, took);
    Ok(())
}
