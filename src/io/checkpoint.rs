//! Training runs that go on bit for bit

use super::TensorFile;
use super::model::{assign_all, matched};
use crate::error::{Error, Result};
use crate::nn::Module;
use crate::rng::Rng;
use crate::train::{Best, Trainer};

const MARK: &str = "wgru.checkpoint";

/// Writes weights, optimizer, generator, epoch and the best weights so far.
///
/// # Errors
/// [`Error::Io`], and those of reading back.
#[cfg(not(target_arch = "wasm32"))]
pub fn save_checkpoint(trainer: &Trainer, model: &dyn Module, path: impl AsRef<std::path::Path>) -> Result<()> {
    crate::wait::block_on(checkpoint_to_file(trainer, model))?.save(path)
}

/// What `save_checkpoint` writes.
///
/// # Errors
/// Those of reading back.
pub async fn checkpoint_to_file(trainer: &Trainer, model: &dyn Module) -> Result<TensorFile> {
    let mut file = TensorFile::default();
    let (state, steps) = trainer.optimizer.state();
    let parameters = model.parameters();
    file.insert_all("model.", &parameters).await?;
    file.insert_all("optimizer.", &state).await?;
    let steps: Vec<String> = steps.iter().map(u64::to_string).collect();
    let (seed, position) = trainer.rng.state();
    let mut put = |key: &str, value: String| file.metadata.insert(key.into(), value);
    put(MARK, "1".into());
    put("epoch", trainer.epoch.to_string());
    put("updates", trainer.updates.to_string());
    put("seed", seed.to_string());
    put("position", position.to_string());
    put("optimizer", trainer.optimizer.kind().into());
    put("steps", steps.join(" "));
    if let Some(best) = &trainer.best {
        put("best.epoch", best.epoch.to_string());
        put("best.loss", best.loss.to_bits().to_string());
        for ((name, tensor), values) in trainer.optimizer.distinct().zip(&best.weights) {
            file.insert(&format!("best.{name}"), tensor.dims(), values.clone());
        }
    }
    Ok(file)
}

/// Takes a run back to where `save_checkpoint` left it: `trainer` and `model` must be built as they were then. The options
/// of the trainer, and of its optimizer, are not in the file.
///
/// # Errors
/// [`Error::Format`] naming what is missing or does not fit; nothing is changed then.
pub fn load_checkpoint(trainer: &mut Trainer, model: &dyn Module, file: &TensorFile) -> Result<()> {
    if file.field::<u32>(MARK)? != 1 {
        return Err(Error::format(MARK, "a version that this library does not know"));
    }
    let kind: String = file.field("optimizer")?;
    if kind != trainer.optimizer.kind() {
        return Err(Error::format("optimizer", format!("{kind} in the file, {} here", trainer.optimizer.kind())));
    }
    let steps: String = file.field("steps")?;
    let steps: Vec<u64> = steps
        .split_whitespace()
        .map(|s| s.parse().map_err(|_| Error::format("steps", format!("{s:?} is no number"))))
        .collect::<Result<_>>()?;
    let (epoch, updates) = (count_usize(file, "epoch")?, count(file, "updates")?);
    let rng = Rng::from_state(file.field("seed")?, count(file, "position")?);
    let best = match file.metadata.contains_key("best.epoch") {
        false => None,
        true => Some(Best {
            epoch: match count_usize(file, "best.epoch")? {
                best if (1..=epoch).contains(&best) => best,
                best => return Err(Error::format("best.epoch", format!("{best} is not among {epoch} epochs"))),
            },
            loss: match f32::from_bits(file.field("best.loss")?) {
                loss if loss.is_finite() => loss,
                loss => return Err(Error::format("best.loss", format!("must be finite, got {loss}"))),
            },
            weights: trainer
                .optimizer
                .distinct()
                .map(|(name, t)| Ok(file.expect(&format!("best.{name}"), t.dims())?.to_vec()))
                .collect::<Result<_>>()?,
        }),
    };
    let weights = matched(&model.parameters(), file, "model.")?;
    trainer.optimizer.restore(&steps, |name, dims| Ok(file.expect(&format!("optimizer.{name}"), dims)?.to_vec()))?;
    assign_all(&weights)?;
    (trainer.epoch, trainer.updates, trainer.rng, trainer.best) = (epoch, updates, rng, best);
    Ok(())
}

/// A number that can still be counted up from.
fn count(file: &TensorFile, key: &str) -> Result<u64> {
    match file.field(key)? {
        n if n <= u64::MAX / 2 => Ok(n),
        n => Err(Error::format(format!("metadata {key:?}"), format!("{n} is no count"))),
    }
}

/// [`count`], where memory can count as far.
fn count_usize(file: &TensorFile, key: &str) -> Result<usize> {
    let n = count(file, key)?;
    usize::try_from(n).map_err(|_| Error::format(format!("metadata {key:?}"), format!("{n} is no count")))
}
