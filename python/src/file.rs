//! Loads and saves models.
//!
//! A network is a safetensors file with the parameters `<layer>.<parameter>`. Its metadata has the layers in order,
//! their kinds, and the options that shapes do not imply:
//!
//! ```text
//! kind = wgru-sequential      layers = gru last head      gru.type = recurrent      gru.gru.batch_first = true
//! ```

use std::path::PathBuf;

use engine::io::{self, LayerInfo, ModelFile, TensorFile};
use engine::nn::{Dropout, Embedding, LastState, LayerNorm, Linear, Module, Recurrent};
use engine::{Device, Tensor};

use crate::content::Content;
use crate::failure::{Failure, Result};
use crate::part::Part;
use crate::sequence::Sequence;

/// Value of `kind` in the metadata of a network.
const KIND: &str = "wgru-sequential";

/// Where a model comes from.
pub enum Source {
    Path(PathBuf),
    Bytes(Vec<u8>),
}

/// Loads a model, with the recurrent layers of its file. A recurrent layer gets the order of axes `batch_first`.
pub fn load(
    device: &Device,
    source: Source,
    layer: Option<&str>,
    head: Option<&str>,
    batch_first: bool,
) -> Result<(Content, Vec<LayerInfo>)> {
    let file = match source {
        Source::Bytes(bytes) => ModelFile::from_bytes("model", bytes)?,
        Source::Path(path) => ModelFile::open(path)?,
    };
    let layers = file.layers();
    if let (ModelFile::Weights(file), None, None) = (&file, layer, head)
        && file.metadata.get("kind").is_some_and(|kind| kind == KIND)
        // Files of io::network_to_file may hold layers and connections that only networks have.
        && !file.metadata.contains_key("skip")
        && let Ok(sequence) = sequence(device, file)
    {
        return Ok((Content::Sequence(sequence), layers));
    }
    Ok(match (file.load_blocking(device, layer)?, &file) {
        (io::Model::Recurrent(found), ModelFile::Weights(file)) => {
            let found = Part::Recurrent(with_order(device, &found, batch_first)?);
            let is_it = |info: &LayerInfo| layer.is_none_or(|name| info.name == name);
            let layers = layers.into_iter().filter(is_it).collect();
            let Some(head) = head else { return Ok((Content::Layer(found), layers)) };
            let parts = vec![("rnn".to_string(), found), (head.to_string(), linear(device, &file.under(head))?)];
            (Content::Sequence(Sequence::new(parts)?), layers)
        }
        _ if head.is_some() => {
            return Err(Failure::value("load: head: the file describes a whole model; it needs no head"));
        }
        (io::Model::Network(network), ModelFile::Weights(_)) => (Content::Network(network), layers),
        (io::Model::Onnx(model), _) => (Content::Onnx(model), layers),
        (_, ModelFile::Onnx { .. }) => unreachable!("an ONNX file gives an ONNX model"),
    })
}

/// Returns the layer with the order of axes `batch_first`. It shares the parameters.
fn with_order(device: &Device, layer: &Recurrent, batch_first: bool) -> Result<Recurrent> {
    if layer.config().batch_first == batch_first {
        return Ok(layer.clone());
    }
    let config = engine::nn::RecurrentConfig { batch_first, ..layer.config().clone() };
    let mut tensors = layer.parameters().into_iter();
    let missing = || Tensor::zeros(device, &[1]);
    Ok(Recurrent::from_parameters(device, config, |_, _| tensors.next().map_or_else(missing, |(_, own)| Ok(own)))?)
}

fn tensor(device: &Device, file: &TensorFile, name: &str) -> Result<Tensor> {
    let (dims, values) = file.get(name)?;
    Ok(Tensor::from_slice(device, values, dims)?)
}

fn linear(device: &Device, file: &TensorFile) -> Result<Part> {
    let bias = if file.names().any(|name| name == "bias") { Some(tensor(device, file, "bias")?) } else { None };
    Ok(Part::Linear(Linear::from_parameters(tensor(device, file, "weight")?, bias)?))
}

/// Builds a layer from its part of a file.
fn part(device: &Device, kind: &str, file: &TensorFile) -> Result<Part> {
    Ok(match kind {
        "recurrent" => Part::Recurrent(io::load_recurrent_blocking(device, file)?),
        "linear" => linear(device, file)?,
        "embedding" => {
            let layer = Embedding::from_weight(tensor(device, file, "weight")?)?;
            Part::Embedding(match file.metadata.contains_key("padding_idx") {
                true => layer.with_padding_idx(file.field("padding_idx")?)?,
                false => layer,
            })
        }
        "layer_norm" => {
            let [weight, bias] = [tensor(device, file, "weight")?, tensor(device, file, "bias")?];
            Part::LayerNorm(LayerNorm::from_parameters(weight, bias, file.field("eps")?)?)
        }
        "relu" => Part::Relu,
        "tanh" => Part::Tanh,
        "dropout" => {
            let p = file.field("p")?;
            Part::Dropout(Dropout::new(p)?, p)
        }
        "last_state" => Part::LastState(LastState::default()),
        other => {
            let other: String = other.chars().take(64).collect();
            return Err(Failure::Other("format", format!("a layer of the unknown type {other:?}")));
        }
    })
}

fn sequence(device: &Device, file: &TensorFile) -> Result<Sequence> {
    let names: String = file.field("layers")?;
    let mut parts = Vec::new();
    for name in names.split_ascii_whitespace() {
        let kind: String = file.field(&format!("{name}.type"))?;
        parts.push((name.to_string(), part(device, &kind, &file.under(name))?));
    }
    Sequence::new(parts)
}

/// Returns the file of a model.
pub fn to_file(content: &Content) -> Result<TensorFile> {
    match content {
        Content::Layer(Part::Recurrent(layer)) => Ok(pollster::block_on(io::recurrent_to_file(layer))?),
        Content::Layer(part) => sequence_to_file(&[("layer".to_string(), part.clone())]),
        Content::Sequence(sequence) => sequence_to_file(&sequence.parts),
        Content::Network(_) => {
            Err(Failure::unsupported("save: a network from another program's file cannot be saved; keep that file"))
        }
        Content::Onnx(_) => Err(Failure::unsupported("save: an ONNX model cannot be saved; keep its file")),
    }
}

fn sequence_to_file(parts: &[(String, Part)]) -> Result<TensorFile> {
    let mut file = TensorFile::default();
    let names: Vec<&str> = parts.iter().map(|(name, _)| name.as_str()).collect();
    file.metadata.insert("kind".into(), KIND.into());
    file.metadata.insert("layers".into(), names.join(" "));
    for (name, part) in parts {
        let own = match part {
            Part::Recurrent(layer) => pollster::block_on(io::recurrent_to_file(layer))?,
            _ => pollster::block_on(io::parameters_to_file(part))?,
        };
        for tensor in own.names() {
            let (dims, values) = own.get(tensor)?;
            file.insert(&format!("{name}.{tensor}"), dims, values.to_vec());
        }
        let mut put = |key: &str, text: String| drop(file.metadata.insert(format!("{name}.{key}"), text));
        own.metadata.iter().for_each(|(key, text)| put(key, text.clone()));
        put("type", part.kind_name().into());
        match part {
            Part::Dropout(_, p) => put("p", p.to_string()),
            Part::Embedding(layer) => {
                if let Some(index) = layer.padding_idx() {
                    put("padding_idx", index.to_string());
                }
            }
            Part::LayerNorm(layer) => {
                if let engine::nn::Kind::LayerNorm(eps) = layer.kind() {
                    put("eps", eps.to_string());
                }
            }
            _ => {}
        }
    }
    Ok(file)
}

/// Returns a copy of a model on another device.
pub fn to_device(content: &Content, device: &Device) -> Result<Content> {
    let file = match content {
        Content::Network(_) | Content::Onnx(_) => {
            let why = "to: this model cannot be copied; load its file on that device: wgru.load(path, device=...)";
            return Err(Failure::unsupported(why));
        }
        _ => to_file(content)?,
    };
    match content {
        Content::Layer(Part::Recurrent(_)) => Ok(Content::Layer(part(device, "recurrent", &file)?)),
        Content::Layer(own) => Ok(Content::Layer(part(device, own.kind_name(), &file.under("layer"))?)),
        _ => Ok(Content::Sequence(sequence(device, &file)?)),
    }
}
