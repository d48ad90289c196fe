//! Checks the arguments of a run, and converts them to the inputs of the sequence engine.

use super::{Padding, Recurrent, RunOptions};
use crate::cell::Cell;
use crate::error::{Error, Result};
use crate::nn::{Mode, check_lengths, check_state};
use crate::ops::recurrent::{Reads, Schedule, valid_rows};
use crate::tensor::Tensor;

/// Marks of the steps of a run.
pub(super) struct Marks {
    /// `[T, B]`: see [`kernels::marks`](crate::kernels::marks).
    pub words: Tensor,
    /// Factor of each initial state, 0 or 1, if resets at step 0 replace some of them with 0.
    pub begins: Option<Vec<f32>>,
    /// As in [`Reads`].
    gaps: bool,
    /// As in [`Reads`].
    given: bool,
}

impl Marks {
    pub fn reads(&self, x: Tensor) -> Reads {
        Reads { x, marks: self.words.clone(), gaps: self.gaps, given: self.given }
    }

    /// Returns `x` `[T, B, ..]` with zeros at invalid steps.
    pub fn valid(&self, x: Tensor) -> Result<Tensor> {
        if !self.gaps {
            return Ok(x);
        }
        let width = x.len() / self.words.len();
        valid_rows(&self.words, &x, [0, width, width])?.view("recurrent", x.dims())
    }
}

impl Recurrent {
    /// Returns the initial states `[layers·D, B, width]`: given, learned, or zeros.
    pub(super) fn first(&self, options: &RunOptions, batch: usize, mode: &Mode) -> Result<Tensor> {
        let c = &self.config;
        let all = c.layers * c.directions();
        let mut parts = vec![("h0", options.h0, c.out())];
        match (c.cell, options.c0) {
            (Cell::Lstm, c0) => parts.push(("c0", c0, c.hidden)),
            (_, Some(c0)) => return Err(Error::shape(c.op(), "c0", "none: this cell has no cell state", c0.dims())),
            _ => {}
        }
        if self.first.is_empty() && parts.iter().all(|(_, given, _)| given.is_none()) {
            return Tensor::zeros(&self.device, &[all, batch, c.width()]);
        }
        let mut states = Vec::with_capacity(parts.len());
        for (name, given, width) in parts {
            let dims = [all, batch, width];
            let learned = self.first.iter().find(|(n, _)| *n == name);
            states.push(match (given, learned) {
                (Some(state), _) => {
                    check_state(c.op(), name, &self.device, state, dims)?;
                    state.clone()
                }
                (None, Some((_, learned))) => Tensor::zeros(&self.device, &dims)?.add(&mode.parameter(learned))?,
                (None, None) => Tensor::zeros(&self.device, &dims)?,
            });
        }
        match &states[..] {
            [one] => Ok(one.clone()),
            _ => Tensor::concat(&states.iter().collect::<Vec<_>>(), 2),
        }
    }

    /// Returns the marks of a run's steps, after checking lengths, mask and resets.
    pub(super) fn marks(&self, options: &RunOptions, steps: usize, batch: usize) -> Result<Marks> {
        let c = &self.config;
        if let Some(lengths) = options.lengths {
            check_lengths(c.op(), lengths, batch, steps)?;
        }
        let by_time = |arg: &'static str, flags: Option<&[bool]>| -> Result<Option<Vec<bool>>> {
            let Some(flags) = flags else { return Ok(None) };
            if flags.len() != steps * batch {
                return Err(Error::shape(
                    c.op(),
                    arg,
                    format!("{} flags, one per step", steps * batch),
                    &[flags.len()],
                ));
            }
            let place = |i: usize| if c.batch_first { i % batch * steps + i / batch } else { i };
            Ok(Some((0..flags.len()).map(|i| flags[place(i)]).collect()))
        };
        let (mask, resets) = (by_time("mask", options.mask)?, by_time("resets", options.resets)?);
        let schedule = Schedule {
            lengths: options.lengths,
            mask: mask.as_deref(),
            resets: resets.as_deref(),
            to_first: options.reset_to_h0,
            repeat: c.options.padding == Padding::RepeatLast,
        };
        let make = || Tensor::from_indices(&self.device, &schedule.marks(steps, batch), &[steps, batch]);
        let gaps = options.lengths.is_some_and(|l| l.iter().any(|&l| l < steps))
            || mask.as_ref().is_some_and(|m| m.contains(&false));
        let given = options.h0.is_some() || options.c0.is_some() || c.options.learn_h0;
        if options.lengths.is_some() || mask.is_some() || resets.is_some() {
            let begins = resets.as_ref().filter(|r| !options.reset_to_h0 && r[..batch].contains(&true)).map(|resets| {
                let forward = |d: usize| d == 0 && !c.reverse;
                let one = |d: usize| resets[..batch].iter().map(move |&begins| (!(begins && forward(d))) as u32 as f32);
                (0..c.layers * c.directions()).flat_map(|i| one(i % c.directions())).collect()
            });
            return Ok(Marks { words: make()?, begins, gaps, given });
        }
        let mut slot = self.whole.lock().expect("an upload does not panic");
        if let Some((made_for, marks)) = &*slot
            && *made_for == [batch, steps]
            && !marks.is_void()
        {
            return Ok(Marks { words: marks.clone(), begins: None, gaps, given });
        }
        // Without lengths, mask and resets, the marks depend only on the extents, so they are reused. `reset_to_h0` has
        // no effect without resets.
        let marks = make()?;
        *slot = Some(([batch, steps], marks.clone()));
        Ok(Marks { words: marks, begins: None, gaps, given })
    }
}
