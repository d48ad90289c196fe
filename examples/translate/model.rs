//! The model: tokens of both languages, and an encoder and a decoder GRU with attention.

use wgru::io::TensorFile;
use wgru::models::decode::{Beam, Hypothesis};
use wgru::models::{ContextUse, Forcing, Seq2Seq, Seq2SeqConfig};
use wgru::nn::{Mode, Module, Score};
use wgru::train::loss::{CrossEntropyOptions, cross_entropy_with};
use wgru::{Device, Result, Rng, Tensor};

use crate::args::{Context, ScoreChoice};
use crate::common::bpe::Bpe;
use crate::common::files::{json, load, metadata, refuse, size};
use crate::data::Pair;
use crate::tokens::Tokens;

/// Number of sources that are decoded together.
const TOGETHER: usize = 100;

/// Tokens and sizes of a model.
pub struct Spec {
    pub source: Tokens,
    pub target: Tokens,
    pub embedding: usize,
    pub hidden: usize,
    pub context: Context,
    pub score: ScoreChoice,
}

/// A translator, trained or loaded.
pub struct Translator {
    pub spec: Spec,
    network: Seq2Seq,
}

/// Attention of a translation.
pub struct Attention {
    pub source: Vec<String>,
    /// The last one is the end.
    pub output: Vec<String>,
    /// By output and source.
    pub weights: Vec<f32>,
}

const MARK: &str = "translate.version";
const SOURCE: &str = "translate.source_merges";
const TARGET: &str = "translate.target_merges";
const EMBEDDING: &str = "translate.embedding";
const HIDDEN: &str = "translate.hidden";
const CONTEXT: &str = "translate.context";
const SCORE: &str = "translate.score";

impl Spec {
    fn config(&self, dropout: f32) -> Seq2SeqConfig {
        Seq2SeqConfig {
            source: self.source.len(),
            target: self.target.len(),
            embedding: self.embedding,
            hidden: self.hidden,
            score: match self.score {
                ScoreChoice::General => Score::General,
                ScoreChoice::Additive => Score::Additive { units: self.hidden },
            },
            context: match self.context {
                Context::Input => ContextUse::Input,
                Context::Output => ContextUse::Output,
            },
            dropout,
            start: self.target.start(),
            end: self.target.end(),
            ..Seq2SeqConfig::default()
        }
    }

    fn write(&self, file: &mut TensorFile) {
        for (key, value) in [
            (MARK, "1".to_string()),
            (SOURCE, self.source.pairs().to_json().to_string()),
            (TARGET, self.target.pairs().to_json().to_string()),
            (EMBEDDING, self.embedding.to_string()),
            (HIDDEN, self.hidden.to_string()),
            (CONTEXT, if self.context == Context::Input { "input" } else { "output" }.into()),
            (SCORE, if self.score == ScoreChoice::General { "general" } else { "additive" }.into()),
        ] {
            file.metadata.insert(key.into(), value);
        }
    }

    fn read(file: &TensorFile) -> Result<Self> {
        if metadata(file, MARK)? != "1" {
            return Err(refuse(MARK, "written by another version of this example"));
        }
        let tokens = |key| -> Result<Tokens> {
            Ok(Tokens::new(Bpe::from_json(&json(file, key)?).map_err(|why| refuse(key, why))?))
        };
        let unknown = |key, value: &str| Err(refuse(key, format!("{value:?} is not known")));
        Ok(Self {
            source: tokens(SOURCE)?,
            target: tokens(TARGET)?,
            embedding: size(file, EMBEDDING)?,
            hidden: size(file, HIDDEN)?,
            context: match metadata(file, CONTEXT)? {
                "input" => Context::Input,
                "output" => Context::Output,
                other => return unknown(CONTEXT, other),
            },
            score: match metadata(file, SCORE)? {
                "general" => ScoreChoice::General,
                "additive" => ScoreChoice::Additive,
                other => return unknown(SCORE, other),
            },
        })
    }
}

impl Translator {
    /// Creates a translator with random weights.
    ///
    /// # Errors
    /// Errors from the device.
    pub fn new(device: &Device, spec: Spec, dropout: f32, rng: &mut Rng) -> Result<Self> {
        Ok(Self { network: spec.config(dropout).build(device, rng)?, spec })
    }

    /// Returns all parameters with their names.
    pub fn parameters(&self) -> Vec<(String, Tensor)> {
        self.network.parameters()
    }

    /// Returns the mean cross-entropy per token of the targets, with `smoothing` of the labels in training.
    ///
    /// # Errors
    /// Errors from the device.
    pub fn loss(&self, pairs: &[&Pair], forcing: &Forcing, smoothing: f32, mode: &mut Mode) -> Result<Tensor> {
        let sources: Vec<&[u32]> = pairs.iter().map(|pair| &pair.source[..]).collect();
        let targets: Vec<&[u32]> = pairs.iter().map(|pair| &pair.target[..]).collect();
        let is_training = matches!(mode, Mode::Train(_));
        let teacher = Forcing::default();
        let out = self.network.run(&sources, &targets, if is_training { forcing } else { &teacher }, mode)?;
        let options = CrossEntropyOptions {
            ignore_index: Some(self.spec.target.len() as u32),
            label_smoothing: if is_training { smoothing } else { 0.0 },
            ..CrossEntropyOptions::default()
        };
        cross_entropy_with(&out.logits, &out.labels, options)
    }

    /// Translates sources, none of them empty, with a beam; returns the best hypothesis of each. A beam of 1 is greedy.
    ///
    /// # Errors
    /// Errors from the device.
    pub fn translate(&self, sources: &[&[u32]], beam: &Beam) -> Result<Vec<Hypothesis>> {
        let mut best = Vec::with_capacity(sources.len());
        for sources in sources.chunks(TOGETHER) {
            let longest = sources.iter().map(|source| source.len()).max().unwrap_or(0);
            let found = self.network.beam(sources, 2 * longest + 20, beam)?;
            best.extend(found.into_iter().filter_map(|found| found.into_iter().next()));
        }
        Ok(best)
    }

    /// Returns the attention when `source`, which must not be empty, is translated to `output`.
    ///
    /// # Errors
    /// Errors from the device.
    pub fn attention(&self, source: &[u32], output: &[u32]) -> Result<Attention> {
        // Feeding the model its own output gives the same weights as decoding.
        let seen = self.network.run(&[source], &[output], &Forcing::default(), &mut Mode::Eval)?;
        let mut names = self.spec.target.names(output);
        names.push("end".into());
        Ok(Attention { source: self.spec.source.names(source), output: names, weights: seen.weights.read_blocking()? })
    }

    /// Returns a file with the weights and all that is needed to use them.
    ///
    /// # Errors
    /// Errors from reading back.
    pub fn to_file(&self) -> Result<TensorFile> {
        let mut file = TensorFile::default();
        self.spec.write(&mut file);
        for (name, tensor) in self.parameters() {
            file.insert(&name, tensor.dims(), tensor.read_blocking()?);
        }
        Ok(file)
    }

    /// Reads a file of [`Translator::to_file`].
    ///
    /// # Errors
    /// [`wgru::Error::Format`] naming the field or tensor that is missing or does not match.
    pub fn from_file(device: &Device, file: &TensorFile) -> Result<Self> {
        let spec = Spec::read(file)?;
        // The sizes may be anything, so nothing is allocated before the file is known to hold as much.
        file.expect("source_embedding.weight", &[spec.source.len(), spec.embedding])?;
        file.expect("target_embedding.weight", &[spec.target.len(), spec.embedding])?;
        file.expect("decoder.weight_hh_l0", &[spec.hidden.saturating_mul(3), spec.hidden])?;
        let translator = Self::new(device, spec, 0.0, &mut Rng::new(0))?;
        load(&translator.parameters(), file)?;
        Ok(translator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translator() -> Translator {
        let tokens = |texts: &[&str]| Tokens::learn(texts.iter().copied(), 260);
        let spec = Spec {
            source: tokens(&["a b a b a b"]),
            target: tokens(&["c d c d c d c d"]),
            embedding: 3,
            hidden: 4,
            context: Context::Input,
            score: ScoreChoice::Additive,
        };
        Translator::new(&Device::cpu(), spec, 0.1, &mut Rng::new(1)).unwrap()
    }

    #[test]
    fn saved_translator_gives_the_same_translations() {
        let translator = translator();
        let bytes = translator.to_file().unwrap().to_bytes().unwrap();
        let copy = Translator::from_file(&Device::cpu(), &TensorFile::from_bytes("memory", &bytes).unwrap()).unwrap();
        let source = copy.spec.source.encode("a b");
        let beam = Beam { width: 2, length_penalty: 0.0 };
        let found = copy.translate(&[&source], &beam).unwrap();
        assert_eq!(found, translator.translate(&[&source], &beam).unwrap());
        let attention = copy.attention(&source, &found[0].tokens).unwrap();
        assert_eq!(attention.weights.len(), attention.source.len() * attention.output.len());
        for row in attention.weights.chunks(attention.source.len()) {
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5, "{row:?}");
        }
    }

    #[test]
    fn mismatched_files_are_refused() {
        for (key, value) in [
            (MARK, "2"),
            (HIDDEN, "4000000000"),
            (EMBEDDING, "0"),
            (SOURCE, "[]"),
            (TARGET, "[[1,900]]"),
            (TARGET, "{}"),
            (CONTEXT, "output"),
            (SCORE, "dot"),
        ] {
            let mut file = translator().to_file().unwrap();
            file.metadata.insert(key.into(), value.into());
            let refused = Translator::from_file(&Device::cpu(), &file);
            assert!(matches!(refused, Err(wgru::Error::Format { .. })), "{key} {value}");
        }
        let mut file = TensorFile::default();
        for (name, tensor) in translator().parameters() {
            file.insert(&name, tensor.dims(), vec![f32::NAN; tensor.len()]);
        }
        file.metadata = translator().to_file().unwrap().metadata;
        assert!(matches!(Translator::from_file(&Device::cpu(), &file), Err(wgru::Error::Format { .. })));
    }
}
