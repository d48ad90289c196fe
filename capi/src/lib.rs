//! The C interface of wgru. `include/wgru.h` is generated from this crate by cbindgen; `README.md` describes how to
//! build, install and use it, and `docs/adr/0047-c-interface.md` why it looks as it does.
//!
//! Only files that take pointers from C contain unsafe code. Each exported function passes a closure to
//! `call::guard`, which turns errors and panics into a status.

mod call;
mod failure;
mod file;
mod handle;
mod info;
mod model;
mod outputs;
mod raw;
mod run;
mod status;
mod stream;
mod tensor;
mod version;

pub use info::{WgruCell, WgruKind, WgruLayer, WgruModelInfo, WgruPort};
pub use model::{
    WgruDevice, WgruModel, WgruModelOptions, wgru_model_free, wgru_model_info, wgru_model_input, wgru_model_layer,
    wgru_model_load, wgru_model_open, wgru_model_output,
};
pub use outputs::{WgruOutputs, wgru_outputs_at, wgru_outputs_count, wgru_outputs_find, wgru_outputs_free};
pub use run::wgru_model_run;
pub use status::{WGRU_MESSAGE_SIZE, WgruError, WgruStatus, wgru_status_name};
pub use stream::{
    WgruInterpolation, WgruNonFinite, WgruStream, WgruStreamInfo, WgruStreamOptions, WgruWeights, wgru_stream_free,
    wgru_stream_info, wgru_stream_new, wgru_stream_process, wgru_stream_reset, wgru_stream_restore,
    wgru_stream_snapshot, wgru_stream_step,
};
pub use tensor::{WGRU_MAX_RANK, WgruTensor};
pub use version::{
    WGRU_VERSION_MAJOR, WGRU_VERSION_MINOR, WGRU_VERSION_NUMBER, WGRU_VERSION_PATCH, wgru_version, wgru_version_number,
};
