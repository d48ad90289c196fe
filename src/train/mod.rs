//! Losses, optimizers, schedules, clipping, and a training loop that stops early and resumes bit for bit.

mod clip;
mod ctc;
mod data;
mod diverged;
pub mod loss;
mod optimizer;
mod schedule;
mod snapshot;
mod trainer;
mod watch;

pub use clip::clip_grad_norm;
pub use data::{Data, HostData};
pub use loss::Reduction;
pub use optimizer::{AdamConfig, Method, Optimizer, SgdConfig};
pub use schedule::Schedule;
pub use snapshot::Snapshot;
pub(crate) use snapshot::{MODEL, OPTIMIZER, STATUS, Within};
pub(crate) use trainer::{Best, Resumed};
pub use trainer::{History, LossFn, Progress, ProgressFn, TrainOptions, Trainer};
