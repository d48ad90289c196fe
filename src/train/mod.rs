//! Losses, optimizers, schedules, clipping, and a training loop that stops early and resumes bit for bit.

mod clip;
mod ctc;
mod data;
mod diverged;
pub mod loss;
mod optimizer;
mod schedule;
mod trainer;
mod watch;

pub use clip::clip_grad_norm;
pub use data::{Data, HostData};
pub use loss::Reduction;
pub use optimizer::{AdamConfig, Method, Optimizer, SgdConfig};
pub use schedule::Schedule;
pub(crate) use trainer::{Best, MODEL, OPTIMIZER, Resumed, STATUS, Within};
pub use trainer::{History, LossFn, Progress, ProgressFn, Snapshot, TrainOptions, Trainer};
