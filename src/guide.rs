//! The guide: programs to start from, each with its PyTorch counterpart.

#[cfg(feature = "autograd")]
#[doc = include_str!("../docs/guide/cells.md")]
pub mod cells {}

#[doc = include_str!("../docs/guide/pytorch.md")]
pub mod pytorch {}

#[cfg(feature = "autograd")]
#[doc = include_str!("../docs/guide/streaming.md")]
pub mod streaming {}

#[cfg(feature = "autograd")]
#[doc = include_str!("../docs/guide/text.md")]
pub mod text {}
