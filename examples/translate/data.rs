//! Tokens, vocabularies, and the split of the pairs.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use wgru::Rng;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// The first tokens of every vocabulary.
const SPECIAL: [&str; 3] = ["<start>", "<end>", "<unknown>"];
/// The token before the first one.
pub const START: u32 = 0;
/// The token after the last one.
pub const END: u32 = 1;
const UNKNOWN: u32 = 2;
/// A word that occurs less often than this during training is unknown.
const RARE: usize = 2;

/// How texts are split into tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Letter,
    Word,
}

impl Unit {
    /// Splits text into letters, or into lower-case words and punctuation.
    pub fn split(self, text: &str) -> Vec<String> {
        if self == Unit::Letter {
            return text.trim().chars().map(String::from).collect();
        }
        let mut out: Vec<String> = Vec::new();
        let mut inside = false;
        for c in text.to_lowercase().chars() {
            let letter = c.is_alphanumeric() || c == '\'' || c == '’' || c == '-';
            match out.last_mut() {
                Some(word) if inside && letter => word.push(c),
                _ if !c.is_whitespace() => out.push(c.to_string()),
                _ => {}
            }
            inside = letter;
        }
        out
    }

    pub fn join(self, tokens: &[String]) -> String {
        tokens.join(if self == Unit::Letter { "" } else { " " })
    }
}

/// Tokens and their numbers.
pub struct Vocabulary {
    names: Vec<String>,
    numbers: HashMap<String, u32>,
}

impl Vocabulary {
    /// Collects the tokens of texts, in alphabetical order.
    fn of<'a>(texts: impl Iterator<Item = &'a [String]>, unit: Unit) -> Self {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for token in texts.flatten() {
            *counts.entry(token).or_default() += 1;
        }
        let least = if unit == Unit::Word { RARE } else { 1 };
        let known = counts.into_iter().filter(|(_, count)| *count >= least).map(|(token, _)| token);
        let names: Vec<String> = SPECIAL.into_iter().chain(known).map(String::from).collect();
        let numbers = names.iter().zip(0..).map(|(name, number)| (name.clone(), number)).collect();
        Self { names, numbers }
    }

    pub fn len(&self) -> usize {
        self.names.len()
    }

    pub fn encode(&self, tokens: &[String]) -> Vec<u32> {
        tokens.iter().map(|token| self.numbers.get(token).copied().unwrap_or(UNKNOWN)).collect()
    }

    pub fn decode(&self, tokens: &[u32]) -> Vec<String> {
        let name = |&token: &u32| self.names.get(token as usize).map_or(SPECIAL[2], String::as_str).to_string();
        tokens.iter().map(name).collect()
    }
}

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
        let sources = Vocabulary::of(train.iter().map(|(source, _)| &source[..]), unit);
        let targets = Vocabulary::of(train.iter().map(|(_, target)| &target[..]), unit);
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
    fn words_and_punctuation_are_tokens() {
        assert_eq!(Unit::Word.split(" Go away, now!  It's me."), ["go", "away", ",", "now", "!", "it's", "me", "."]);
        assert_eq!(Unit::Letter.split("3 May "), ["3", " ", "M", "a", "y"]);
    }

    #[test]
    fn a_source_is_in_one_part_only() {
        let texts: Vec<(String, String)> = (0..60).map(|i| (format!("s{}", i % 20), format!("t{i}"))).collect();
        let data = Data::new(&texts, Unit::Letter, [100, 10, 5], &mut Rng::new(1)).expect("enough");
        assert_eq!((data.test.len(), data.train.len()), (5, 45));
        assert!(data.test.iter().all(|pair| data.train.iter().all(|other| other.source != pair.source)));
        assert!(Data::new(&texts, Unit::Letter, [100, 10, 11], &mut Rng::new(1)).is_err());
    }
}
