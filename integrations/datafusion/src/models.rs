//! The models that queries may use.

use std::collections::{HashMap, HashSet};
use std::fs::{self, Metadata};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use sha2::{Digest as _, Sha256};
use wgru::io::ModelFile;
use wgru::nn::Module;
use wgru::{CpuOptions, Device};

use crate::error::{Error, Result};
use crate::model::Model;

/// Separates the name of a model from the SHA-256 of its file.
const PIN: &str = "@sha256:";
/// Minimum number of hexadecimal digits of a SHA-256 in the name of a model.
const LEAST_DIGITS: usize = 8;

/// Options of [`Models`].
#[derive(Clone, Debug, Default)]
pub struct ModelOptions {
    /// Folder of the files that queries may name. Without it, only registered models exist.
    pub folder: Option<PathBuf>,
    /// Instruction set of the CPU: `avx512`, `avx2`, `neon` or `portable`; `None` selects the best one. Machines of a
    /// cluster that differ need the same one for bit-identical results.
    pub isa: Option<String>,
    /// Whether the models are on other machines, so that planning a query checks only types. For clients and schedulers
    /// of a cluster.
    pub is_remote: bool,
}

/// The models that queries may use: registered ones, and files below a folder. Cheap to clone.
///
/// A file is loaded once per process, by its content. It is read again when its length or modification time changes.
#[derive(Clone)]
pub struct Models(Arc<Inner>);

struct Inner {
    folder: Option<PathBuf>,
    device: Device,
    is_remote: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    registered: HashMap<String, Registered>,
    /// Content of the files that were read.
    files: HashMap<PathBuf, (Stamp, Content)>,
    loaded: HashMap<Content, Arc<Model>>,
}

enum Registered {
    Module(Arc<Model>),
    File(PathBuf),
}

/// SHA-256 of a file.
type Content = [u8; 32];

/// Distinguishes versions of a file.
#[derive(Clone, Copy, PartialEq)]
struct Stamp {
    len: u64,
    modified: Option<SystemTime>,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self { len: metadata.len(), modified: metadata.modified().ok() }
    }
}

impl Models {
    /// Creates a set of models.
    ///
    /// # Errors
    /// [`Error::Argument`] for an instruction set that the processor lacks; [`Error::Io`] if the folder does not exist.
    pub fn new(options: ModelOptions) -> Result<Self> {
        let folder = options.folder.map(|path| fs::canonicalize(&path).map_err(Error::io(path))).transpose()?;
        // DataFusion runs partitions in parallel, so each call computes on the thread that it comes from.
        let cpu = CpuOptions { threads: Some(1), isa: options.isa, ..CpuOptions::default() };
        let device = Device::cpu_with(cpu).map_err(model_error("models", ""))?;
        let inner = Inner { folder, device, is_remote: options.is_remote, state: Mutex::default() };
        Ok(Self(Arc::new(inner)))
    }

    /// The device that models run on. Modules for [`register`](Self::register) must be on it.
    pub fn device(&self) -> &Device {
        &self.0.device
    }

    /// Makes a module available under a name. It takes `[batch, steps, features]`. A name that is in use gets the new
    /// module.
    ///
    /// # Errors
    /// [`Error::Model`] if the number of features is unknown.
    pub fn register(&self, name: &str, module: impl Module + 'static) -> Result<()> {
        let model = Model::from_module(&self.0.device, module).map_err(model_error("models", name))?;
        self.state().registered.insert(name.into(), Registered::Module(Arc::new(model)));
        Ok(())
    }

    /// Makes a file available under a name. It may be outside the folder.
    ///
    /// # Errors
    /// [`Error::Io`] if the file does not exist.
    pub fn register_file(&self, name: &str, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let path = fs::canonicalize(path).map_err(Error::io(path))?;
        self.state().registered.insert(name.into(), Registered::File(path));
        Ok(())
    }

    /// Whether planning a query checks only types.
    pub fn is_remote(&self) -> bool {
        self.0.is_remote
    }

    /// Returns the model that a query names: a registered one, or a path below the folder. With `@sha256:` and digits
    /// after the name, its file must have this content.
    ///
    /// # Errors
    /// [`Error::Argument`] for an unknown model, a path outside the folder, or another content; [`Error::Io`] and
    /// [`Error::Model`] from reading the file.
    pub(crate) fn get(&self, function: &'static str, name: &str) -> Result<Arc<Model>> {
        let (plain, pin) = match name.split_once(PIN) {
            Some((plain, pin)) => (plain, Some(checked_pin(function, pin)?)),
            None => (name, None),
        };
        let state = &mut *self.state();
        let path = match state.registered.get(plain) {
            Some(Registered::Module(_)) if pin.is_some() => {
                let help = format!("remove {PIN:?} and what follows");
                let expected = "the name alone, because this model has no file";
                return Err(argument(function, expected, format!("{name:?}"), help));
            }
            Some(Registered::Module(model)) => return Ok(model.clone()),
            Some(Registered::File(path)) => path.clone(),
            None => self.below_folder(function, plain, &state.registered)?,
        };
        state.load(&self.0.device, function, name, &path, pin.as_deref())
    }

    /// Returns the file that a query names by its path below the folder.
    fn below_folder(
        &self,
        function: &'static str,
        name: &str,
        registered: &HashMap<String, Registered>,
    ) -> Result<PathBuf> {
        let mut names: Vec<&str> = registered.keys().map(String::as_str).collect();
        names.sort_unstable();
        let Some(folder) = &self.0.folder else {
            let help = "register the model, or configure the folder of models".into();
            return Err(argument(
                function,
                format!("one of the registered models {names:?}"),
                format!("{name:?}"),
                help,
            ));
        };
        let is_inside = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
        // Links may lead elsewhere.
        let found = fs::canonicalize(folder.join(name)).ok().filter(|_| is_inside && !name.is_empty());
        found.filter(|path| path.starts_with(folder) && path.is_file()).ok_or_else(|| {
            let expected = format!("a file below the folder of models, or one of the registered models {names:?}");
            let help = "copy the file into that folder, or register it".into();
            argument(function, expected, format!("{name:?}"), help)
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Returns the model of a file, which is read if it is new or has changed. `pin` is the start of its SHA-256.
    fn load(
        &mut self,
        device: &Device,
        function: &'static str,
        name: &str,
        path: &Path,
        pin: Option<&str>,
    ) -> Result<Arc<Model>> {
        let check = |content: &Content| match pin.filter(|pin| !hex(content).starts_with(pin)) {
            Some(pin) => {
                let help = "copy the same file to every machine, or name the new content".into();
                Err(argument(function, format!("a file with SHA-256 {pin}"), hex(content), help))
            }
            None => Ok(()),
        };
        let stamp = Stamp::of(&fs::metadata(path).map_err(Error::io(path))?);
        if let Some((known, content)) = self.files.get(path)
            && let Some(model) = self.loaded.get(content).filter(|_| *known == stamp)
        {
            check(content)?;
            return Ok(model.clone());
        }
        let bytes = fs::read(path).map_err(Error::io(path))?;
        let content = Sha256::digest(&bytes).into();
        check(&content)?;
        let model = match self.loaded.get(&content) {
            Some(model) => model.clone(),
            None => {
                // From these bytes, so that a file cannot make other files be read.
                let load = || {
                    let file = ModelFile::from_bytes(&path.to_string_lossy(), bytes)?;
                    Model::from_file(device, file.load_blocking(device, None)?)
                };
                Arc::new(load().map_err(model_error(function, name))?)
            }
        };
        self.files.insert(path.into(), (stamp, content));
        self.loaded.insert(content, model.clone());
        // Drops the models of files that have changed.
        let in_use: HashSet<Content> = self.files.values().map(|(_, content)| *content).collect();
        self.loaded.retain(|content, _| in_use.contains(content));
        Ok(model)
    }
}

/// Without the models.
impl std::fmt::Debug for Models {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Models").field("folder", &self.0.folder).finish_non_exhaustive()
    }
}

/// The same set of models.
impl PartialEq for Models {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Models {}

fn argument(function: &'static str, expected: impl Into<String>, got: String, help: String) -> Error {
    Error::Argument { function, argument: "model", expected: expected.into(), got, help }
}

/// Returns a function that adds the name of a model to an error of the library.
pub(crate) fn model_error(function: &'static str, name: &str) -> impl Fn(wgru::Error) -> Error {
    move |source| Error::Model { function, name: name.into(), source }
}

/// Returns the digits of a pin in lower case.
fn checked_pin(function: &'static str, pin: &str) -> Result<String> {
    let is_good = (LEAST_DIGITS..=64).contains(&pin.len()) && pin.bytes().all(|byte| byte.is_ascii_hexdigit());
    match is_good {
        true => Ok(pin.to_ascii_lowercase()),
        false => {
            let expected = format!("{LEAST_DIGITS} to 64 hexadecimal digits after {PIN:?}");
            Err(argument(function, expected, format!("{pin:?}"), "`sha256sum FILE` prints them".into()))
        }
    }
}

fn hex(content: &Content) -> String {
    content.iter().map(|byte| format!("{byte:02x}")).collect()
}
