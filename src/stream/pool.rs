//! Streams that join and leave between steps.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Stream;
use crate::error::{Error, Result};

/// The next serial number of a member. All pools share it, so that a pool does not take the members of another for its own.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Independent streams that are stepped as one batch. They join and leave between steps. After construction, nothing
/// allocates, not even an error.
///
/// ```
/// use wgru::{Device, Rng, StreamPool, Stream, StreamOptions, nn::RecurrentConfig};
/// let gru = RecurrentConfig { input: 2, hidden: 4, ..Default::default() }.build(&Device::cpu(), &mut Rng::new(0))?;
/// let mut pool = StreamPool::new(Stream::new(&gru, StreamOptions { batch: 8, ..Default::default() })?);
/// let (a, b) = (pool.join()?, pool.join()?);
/// pool.frame_mut(a)?.copy_from_slice(&[0.1, 0.2]);
/// pool.frame_mut(b)?.copy_from_slice(&[0.3, 0.4]);
/// pool.step();
/// assert_eq!(pool.output(a)?.len(), 4);
/// pool.leave(a)?;
/// assert!(pool.output(a).is_err());
/// # Ok::<(), wgru::Error>(())
/// ```
pub struct StreamPool {
    stream: Stream,
    /// The member of each row. Rows in use come first.
    members: Vec<StreamId>,
    /// The row and the serial number of the member in each slot.
    slots: Vec<Option<(usize, u64)>>,
    frames: Vec<f32>,
    width: usize,
}

/// A member of a [`StreamPool`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamId {
    slot: usize,
    serial: u64,
}

impl StreamPool {
    /// Creates a pool for up to `stream.batch()` members.
    pub fn new(stream: Stream) -> Self {
        let capacity = stream.batch();
        let width = stream.width;
        let frames = vec![0.0; capacity * stream.input()];
        Self { members: Vec::with_capacity(capacity), slots: vec![None; capacity], frames, width, stream }
    }

    /// Returns the current number of members.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether the pool has no members.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Adds a member, at the start of its sequence.
    ///
    /// # Errors
    /// [`Error::Limit`] if the pool is full.
    pub fn join(&mut self) -> Result<StreamId> {
        let (row, capacity) = (self.members.len(), self.slots.len());
        let Some(slot) = self.slots.iter().position(Option::is_none) else {
            let (needed, allowed) = (capacity as u64 + 1, capacity as u64);
            return Err(Error::Limit { op: "StreamPool::join", limit: "streams of the pool", needed, allowed });
        };
        let id = StreamId { slot, serial: NEXT.fetch_add(1, Ordering::Relaxed) };
        self.slots[slot] = Some((row, id.serial));
        self.members.push(id);
        self.stream.reset_row(row);
        let input = self.stream.input();
        self.frames[row * input..][..input].fill(0.0);
        // The output of the linear layer may be that of a member that left.
        if self.stream.model.head.is_some() {
            self.stream.output[row * self.width..][..self.width].fill(0.0);
        }
        Ok(id)
    }

    /// Returns the index of the first element of a row in each state of each layer.
    fn rows(&self, row: usize) -> impl Iterator<Item = usize> + Clone + use<> {
        let (batch, model) = (self.stream.batch(), &self.stream.model);
        let (h, states) = (model.hidden, model.cell.states() * model.layers);
        (0..states).map(move |state| (state * batch + row) * h)
    }

    fn row(&self, op: &'static str, id: StreamId) -> Result<usize> {
        match self.slots.get(id.slot) {
            Some(&Some((row, serial))) if serial == id.serial => Ok(row),
            _ => Err(Error::Member { op }),
        }
    }

    /// Removes a member.
    ///
    /// # Errors
    /// [`Error::Member`] if it is not in the pool.
    pub fn leave(&mut self, id: StreamId) -> Result<()> {
        let row = self.row("StreamPool::leave", id)?;
        // The member in the last row moves to the row that is now free.
        let (last, h, input) = (self.members.len() - 1, self.stream.model.hidden, self.stream.input());
        let (to, from) = (self.rows(row), self.rows(last));
        for (_, states) in self.stream.states.each_mut() {
            for (to, from) in to.clone().zip(from.clone()) {
                states.copy_within(from..from + h, to);
            }
        }
        self.frames.copy_within(last * input..(last + 1) * input, row * input);
        // Its last output stays readable.
        if self.stream.model.head.is_some() {
            let width = self.width;
            self.stream.output.copy_within(last * width..(last + 1) * width, row * width);
        }
        self.slots[id.slot] = None;
        self.members.swap_remove(row);
        if let Some(moved) = self.members.get(row) {
            self.slots[moved.slot] = Some((row, moved.serial));
        }
        Ok(())
    }

    /// Returns the member's next frame `[I]`, to write to. It still holds the previous one.
    ///
    /// # Errors
    /// [`Error::Member`] if the member is not in the pool.
    pub fn frame_mut(&mut self, id: StreamId) -> Result<&mut [f32]> {
        let (row, input) = (self.row("StreamPool::frame_mut", id)?, self.stream.input());
        Ok(&mut self.frames[row * input..][..input])
    }

    /// Runs one step of all members.
    pub fn step(&mut self) {
        let (rows, input) = (self.members.len(), self.stream.input());
        if rows > 0 {
            self.stream.step_rows(&self.frames[..rows * input], rows);
        }
    }

    /// Restarts the member from zeros, or from the learned initial state.
    ///
    /// # Errors
    /// [`Error::Member`] if it is not in the pool.
    pub fn reset(&mut self, id: StreamId) -> Result<()> {
        let row = self.row("StreamPool::reset", id)?;
        self.stream.reset_row(row);
        Ok(())
    }

    /// Returns the number of floats of a member's state.
    pub fn state_len(&self) -> usize {
        self.stream.state().len() / self.stream.batch()
    }

    /// Copies the member's state `[layers, H]`, for an LSTM `h` and then `c` (`[2, layers, H]`): the
    /// [state](Stream::state) of a stream of one sequence.
    ///
    /// ```
    /// use wgru::{Device, Rng, Stream, StreamOptions, StreamPool, nn::RecurrentConfig};
    /// let gru = RecurrentConfig::gru(2, 4).build(&Device::cpu(), &mut Rng::new(0))?;
    /// let mut pool = StreamPool::new(Stream::new(&gru, StreamOptions { batch: 8, ..Default::default() })?);
    /// let (a, b) = (pool.join()?, pool.join()?);
    /// pool.frame_mut(a)?.copy_from_slice(&[0.1, 0.2]);
    /// pool.step();
    /// let mut state = [0.0; 4];
    /// pool.save_state(a, &mut state)?;
    /// pool.load_state(b, &state)?;                             // `b` continues from where `a` is
    /// pool.reset(a)?;
    /// assert_eq!(state.len(), pool.state_len());
    /// # Ok::<(), wgru::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Member`] if it is not in the pool, [`Error::Length`] unless `state` has
    /// [`state_len`](Self::state_len) floats.
    pub fn save_state(&self, id: StreamId, state: &mut [f32]) -> Result<()> {
        const OP: &str = "StreamPool::save_state";
        let row = self.row(OP, id)?;
        self.check_state(OP, state.len())?;
        let (h, rows, all) = (self.stream.model.hidden, self.rows(row), self.stream.state());
        let steps = all.chunks_exact(all.len() / self.steps());
        let parts = steps.flat_map(|step| rows.clone().map(move |at| &step[at..at + h]));
        state.chunks_exact_mut(h).zip(parts).for_each(|(to, from)| to.copy_from_slice(from));
        Ok(())
    }

    /// Continues the member from a state that [`save_state`](Self::save_state) has copied, or from that of a stream of
    /// one sequence.
    ///
    /// # Errors
    /// Same as [`save_state`](Self::save_state); the state is then unchanged.
    pub fn load_state(&mut self, id: StreamId, state: &[f32]) -> Result<()> {
        const OP: &str = "StreamPool::load_state";
        let row = self.row(OP, id)?;
        self.check_state(OP, state.len())?;
        let (h, rows, len) = (self.stream.model.hidden, self.rows(row), state.len() / self.steps());
        // Every copy of a step's states.
        for (step, to) in self.stream.states.each_mut() {
            let from = state[step * len..][..len].chunks_exact(h);
            rows.clone().zip(from).for_each(|(at, from)| to[at..at + h].copy_from_slice(from));
        }
        Ok(())
    }

    /// Returns the number of steps of which the state holds the states.
    fn steps(&self) -> usize {
        let model = &self.stream.model;
        self.state_len() / (model.cell.states() * model.layers * model.hidden)
    }

    fn check_state(&self, op: &'static str, got: usize) -> Result<()> {
        let (layout, expected) = ("[states, layers, hidden] of each step that is kept", self.state_len());
        match got == expected {
            true => Ok(()),
            false => Err(Error::Length { op, arg: "state", layout, expected, got }),
        }
    }

    /// Returns the output of the member's last step: `[H]`, or `[out]` of the linear layer. Before its first step, this is
    /// the initial state, or zeros for the linear layer.
    ///
    /// # Errors
    /// [`Error::Member`] if the member is not in the pool.
    pub fn output(&self, id: StreamId) -> Result<&[f32]> {
        let row = self.row("StreamPool::output", id)?;
        let stream = &self.stream;
        let all = match stream.model.head {
            Some(_) => &stream.output[..],
            None => stream.states.last(),
        };
        Ok(&all[row * self.width..][..self.width])
    }
}
