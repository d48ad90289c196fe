//! A CLAP audio effect that runs recurrent models from files.
//!
//! A module imports only from lower ranks; `tests/layering.rs` of the library enforces it.
//!
//! | rank | where | what |
//! | --- | --- | --- |
//! | 0 | `failure` `params` `ramp` | errors as messages; parameters and their values; smoothing |
//! | 1 | `chain` `graph` `rate` `state` | networks and ONNX models sample by sample; resampling; saved states |
//! | 2 | `model` | files of any format |
//! | 3 | `engine` `presets` | models for all channels of a host, and their handover between threads; preset discovery |
//! | 4 | `shared` | values that the threads of an instance share |
//! | 5 | `main_thread` | loading models, and communication with the host |
//! | 6 | `processor` | the audio thread |

mod chain;
mod engine;
mod failure;
mod graph;
mod main_thread;
mod model;
mod params;
mod presets;
mod processor;
mod ramp;
mod rate;
mod shared;
mod state;

use std::ffi::CStr;

use clack_extensions::audio_ports::PluginAudioPorts;
use clack_extensions::audio_ports_config::PluginAudioPortsConfig;
use clack_extensions::latency::PluginLatency;
use clack_extensions::params::PluginParams;
use clack_extensions::preset_discovery::prelude::{PluginPresetLoad, PresetDiscoveryFactoryWrapper};
use clack_extensions::state::PluginState;
use clack_plugin::entry::prelude::*;
use clack_plugin::plugin::features::{AUDIO_EFFECT, DISTORTION, MONO, STEREO};
use clack_plugin::prelude::*;

use main_thread::MainThread;
use processor::Processor;
use shared::Shared;

/// Identifier of the plug-in, which hosts store in projects.
pub const ID: &str = "org.wgru.plugin";

/// The plug-in.
pub struct Wgru;

impl Plugin for Wgru {
    type AudioProcessor<'a> = Processor<'a>;
    type Shared<'a> = Shared<'a>;
    type MainThread<'a> = MainThread<'a>;

    fn declare_extensions(builder: &mut PluginExtensions<Self>, _: Option<&Shared>) {
        builder
            .register::<PluginAudioPorts>()
            .register::<PluginAudioPortsConfig>()
            .register::<PluginLatency>()
            .register::<PluginParams>()
            .register::<PluginPresetLoad>()
            .register::<PluginState>();
    }
}

/// The entry point of the library: factories for the plug-in and for the provider of its models.
pub struct Library {
    plugins: PluginFactoryWrapper<Plugins>,
    presets: PresetDiscoveryFactoryWrapper<presets::Factory>,
}

impl Entry for Library {
    fn new(_: Option<&CStr>) -> Result<Self, EntryLoadError> {
        let descriptor = PluginDescriptor::new(ID, "wgru")
            .with_vendor("wgru")
            .with_version(env!("CARGO_PKG_VERSION"))
            .with_description(env!("CARGO_PKG_DESCRIPTION"))
            .with_features([AUDIO_EFFECT, DISTORTION, MONO, STEREO]);
        let plugins = PluginFactoryWrapper::new(Plugins { descriptor });
        Ok(Self { plugins, presets: PresetDiscoveryFactoryWrapper::new(presets::Factory::new(ID)) })
    }

    fn declare_factories<'a>(&'a self, builder: &mut EntryFactories<'a>) {
        builder.register_factory(&self.plugins).register_factory(&self.presets);
    }
}

struct Plugins {
    descriptor: PluginDescriptor,
}

impl PluginFactoryImpl for Plugins {
    fn plugin_count(&self) -> u32 {
        1
    }

    fn plugin_descriptor(&self, index: u32) -> Option<&PluginDescriptor> {
        (index == 0).then_some(&self.descriptor)
    }

    fn create_plugin<'a>(&'a self, host: HostInfo<'a>, id: &CStr) -> Option<PluginInstance<'a>> {
        let shared = |host| Ok(Shared::new(host));
        let main_thread = |host, shared| Ok(MainThread::new(host, shared));
        (Some(id) == self.descriptor.id())
            .then(|| PluginInstance::new::<Wgru>(host, &self.descriptor, shared, main_thread))
    }
}

clack_export_entry!(Library);
