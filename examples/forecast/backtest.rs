//! Rolling-origin backtest: the test part in blocks, with a new training before each.

use indicatif::ProgressBar;
use serde_json::{Value, json};
use wgru::Device;

use crate::args::Args;
use crate::common::Result;
use crate::common::checkpoint::Checkpoint;
use crate::common::training::bar;
use crate::data::Inputs;
use crate::evaluate::{self, Columns, Source, splits};
use crate::report::headline;
use crate::score::Scores;
use crate::split::Split;
use crate::train::Session;

/// The scores of all methods in each block.
pub struct Backtest {
    /// Names and scores, the network first.
    blocks: Vec<(String, Vec<(String, Scores)>)>,
}

/// Divides the test part into blocks. Before each, trains anew on all rows before it: the part just before the block,
/// as long as the validation part, is the validation.
///
/// # Errors
/// Names a block that is too short; errors from training.
pub fn run(
    args: &Args,
    columns: Columns,
    source: &Source,
    device: &Device,
    [window, horizon]: [usize; 2],
    blocks: usize,
) -> Result<Backtest> {
    let panel = source.panel;
    let whole = splits(args, panel, window, horizon)?;
    let bar = bar(0, args.json)?;
    let mut found = Backtest { blocks: Vec::new() };
    for block in 0..blocks {
        let parts: Option<Vec<Split>> = whole.iter().map(|split| part(split, block, blocks, horizon)).collect();
        let Some(parts) = parts else {
            return Err(format!("--backtest {blocks}: a block is shorter than the horizon of {horizon}").into());
        };
        let series = &panel.series[0];
        let test = &parts[0].test;
        let name = format!("{} to {}", series.label(test.start), series.label(test.end - 1));
        let scores = of_block(args, columns.clone(), source, device, &parts, [window, horizon], &bar)?;
        bar.suspend(|| {
            println!("block {} of {blocks}, {name}: {}", block + 1, headline(&borrowed(&scores)));
        });
        found.blocks.push((name, scores));
    }
    bar.finish_and_clear();
    let (ahead, all) = (found.ahead(), headline(&borrowed(&found.mean())));
    println!("\n{all}; ahead by RMSE in {ahead} of {blocks} blocks\n\n{}", found.table());
    Ok(found)
}

/// Returns the split of one block; `None` if it is shorter than the horizon.
fn part(split: &Split, block: usize, blocks: usize, horizon: usize) -> Option<Split> {
    let at = |block: usize| split.test.start + split.test.len() * block / blocks;
    let (start, end) = (at(block), at(block + 1));
    let validation = start - split.validation.len();
    (end - start >= horizon).then_some(Split { train: 0..validation, validation: validation..start, test: start..end })
}

fn of_block(
    args: &Args,
    columns: Columns,
    source: &Source,
    device: &Device,
    splits: &[Split],
    sizes: [usize; 2],
    bar: &ProgressBar,
) -> Result<Vec<(String, Scores)>> {
    let panel = source.panel;
    let spec = evaluate::specify(args, columns, panel, splits, sizes)?;
    // Never written: nothing interrupts it.
    let (checkpoint, _) = Checkpoint::open(None, crate::CHECKPOINT, Vec::new())?;
    let session = Session { bar, checkpoint: &checkpoint, continued: None, interrupted: &|| false };
    let (forecaster, _) = evaluate::train(args, device, spec, source, splits, session)?.ok_or("interrupted")?;
    let numbers = forecaster.spec.check_table(panel)?;
    let inputs = Inputs::new(panel, &forecaster.spec, &numbers, source.holidays);
    let tested = evaluate::test(args, &forecaster, &inputs, panel, splits)?;
    Ok(tested.entries.into_iter().map(|entry| (entry.name, entry.scores)).collect())
}

fn borrowed(scores: &[(String, Scores)]) -> Vec<(&str, Scores)> {
    scores.iter().map(|(name, scores)| (&name[..], *scores)).collect()
}

impl Backtest {
    /// Returns the means over the blocks, of the methods that are in all of them.
    pub fn mean(&self) -> Vec<(String, Scores)> {
        let Some((_, first)) = self.blocks.first() else { return Vec::new() };
        let mean = |name: &String| {
            let of_block =
                |(_, scores): &(String, Vec<(String, Scores)>)| scores.iter().find(|s| s.0 == *name).map(|s| s.1);
            let all: Vec<Scores> = self.blocks.iter().map(of_block).collect::<Option<_>>()?;
            let of = |get: fn(&Scores) -> f64| all.iter().map(get).sum::<f64>() / all.len() as f64;
            let scores = Scores {
                rmse: of(|s| s.rmse),
                mae: of(|s| s.mae),
                mse_standardized: of(|s| s.mse_standardized),
                crps: of(|s| s.crps),
                pinball: of(|s| s.pinball),
                coverage: of(|s| s.coverage),
                width: of(|s| s.width),
            };
            Some((name.clone(), scores))
        };
        first.iter().filter_map(|(name, _)| mean(name)).collect()
    }

    /// Returns the number of blocks in which the network has the smallest RMSE.
    fn ahead(&self) -> usize {
        let is_ahead = |(_, scores): &&(String, Vec<(String, Scores)>)| {
            scores[1..].iter().all(|(_, other)| scores[0].1.rmse < other.rmse)
        };
        self.blocks.iter().filter(is_ahead).count()
    }

    /// Returns the RMSE of each method by block, and the means.
    fn table(&self) -> String {
        let mean = self.mean();
        let mut out = format!("{:<44}", "RMSE");
        mean.iter().for_each(|(name, _)| out += &format!("{name:>18}"));
        for (block, scores) in self.blocks.iter().map(|(name, scores)| (&name[..], scores)).chain([("mean", &mean)]) {
            out += &format!("\n{block:<44}");
            for (name, _) in &mean {
                let of = scores.iter().find(|(other, _)| other == name);
                out += &of.map_or(format!("{:>18}", "-"), |(_, scores)| format!("{:>18.3}", scores.rmse));
            }
        }
        for (what, get) in [("CRPS, mean", (|s| s.crps) as fn(&Scores) -> f64), ("coverage, mean", |s| s.coverage)] {
            out += &format!("\n{what:<44}");
            mean.iter().for_each(|(_, scores)| out += &format!("{:>18.3}", get(scores)));
        }
        out
    }

    /// Returns the means and the scores of each block.
    pub fn json(&self) -> Value {
        let scores = |all: &[(String, Scores)]| {
            let one = |(name, s): &(String, Scores)| {
                let [rmse, mae, crps, coverage] = [s.rmse, s.mae, s.crps, s.coverage];
                json!({"method": name, "rmse": rmse, "mae": mae, "crps": crps, "coverage": coverage})
            };
            all.iter().map(one).collect::<Value>()
        };
        let block = |(name, of): &(String, Vec<(String, Scores)>)| json!({"rows": name, "scores": scores(of)});
        json!({"mean": scores(&self.mean()), "blocks": self.blocks.iter().map(block).collect::<Value>()})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_cover_the_test_part() {
        let split = Split { train: 0..60, validation: 60..80, test: 80..101 };
        let blocks: Vec<Split> = (0..3).map(|block| part(&split, block, 3, 7).unwrap()).collect();
        assert_eq!(blocks[0], Split { train: 0..60, validation: 60..80, test: 80..87 });
        assert_eq!(blocks[2], Split { train: 0..74, validation: 74..94, test: 94..101 });
        assert!(part(&split, 0, 3, 8).is_none());
    }
}
