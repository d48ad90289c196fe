//! Training in the browser.

use std::ops::ControlFlow;

use js_sys::{Float32Array, Function, Promise, Uint32Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use wgru::nn::Module;
use wgru::train::{
    AdamConfig, Data, Method, Optimizer, Progress, Reduction, Schedule, SgdConfig, TrainOptions, Trainer, loss,
};
use wgru::{Device, Error, Rng, Tensor};

use crate::fault::{Fault, Result};
use crate::network::Network;
use crate::options::Options;
use crate::values;

/// Sequences and their targets, in host memory.
struct Examples {
    device: Device,
    x: Vec<f32>,
    /// Extents of a sequence: steps and features.
    sequence: [usize; 2],
    targets: Targets,
    /// Extents of the target of one example.
    target: Vec<usize>,
}

enum Targets {
    Numbers(Vec<f32>),
    Classes(Vec<u32>),
}

impl Examples {
    /// Validates sequences `x` `[N, T, I]` and targets `y`; `at` is their prefix in error messages.
    fn new(network: &Network, at: &str, x: Vec<f32>, dims: Vec<u32>, y: &JsValue) -> Result<Self> {
        let (name, y_name) = (&format!("{at}x"), &format!("{at}y"));
        let dims = values::check_dims(name, dims, x.len())?;
        let (examples, steps) = match *dims {
            [n, t, i] if i == network.input() && n > 0 && t > 0 => (n, t),
            _ => return Err(Fault::shape(name, &format!("[examples, steps, {}]", network.input()), &dims)),
        };
        let (targets, len) = if let Some(numbers) = y.dyn_ref::<Float32Array>() {
            (Targets::Numbers(numbers.to_vec()), numbers.length())
        } else if let Some(classes) = y.dyn_ref::<Uint32Array>() {
            (Targets::Classes(classes.to_vec()), classes.length())
        } else {
            return Err(Fault::value(
                y_name,
                "a Float32Array of numbers or a Uint32Array of classes",
                "something else",
            ));
        };
        let rows = if network.gives_last() { examples } else { examples * steps };
        let width = len as usize / rows;
        if width == 0 || len as usize != rows * width || (width != 1 && matches!(targets, Targets::Classes(_))) {
            let expected = format!("a target, or as many numbers, for each of {rows} outputs");
            return Err(Fault::count(y_name, &expected, format!("{len} values")));
        }
        let mut target = if network.gives_last() { vec![] } else { vec![steps] };
        if matches!(targets, Targets::Numbers(_)) {
            target.push(width);
        }
        Ok(Self { device: network.device().clone(), x, sequence: [steps, dims[2]], targets, target })
    }
}

impl Data for Examples {
    fn len(&self) -> usize {
        self.x.len() / (self.sequence[0] * self.sequence[1])
    }

    fn batch(&self, examples: &[usize]) -> Result<(Tensor, Tensor), Error> {
        fn rows<T: Copy>(values: &[T], width: usize, examples: &[usize]) -> Vec<T> {
            examples.iter().flat_map(|&i| &values[i * width..][..width]).copied().collect()
        }
        let [steps, input] = self.sequence;
        let x = rows(&self.x, steps * input, examples);
        let x = Tensor::from_slice(&self.device, &x, &[examples.len(), steps, input])?;
        let (width, dims) = (self.target.iter().product(), [&[examples.len()], &self.target[..]].concat());
        let y = match &self.targets {
            Targets::Numbers(y) => Tensor::from_slice(&self.device, &rows(y, width, examples), &dims)?,
            // One class per row of logits.
            Targets::Classes(y) => {
                let rows = rows(y, width, examples);
                Tensor::from_indices(&self.device, &rows, &[rows.len()])?
            }
        };
        Ok((x, y))
    }
}

#[derive(Clone, Copy)]
enum Loss {
    Mse,
    Mae,
    Huber,
    CrossEntropy,
}

impl Loss {
    fn of(self, prediction: &Tensor, target: &Tensor) -> Result<Tensor, Error> {
        match self {
            Loss::Mse => loss::mse(prediction, target, Reduction::Mean),
            Loss::Mae => loss::mae(prediction, target, Reduction::Mean),
            Loss::Huber => loss::huber(prediction, target, 1.0, Reduction::Mean),
            Loss::CrossEntropy => {
                let classes = prediction.dims().last().copied().unwrap_or(1);
                let rows = prediction.reshape(&[prediction.len() / classes, classes])?;
                loss::cross_entropy(&rows, target, loss::CrossEntropyOptions::default())
            }
        }
    }
}

/// Creates the trainer and the loss that the options describe.
fn trainer(network: &Network, mut options: Options, classes: bool) -> Result<(Trainer, Loss)> {
    let seed = options.count("seed", 0)?.unwrap_or(0);
    let rate = options.number("rate")?.unwrap_or(1e-3);
    let weight_decay = options.number("weightDecay")?.unwrap_or(0.0) as f32;
    let methods = [
        ("adam", Method::Adam(AdamConfig { weight_decay, ..AdamConfig::default() })),
        ("adamw", Method::AdamW(AdamConfig { weight_decay, ..AdamConfig::default() })),
        ("sgd", Method::Sgd(SgdConfig { weight_decay, ..SgdConfig::default() })),
    ];
    let method = options.word("optimizer", &methods)?.unwrap_or(methods[0].1);
    let losses =
        [("mse", Loss::Mse), ("mae", Loss::Mae), ("huber", Loss::Huber), ("cross-entropy", Loss::CrossEntropy)];
    let given = options.word("loss", &losses)?;
    let loss = given.unwrap_or(if classes { Loss::CrossEntropy } else { Loss::Mse });
    if matches!(loss, Loss::CrossEntropy) != classes {
        return Err(Fault::value("loss", "cross-entropy for classes, another for numbers", "the other way round"));
    }
    let defaults = TrainOptions::default();
    let train = TrainOptions {
        epochs: options.count("epochs", 1)?.unwrap_or(defaults.epochs),
        batch: options.count("batch", 1)?.unwrap_or(defaults.batch),
        shuffle: !options.flag("inOrder")?,
        clip_norm: options.number("clipNorm")?.map(|norm| norm as f32),
        schedule: Schedule::Constant,
        patience: options.count("patience", 1)?,
    };
    options.done()?;
    let optimizer = Optimizer::new(network.parameters(), method, rate)?;
    Ok((Trainer::new(optimizer, train, Rng::new(seed as u64)), loss))
}

/// Reports progress to `listener` and waits for its answer. `false` or an exception ends the training.
async fn tell(listener: &Function, p: &Progress) -> ControlFlow<()> {
    let number = |v: Option<f32>| v.map_or(JsValue::NULL, JsValue::from);
    let args = js_sys::Array::of5(
        &(p.epoch as f64).into(),
        &(p.updates as f64).into(),
        &(p.of as f64).into(),
        &number(p.loss),
        &number(p.validation),
    );
    let mut answer = listener.apply(&JsValue::NULL, &args);
    if let Ok(value) = &answer
        && let Some(promise) = value.dyn_ref::<Promise>()
    {
        answer = JsFuture::from(promise.clone()).await;
    }
    match answer {
        Ok(value) if value != JsValue::FALSE => ControlFlow::Continue(()),
        _ => ControlFlow::Break(()),
    }
}

#[wasm_bindgen]
impl Network {
    /// Trains on `x` `[N, T, I]` and `y`, and validates on the second pair. Returns the `History` of `types.ts`.
    #[allow(clippy::too_many_arguments, reason = "wasm-bindgen passes typed arrays as separate arguments")]
    pub async fn train(
        &self,
        x: Vec<f32>,
        dims: Vec<u32>,
        y: JsValue,
        check_x: Option<Vec<f32>>,
        check_dims: Option<Vec<u32>>,
        check_y: JsValue,
        options: JsValue,
        listener: Function,
    ) -> Result<JsValue> {
        let data = Examples::new(self, "", x, dims, &y)?;
        let check = check_x.zip(check_dims);
        let check = check.map(|(x, dims)| Examples::new(self, "validation.", x, dims, &check_y)).transpose()?;
        let classes = matches!(data.targets, Targets::Classes(_));
        let (mut trainer, loss) = trainer(self, Options::of(&options), classes)?;
        let loss = |prediction: &Tensor, target: &Tensor| loss.of(prediction, target);
        let check = check.as_ref().map(|check| check as &dyn Data);
        let history = trainer.fit(self, &data, check, &loss, async |p, _| tell(&listener, p).await).await?;
        let losses = |losses: Vec<f32>| values::array(losses.into_iter().map(JsValue::from));
        Ok(values::object(&[
            ("loss", losses(history.loss)),
            ("validation", losses(history.validation)),
            ("stoppedEarly", history.stopped_early.into()),
            ("bestEpoch", values::or_null(history.best_epoch.map(values::count))),
        ]))
    }
}
