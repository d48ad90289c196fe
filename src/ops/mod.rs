//! Checked operations on tensors, forward beside backward. None of them touches the tape.

pub(crate) mod elementwise;
pub(crate) mod index;
pub(crate) mod linalg;
pub(crate) mod loss;
pub(crate) mod movement;
pub(crate) mod optim;
pub mod recurrent;
pub(crate) mod reduce;
pub(crate) mod softmax;
