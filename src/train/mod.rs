//! Losses, optimizers, schedules, clipping, and a training loop.
