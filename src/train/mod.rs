//! Losses, optimizers, schedules, clipping, and a training loop that stops early and resumes bit for bit.
//!
//! [`Trainer`] draws batches of [`Data`], usually [`HostData`], and updates the parameters of an [`Optimizer`]. A model
//! that maps one tensor to another trains with [`Trainer::fit`] and a loss of `(prediction, target)`, also on padded
//! sequences of different lengths. Anything else trains with [`Trainer::fit_with`] and a step function, which computes
//! the loss of a batch:
//!
//! ```
//! use wgru::nn::{Linear, Module, RecurrentConfig, RunOptions, named_parameters};
//! use wgru::{Device, Rng, train::*};
//! let (device, mut rng) = (Device::cpu(), Rng::new(1));
//! let gru = RecurrentConfig { batch_first: true, ..RecurrentConfig::gru(1, 8) }.build(&device, &mut rng)?;
//! let head = Linear::new(&device, 8, 2, true, &mut rng)?;
//! // Sequences of 2 to 6 steps, each all ones or all minus ones: which?
//! let lengths: Vec<usize> = (0..40).map(|i| 2 + i % 5).collect();
//! let labels: Vec<u32> = (0..40).map(|i| i % 2).collect();
//! let inputs = labels.iter().flat_map(|&label| [2.0 * label as f32 - 1.0; 6]).collect();
//! let data = HostData::new(&device, inputs, &[6, 1])?.with_classes(labels)?.with_lengths(lengths)?;
//! let parameters = named_parameters(&[("gru", &gru), ("head", &head)]);
//! let optimizer = Optimizer::adam(parameters, 0.05)?;
//! let mut trainer = Trainer::new(optimizer, TrainOptions { epochs: 20, batch: 8, ..Default::default() }, rng);
//! let history = trainer.fit_with_blocking(&data, None, |batch, mode| {
//!     let run = gru.run(batch.x(), RunOptions { lengths: batch.lengths(), ..Default::default() }, mode)?;
//!     loss::cross_entropy(&head.forward_with(&run.last_state()?, mode)?, batch.targets())
//! })?;
//! assert!(history.loss[19] < 0.05);
//! # Ok::<(), wgru::Error>(())
//! ```
//!
//! Early stopping needs validation data. A callback monitors the run and may end it:
//!
//! ```
//! use std::ops::ControlFlow;
//! use wgru::{Device, Rng, nn::*, train::*};
//! let (device, mut rng) = (Device::cpu(), Rng::new(1));
//! let model = Sequential::new()
//!     .push("gru", RecurrentConfig { batch_first: true, ..RecurrentConfig::gru(1, 8) }.build(&device, &mut rng)?)
//!     .push("last", LastStep { batch_first: true })
//!     .push("head", Linear::new(&device, 8, 1, true, &mut rng)?);
//! // 20 values of a sine, and the next one.
//! let sine: Vec<f32> = (0..400).map(|i| (0.3 * i as f32).sin()).collect();
//! let windows = |starts: std::ops::Range<usize>| {
//!     let inputs = starts.clone().flat_map(|i| sine[i..i + 20].to_vec()).collect();
//!     HostData::new(&device, inputs, &[20, 1])?.with_targets(starts.map(|i| sine[i + 20]).collect(), &[1])
//! };
//! let (data, validation) = (windows(0..200)?, windows(300..380)?);
//! let optimizer = Optimizer::adam(model.parameters(), 0.01)?;
//! let options = TrainOptions { epochs: 50, patience: Some(3), ..Default::default() };
//! let mut trainer = Trainer::new(optimizer, options, rng);
//! trainer.on_progress(|progress, _| match progress.validation {
//!     Some(loss) if loss < 0.001 => ControlFlow::Break(()),
//!     _ => ControlFlow::Continue(()),
//! });
//! let history = trainer.fit_blocking(&model, &data, Some(&validation), loss::mse)?;
//! assert!(history.stopped_early && history.validation[history.best_epoch.unwrap()] < 0.01);
//! # Ok::<(), wgru::Error>(())
//! ```

//!
//! | for | use |
//! | --- | --- |
//! | forecasts with uncertainty | [`loss::quantile`], [`loss::gaussian_nll`] and others; [`SplitConformal`]; the draws of [`Rng`](crate::Rng) |
//! | scores | [`metrics`]; [`Trainer::evaluate`] with [`accuracy`] |
//! | imbalanced classes | [`CrossEntropyOptions::weight`](loss::CrossEntropyOptions::weight), [`metrics::ConfusionMatrix`] |
//! | sequences of different lengths | [`HostData::from_sequences`], [`HostData::trimmed`], [`TrainOptions::bucket_by_length`]; losses of every step: [`loss::valid_steps`] |
//! | long sequences, such as texts | [`TokenLanes`], [`CarriedState`] |
//! | large batches with little memory | [`TrainOptions::accumulate`] |
//! | learning rates | [`Schedule`], [`TrainOptions::warmup`], [`ReduceLrOnPlateau`], [`Trainer::test_rates`] |
//! | parameters with their own rate or decay | [`Optimizer::set_group`]; frozen parameters: [`nn::set_requires_grad`](crate::nn::set_requires_grad) |
//! | averaged weights, best weights | [`TrainOptions::ema`], [`TrainOptions::patience`], [`Trainer::best_parameters`] |
//! | logs | [`Trainer::on_progress`] with [`CsvLog`] or [`TensorBoardLog`] |

mod batch;
mod carried;
mod clip;
mod conformal;
#[cfg(not(target_arch = "wasm32"))]
mod csv_log;
mod ctc;
mod data;
mod diverged;
mod ema;
mod likelihood;
pub mod loss;
pub mod metrics;
mod optimizer;
mod plateau;
mod quantile;
mod schedule;
mod step;
#[cfg(not(target_arch = "wasm32"))]
mod tensorboard;
mod trainer;
mod tweedie;
mod valid;
mod watch;

pub use batch::Batch;
pub use carried::{CarriedState, TokenLanes};
pub use clip::clip_grad_norm;
pub use conformal::SplitConformal;
#[cfg(not(target_arch = "wasm32"))]
pub use csv_log::CsvLog;
pub use data::{Data, HostData};
pub use ema::Ema;
pub use loss::Reduction;
pub use metrics::{accuracy, top_k_accuracy};
pub use optimizer::{AdamConfig, AdamWConfig, Method, Optimizer, ParameterGroup, RmsPropConfig, SgdConfig};
pub(crate) use plateau::PlateauState;
pub use plateau::ReduceLrOnPlateau;
pub use schedule::{CustomSchedule, Schedule};
#[cfg(not(target_arch = "wasm32"))]
pub use tensorboard::TensorBoardLog;
pub(crate) use trainer::{AVERAGE, Best, MODEL, OPTIMIZER, Resumed, STATUS, Within};
pub use trainer::{History, Progress, RateTest, RateTestOptions, Snapshot, TrainOptions, Trainer, Training};
