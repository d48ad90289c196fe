//! Training in the browser.

use std::ops::ControlFlow;

use js_sys::{Float32Array, Function, Promise, Uint32Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use wgru::nn::Module;
use wgru::train::{
    AdamConfig, AdamWConfig, Data, HostData, Method, Optimizer, Progress, SgdConfig, TrainOptions, Trainer, loss,
};
use wgru::{Error, Rng, Tensor};

use crate::fault::{Fault, Result};
use crate::network::Network;
use crate::options::Options;
use crate::values;

/// Reads sequences `x` `[N, T, I]` and targets `y`; `at` is their prefix in error messages. Also returns whether the
/// targets are classes.
fn examples(network: &Network, at: &str, x: Vec<f32>, dims: Vec<u32>, y: &JsValue) -> Result<(HostData, bool)> {
    let (name, y_name) = (&format!("{at}x"), &format!("{at}y"));
    let dims = values::check_dims(name, dims, x.len())?;
    let (examples, steps) = match *dims {
        [n, t, i] if i == network.input() && n > 0 && t > 0 => (n, t),
        _ => return Err(Fault::shape(name, &format!("[examples, steps, {}]", network.input()), &dims)),
    };
    let data = HostData::new(network.device(), x, &dims[1..])?;
    let rows = if network.gives_last() { examples } else { examples * steps };
    let width = |len: u32| match len as usize / rows {
        width if width > 0 && len as usize == rows * width => Ok(width),
        _ => Err(Fault::count(y_name, &format!("a target for each of {rows} outputs"), format!("{len} values"))),
    };
    if let Some(numbers) = y.dyn_ref::<Float32Array>() {
        let width = width(numbers.length())?;
        let dims = if network.gives_last() { vec![width] } else { vec![steps, width] };
        return Ok((data.with_targets(numbers.to_vec(), &dims)?, false));
    }
    let Some(classes) = y.dyn_ref::<Uint32Array>() else {
        return Err(Fault::value(y_name, "a Float32Array of numbers or a Uint32Array of classes", "something else"));
    };
    if width(classes.length())? != 1 {
        let expected = format!("a class for each of {rows} outputs");
        return Err(Fault::count(y_name, &expected, format!("{} values", classes.length())));
    }
    Ok((data.with_classes(classes.to_vec())?, true))
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
            Loss::Mse => loss::mse(prediction, target),
            Loss::Mae => loss::mae(prediction, target),
            Loss::Huber => loss::huber(prediction, target),
            Loss::CrossEntropy => loss::cross_entropy(prediction, target),
        }
    }
}

/// Creates the trainer and the loss that the options describe.
fn trainer(network: &Network, mut options: Options, classes: bool) -> Result<(Trainer, Loss)> {
    let seed = options.count("seed", 0)?.unwrap_or(0);
    let rate = options.number("rate")?.unwrap_or(1e-3);
    let (adam, adamw, sgd) = (AdamConfig::default(), AdamWConfig::default(), SgdConfig::default());
    let given = options.number("weightDecay")?.map(|decay| decay as f32);
    let methods = [
        ("adam", Method::Adam(AdamConfig { weight_decay: given.unwrap_or(adam.weight_decay), ..adam })),
        ("adamw", Method::AdamW(AdamWConfig { weight_decay: given.unwrap_or(adamw.weight_decay), ..adamw })),
        ("sgd", Method::Sgd(SgdConfig { weight_decay: given.unwrap_or(sgd.weight_decay), ..sgd })),
    ];
    let method = options.word("optimizer", &methods)?.unwrap_or(methods[0].1);
    let losses =
        [("mse", Loss::Mse), ("mae", Loss::Mae), ("huber", Loss::Huber), ("cross-entropy", Loss::CrossEntropy)];
    let given = options.word("loss", &losses)?;
    let loss = given.unwrap_or(if classes { Loss::CrossEntropy } else { Loss::Mse });
    if matches!(loss, Loss::CrossEntropy) != classes {
        return Err(Fault::value("loss", "cross-entropy with classes, another loss with numbers", "the opposite"));
    }
    let defaults = TrainOptions::default();
    let train = TrainOptions {
        epochs: options.count("epochs", 1)?.unwrap_or(defaults.epochs),
        batch: options.count("batch", 1)?.unwrap_or(defaults.batch),
        shuffle: !options.flag("inOrder")?,
        clip_norm: options.number("clipNorm")?.map(|norm| norm as f32),
        patience: options.count("patience", 1)?,
        ..defaults
    };
    options.done()?;
    let optimizer = Optimizer::new(network.parameters(), method, rate)?;
    Ok((Trainer::new(optimizer, train, Rng::new(seed as u64)), loss))
}

/// Reports progress to `listener`, and waits for its answer. `false` or an exception ends training.
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
        let (data, classes) = examples(self, "", x, dims, &y)?;
        let check = check_x.zip(check_dims);
        let check = check.map(|(x, dims)| examples(self, "validation.", x, dims, &check_y)).transpose()?;
        let check = check.as_ref().map(|(check, _)| check as &dyn Data);
        let (mut trainer, loss) = trainer(self, Options::of(&options), classes)?;
        let mut training = trainer.start(self, &data, check, |prediction, target| loss.of(prediction, target))?;
        while let Some(progress) = training.next().await? {
            if tell(&listener, &progress).await.is_break() {
                break;
            }
        }
        let history = training.finish().await?;
        let losses = |losses: Vec<f32>| values::array(losses.into_iter().map(JsValue::from));
        Ok(values::object(&[
            ("loss", losses(history.loss)),
            ("validation", losses(history.validation)),
            ("stoppedEarly", history.stopped_early.into()),
            ("bestEpoch", values::or_null(history.best_epoch.map(values::count))),
        ]))
    }
}
