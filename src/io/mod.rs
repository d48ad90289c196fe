//! Weights and checkpoints in files.
