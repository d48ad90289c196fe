//! Recording work of this device into command encoders of the host.

use std::sync::Arc;

use super::content::{Content, Void};
use super::recorder::Command;
use super::submit::without_void;
use super::{Core, Gpu, lock};
use crate::error::Result;

/// Work that [`Device::encode_into`](crate::Device::encode_into) recorded into a command encoder of the host.
///
/// Call [`submitted`](Self::submitted) after the host's `Queue::submit`. Until then, this device refuses to use
/// the tensors that the work writes, and does not recycle the buffers that it needs. If this value is dropped instead,
/// the results of the work are undefined, and using them is an error.
#[must_use = "call `submitted` after `Queue::submit`"]
pub struct EncodedWork {
    core: Arc<Core>,
    /// `None` once they were submitted or discarded.
    commands: Option<Vec<Command>>,
}

impl Gpu {
    /// Encodes everything recorded so far; see [`Device::encode_into`](crate::Device::encode_into).
    pub fn encode_into(&self, encoder: &mut wgpu::CommandEncoder) -> Result<EncodedWork> {
        let core = self.core.clone();
        core.faults.check()?;
        let mut submitter = lock(&core.submitter);
        let mut batch = lock(&core.recorder).take_for_host();
        batch.commands = without_void(batch.commands);
        let encoded = submitter.encode_for_host(&batch, encoder);
        drop(submitter);
        core.pool.encoder_begins();
        lent(&batch.commands, Content::lend);
        let work = EncodedWork { core, commands: Some(batch.commands) };
        // On an error, dropping `work` marks its results as undefined.
        encoded.map(|()| work)
    }
}

impl EncodedWork {
    /// Confirms that the host has submitted the encoder.
    pub fn submitted(mut self) {
        let commands = self.finish().unwrap_or_default();
        let submitter = lock(&self.core.submitter);
        commands.into_iter().for_each(|command| submitter.map(command, &self.core.events));
    }

    fn finish(&mut self) -> Option<Vec<Command>> {
        let commands = self.commands.take()?;
        lent(&commands, Content::take_back);
        self.core.pool.encoder_done();
        Some(commands)
    }
}

impl Drop for EncodedWork {
    fn drop(&mut self) {
        let discarded = self.finish().into_iter().flatten();
        discarded.for_each(|command| command.void(&Void::Discarded));
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
