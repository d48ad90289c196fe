//! The configuration in a `.keras` archive, as metadata.
//!
//! Source: Keras 3, *src/saving/saving_lib.py*, *src/utils/naming.py*.

use std::collections::HashMap;

use super::tree::{field, flatten};
use crate::error::Result;
use crate::io::TensorFile;
use crate::io::budget::Budget;
use crate::json;

/// Adds the options of each layer, under the name that its weights have in the file: `layers.gru.activation`. Also adds
/// `class_name`, the `keras_version`, and the names of the `layers` in order. `config` and `metadata` are checked
/// objects.
pub(super) fn add_config(file: &mut TensorFile, config: &str, metadata: &str, budget: &mut Budget) -> Result<()> {
    let source = file.source().to_string();
    if let Some(version) = field(metadata, "keras_version").and_then(json::text) {
        file.metadata.insert("keras_version".into(), version);
    }
    if let Some(class) = field(config, "class_name").and_then(json::text) {
        file.metadata.insert("class_name".into(), class);
    }
    let (mut names, mut counts) = (Vec::new(), HashMap::new());
    let layers = field(field(config, "config").unwrap_or_default(), "layers").unwrap_or_default();
    for layer in json::items(layers) {
        let Some(class) = field(layer, "class_name").and_then(json::text) else { continue };
        budget.take_name(&source, class.len())?;
        // Layers are numbered by class.
        let first = format!("layers.{}", snake_case(&class));
        let count = counts.entry(first.clone()).or_insert(0usize);
        let name = if *count == 0 { first } else { format!("{first}_{count}") };
        *count += 1;
        add_options(file, &name, layer, budget)?;
        let inner = field(layer, "config").unwrap_or_default();
        let parts: &[(&str, &str)] = match class.as_str() {
            "Bidirectional" => &[("layer", "forward_layer"), ("backward_layer", "backward_layer")],
            "TimeDistributed" => &[("layer", "layer")],
            _ => &[],
        };
        for (key, part) in parts {
            if let Some(layer) = field(inner, key) {
                add_options(file, &format!("{name}.{part}"), layer, budget)?;
            }
        }
        names.push(name);
    }
    if !names.is_empty() {
        file.metadata.insert("layers".into(), names.join(" "));
    }
    Ok(())
}

/// Adds the class and the plain options of a layer.
fn add_options(file: &mut TensorFile, name: &str, layer: &str, budget: &mut Budget) -> Result<()> {
    let class = field(layer, "class_name").and_then(json::text).unwrap_or_default();
    file.metadata.insert(format!("{name}.class_name"), class);
    for entry in json::entries(field(layer, "config").unwrap_or_default()) {
        let Ok((key, value)) = entry else { continue };
        let mut options = TensorFile::named(file.source());
        if !value.starts_with(['{', '[', 'n']) {
            flatten(&mut options, &format!("{{{}:{value}}}", json::quoted(&key)), &[], budget)?;
        }
        file.metadata.extend(options.metadata.into_iter().map(|(key, text)| (format!("{name}.{key}"), text)));
    }
    Ok(())
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
