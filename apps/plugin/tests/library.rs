//! The library that hosts load: its plug-in, its presets, and buffers that are input and output at once.
#![allow(unsafe_code, reason = "loads a library, and passes one buffer twice")]

mod common;

use std::ffi::{CStr, CString};

use clack_extensions::preset_discovery::prelude::{
    IndexerImpl, MetadataReceiverImpl, PresetDiscoveryFactory, Provider,
};
use clack_extensions::preset_discovery::preset_data::{FileType, Flags, Location, LocationInfo, Soundpack};
use clack_host::prelude::*;
use clack_host::utils::{Timestamp, UniversalPluginId};

use common::models::{Models, fixture};
use common::{Plugin, entry, same, signal};

#[derive(Default)]
struct Indexer(Vec<String>);

impl IndexerImpl for Indexer {
    fn declare_filetype(&mut self, kind: FileType) -> Result<(), HostError> {
        self.0.push(kind.file_extension.unwrap_or_default().to_string_lossy().into_owned());
        Ok(())
    }
    fn declare_location(&mut self, _: LocationInfo) -> Result<(), HostError> {
        Ok(())
    }
    fn declare_soundpack(&mut self, _: Soundpack) -> Result<(), HostError> {
        Ok(())
    }
}

/// Names, plug-ins and errors.
#[derive(Default)]
struct Receiver([Vec<String>; 3]);

impl MetadataReceiverImpl for Receiver {
    fn on_error(&mut self, _: i32, message: Option<&CStr>) {
        self.0[2].push(message.unwrap_or_default().to_string_lossy().into_owned());
    }
    fn begin_preset(&mut self, name: Option<&CStr>, _: Option<&CStr>) -> Result<(), HostError> {
        self.0[0].push(name.unwrap_or_default().to_string_lossy().into_owned());
        Ok(())
    }
    fn add_plugin_id(&mut self, id: UniversalPluginId) {
        self.0[1].push(id.id.to_string_lossy().into_owned());
    }
    fn set_soundpack_id(&mut self, _: &CStr) {}
    fn set_flags(&mut self, _: Flags) {}
    fn add_creator(&mut self, _: &CStr) {}
    fn set_description(&mut self, _: &CStr) {}
    fn set_timestamps(&mut self, _: Option<Timestamp>, _: Option<Timestamp>) {}
    fn add_feature(&mut self, _: &CStr) {}
    fn add_extra_info(&mut self, _: &CStr, _: &CStr) {}
}

#[test]
fn presets_are_model_files_with_their_names() {
    let (models, entry) = (Models::new(), entry());
    let factory: PresetDiscoveryFactory = entry.get_factory().expect("presets");
    let id = factory.get_provider_descriptor(0).and_then(|provider| provider.id()).expect("a provider");
    let info = HostInfo::new("wgru tests", "wgru", "https://example.org", "1").expect("texts");
    let mut provider = Provider::instantiate(Indexer::default(), &entry, id, &info).expect("a provider");
    assert_eq!(provider.indexer().0, ["nam", "json", "aidax", "onnx"]);
    let mut describe = |path: std::path::PathBuf| {
        let (path, mut receiver) = (CString::new(path.to_str().expect("UTF-8")).expect("a path"), Receiver::default());
        provider.get_metadata(Location::File { path: &path }, &mut receiver);
        receiver.0
    };
    let id = vec![wgru_plugin::ID.to_string()];
    assert_eq!(describe(fixture("aidax.json")), [vec!["test".into()], id.clone(), vec![]]);
    assert_eq!(describe(models.nam(1, 48_000.0)), [vec!["amp1 48000".into()], id, vec![]]);
    let [names, _, errors] = describe(models.write("package.json", "{}"));
    assert!(names.is_empty() && errors.len() == 1 && errors[0].contains("package.json"), "{names:?} {errors:?}");
}

#[test]
fn one_buffer_can_be_input_and_output() {
    let models = Models::new();
    let nam = models.nam(1, 48_000.0);
    let x = signal(300, 1);
    let want = Plugin::with(&nam, 48_000.0, 1).play(std::slice::from_ref(&x), 300, &[]);
    let mut plugin = Plugin::with(&nam, 48_000.0, 1);
    let mut both = x;
    let place = both.as_mut_ptr();
    // SAFETY: CLAP allows the same buffer for both, and nothing else uses it meanwhile.
    let (input, output) =
        unsafe { (std::slice::from_raw_parts_mut(place, 300), std::slice::from_raw_parts_mut(place, 300)) };
    plugin.block(&mut [input], &mut [output], &Default::default());
    same("in place", &[both], &want);
}

/// Loads the built library, whose path is in `WGRU_PLUGIN`, as `scripts/test-plugin.sh` sets it.
#[test]
fn library_loads_as_hosts_load_it() {
    let Some(path) = std::env::var_os("WGRU_PLUGIN") else {
        eprintln!("SKIPPED: WGRU_PLUGIN is not set");
        return;
    };
    // SAFETY: our own library.
    let entry = unsafe { PluginEntry::load(&path) }.expect("a CLAP library");
    let plugins = entry.get_plugin_factory().expect("plug-ins");
    assert_eq!(plugins.plugin_count(), 1);
    let descriptor = plugins.plugin_descriptor(0).expect("a descriptor");
    assert_eq!(descriptor.id().map(CStr::to_bytes), Some(wgru_plugin::ID.as_bytes()));
    let models = Models::new();
    let nam = models.nam(1, 48_000.0);
    let x = [signal(2000, 1), signal(2000, 2)];
    let want = Plugin::with(&nam, 44_100.0, 2).play(&x, 64, &[]);
    let mut plugin = Plugin::of(&entry);
    plugin.load(&nam).expect("loaded");
    plugin.activate(44_100.0);
    same("the library", &plugin.play(&x, 64, &[]), &want);
}
