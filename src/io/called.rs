//! The names of layers in a `.keras` archive. Keras numbers their weights by class, `layers.gru_1`, and keeps the names
//! that the user gave in the configuration, which [`TensorFile::import`] reads as metadata.

use super::TensorFile;

/// Prefix of the names in an archive.
const START: &str = "layers.";
/// Longest name, in bytes. Nested models in a hostile file could make names much longer than the file.
const LONGEST: usize = 256;

impl TensorFile {
    /// Returns the name that the user gave to a layer, or to a part of it: `encoder.gru` for
    /// `layers.functional.layers.gru`. Any other name stays.
    pub(super) fn called(&self, layer: &str) -> String {
        let (mut called, mut end) = (String::new(), 0);
        loop {
            let start = if end == 0 { Some(0) } else { layer[end..].starts_with('.').then_some(end + 1) };
            let Some(first) = start.filter(|&at| layer[at..].starts_with(START)).map(|at| at + START.len()) else {
                break;
            };
            let next = layer[first..].find('.').map_or(layer.len(), |length| first + length);
            let option = |key: &str| self.metadata.get(&format!("{}.{key}", &layer[..next]));
            let (Some(name), Some(_)) = (option("name").filter(|name| !name.is_empty()), option("class_name")) else {
                break;
            };
            if called.len() + name.len() > LONGEST {
                return layer.into();
            }
            if !called.is_empty() {
                called.push('.');
            }
            called.push_str(&name.replace(char::is_whitespace, "_"));
            end = next;
        }
        called + &layer[end..]
    }

    /// Returns the name in the file of the layer to which the user gave this name.
    pub(super) fn name_of(&self, called: &str) -> Option<&str> {
        let layers = self.metadata.range(START.to_string()..).take_while(|(key, _)| key.starts_with(START));
        let mut names = layers.filter_map(|(key, _)| key.strip_suffix(".class_name"));
        names.find(|layer| self.called(layer) == called)
    }
}
