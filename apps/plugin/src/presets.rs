//! Preset discovery: lists model files in the preset browser of hosts.

use std::ffi::{CStr, CString};
use std::path::{Path, PathBuf};

use clack_extensions::preset_discovery::prelude::*;
use clack_plugin::prelude::PluginError;

use crate::failure::Failure;
use crate::model::Model;

/// File types with their extensions.
const KINDS: [(&CStr, &CStr); 4] = [
    (c"Neural Amp Modeler", c"nam"),
    (c"RTNeural, AIDA-X, GuitarML", c"json"),
    (c"AIDA-X", c"aidax"),
    (c"ONNX", c"onnx"),
];

/// Creates the preset provider.
pub struct Factory {
    descriptor: ProviderDescriptor,
    /// Identifier of the plug-in.
    plugin: CString,
}

impl Factory {
    pub fn new(plugin: &str) -> Self {
        let descriptor = ProviderDescriptor::new(&format!("{plugin}.models"), "wgru models").with_vendor("wgru");
        Self { descriptor, plugin: CString::new(plugin).unwrap_or_default() }
    }
}

impl PresetDiscoveryFactoryImpl for Factory {
    fn provider_count(&self) -> u32 {
        1
    }

    fn provider_descriptor(&self, index: u32) -> Option<&ProviderDescriptor> {
        (index == 0).then_some(&self.descriptor)
    }

    fn create_provider<'a>(&'a self, host: IndexerInfo<'a>, id: &CStr) -> Option<ProviderInstance<'a>> {
        let new = |mut indexer: Indexer<'a>| -> Result<Models<'a>, PluginError> {
            for (name, end) in KINDS {
                indexer.declare_filetype(FileType { name, description: None, file_extension: Some(end) })?;
            }
            let folder = folder().filter(|folder| folder.is_dir());
            if let Some(path) = folder.and_then(|folder| CString::new(folder.to_str()?).ok()) {
                let (flags, location) = (Flags::IS_USER_CONTENT, Location::File { path: &path });
                indexer.declare_location(LocationInfo { name: c"Models", flags, location })?;
            }
            Ok(Models { plugin: &self.plugin })
        };
        (Some(id) == self.descriptor.id()).then(|| ProviderInstance::new(host, &self.descriptor, new))
    }
}

/// Returns the folder in which hosts look for models.
fn folder() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let data = if cfg!(windows) {
        variable("APPDATA")
    } else if cfg!(target_os = "macos") {
        variable("HOME").map(|home| home.join("Library/Application Support"))
    } else {
        variable("XDG_DATA_HOME").or_else(|| variable("HOME").map(|home| home.join(".local/share")))
    };
    data.map(|data| data.join("wgru").join("models"))
}

/// Describes model files.
struct Models<'a> {
    plugin: &'a CStr,
}

impl<'a> ProviderImpl<'a> for Models<'a> {
    fn get_metadata(&mut self, location: Location, receiver: &mut MetadataReceiver) -> Result<(), PluginError> {
        let Some(path) = location.file_path() else { return Ok(()) };
        let path = path.to_str().map_err(|_| Failure::new(format!("{path:?}: not UTF-8")))?;
        let model = Model::open(Path::new(path))?;
        let name = CString::new(model.name.replace('\0', "")).unwrap_or_default();
        let rate = CString::new(format!("{} Hz", model.rate)).unwrap_or_default();
        let preset = receiver.begin_preset(Some(&name), None)?;
        preset.add_plugin_id(UniversalPluginId::clap(self.plugin)).add_extra_info(c"sample rate", &rate);
        Ok(())
    }
}
