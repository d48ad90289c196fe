//! Reads weights from files of any known kind.
//!
//! Separate from [`TensorFile::open`], so that programs that only load common formats do not contain these readers
//! (ADR 0042).

mod keras;
mod layers;
mod nam;
mod normal;
mod pt2;
mod rnnoise;
mod shards;
mod tar;
mod tree;

use std::fs;
use std::path::Path;

use super::budget::Budget;
use super::format::{KERAS_WEIGHTS, is_exported, keras_weights};
use super::torch::{Storages, Tree};
use super::zip::Archive;
use super::{TensorFile, hdf5, pickle, signature, torch};
use crate::error::{Error, Result};
use crate::json;
use tree::{field, flatten};

impl TensorFile {
    /// Reads weights from a file of any known kind, detected by its content. In addition to the formats of
    /// [`open`](Self::open), it reads:
    ///
    /// | kind of file | names |
    /// | --- | --- |
    /// | modules and checkpoints with foreign objects, by `torch.save` | those of the state dict |
    /// | TorchScript programs of `torch.jit.save` | those of the modules; `constants.0`, … of a frozen one |
    /// | whole models of Keras, `.keras` | as by `open`; the options of layers are metadata |
    /// | whole models of Keras, `.h5` | the layers' names: `gru.kernel`, `bidirectional.forward_layer.kernel` |
    /// | HDF5 with compressed weights, or in its newer formats (`libver="latest"` of h5py) | as by `open` |
    /// | programs of `torch.export` (`.pt2`) | those of the state dict, and of the constants |
    /// | files of `torch.save` before PyTorch 0.1.10 (tar) | as in newer files |
    /// | pickles of tensors and NumPy arrays (`.pkl`) | their path, joined by dots |
    /// | an index of several files (`model.safetensors.index.json`) | as in the files, which must be in its folder |
    /// | RTNeural, AIDA-X (`.json`, `.aidax`) | PyTorch's, under `layers.0`, `layers.1`, … |
    /// | GuitarML, Proteus (`.json`) | those of the state dict: `rec` and `lin` |
    /// | a state dict of PyTorch as JSON | as in the file |
    /// | Neural Amp Modeler (`.nam`) with an LSTM | `lstm`, with its initial states, and `head` |
    /// | RNNoise (`.rnnn`, `weights_blob.bin`) | `vad_gru`, `denoise_output` and so on |
    ///
    /// The weights of `torch.nn.utils.weight_norm` are multiplied out, and the parts `module` and `_orig_mod`, which
    /// `DataParallel` and `torch.compile` insert into names, are removed. Numbers and strings become metadata, named by
    /// their path, such as `layers.0.type`. `kind` tells the kind of a JSON file, and `skip` is `true` if the network
    /// adds its input to its output.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Format`] if the file is damaged or of another kind. The error names the kind, and says
    /// how to convert it.
    pub fn import(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = fs::read(path).map_err(Error::io(path))?;
        let source = path.display().to_string();
        match index(&bytes) {
            Some(index) => normal::normalize(shards::read(path, index)?),
            None => Self::import_bytes(&source, &bytes),
        }
    }

    /// Reads the bytes of a file of any known kind; `source` names the file in error messages.
    ///
    /// # Errors
    /// Same as [`TensorFile::import`].
    pub fn import_bytes(source: &str, bytes: &[u8]) -> Result<Self> {
        normal::normalize(any(source, bytes)?)
    }
}

/// Returns the JSON object of an index of several files, if `bytes` are one.
fn index(bytes: &[u8]) -> Option<&str> {
    json::object(without_mark(bytes)).ok().filter(|object| field(object, shards::MAP).is_some())
}

/// Removes the byte order mark of UTF-8.
fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

fn any(source: &str, bytes: &[u8]) -> Result<TensorFile> {
    let mut budget = Budget::of(bytes.len());
    let text = without_mark(bytes);
    // Checked first, because the header length of a safetensors file may begin like any other file.
    if signature::is_safetensors(bytes) {
        TensorFile::from_safetensors(source, bytes)
    } else if bytes.starts_with(rnnoise::TEXT) {
        rnnoise::read_text(source, bytes, &mut budget)
    } else if bytes.starts_with(rnnoise::BINARY) {
        rnnoise::read_binary(source, bytes, &mut budget)
    } else if bytes.starts_with(tar::START) {
        tar::read(source, bytes, &mut budget)
    } else if matches!(bytes, [0x80, 2..=5, ..]) && !bytes.starts_with(signature::TORCH_LEGACY) {
        read_pickle(source, bytes, &mut budget)
    } else if text.trim_ascii_start().starts_with(b"{") {
        let object = json::object(text).map_err(|why| Error::format(source, format!("is {why}")))?;
        read_json(source, object, &mut budget)
    } else if Archive::is_start(bytes) {
        let archive = Archive::new(source, bytes)?;
        let has = |test: fn(&str) -> bool| archive.members().iter().any(|member| test(member.name));
        let len = bytes.len();
        if has(is_exported) {
            return pt2::read(source, &archive, &mut budget);
        }
        match (has(torch::is_pickle), archive.find(KERAS_WEIGHTS).is_some()) {
            (true, false) if has(torch::is_script) => torch::read_script(source, &archive, len),
            (true, false) => torch::read_archive::<true>(source, &archive, &mut budget),
            (false, true) => read_keras(source, &archive, len, &mut budget),
            _ => TensorFile::from_bytes(source, bytes),
        }
    } else if bytes.starts_with(signature::TORCH_LEGACY) {
        torch::read_legacy::<true>(source, bytes)
    } else if bytes.starts_with(signature::HDF5) {
        read_hdf5(source, bytes, &mut budget)
    } else {
        TensorFile::from_bytes(source, bytes)
    }
}

/// Reads a `.keras` archive: its weights, and the options of its layers.
fn read_keras(source: &str, archive: &Archive, len: usize, budget: &mut Budget) -> Result<TensorFile> {
    let mut file = keras_weights(source, archive, len, &hdf5::ALL)?;
    let mut texts = Vec::new();
    for name in ["config.json", "metadata.json"] {
        texts.push(match archive.find(name) {
            Some(member) => archive.read(member, budget)?,
            None => b"{}"[..].into(),
        });
    }
    let object = |at: usize| json::object(&texts[at]).map_err(|why| archive.error("config.json", format!("is {why}")));
    keras::add_config(&mut file, object(0)?, object(1)?, budget)?;
    Ok(file)
}

/// Reads an HDF5 file: its weights and, in a whole model of Keras, the options of its layers.
fn read_hdf5(source: &str, bytes: &[u8], budget: &mut Budget) -> Result<TensorFile> {
    let file = hdf5::read(source, bytes, budget, &hdf5::ALL)?;
    let mut texts = hdf5::texts(source, bytes, &[keras::MODEL, keras::VERSION], budget)?;
    let Some(config) = texts.remove(keras::MODEL) else { return Ok(file) };
    let what = format!("{source}: attribute {:?}", keras::MODEL);
    let object = json::object(config.as_bytes()).map_err(|why| Error::format(what, format!("is {why}")))?;
    keras::name_by_config(file, object, texts.remove(keras::VERSION), budget)
}

/// Reads a pickle of tensors and arrays, as `pickle.dump` writes it.
fn read_pickle(source: &str, bytes: &[u8], budget: &mut Budget) -> Result<TensorFile> {
    let (value, heap, rest) = pickle::load::<true>(bytes, budget, false).map_err(|why| Error::format(source, why))?;
    if !rest.is_empty() {
        return Err(Error::format(source, "has data after its pickle"));
    }
    Tree::new(source, &heap, Storages::new(), budget).file::<true>("", value)
}

/// Reads a checked JSON object.
fn read_json(source: &str, object: &str, budget: &mut Budget) -> Result<TensorFile> {
    let has = |key| field(object, key).is_some();
    if has(shards::MAP) {
        return Err(Error::format(source, "an index of several files: open it by its path, with TensorFile::import"));
    }
    let (kind, mut file) = if has("architecture") && has("weights") {
        ("nam", nam::read(source, object, budget)?)
    } else if has("layers") {
        (if has("in_skip") { "aida-x" } else { "rtneural" }, layers::read(source, object, budget)?)
    } else {
        let mut file = TensorFile::named(source);
        flatten(&mut file, object, &["state_dict"], budget)?;
        flatten(&mut file, field(object, "state_dict").unwrap_or_default(), &[], budget)?;
        if !has("model_data") {
            ("json", file.sorted()?)
        } else {
            // GuitarML's network adds its input to its output unless the file says otherwise.
            let skip = file.metadata.get("model_data.skip").is_none_or(|skip| skip != "0");
            file.metadata.insert("skip".into(), skip.to_string());
            ("guitarml", file.sorted()?)
        }
    };
    if file.names().next().is_none() {
        let why = "JSON without weights: expected a model of RTNeural, AIDA-X, GuitarML or Neural Amp Modeler, or \
                   arrays of numbers by PyTorch's names";
        return Err(Error::format(source, why));
    }
    file.metadata.insert("kind".into(), kind.into());
    Ok(file)
}
