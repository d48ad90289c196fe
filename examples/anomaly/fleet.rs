//! Engines: learns the remaining life from some, and predicts it for others.

use serde_json::{Value, json};
use wgru::io::TensorFile;
use wgru::nn::Mode;
use wgru::train::{Batch, HostData, metrics};
use wgru::{Device, Rng};

use crate::args::Args;
use crate::common::Result;
use crate::common::curve::Curve;
use crate::engines::{Cut, Engine, MOST, cuts, mean_score};
use crate::fit::fit;
use crate::life::{Life, Units};
use crate::regression::Regression;

/// Splits the table into engines to train on and those held out.
///
/// # Errors
/// Says how many engines there must be.
pub fn split<'a>(args: &Args, engines: &'a [Engine]) -> Result<(&'a [Engine], &'a [Engine])> {
    match engines.len().checked_sub(args.held_out).filter(|&train| train > 0) {
        Some(train) => Ok(engines.split_at(train)),
        None => {
            let (count, held_out) = (engines.len(), args.held_out);
            Err(format!("the table has {count} engines; expected more than the {held_out} of --held-out").into())
        }
    }
}

/// Trains on engines; returns the file of the model and the learning curve. `None` if `interrupted`.
///
/// # Errors
/// Errors from training and from the checkpoint.
pub fn train(
    args: &Args,
    device: &Device,
    engines: &[Engine],
    interrupted: &dyn Fn() -> bool,
) -> Result<Option<(TensorFile, Curve)>> {
    let units = Units::of(engines);
    if units.columns.is_empty() {
        return Err("no column of the table varies".into());
    }
    let mut rng = Rng::new(args.seed);
    let life = Life::new(device, units, args.hidden(), &mut rng)?;
    // The engines have different lengths, so the step looks them up by index.
    let data = HostData::from_indices(device, (0..engines.len() as u32).collect(), &[])?;
    let content: Vec<f32> = engines.iter().flat_map(|engine| engine.cycles.iter().flatten().copied()).collect();
    let step = |batch: &Batch, mode: &mut Mode| {
        let engines: Vec<&Engine> = batch.examples().iter().map(|&i| &engines[i]).collect();
        life.loss(&engines, mode)
    };
    let curve = fit(args, life.parameters(), &data, &content, rng, interrupted, step)?;
    Ok(curve.map(|curve| life.to_file().map(|file| (file, curve))).transpose()?)
}

/// Predictions of the remaining cycles at some moments, and how good they are.
#[derive(Clone, Debug)]
pub struct Entry {
    pub name: &'static str,
    pub predicted: Vec<f32>,
    pub rmse: f64,
    /// Against at most 125 remaining cycles.
    pub rmse_capped: f64,
    pub score: f64,
}

pub const NETWORK: &str = "GRU";
pub const REGRESSION: &str = "linear regression";

/// Results for the engines that were held out.
pub struct Outcome {
    pub cuts: Vec<Cut>,
    pub remaining: Vec<f32>,
    pub entries: Vec<Entry>,
    /// By engine, the predicted remaining cycles after each cycle.
    pub courses: Vec<Vec<f32>>,
}

/// Predicts the remaining cycles of the engines in `test` at random moments.
///
/// # Errors
/// Errors from the library, and for engines that are all too short.
pub fn measure(args: &Args, life: &Life, train: &[Engine], test: &[Engine]) -> Result<Outcome> {
    let cuts = cuts(test, args.cuts, &mut Rng::new(args.seed));
    if cuts.is_empty() {
        return Err("no engine that is held out runs for 38 cycles or more".into());
    }
    let courses = test.iter().map(|engine| life.predict(engine)).collect::<wgru::Result<Vec<_>>>()?;
    let remaining: Vec<f32> = cuts.iter().map(|cut| test[cut.engine].remaining(cut.cycles)).collect();
    let capped: Vec<f32> = remaining.iter().map(|cycles| cycles.min(MOST)).collect();
    let entry = |name, predicted: Vec<f32>| -> wgru::Result<Entry> {
        Ok(Entry {
            name,
            rmse: metrics::rmse(&predicted, &remaining)?,
            rmse_capped: metrics::rmse(&predicted, &capped)?,
            score: mean_score(&predicted, &remaining),
            predicted,
        })
    };
    let network = cuts.iter().map(|cut| courses[cut.engine][cut.cycles - 1]).collect();
    let mut entries = vec![entry(NETWORK, network)?];
    if let Some(regression) = Regression::fit(&life.units, train) {
        let predict = |cut: &Cut| regression.predict(&life.units, &test[cut.engine], cut.cycles);
        entries.push(entry(REGRESSION, cuts.iter().map(predict).collect())?);
    }
    Ok(Outcome { cuts, remaining, entries, courses })
}

impl Outcome {
    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }

    /// Returns the results as lines of text.
    pub fn table(&self) -> String {
        let mut out = format!("{:<20}{:>8}{:>22}{:>14}\n", "", "RMSE", "against ≤ 125 cycles", "C-MAPSS score");
        for Entry { name, rmse, rmse_capped, score, .. } in &self.entries {
            out += &format!("{name:<20}{rmse:>8.2}{rmse_capped:>22.2}{score:>14.2}\n");
        }
        out + "The score is the mean over the predictions; the official one is the sum. Predictions are at most 125 cycles.\n"
    }

    pub fn json(&self) -> Value {
        let entry = |e: &Entry| (e.name, json!({"rmse": e.rmse, "rmse_capped": e.rmse_capped, "score": e.score}));
        let entries: std::collections::BTreeMap<_, _> = self.entries.iter().map(entry).collect();
        json!({"predictions": self.cuts.len(), "models": entries})
    }
}
