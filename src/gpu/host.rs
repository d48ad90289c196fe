//! Encodes recorded work into the host's command encoders.

use std::sync::Arc;

use super::content::{Content, Void};
use super::recorder::{Chunk, Command, Size};
use super::submit::{map, split_void};
use super::{Core, Gpu, lock};
use crate::error::{Error, Result};

/// Work that [`Device::encode_into`](crate::Device::encode_into) recorded into the host's command encoder.
///
/// Call [`submitted`](Self::submitted) after the host's `Queue::submit`. Until then, this device refuses to use
/// the tensors that the work writes, and does not recycle the buffers that it needs. If this value is dropped instead,
/// the results of the work are undefined, and using them is an error.
#[must_use = "call `submitted` after `Queue::submit`"]
pub struct EncodedWork {
    core: Arc<Core>,
    /// Parameters of the work.
    chunks: Vec<Chunk>,
    /// `None` once submitted or discarded.
    commands: Option<Vec<Command>>,
}

impl Gpu {
    /// Encodes everything recorded so far; see [`Device::encode_into`](crate::Device::encode_into).
    pub fn encode_into(&self, encoder: &mut wgpu::CommandEncoder) -> Result<EncodedWork> {
        let core = self.core.clone();
        core.faults.check()?;
        if !lock(&core.recorder).uploads_fit() {
            core.submit_all(Size::LARGEST);
        }
        let mut turn = core.turn().ok_or_else(in_callback)?;
        let (mut batch, chunks) = {
            // Under one lock, so that no thread records a use of the results in between.
            let mut recorder = lock(&core.recorder);
            let taken = recorder.take_for_host();
            lent(&taken.0.commands, Content::lend);
            taken
        };
        let (kept, void) = split_void(batch.commands);
        batch.commands = kept;
        let encoded = turn.encode_for_host(&batch, encoder);
        drop(turn);
        for (command, why) in void {
            lent(std::slice::from_ref(&command), Content::take_back);
            command.refuse(why);
        }
        let work = EncodedWork { core, chunks, commands: Some(batch.commands) };
        // On an error, dropping `work` marks its results as undefined.
        encoded.map(|()| work)
    }
}

impl EncodedWork {
    /// Confirms that the host has submitted the encoder.
    pub fn submitted(mut self) {
        let commands = self.finish().unwrap_or_default();
        commands.into_iter().for_each(|command| map(&self.core.faults, command, &self.core.events));
    }

    fn finish(&mut self) -> Option<Vec<Command>> {
        let commands = self.commands.take()?;
        lent(&commands, Content::take_back);
        self.core.pool.encoder_done();
        lock(&self.core.recorder).give_back(std::mem::take(&mut self.chunks));
        Some(commands)
    }
}

impl Drop for EncodedWork {
    fn drop(&mut self) {
        let discarded = self.finish().into_iter().flatten();
        discarded.for_each(|command| {
            command.void(&Void::Discarded);
            command.refuse(Void::Discarded);
        });
    }
}

/// Calls `change(content, is_written)` for all contents that the commands read or write.
fn lent(commands: &[Command], change: impl Fn(&Content, bool)) {
    for command in commands {
        match command {
            Command::Dispatch { bound, .. } => {
                bound.reads().iter().for_each(|content| change(content, false));
                bound.writes().iter().for_each(|content| change(content, true));
            }
            Command::Upload { content, .. } => change(content, true),
            Command::Copy(copy) => change(copy.from.content(), false),
        }
    }
}

fn in_callback() -> Error {
    Error::value(
        "Device::encode_into",
        "caller",
        "no callback of wgpu",
        "a callback that a submission of this device runs",
    )
}
