//! Losses, optimizers, schedules, clipping, and a training loop that stops early and resumes bit for bit.
//!
//! [`Trainer`] draws batches of [`Data`], usually [`HostData`], and updates the parameters of an [`Optimizer`]. A model
//! that maps one tensor to another trains with [`Trainer::fit`] and a loss of `(prediction, target)`. Anything else
//! trains with [`Trainer::fit_with`] and a step function, such as this classifier of padded sequences:
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

mod batch;
mod clip;
mod ctc;
mod data;
mod diverged;
pub mod loss;
mod metrics;
mod optimizer;
mod schedule;
mod step;
mod trainer;
mod watch;

pub use batch::Batch;
pub use clip::clip_grad_norm;
pub use data::{Data, HostData};
pub use loss::Reduction;
pub use metrics::accuracy;
pub use optimizer::{AdamConfig, Method, Optimizer, SgdConfig};
pub use schedule::Schedule;
pub(crate) use trainer::{Best, MODEL, OPTIMIZER, Resumed, STATUS, Within};
pub use trainer::{History, Progress, Snapshot, TrainOptions, Trainer, Training};
