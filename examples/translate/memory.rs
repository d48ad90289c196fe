//! The baseline: the translation of the most similar source that is known.

use std::collections::{BTreeSet, HashMap};

use crate::data::plain;

/// Known pairs, found by the words of their sources.
pub struct Memory<'a> {
    pairs: &'a [(String, String)],
    /// Number of features of each source.
    sizes: Vec<usize>,
    /// The pairs whose source has a feature.
    places: HashMap<String, Vec<u32>>,
}

impl<'a> Memory<'a> {
    pub fn new(pairs: &'a [(String, String)]) -> Self {
        let (mut sizes, mut places) = (Vec::with_capacity(pairs.len()), HashMap::<String, Vec<u32>>::new());
        for (place, (source, _)) in pairs.iter().enumerate() {
            let features = features(source);
            sizes.push(features.len());
            for feature in features {
                places.entry(feature).or_default().push(place as u32);
            }
        }
        Self { pairs, sizes, places }
    }

    /// Returns the target of the source that shares most words and pairs of words with `source`, relative to the number
    /// of both (Dice's coefficient). Ties go to the first pair.
    pub fn translate(&self, source: &str) -> &'a str {
        let features = features(source);
        let mut shared: HashMap<u32, usize> = HashMap::new();
        for place in features.iter().filter_map(|feature| self.places.get(feature)).flatten() {
            *shared.entry(*place).or_default() += 1;
        }
        let dice = |(&place, &count): (&u32, &usize)| {
            (count as f64 / (features.len() + self.sizes[place as usize]) as f64, std::cmp::Reverse(place))
        };
        let best = shared.iter().map(dice).max_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        best.map_or("", |(_, place)| &self.pairs[place.0 as usize].1)
    }
}

/// Returns the words of a text, and the pairs of neighbors.
fn features(text: &str) -> BTreeSet<String> {
    let text = plain(text);
    let words: Vec<&str> = text.split(' ').collect();
    words.windows(2).map(|pair| pair.join(" ")).chain(words.iter().map(|word| word.to_string())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_similar_source_is_found() {
        let pairs = [["He is old.", "1"], ["Is he old?", "2"], ["He is very old and tired.", "3"], ["Go!", "4"]]
            .map(|[source, target]| (source.to_string(), target.to_string()));
        let memory = Memory::new(&pairs);
        for (source, want) in [("he is OLD", "1"), ("Is he tall?", "2"), ("very tired", "3"), ("go", "4"), ("no", "")] {
            assert_eq!(memory.translate(source), want, "{source}");
        }
    }
}
