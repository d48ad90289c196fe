//! A host for the tests.
#![allow(dead_code, reason = "each test file uses only some of these items")]

pub mod models;
pub mod reference;

use std::cell::{Cell, RefCell};
use std::ffi::{CStr, CString};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use clack_extensions::audio_ports_config::PluginAudioPortsConfig;
use clack_extensions::latency::{HostLatency, HostLatencyImpl, PluginLatency};
use clack_extensions::log::{HostLog, HostLogImpl, LogSeverity};
use clack_extensions::params::{
    HostParams, HostParamsImplMainThread, HostParamsImplShared, ParamClearFlags, ParamRescanFlags,
};
use clack_extensions::preset_discovery::HostPresetLoadImpl;
use clack_extensions::preset_discovery::prelude::{HostPresetLoad, Location, PluginPresetLoad};
use clack_extensions::state::{HostState, HostStateImpl, PluginState};
use clack_host::events::event_types::ParamValueEvent;
use clack_host::events::{Pckn, io::EventBuffer};
use clack_host::prelude::*;
use clack_host::utils::ClapId;
use wgru_plugin::{ID, Library};

/// Identifiers of the parameters.
pub const INPUT: u32 = 1;
pub const OUTPUT: u32 = 2;
pub const MIX: u32 = 3;

pub struct Host;

#[derive(Default)]
pub struct Shared {
    pub restarts: AtomicUsize,
    pub callbacks: AtomicUsize,
    /// Errors in the log.
    pub errors: Mutex<Vec<String>>,
}

#[derive(Default)]
pub struct Main {
    /// Errors of loading.
    pub errors: RefCell<Vec<String>>,
    pub loaded: Cell<usize>,
    pub dirty: Cell<usize>,
    pub latencies: Cell<usize>,
}

impl HostHandlers for Host {
    type Shared<'a> = Shared;
    type MainThread<'a> = Main;
    type AudioProcessor<'a> = ();

    fn declare_extensions(builder: &mut HostExtensions<Self>, _: &Shared) {
        builder
            .register::<HostLog>()
            .register::<HostLatency>()
            .register::<HostParams>()
            .register::<HostPresetLoad>()
            .register::<HostState>();
    }
}

impl SharedHandler<'_> for Shared {
    fn request_restart(&self) {
        self.restarts.fetch_add(1, Ordering::Relaxed);
    }
    fn request_process(&self) {}
    fn request_callback(&self) {
        self.callbacks.fetch_add(1, Ordering::Relaxed);
    }
}

impl HostLogImpl for Shared {
    fn log(&self, severity: LogSeverity, message: &str) {
        if severity >= LogSeverity::Warning {
            self.errors.lock().expect("log").push(message.to_string());
        }
    }
}

impl HostParamsImplShared for Shared {
    fn request_flush(&self) {}
}

impl MainThreadHandler<'_> for Main {}

impl HostParamsImplMainThread for Main {
    fn rescan(&self, _: ParamRescanFlags) {}
    fn clear(&self, _: ClapId, _: ParamClearFlags) {}
}

impl HostLatencyImpl for Main {
    fn changed(&self) {
        self.latencies.set(self.latencies.get() + 1);
    }
}

impl HostStateImpl for Main {
    fn mark_dirty(&self) {
        self.dirty.set(self.dirty.get() + 1);
    }
}

impl HostPresetLoadImpl for Main {
    fn on_error(&self, _: Location, _: Option<&CStr>, _: i32, message: Option<&CStr>) {
        self.errors.borrow_mut().push(message.unwrap_or_default().to_string_lossy().into_owned());
    }
    fn loaded(&self, _: Location, _: Option<&CStr>) {
        self.loaded.set(self.loaded.get() + 1);
    }
}

pub fn entry() -> PluginEntry {
    PluginEntry::load_from_clack::<Library>(c"/plug-ins/wgru.clap").expect("the entry")
}

/// An instance of the plug-in, and its audio processor while it is active.
pub struct Plugin {
    pub instance: PluginInstance<Host>,
    audio: Option<StartedPluginAudioProcessor<Host>>,
    ports: [AudioPorts; 2],
}

impl Plugin {
    pub fn of(entry: &PluginEntry) -> Self {
        let info = HostInfo::new("wgru tests", "wgru", "https://example.org", "1").expect("texts");
        let id = CString::new(ID).expect("an identifier");
        let instance =
            PluginInstance::new(|()| Shared::default(), |_| Main::default(), entry, &id, &info).expect("an instance");
        Self { instance, audio: None, ports: [(); 2].map(|()| AudioPorts::with_capacity(2, 1)) }
    }

    pub fn new() -> Self {
        Self::of(&entry())
    }

    /// An active instance with a model.
    pub fn with(model: &Path, rate: f64, channels: u32) -> Self {
        let mut plugin = Self::new();
        plugin.load(model).unwrap_or_else(|error| panic!("{}: {error}", model.display()));
        plugin.select(channels);
        plugin.activate(rate);
        plugin
    }

    /// Selects mono or stereo.
    pub fn select(&mut self, channels: u32) {
        let handle = self.instance.inactive_plugin_handle().expect("an inactive plug-in");
        let ports: PluginAudioPortsConfig = handle.get_extension().expect("configurations of ports");
        ports.select(&handle, ClapId::new(channels)).expect("selected");
    }

    pub fn activate(&mut self, rate: f64) {
        let config = PluginAudioConfiguration { sample_rate: rate, min_frames_count: 1, max_frames_count: 4096 };
        let audio = self.instance.activate(|_, _| (), config).expect("active");
        self.audio = Some(audio.start_processing().unwrap_or_else(|_| panic!("not started")));
    }

    pub fn deactivate(&mut self) {
        let audio = self.audio.take().expect("active").stop_processing();
        self.instance.deactivate(audio);
    }

    pub fn reset(&mut self) {
        self.audio.as_mut().expect("active").reset();
    }

    /// Loads a model; see [`load`].
    pub fn load(&mut self, path: &Path) -> Result<(), String> {
        load(&mut self.instance, path)
    }

    /// Saves the state.
    pub fn save(&mut self) -> Vec<u8> {
        let (handle, mut bytes) = (self.instance.plugin_handle(), Vec::new());
        let state: PluginState = handle.get_extension().expect("states");
        state.save(&handle, &mut bytes).expect("saved");
        bytes
    }

    /// Restores a state. Returns whether the plug-in accepts it.
    pub fn restore(&mut self, mut bytes: &[u8]) -> bool {
        let handle = self.instance.plugin_handle();
        let state: PluginState = handle.get_extension().expect("states");
        state.load(&handle, &mut bytes).is_ok()
    }

    pub fn latency(&mut self) -> usize {
        let handle = self.instance.plugin_handle();
        let latency: PluginLatency = handle.get_extension().expect("latency");
        latency.get(&handle) as usize
    }

    /// Processes a block of each channel, with events at their samples.
    pub fn block(&mut self, input: &mut [&mut [f32]], output: &mut [&mut [f32]], events: &EventBuffer) {
        block(self.audio.as_mut().expect("active"), &mut self.ports, input, output, events);
    }

    /// Calls `work` with the instance while another thread processes mono blocks of 64 samples. Returns the number of
    /// blocks.
    pub fn while_playing(&mut self, work: impl FnOnce(&mut PluginInstance<Host>)) -> usize {
        let Self { instance, audio, ports } = self;
        let (audio, done) = (audio.as_mut().expect("active"), &AtomicBool::new(false));
        std::thread::scope(|scope| {
            let playing = scope.spawn(move || {
                let (mut blocks, mut x, mut y) = (0, signal(64, 1), vec![0.0; 64]);
                while !done.load(Ordering::Relaxed) {
                    block(audio, ports, &mut [&mut x], &mut [&mut y], &EventBuffer::new());
                    assert!(y.iter().all(|v| v.is_finite()));
                    blocks += 1;
                }
                blocks
            });
            work(instance);
            done.store(true, Ordering::Relaxed);
            playing.join().expect("audio")
        })
    }

    /// Processes whole signals in blocks. Changes are samples, parameters, and values.
    pub fn play(&mut self, signals: &[Vec<f32>], block: usize, changes: &[(usize, u32, f64)]) -> Vec<Vec<f32>> {
        let len = signals[0].len();
        let mut input = signals.to_vec();
        let mut output = vec![vec![f32::NAN; len]; signals.len()];
        for start in (0..len).step_by(block) {
            let end = (start + block).min(len);
            let mut events = EventBuffer::new();
            for &(at, id, value) in changes.iter().filter(|(at, ..)| (start..end).contains(at)) {
                let at = (at - start) as u32;
                events.push(&ParamValueEvent::new(at, ClapId::new(id), Pckn::match_all(), value));
            }
            let mut from: Vec<&mut [f32]> = input.iter_mut().map(|x| &mut x[start..end]).collect();
            let mut to: Vec<&mut [f32]> = output.iter_mut().map(|y| &mut y[start..end]).collect();
            self.block(&mut from, &mut to, &events);
        }
        output
    }

    /// Answers requests of the plug-in; see [`idle`].
    pub fn idle(&mut self) -> usize {
        idle(&mut self.instance)
    }

    pub fn restarts(&self) -> usize {
        self.instance.access_shared_handler(|shared| shared.restarts.swap(0, Ordering::Relaxed))
    }

    /// Takes the errors of the log.
    pub fn errors(&self) -> Vec<String> {
        self.instance.access_shared_handler(|shared| std::mem::take(&mut *shared.errors.lock().expect("log")))
    }
}

/// Loads a model as the host's browser of presets does. Returns the error that the host shows.
pub fn load(instance: &mut PluginInstance<Host>, path: &Path) -> Result<(), String> {
    let text = CString::new(path.to_str().expect("UTF-8")).expect("a path");
    let handle = instance.plugin_handle();
    let presets: PluginPresetLoad = handle.get_extension().expect("loading");
    let result = presets.load_from_location(&handle, Location::File { path: &text }, None);
    let message = instance.access_handler(|main| main.errors.borrow_mut().pop());
    assert_eq!(result.is_err(), message.is_some(), "an error has a text: {message:?}");
    message.map_or(Ok(()), Err)
}

/// Answers requests of the plug-in for a call on the main thread. Returns their number.
pub fn idle(instance: &mut PluginInstance<Host>) -> usize {
    let requests = instance.access_shared_handler(|shared| shared.callbacks.swap(0, Ordering::Relaxed));
    if requests > 0 {
        instance.call_on_main_thread_callback();
    }
    requests
}

fn block(
    audio: &mut StartedPluginAudioProcessor<Host>,
    [from, to]: &mut [AudioPorts; 2],
    input: &mut [&mut [f32]],
    output: &mut [&mut [f32]],
    events: &EventBuffer,
) {
    let inputs = from.with_input_buffers([AudioPortBuffer {
        latency: 0,
        channels: AudioPortBufferType::f32_input_only(input.iter_mut().map(|x| InputChannel::variable(&mut **x))),
    }]);
    let mut outputs = to.with_output_buffers([AudioPortBuffer {
        latency: 0,
        channels: AudioPortBufferType::f32_output_only(output.iter_mut().map(|y| &mut **y)),
    }]);
    let (events, mut answers) = (events.as_input(), OutputEvents::void());
    audio.process(&inputs, &mut outputs, &events, &mut answers, None, None).expect("processed");
}

impl Drop for Plugin {
    fn drop(&mut self) {
        if self.audio.is_some() {
            self.deactivate();
        }
    }
}

/// A signal like music: tones and noise.
pub fn signal(len: usize, seed: u32) -> Vec<f32> {
    let mut noise = seed;
    let sample = |k: usize| {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let (t, n) = (k as f32, (noise >> 8) as f32 / (1 << 24) as f32 - 0.5);
        0.4 * (0.031 * t + seed as f32).sin() + 0.3 * (0.0071 * t).sin() + 0.1 * n
    };
    (0..len).map(sample).collect()
}

/// Largest difference. NaN counts as infinite; lengths must match.
pub fn error(got: &[f32], want: &[f64]) -> f64 {
    assert_eq!(got.len(), want.len(), "length");
    assert!(!want.is_empty(), "nothing to compare");
    let worst = got.iter().zip(want).map(|(&got, &want)| {
        let error = (f64::from(got) - want).abs();
        if error.is_nan() { f64::INFINITY } else { error }
    });
    worst.fold(0.0, f64::max)
}

/// Asserts equal bits.
#[track_caller]
pub fn same(what: &str, got: &[Vec<f32>], want: &[Vec<f32>]) {
    assert_eq!(got.len(), want.len(), "{what}: channels");
    for (channel, (got, want)) in got.iter().zip(want).enumerate() {
        assert_eq!(got.len(), want.len(), "{what}: length");
        let place = got.iter().zip(want).position(|(a, b)| a.to_bits() != b.to_bits());
        if let Some(place) = place {
            panic!("{what}: channel {channel}, sample {place}: {} and {}", got[place], want[place]);
        }
    }
}
