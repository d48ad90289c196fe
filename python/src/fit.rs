//! Training. Python's lock is released during updates; between them, signals are checked, so that Ctrl-C stops it.

use engine::train::{HostData, Optimizer, Progress, TrainOptions, Trainer, loss};
use engine::{Device, Rng, Tensor};
use numpy::PyUntypedArrayMethods as _;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::array;
use crate::content::Content;
use crate::failure::{Failure, Result};

type Loss = fn(&Tensor, &Tensor) -> engine::Result<Tensor>;

/// Options of a training run.
pub struct FitOptions<'a, 'py> {
    pub train: TrainOptions,
    pub rate: f64,
    pub loss: &'a str,
    pub optimizer: &'a str,
    pub seed: u64,
    pub validation: Option<(Bound<'py, PyAny>, Bound<'py, PyAny>)>,
    pub callback: Option<Bound<'py, PyAny>>,
}

/// Returns a loss by its name, and whether its targets are classes.
fn loss_of(name: &str) -> Result<(Loss, bool)> {
    match name {
        "mse" => Ok((loss::mse, false)),
        "mae" => Ok((loss::mae, false)),
        "huber" => Ok((loss::huber, false)),
        "bce" => Ok((loss::bce_with_logits, false)),
        "cross_entropy" => Ok((loss::cross_entropy, true)),
        other => {
            let expected = "\"mse\", \"mae\", \"huber\", \"bce\" or \"cross_entropy\"";
            Err(Failure::value(format!("fit: loss: expected {expected}, got {other:.64?}")))
        }
    }
}

fn optimizer_of(name: &str, parameters: Vec<(String, Tensor)>, rate: f64) -> Result<Optimizer> {
    use engine::train::{AdamConfig, AdamWConfig, Method, SgdConfig};
    let method = match name {
        "adam" => Method::Adam(AdamConfig::default()),
        "adamw" => Method::AdamW(AdamWConfig::default()),
        "sgd" => Method::Sgd(SgdConfig::default()),
        other => {
            let text = format!("fit: optimizer: expected \"adam\", \"adamw\" or \"sgd\", got {other:.64?}");
            return Err(Failure::value(text));
        }
    };
    Ok(Optimizer::new(parameters, method, rate)?)
}

/// Copies examples and their targets.
fn data(
    device: &Device,
    is_index: bool,
    is_class: bool,
    x: &Bound<'_, PyAny>,
    y: &Bound<'_, PyAny>,
) -> Result<HostData> {
    let rest = |dims: &[usize]| dims.get(1..).unwrap_or_default().to_vec();
    let (all, count) = match is_index {
        true => {
            let x = array::ints("x", x)?;
            (HostData::from_indices(device, array::indices("x", &x)?, &rest(x.shape()))?, x.shape().first().copied())
        }
        false => {
            let x = array::floats("x", x)?;
            (HostData::new(device, array::slice("x", &x)?.to_vec(), &rest(x.shape()))?, x.shape().first().copied())
        }
    };
    let check = |got: Option<usize>| match got == count {
        true => Ok(()),
        false => Err(Failure::shape(format!("y: expected as many examples as x, {count:?}, got {got:?}"))),
    };
    if is_class {
        let y = array::ints("y", y)?;
        check(y.shape().first().copied())?;
        return Ok(all.with_classes(array::indices("y", &y)?)?);
    }
    let y = array::floats("y", y)?;
    check(y.shape().first().copied())?;
    // One number for each example is an output of one feature.
    let dims = if y.ndim() == 1 { vec![1] } else { rest(y.shape()) };
    Ok(all.with_targets(array::slice("y", &y)?.to_vec(), &dims)?)
}

/// Reports an epoch. Returns whether training goes on.
fn report(callback: &Bound<'_, PyAny>, progress: &Progress) -> Result<bool> {
    let dict = PyDict::new(callback.py());
    dict.set_item("epoch", progress.epoch)?;
    dict.set_item("loss", progress.loss)?;
    dict.set_item("validation", progress.validation)?;
    dict.set_item("rate", progress.rate)?;
    dict.set_item("is_best", progress.is_best)?;
    let answer = callback.call1((dict,))?;
    Ok(answer.is_none() || answer.is_truthy()?)
}

/// Trains a model. Returns the losses by epoch.
pub fn run<'py>(
    py: Python<'py>,
    device: &Device,
    content: &Content,
    x: &Bound<'py, PyAny>,
    y: &Bound<'py, PyAny>,
    options: FitOptions<'_, 'py>,
) -> Result<Bound<'py, PyDict>> {
    let module = content.module()?;
    if let Content::Network(_) = content {
        let why = "fit: a network from another program's file cannot be trained; build one with wgru.Sequential";
        return Err(Failure::unsupported(why));
    }
    if !content.is_batch_first() {
        return Err(Failure::value("fit: expected a model with batch_first=True, because examples are the first axis"));
    }
    let (loss, is_class) = loss_of(options.loss)?;
    let is_index = content.takes_indices();
    let examples = data(device, is_index, is_class, x, y)?;
    let validation = match &options.validation {
        Some((x, y)) => Some(data(device, is_index, is_class, x, y)?),
        None => None,
    };
    let optimizer = optimizer_of(options.optimizer, module.parameters(), options.rate)?;
    let mut trainer = Trainer::new(optimizer, options.train, Rng::new(options.seed));
    let held = validation.as_ref().map(|data| data as &dyn engine::train::Data);
    let mut training = trainer.start(module, &examples, held, loss)?;
    let mut stopped: Option<Failure> = None;
    while let Some(progress) = py.detach(|| training.next_blocking())? {
        let told = match (&options.callback, progress.loss) {
            (Some(callback), Some(_)) => report(callback, &progress),
            _ => Ok(true),
        };
        match py.check_signals().map_err(Failure::from).and(told) {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => {
                stopped = Some(error);
                break;
            }
        }
    }
    // With patience, the weights become those of the best epoch, also after Ctrl-C.
    let history = py.detach(|| training.finish_blocking())?;
    if let Some(error) = stopped {
        return Err(error);
    }
    let dict = PyDict::new(py);
    dict.set_item("loss", history.loss)?;
    dict.set_item("validation", history.validation)?;
    dict.set_item("stopped_early", history.stopped_early)?;
    dict.set_item("best_epoch", history.best_epoch)?;
    Ok(dict)
}
