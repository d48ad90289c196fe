//! Values shared by all threads of an instance.

use clack_plugin::prelude::{HostSharedHandle, PluginShared};

use crate::engine::Slot;
use crate::params::Values;

/// Values that all threads share, without locks.
pub struct Shared<'a> {
    pub host: HostSharedHandle<'a>,
    pub values: Values,
    /// From the main thread to the audio thread.
    pub incoming: Slot,
    /// From the audio thread to the main thread, which drops it.
    pub retired: Slot,
}

impl<'a> Shared<'a> {
    pub fn new(host: HostSharedHandle<'a>) -> Self {
        Self { host, values: Values::default(), incoming: Slot::default(), retired: Slot::default() }
    }
}

impl<'a> PluginShared<'a> for Shared<'a> {}
