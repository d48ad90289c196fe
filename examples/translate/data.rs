//! Tokens, vocabularies, and the split of the pairs.

use std::collections::BTreeMap;
use std::path::Path;

use wgru::Rng;

use crate::common::Result;
use crate::common::words::{Unit, Vocabulary};

/// The first tokens of every vocabulary; the last of them stands for unknown ones.
const SPECIAL: [&str; 3] = ["<start>", "<end>", "<unknown>"];
/// The token before the first one.
pub const START: u32 = 0;
/// The token after the last one.
pub const END: u32 = 1;
/// A word that occurs less often than this during training is unknown.
const RARE: usize = 2;

/// Source and target as tokens.
#[derive(Clone, Debug)]
pub struct Pair {
    pub source: Vec<u32>,
    pub target: Vec<u32>,
}

/// Training pairs, test pairs, and their vocabularies.
pub struct Data {
    pub unit: Unit,
    pub sources: Vocabulary,
    pub targets: Vocabulary,
    pub train: Vec<Pair>,
    pub test: Vec<Pair>,
}

impl Data {
    /// Draws at most `most` sources among the pairs with at most `longest` tokens per side, and holds out `test` of
    /// them for the test. A source that occurs more than once is in only one of the two parts.
    pub fn new(
        texts: &[(String, String)],
        unit: Unit,
        [most, longest, test]: [usize; 3],
        rng: &mut Rng,
    ) -> Result<Self> {
        let mut groups: BTreeMap<Vec<String>, Vec<Vec<String>>> = BTreeMap::new();
        for (source, target) in texts {
            let (source, target) = (unit.split(source), unit.split(target));
            if !source.is_empty() && !target.is_empty() && source.len().max(target.len()) <= longest {
                groups.entry(source).or_default().push(target);
            }
        }
        let mut groups: Vec<_> = groups.into_iter().collect();
        rng.shuffle(&mut groups);
        groups.truncate(most);
        if groups.len() / 2 < test {
            let found = groups.len();
            return Err(format!("{found} sources of at most {longest} tokens, too few to test on {test}").into());
        }
        let (test, train) = groups.split_at(test);
        let flat = |part: &[(Vec<String>, Vec<Vec<String>>)], targets: usize| -> Vec<(Vec<String>, Vec<String>)> {
            let one = |(source, all): &(Vec<String>, Vec<Vec<String>>)| {
                all.iter().take(targets).map(|target| (source.clone(), target.clone())).collect::<Vec<_>>()
            };
            part.iter().flat_map(one).collect()
        };
        let (train, test) = (flat(train, usize::MAX), flat(test, 1));
        let least = if unit == Unit::Word { RARE } else { 1 };
        let sources = Vocabulary::of(train.iter().map(|(source, _)| &source[..]), &SPECIAL, least);
        let targets = Vocabulary::of(train.iter().map(|(_, target)| &target[..]), &SPECIAL, least);
        let encode = |part: Vec<(Vec<String>, Vec<String>)>| -> Vec<Pair> {
            let one =
                |(s, t): (Vec<String>, Vec<String>)| Pair { source: sources.encode(&s), target: targets.encode(&t) };
            part.into_iter().map(one).collect()
        };
        let (train, test) = (encode(train), encode(test));
        Ok(Self { unit, sources, targets, train, test })
    }

    /// Returns a target as text.
    pub fn text(&self, target: &[u32]) -> String {
        self.unit.join(&self.targets.decode(target))
    }
}

/// Reads tab-separated pairs.
pub fn read(path: &Path) -> Result<Vec<(String, String)>> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let pair = |(number, line): (usize, &str)| -> Result<(String, String)> {
        let mut columns = line.split('\t');
        match (columns.next(), columns.next()) {
            (Some(source), Some(target)) => Ok((source.into(), target.into())),
            _ => Err(format!("{}: line {}: no tab between source and target", path.display(), number + 1).into()),
        }
    };
    text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_in_one_part_only() {
        let texts: Vec<(String, String)> = (0..60).map(|i| (format!("s{}", i % 20), format!("t{i}"))).collect();
        let data = Data::new(&texts, Unit::Letter, [100, 10, 5], &mut Rng::new(1)).expect("enough");
        assert_eq!((data.test.len(), data.train.len()), (5, 45));
        assert!(data.test.iter().all(|pair| data.train.iter().all(|other| other.source != pair.source)));
        assert!(Data::new(&texts, Unit::Letter, [100, 10, 11], &mut Rng::new(1)).is_err());
    }
}
