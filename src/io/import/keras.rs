//! The configuration of a Keras model, as metadata.
//!
//! Source: Keras 3, *src/saving/saving_lib.py*, *src/utils/naming.py*, *src/legacy/saving/legacy_h5_format.py*; Keras 2,
//! *saving/legacy/hdf5_format.py*, *engine/functional.py*.

use std::collections::HashMap;

use super::tree::{field, flatten};
use crate::error::{Error, Result};
use crate::io::TensorFile;
use crate::io::budget::Budget;
use crate::json;

/// Attributes of an `.h5` file that describe a model.
pub(super) const MODEL: &str = "model_config";
pub(super) const VERSION: &str = "keras_version";
/// Maximum nesting depth of models in models, and of the lists that name a layer's inputs.
const DEEPEST: usize = 8;
/// Maximum number of dots in a tensor's name that is renamed.
const MOST_PARTS: usize = 24;

/// A layer of a configuration.
struct Layer {
    /// Name in the metadata and of its tensors.
    name: String,
    class: String,
    /// The layers of a nested model, by Keras' names.
    inner: HashMap<String, Layer>,
}

/// Adds the configuration of a `.keras` archive. The options of each layer get the name that its weights have in the
/// file, such as `layers.gru.activation`. The option `name` is the one that the user gave. `class_name` is the kind of
/// model, `layers` are the names in order. In a graph, `<layer>.inputs` are the layers that a layer reads, and `input`
/// and `output` the first and the last ones of the model. `config` and `metadata` are checked objects.
pub(super) fn add_config(file: &mut TensorFile, config: &str, metadata: &str, budget: &mut Budget) -> Result<()> {
    if let Some(version) = field(metadata, VERSION).and_then(json::text) {
        file.metadata.insert(VERSION.into(), version);
    }
    Reader { file, budget, is_archive: true }.model("", config, 0)?;
    Ok(())
}

/// Adds the configuration in the attributes of an `.h5` file, and names the weights by their layers: `gru.kernel`,
/// `bidirectional.forward_layer.kernel`, `time_distributed.layer.kernel`. Keeps the names of the file if two tensors
/// would get the same name.
pub(super) fn name_by_config(
    mut file: TensorFile,
    config: &str,
    version: Option<String>,
    budget: &mut Budget,
) -> Result<TensorFile> {
    let mut options = TensorFile::named(file.source());
    let layers = Reader { file: &mut options, budget, is_archive: false }.model("", config, 0)?;
    let rename = |name: &str| match name.strip_prefix("model_weights.") {
        Some(rest) => renamed(&layers, rest).unwrap_or_else(|| name.to_string()),
        None => name.to_string(),
    };
    let mut names: Vec<String> = file.names().chain(file.unreadable().map(|(name, _)| name)).map(rename).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    if names.len() == count {
        file = file.renamed(&rename);
        file.metadata.extend(options.metadata);
    }
    file.metadata.extend(version.map(|version| (VERSION.to_string(), version)));
    Ok(file)
}

/// Returns the new name of a tensor: its layer, the direction or the wrapped layer, and its last part without `:0`.
fn renamed(layers: &HashMap<String, Layer>, name: &str) -> Option<String> {
    if name.matches('.').count() > MOST_PARTS {
        return None;
    }
    let (mut layer, mut rest) = starting(layers, name)?;
    while !layer.inner.is_empty() {
        // The names of outer models come between.
        let starts = std::iter::once(0).chain(rest.match_indices('.').map(|(at, _)| at + 1));
        (layer, rest) = starts.into_iter().find_map(|at| starting(&layer.inner, &rest[at..]))?;
    }
    let part = match layer.class.as_str() {
        "Bidirectional" if rest.split('.').any(|part| part.starts_with("forward_")) => ".forward_layer",
        "Bidirectional" => ".backward_layer",
        "TimeDistributed" => ".layer",
        _ => "",
    };
    let own = rest.rsplit('.').next()?;
    Some(format!("{}{part}.{}", layer.name, own.strip_suffix(":0").unwrap_or(own)))
}

/// Returns the layer whose name a tensor's name begins with, and the rest. Names of layers may have dots; the longest
/// one counts.
fn starting<'a, 'b>(layers: &'a HashMap<String, Layer>, name: &'b str) -> Option<(&'a Layer, &'b str)> {
    name.match_indices('.').rev().find_map(|(at, _)| Some((layers.get(&name[..at])?, &name[at + 1..])))
}

/// Joins the parts of a name.
fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.into() } else { format!("{prefix}.{name}") }
}

struct Reader<'a> {
    file: &'a mut TensorFile,
    budget: &'a mut Budget,
    /// Whether layers are numbered by class, as in an archive, instead of named.
    is_archive: bool,
}

impl Reader<'_> {
    fn put(&mut self, name: &str, key: &str, text: String) -> Result<()> {
        self.budget.take_name(self.file.source(), name.len() + key.len() + text.len())?;
        self.file.metadata.insert(join(name, key), text);
        Ok(())
    }

    /// Adds the names of layers, separated by spaces. A `?` stands for an unknown layer, and for an output other than
    /// the first.
    fn put_names(
        &mut self,
        name: &str,
        key: &str,
        layers: &HashMap<String, Layer>,
        found: &[(String, bool)],
    ) -> Result<()> {
        let names: Vec<&str> = found
            .iter()
            .map(|(name, is_first)| layers.get(name).filter(|_| *is_first).map_or("?", |layer| layer.name.as_str()))
            .collect();
        // Names may be much longer than the references to them.
        let len = names.iter().map(|name| name.len() + 1).sum();
        self.budget.take(|| format!("{}: the names", self.file.source()), len)?;
        self.put(name, key, names.join(" "))
    }

    /// Adds the layers of a model called `prefix`, and returns them by Keras' names.
    fn model(&mut self, prefix: &str, model: &str, depth: usize) -> Result<HashMap<String, Layer>> {
        if depth == DEEPEST {
            let why = format!("holds Keras models nested deeper than {DEEPEST}");
            return Err(Error::format(self.file.source(), why));
        }
        if let Some(class) = field(model, "class_name").and_then(json::text) {
            self.put(prefix, "class_name", class)?;
        }
        let config = field(model, "config").unwrap_or_default();
        // Sequential models of early Keras 2 are a list of layers.
        let list = if config.starts_with('[') { config } else { field(config, "layers").unwrap_or_default() };
        let (mut layers, mut order, mut counts) = (HashMap::new(), Vec::new(), HashMap::new());
        let mut inputs = Vec::new();
        for layer in json::items(list) {
            let Some(class) = field(layer, "class_name").and_then(json::text) else { continue };
            self.budget.take_name(self.file.source(), 4 * class.len())?;
            let own = field(layer, "config").unwrap_or_default();
            let called = field(layer, "name").or_else(|| field(own, "name")).and_then(json::text).unwrap_or_default();
            let name = match self.is_archive {
                true => {
                    let first = snake_case(&class);
                    let count = counts.entry(first.clone()).or_insert(0usize);
                    *count += 1;
                    let number = if *count == 1 { String::new() } else { format!("_{}", *count - 1) };
                    join(prefix, &format!("layers.{first}{number}"))
                }
                false => join(prefix, &called.replace(char::is_whitespace, "_")),
            };
            let mut inner = HashMap::new();
            match class.as_str() {
                "Sequential" | "Functional" | "Model" => inner = self.model(&name, layer, depth + 1)?,
                _ => self.layer(&name, &class, layer, 0)?,
            }
            // A nested model has no options, and those of an RNN end with the name of its cell.
            let is_new = || self.file.metadata.get(&join(&name, "name")) != Some(&called);
            if self.is_archive && !called.is_empty() && is_new() {
                self.put(&name, "name", called.clone())?;
            }
            inputs.push((name.clone(), field(layer, "inbound_nodes").unwrap_or_default()));
            order.push(name.clone());
            layers.insert(called, Layer { name, class, inner });
        }
        for (name, nodes) in inputs {
            let count = json::items(nodes).count();
            let Some(node) = json::items(nodes).next() else { continue };
            let (mut read, mut beside) = (Vec::new(), Vec::new());
            references(node, true, &mut read, &mut beside, 0);
            self.put_names(&name, "inputs", &layers, &read)?;
            if !beside.is_empty() {
                self.put_names(&name, "beside", &layers, &beside)?;
            }
            if count > 1 {
                self.put(&name, "calls", count.to_string())?;
            }
        }
        for (key, list) in [("input", "input_layers"), ("output", "output_layers")] {
            let mut found = Vec::new();
            references(field(config, list).unwrap_or_default(), true, &mut found, &mut Vec::new(), 0);
            if !found.is_empty() {
                self.put_names(prefix, key, &layers, &found)?;
            }
        }
        if !order.is_empty() {
            self.put(prefix, "layers", order.join(" "))?;
        }
        Ok(layers)
    }

    /// Adds the options of a layer, and of those that it wraps.
    fn layer(&mut self, name: &str, class: &str, layer: &str, depth: usize) -> Result<()> {
        self.options(name, layer)?;
        if depth == DEEPEST {
            return Ok(());
        }
        let own = field(layer, "config").unwrap_or_default();
        let parts: &[(&str, &str)] = match class {
            "Bidirectional" => &[("layer", ".forward_layer"), ("backward_layer", ".backward_layer")],
            "TimeDistributed" => &[("layer", ".layer")],
            // The options of an RNN's cell are those of the layer with this cell.
            "RNN" => &[("cell", "")],
            _ => &[],
        };
        for (key, part) in parts {
            if let Some(layer) = field(own, key) {
                let class = field(layer, "class_name").and_then(json::text).unwrap_or_default();
                self.layer(&format!("{name}{part}"), &class, layer, depth + 1)?;
            }
        }
        Ok(())
    }

    /// Adds the class and the plain options of a layer; numbers of a list are separated by spaces.
    fn options(&mut self, name: &str, layer: &str) -> Result<()> {
        let class = field(layer, "class_name").and_then(json::text).unwrap_or_default();
        self.put(name, "class_name", class)?;
        for entry in json::entries(field(layer, "config").unwrap_or_default()) {
            let Ok((key, value)) = entry else { continue };
            match value.as_bytes().first() {
                Some(b'{') if key.ends_with("activation") => {
                    // A function or a layer of the user's, which is named in errors.
                    let class = field(value, "class_name").and_then(json::text).unwrap_or_default();
                    let name_of = field(value, "config").and_then(json::text);
                    self.put(name, &key, name_of.unwrap_or(class))?;
                }
                Some(b'[') => {
                    let items: Vec<&str> = json::items(value).take(8).collect();
                    if items.iter().all(|item| !item.starts_with(['{', '[', '"'])) {
                        self.put(name, &key, items.join(" "))?;
                    }
                }
                Some(b'{' | b'n') | None => {}
                Some(_) => {
                    let mut options = TensorFile::named(self.file.source());
                    flatten(&mut options, &format!("{{{}:{value}}}", json::quoted(&key)), &[], self.budget)?;
                    for (_, text) in options.metadata {
                        self.put(name, &key, text)?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Finds the layers that a node refers to, and whether by their first output: `[name, node, output]` in lists of any
/// depth, or in an object as `keras_history`. Those in keyword arguments, such as masks, go to `beside`.
fn references(
    value: &str,
    is_input: bool,
    read: &mut Vec<(String, bool)>,
    beside: &mut Vec<(String, bool)>,
    depth: usize,
) {
    if depth > 2 * DEEPEST {
        return;
    }
    match value.as_bytes().first() {
        Some(b'[') => {
            let items: Vec<&str> = json::items(value).collect();
            let is_number = |at: usize| items.get(at).is_some_and(|item| item.bytes().all(|b| b.is_ascii_digit()));
            match items.first().and_then(|first| json::text(first)) {
                Some(name) if is_number(1) && is_number(2) => {
                    let found = (name, items[2] == "0");
                    if is_input {
                        read.push(found)
                    } else {
                        beside.push(found)
                    }
                    items[3..].iter().for_each(|item| references(item, false, read, beside, depth + 1));
                }
                _ => items.iter().for_each(|item| references(item, is_input, read, beside, depth + 1)),
            }
        }
        Some(b'{') => {
            for (key, value) in json::entries(value).flatten() {
                references(value, is_input && key != "kwargs", read, beside, depth + 1);
            }
        }
        _ => {}
    }
}

/// Returns the name of a class in lower case, with `_` before its words: `simple_rnn`, `time_distributed`, `conv1d`.
fn snake_case(class: &str) -> String {
    let letters: Vec<char> = class.chars().filter(|c| c.is_alphanumeric() || *c == '_').collect();
    let mut out = String::new();
    for (at, &c) in letters.iter().enumerate() {
        let before = at.checked_sub(1).map(|at| letters[at]);
        let starts_word = c.is_ascii_uppercase()
            && (before.is_some_and(|b| b.is_ascii_lowercase())
                || before.is_some() && letters.get(at + 1).is_some_and(char::is_ascii_lowercase));
        if starts_word {
            out.push('_');
        }
        out.extend(c.to_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn classes_are_named_as_in_keras() {
        for (class, name) in [
            ("GRU", "gru"),
            ("SimpleRNN", "simple_rnn"),
            ("TimeDistributed", "time_distributed"),
            ("Conv1D", "conv1d"),
            ("LayerNormalization", "layer_normalization"),
            ("ConvLSTM1D", "conv_lstm1d"),
            ("Bidirectional", "bidirectional"),
        ] {
            assert_eq!(super::snake_case(class), name);
        }
    }
}
