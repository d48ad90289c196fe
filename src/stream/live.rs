//! A stream in an audio callback, controlled from another thread.

use rtrb::{Consumer, Producer, RingBuffer};

use super::Stream;
use super::model::CHUNK;
use crate::error::{Error, Result};

/// Maximum number of messages that the stream has not returned yet.
const MESSAGES: usize = 16;

/// A request to the stream. The stream returns every message, so that the control's thread frees its memory.
enum Message {
    Reset,
    SetState(Vec<f32>),
    /// A buffer into which the stream copies its states.
    Snapshot(Vec<f32>),
    /// The new stream, and the number of steps of the cross-fade. Returned with the old stream.
    Exchange(Box<Stream>, usize),
}

/// A [`Stream`] that another thread can reset, snapshot and replace through a [`StreamControl`] while it runs.
///
/// [`step`](Self::step) and [`process`](Self::process) first carry out the messages in a queue. They never wait,
/// allocate or free memory, take a lock or make a system call.
///
/// ```
/// use wgru::{Device, Rng, nn::RecurrentConfig};
/// let config = RecurrentConfig { input: 1, hidden: 8, ..Default::default() };
/// let [first, second] = [0, 1].map(|seed| config.build(&Device::cpu(), &mut Rng::new(seed)));
/// let (mut live, mut control) = first?.stream(1)?.live();
/// let audio = std::thread::spawn(move || {
///     let mut out = [0.0; 64 * 8];
///     live.process(&[0.5; 64], &mut out)?;                 // in the callback
///     Ok::<_, wgru::Error>((live, out))
/// });
/// control.exchange(second?.stream(1)?, 480)?;              // in the user interface
/// let (_live, out) = audio.join().unwrap()?;
/// assert!(out.iter().all(|v| v.is_finite()));
/// # Ok::<(), wgru::Error>(())
/// ```
pub struct LiveStream {
    stream: Box<Stream>,
    fade: Option<Fade>,
    inbox: Consumer<Message>,
    returns: Producer<Message>,
    /// Outputs of the old stream during a cross-fade, for up to [`CHUNK`] steps.
    before: Vec<f32>,
}

/// A cross-fade from the old stream.
struct Fade {
    from: Box<Stream>,
    steps: usize,
    /// Number of steps done.
    done: usize,
}

/// Controls a [`LiveStream`] from another thread.
///
/// The stream carries out the messages in order, at its next step or block. During a cross-fade to another model,
/// messages wait until the fade ends.
pub struct StreamControl {
    outbox: Producer<Message>,
    returns: Consumer<Message>,
    /// Messages that the stream has not returned yet.
    out: usize,
    /// Number of sequences, inputs and outputs.
    shape: [usize; 3],
    /// Length of the state of the last stream that was sent.
    states: usize,
    snapshot: Option<Vec<f32>>,
}

impl Stream {
    /// Splits the stream into one half for an audio callback and one for the thread that controls it.
    pub fn live(self) -> (LiveStream, StreamControl) {
        let ((outbox, inbox), (returns, come_back)) = (RingBuffer::new(MESSAGES), RingBuffer::new(MESSAGES));
        let (shape, states) = (self.shape(), self.state().len());
        let before = vec![0.0; CHUNK * shape[0] * shape[2]];
        let control = StreamControl { outbox, returns: come_back, out: 0, shape, states, snapshot: None };
        (LiveStream { stream: Box::new(self), fade: None, inbox, returns, before }, control)
    }

    /// Number of sequences, inputs and outputs.
    fn shape(&self) -> [usize; 3] {
        [self.options.batch, self.model.input, self.width]
    }
}

impl LiveStream {
    /// Returns the number of sequences stepped together.
    pub fn batch(&self) -> usize {
        self.stream.batch()
    }

    /// Returns the number of features of a frame.
    pub fn input(&self) -> usize {
        self.stream.input()
    }

    /// Runs one step on `frame` `[B, I]`, as [`Stream::step`].
    ///
    /// # Errors
    /// [`Error::Length`] for a frame of the wrong length; the state is then unchanged.
    pub fn step(&mut self, frame: &[f32]) -> Result<&[f32]> {
        self.receive();
        let Some(fade) = &mut self.fade else { return self.stream.step(frame) };
        let to = self.stream.step(frame)?;
        let before = &mut self.before[..to.len()];
        before.copy_from_slice(fade.from.step(frame)?);
        fade.mix(to, before);
        Ok(before)
    }

    /// Runs a block of frames: `input` `[steps, B, I]`, `output` `[steps, B, H]` or `[steps, B, out]`, as
    /// [`Stream::process`].
    ///
    /// # Errors
    /// [`Error::Length`] for an input that is not a whole number of frames, or an output of another length. The state
    /// is then unchanged.
    pub fn process(&mut self, mut input: &[f32], mut output: &mut [f32]) -> Result<()> {
        self.stream.check_block("LiveStream::process", ["input", "output"], input.len(), output.len())?;
        let [frame, width] = [self.stream.model.input, self.stream.width].map(|n| n * self.stream.batch());
        loop {
            self.receive();
            let Some(fade) = &mut self.fade else { break };
            let steps = CHUNK.min(fade.steps - fade.done).min(input.len() / frame);
            if steps == 0 {
                break;
            }
            let (x, rest) = input.split_at(steps * frame);
            let (out, after) = std::mem::take(&mut output).split_at_mut(steps * width);
            let before = &mut self.before[..out.len()];
            self.stream.run_block(x, out);
            fade.from.run_block(x, before);
            for (out, before) in out.chunks_exact_mut(width).zip(before.chunks_exact_mut(width)) {
                fade.mix(out, before);
                out.copy_from_slice(before);
            }
            (input, output) = (rest, after);
        }
        self.stream.run_block(input, output);
        Ok(())
    }

    /// Ends a finished cross-fade, and carries out the messages that have arrived.
    fn receive(&mut self) {
        loop {
            if let Some(Fade { from, steps, .. }) = self.fade.take_if(|fade| fade.done == fade.steps) {
                self.give_back(Message::Exchange(from, steps));
            }
            if self.fade.is_some() {
                return;
            }
            let Ok(mut message) = self.inbox.pop() else { return };
            match &mut message {
                Message::Reset => self.stream.reset(),
                // The control has checked the lengths.
                Message::SetState(state) => _ = self.stream.set_state(state),
                Message::Snapshot(space) => space.copy_from_slice(self.stream.state()),
                Message::Exchange(stream, steps) => {
                    std::mem::swap(stream, &mut self.stream);
                    if *steps > 0 {
                        let Message::Exchange(from, steps) = message else { unreachable!("it was matched") };
                        self.fade = Some(Fade { from, steps, done: 0 });
                        continue;
                    }
                }
            }
            self.give_back(message);
        }
    }

    fn give_back(&mut self, message: Message) {
        // There is room: the control limits its outstanding messages to the capacity of the queue.
        let sent = self.returns.push(message);
        debug_assert!(sent.is_ok());
    }
}

impl Fade {
    /// Mixes the outputs of one step into `before`. The share of the new stream grows linearly, to 1 in the last step. An
    /// old stream that became NaN has no share.
    fn mix(&mut self, to: &[f32], before: &mut [f32]) {
        self.done += 1;
        let share = self.done as f32 / self.steps as f32;
        for (before, to) in before.iter_mut().zip(to) {
            *before = if before.is_finite() { (1.0 - share) * *before + share * to } else { *to };
        }
    }
}

impl StreamControl {
    /// Restarts all sequences from their initial state.
    ///
    /// # Errors
    /// [`Error::Limit`] if 16 messages are waiting for the stream, [`Error::Stopped`] if the stream was dropped.
    pub fn reset(&mut self) -> Result<()> {
        self.send("StreamControl::reset", Message::Reset)
    }

    /// Continues from `state`, which has the layout of [`Stream::state`].
    ///
    /// # Errors
    /// [`Error::Length`] for a state of the wrong length; otherwise as [`reset`](Self::reset).
    pub fn set_state(&mut self, state: Vec<f32>) -> Result<()> {
        let (op, layout) = ("StreamControl::set_state", "[states, layers, batch, hidden]");
        if state.len() != self.states {
            return Err(Error::Length { op, arg: "state", layout, expected: self.states, got: state.len() });
        }
        self.send(op, Message::SetState(state))
    }

    /// Requests a snapshot of the states. [`take_snapshot`](Self::take_snapshot) returns it later.
    ///
    /// # Errors
    /// As [`reset`](Self::reset).
    pub fn request_snapshot(&mut self) -> Result<()> {
        self.send("StreamControl::request_snapshot", Message::Snapshot(vec![0.0; self.states]))
    }

    /// Returns the newest snapshot that has arrived, in the layout of [`Stream::state`]. Each snapshot is returned
    /// once.
    pub fn take_snapshot(&mut self) -> Option<Vec<f32>> {
        self.collect();
        self.snapshot.take()
    }

    /// Replaces the model by `stream`, which continues from its own states. Both run for `steps` steps, with a linear
    /// cross-fade between their outputs, to avoid a click; 10 ms is usual. A later call of a method of this control
    /// drops the old stream.
    ///
    /// # Errors
    /// [`Error::Shape`] unless both have the same number of sequences, inputs and outputs; otherwise as
    /// [`reset`](Self::reset).
    pub fn exchange(&mut self, stream: Stream, steps: usize) -> Result<()> {
        let op = "StreamControl::exchange";
        if stream.shape() != self.shape {
            let [batch, input, output] = self.shape;
            let expected = format!("{batch} sequences, {input} inputs and {output} outputs");
            return Err(Error::shape(op, "stream", expected, &stream.shape()));
        }
        let states = stream.state().len();
        self.send(op, Message::Exchange(Box::new(stream), steps))?;
        self.states = states;
        Ok(())
    }

    /// Frees the memory of messages that the stream has carried out. All other methods do this too.
    pub fn collect(&mut self) {
        while let Ok(message) = self.returns.pop() {
            self.out -= 1;
            if let Message::Snapshot(state) = message {
                self.snapshot = Some(state);
            }
        }
    }

    fn send(&mut self, op: &'static str, message: Message) -> Result<()> {
        self.collect();
        if self.outbox.is_abandoned() {
            return Err(Error::Stopped(format!("{op}: the stream was dropped")));
        }
        let (needed, allowed) = (self.out as u64 + 1, MESSAGES as u64);
        let full = Error::Limit { op, limit: "messages to a stream", needed, allowed };
        if needed > allowed {
            return Err(full);
        }
        self.outbox.push(message).map_err(|_| full)?;
        self.out += 1;
        Ok(())
    }
}
