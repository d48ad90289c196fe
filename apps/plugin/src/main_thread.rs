//! The main thread: loads models, and communicates with the host.

use std::cell::{Cell, RefCell};
use std::ffi::{CStr, CString};
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::path::Path;

use clack_extensions::audio_ports::{
    AudioPortFlags, AudioPortInfo, AudioPortInfoWriter, AudioPortType, PluginAudioPortsImpl,
};
use clack_extensions::audio_ports_config::{
    AudioPortConfigWriter, AudioPortsConfiguration, MainPortInfo, PluginAudioPortsConfigImpl,
};
use clack_extensions::latency::{HostLatency, PluginLatencyImpl};
use clack_extensions::log::{HostLog, LogSeverity};
use clack_extensions::params::{
    HostParams, ParamDisplayWriter, ParamInfoWriter, ParamRescanFlags, PluginMainThreadParams,
};
use clack_extensions::preset_discovery::prelude::{HostPresetLoad, Location, PluginPresetLoadImpl};
use clack_extensions::state::{HostState, PluginStateImpl};
use clack_plugin::prelude::*;
use clack_plugin::stream::{InputStream, OutputStream};

use crate::engine::Engine;
use crate::failure::Failure;
use crate::model::Model;
use crate::params::{self, ALL};
use crate::shared::Shared;
use crate::state::State;

/// Maximum length of a saved state, in bytes.
const LONGEST_STATE: u64 = 1 << 20;
/// Names and channels of the port configurations. Their identifiers are the numbers of channels.
const CONFIGURATIONS: [(&[u8], u32); 2] = [(b"Stereo", 2), (b"Mono", 1)];

/// The part of an instance that lives on the main thread.
pub struct MainThread<'a> {
    host: HostMainThreadHandle<'a>,
    pub shared: &'a Shared<'a>,
    model: RefCell<Option<Model>>,
    /// Path of the model in the saved state. Kept even if the file cannot be read.
    path: RefCell<Option<String>>,
    channels: Cell<u32>,
    /// Sample rate, while audio may run.
    rate: Cell<Option<f64>>,
    latency: Cell<u32>,
}

impl<'a> MainThread<'a> {
    pub fn new(host: HostMainThreadHandle<'a>, shared: &'a Shared<'a>) -> Self {
        let (model, path) = Default::default();
        let channels = Cell::new(CONFIGURATIONS[0].1);
        Self { host, shared, model, path, channels, rate: Cell::new(None), latency: Cell::new(0) }
    }

    /// Sends a message to the log of the host.
    fn log(&self, severity: LogSeverity, text: &str) {
        if let (Some(log), Ok(text)) = (self.host.get_extension::<HostLog>(), CString::new(text)) {
            log.log(&self.host, severity, &text);
        }
    }

    /// Replaces the model, also while audio runs. On an error, the current model stays.
    fn load(&self, path: &str) -> Result<(), Failure> {
        let model = Model::open(Path::new(path))?;
        let waits = self.play(Some(&model))?;
        let rate = model.rate;
        self.log(LogSeverity::Info, &format!("loaded {:?}, {rate} Hz, from {path}", model.name));
        self.path.replace(Some(path.to_string()));
        self.store(Some(model), waits);
        Ok(())
    }

    /// Stores the model, which a restart then takes: a host may restart during the request.
    fn store(&self, model: Option<Model>, waits: bool) {
        self.model.replace(model);
        if waits {
            self.host.shared().request_restart();
        }
    }

    /// Hands a model to the audio thread, if there is one. Returns true if the latency changes, for which the host must
    /// restart the plug-in first.
    fn play(&self, model: Option<&Model>) -> Result<bool, Failure> {
        let Some(rate) = self.rate.get() else { return Ok(false) };
        let engine = self.engine(model, rate)?;
        if engine.latency() != self.latency.get() as usize {
            return Ok(true);
        }
        drop(self.shared.incoming.put(Box::new(engine)));
        Ok(false)
    }

    fn engine(&self, model: Option<&Model>, rate: f64) -> Result<Engine, Failure> {
        model.map_or_else(|| Ok(Engine::idle()), |model| Engine::new(model, rate, self.channels.get() as usize))
    }

    /// Returns the engine with which audio starts. If the model cannot run at this rate, the signal passes unchanged.
    pub fn activate(&self, rate: f64) -> Box<Engine> {
        drop(self.shared.incoming.take());
        let engine = self.engine(self.model.borrow().as_ref(), rate).unwrap_or_else(|error| {
            self.log(LogSeverity::Error, &error.to_string());
            Engine::idle()
        });
        self.rate.set(Some(rate));
        let latency = engine.latency() as u32;
        if self.latency.replace(latency) != latency
            && let Some(host) = self.host.get_extension::<HostLatency>()
        {
            host.changed(&self.host);
        }
        Box::new(engine)
    }

    pub fn deactivate(&self) {
        self.rate.set(None);
        drop((self.shared.incoming.take(), self.shared.retired.take()));
    }

    /// Restores a state. If the model cannot be read, logs an error and passes the signal unchanged, so that a project
    /// with a missing file opens, and keeps the path when it is saved again.
    fn restore(&self, state: State) {
        let loaded = state.model.as_deref().map(|path| self.load(path));
        if let Some(Err(error)) = &loaded {
            self.log(LogSeverity::Error, &error.to_string());
        }
        if !matches!(loaded, Some(Ok(()))) {
            // Creating an idle engine cannot fail.
            let waits = self.play(None).unwrap_or_default();
            self.store(None, waits);
        }
        self.path.replace(state.model);
        state.values.into_iter().enumerate().for_each(|(index, value)| self.shared.values.set(index, value));
        if let Some(params) = self.host.get_extension::<HostParams>() {
            params.rescan(&self.host, ParamRescanFlags::VALUES);
        }
    }
}

impl<'a> PluginMainThread<'a, Shared<'a>> for MainThread<'a> {
    /// Called when the audio thread has retired an engine and requested a callback.
    fn on_main_thread(&self) {
        drop(self.shared.retired.take());
    }
}

impl PluginPresetLoadImpl for MainThread<'_> {
    fn load_from_location(&self, location: Location, key: Option<&CStr>) -> Result<(), PluginError> {
        let path = match location {
            Location::File { path } => path.to_str().map_err(|_| Failure::new(format!("{path:?}: not UTF-8"))),
            Location::Plugin => Err(Failure::new("the plug-in contains no models; choose a file")),
        };
        let host = self.host.get_extension::<HostPresetLoad>();
        if let Err(error) = path.and_then(|path| self.load(path)) {
            if let Some(host) = host {
                let text = CString::new(error.to_string()).unwrap_or_default();
                host.on_error(&self.host, location, key, 0, Some(&text));
            }
            return Err(error.into());
        }
        if let Some(host) = host {
            host.loaded(&self.host, location, key);
        }
        if let Some(host) = self.host.get_extension::<HostState>() {
            host.mark_dirty(&self.host);
        }
        Ok(())
    }
}

impl PluginStateImpl for MainThread<'_> {
    fn save(&self, output: &mut OutputStream) -> Result<(), PluginError> {
        let state = State::of(self.path.borrow().clone(), &self.shared.values);
        Ok(output.write_all(state.to_json().as_bytes())?)
    }

    fn load(&self, input: &mut InputStream) -> Result<(), PluginError> {
        let mut bytes = Vec::new();
        input.take(LONGEST_STATE).read_to_end(&mut bytes)?;
        self.restore(State::parse(&bytes)?);
        Ok(())
    }
}

impl PluginLatencyImpl for MainThread<'_> {
    fn get(&self) -> u32 {
        self.latency.get()
    }
}

impl PluginMainThreadParams for MainThread<'_> {
    fn count(&self) -> u32 {
        ALL.len() as u32
    }

    fn get_info(&self, index: u32, writer: &mut ParamInfoWriter) {
        if let Some(param) = ALL.get(index as usize) {
            param.describe(writer);
        }
    }

    fn get_value(&self, id: ClapId) -> Option<f64> {
        params::index(id).map(|index| self.shared.values.get(index))
    }

    fn value_to_text(&self, id: ClapId, value: f64, writer: &mut ParamDisplayWriter) -> std::fmt::Result {
        match params::index(id) {
            Some(index) => writer.write_str(&ALL[index].text(value)),
            None => Err(std::fmt::Error),
        }
    }

    fn text_to_value(&self, id: ClapId, text: &CStr) -> Option<f64> {
        ALL[params::index(id)?].parse(text.to_str().ok()?)
    }

    fn flush(&self, input: &InputEvents, _: &mut OutputEvents) {
        input.iter().for_each(|event| self.shared.values.receive(event));
    }
}

impl PluginAudioPortsImpl for MainThread<'_> {
    fn count(&self, _: bool) -> u32 {
        1
    }

    fn get(&self, index: u32, is_input: bool, writer: &mut AudioPortInfoWriter) {
        if index == 0 {
            writer.set(&AudioPortInfo {
                id: ClapId::new(0),
                name: if is_input { b"Input" } else { b"Output" },
                channel_count: self.channels.get(),
                flags: AudioPortFlags::IS_MAIN,
                port_type: AudioPortType::from_channel_count(self.channels.get()),
                in_place_pair: Some(ClapId::new(0)),
            });
        }
    }
}

impl PluginAudioPortsConfigImpl for MainThread<'_> {
    fn count(&self) -> u32 {
        CONFIGURATIONS.len() as u32
    }

    fn get(&self, index: u32, writer: &mut AudioPortConfigWriter) {
        if let Some(&(name, channels)) = CONFIGURATIONS.get(index as usize) {
            let port_type = AudioPortType::from_channel_count(channels);
            let port = Some(MainPortInfo { channel_count: channels, port_type });
            writer.write(&AudioPortsConfiguration {
                id: ClapId::new(channels),
                name,
                input_port_count: 1,
                output_port_count: 1,
                main_input: port,
                main_output: port,
            });
        }
    }

    fn select(&self, id: ClapId) -> Result<(), PluginError> {
        if !CONFIGURATIONS.iter().any(|(_, channels)| *channels == id.get()) {
            return Err(PluginError::Message("no such configuration of ports: expected mono (1) or stereo (2)"));
        }
        self.channels.set(id.get());
        Ok(())
    }
}
