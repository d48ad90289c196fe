//! The network: vectors of tokens, a bidirectional GRU, attention over its states, and scores of the classes, to which
//! the tokens add scores of their own.

use wgru::io::TensorFile;
use wgru::nn::{
    Attention, AttentionConfig, Embedding, Gru, KeyMask, Linear, Mode, Module, RecurrentConfig, RunOptions, Score,
    named_parameters,
};
use wgru::train::loss;
use wgru::{Device, Result, Rng, Tensor};

use crate::bayes::NaiveBayes;
use crate::common::files::{load, metadata, refuse, size, texts};
use crate::common::words::{Unit, Vocabulary};
use crate::data::{Data, Example, SPECIAL, UNKNOWN};

/// Number of texts that are classified together.
const TOGETHER: usize = 64;
/// Standard deviation of the vectors of tokens before training.
const SPREAD: f32 = 0.3;

/// Sizes of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    pub embedding: usize,
    /// Units of each direction.
    pub hidden: usize,
}

/// Noise during training, as probabilities.
#[derive(Clone, Copy, Debug)]
pub struct Noise {
    /// That a value of a vector or a state is 0.
    pub dropout: f32,
    /// That a token is replaced by the unknown one.
    pub tokens: f32,
}

/// Vocabulary, longest text and classes of the network.
pub struct Spec {
    pub labels: Vec<String>,
    pub unit: Unit,
    pub longest: usize,
    pub vocabulary: Vocabulary,
    pub sizes: Sizes,
}

/// A classifier, trained or loaded:
///
/// ```text
/// h_t = GRU of both directions      a = softmax over the text of v·tanh(W·h_t + b)      logits = U·Σ_t a_t·h_t + c + Σ_t s(w_t)
/// ```
///
/// The scores `s` of unknown tokens are 0, those of the others may begin as naive Bayes:
/// [`begin_with`](Self::begin_with).
///
/// Source of the pooling: Yang et al., *Hierarchical attention networks for document classification* (2016).
pub struct Classifier {
    pub spec: Spec,
    device: Device,
    embedding: Embedding,
    gru: Gru,
    attention: Attention,
    head: Linear,
    /// Scores of the tokens themselves, by class.
    scores: Embedding,
}

/// Classification of a text.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// By class.
    pub probabilities: Vec<f32>,
    /// Attention by token.
    pub weights: Vec<f32>,
}

impl Verdict {
    /// Returns the most probable class; ties go to the first.
    pub fn class(&self) -> usize {
        let p = &self.probabilities;
        (0..p.len()).fold(0, |best, class| if p[class] > p[best] { class } else { best })
    }
}

const MARK: &str = "classify.version";

impl Spec {
    /// Takes vocabulary and labels from `data`.
    pub fn of(data: &Data, longest: usize, sizes: Sizes) -> Self {
        let vocabulary = Vocabulary::from_names(data.vocabulary.names().to_vec(), SPECIAL.len());
        Self { labels: data.labels.clone(), unit: data.unit, longest, vocabulary, sizes }
    }

    fn write(&self, file: &mut TensorFile) {
        for (key, value) in [
            (MARK, "2".to_string()),
            ("classify.labels", serde_json::json!(self.labels).to_string()),
            ("classify.vocabulary", serde_json::json!(self.vocabulary.names()).to_string()),
            ("classify.tokens", if self.unit == Unit::Word { "words" } else { "letters" }.into()),
            ("classify.longest", self.longest.to_string()),
            ("classify.embedding", self.sizes.embedding.to_string()),
            ("classify.hidden", self.sizes.hidden.to_string()),
        ] {
            file.metadata.insert(key.into(), value);
        }
    }

    fn read(file: &TensorFile) -> Result<Self> {
        if metadata(file, MARK)? != "2" {
            return Err(refuse(MARK, "written by another version of this example"));
        }
        let (labels, names) = (texts(file, "classify.labels")?, texts(file, "classify.vocabulary")?);
        if labels.len() < 2 || names.first().is_none_or(|first| first != SPECIAL[0]) {
            return Err(refuse("classify.labels and classify.vocabulary", "expected two labels or more, and tokens"));
        }
        Ok(Self {
            labels,
            unit: match metadata(file, "classify.tokens")? {
                "words" => Unit::Word,
                "letters" => Unit::Letter,
                other => return Err(refuse("classify.tokens", format!("{other:?} is not known"))),
            },
            longest: size(file, "classify.longest")?,
            vocabulary: Vocabulary::from_names(names, SPECIAL.len()),
            sizes: Sizes { embedding: size(file, "classify.embedding")?, hidden: size(file, "classify.hidden")? },
        })
    }
}

impl Classifier {
    /// Creates a classifier with random weights.
    ///
    /// # Errors
    /// Errors from the device.
    pub fn new(device: &Device, spec: Spec, rng: &mut Rng) -> Result<Self> {
        let Sizes { embedding: width, hidden } = spec.sizes;
        let embedding = Embedding::new(device, spec.vocabulary.len(), width, rng)?;
        let table: Vec<f32> = embedding.weight().read_blocking()?.iter().map(|v| SPREAD * v).collect();
        embedding.weight().assign(&table)?;
        let gru = RecurrentConfig { bidirectional: true, ..RecurrentConfig::gru(width, hidden) };
        // The query is the constant 1, so its product is the bias b.
        let score = Score::Additive { units: hidden };
        let attention = AttentionConfig { query: 1, key: 2 * hidden, score, ..AttentionConfig::default() };
        let scores = Tensor::zeros(device, &[spec.vocabulary.len(), spec.labels.len()])?;
        Ok(Self {
            embedding,
            gru: gru.build(device, rng)?,
            attention: attention.build(device, rng)?,
            head: Linear::new(device, 2 * hidden, spec.labels.len(), true, rng)?,
            scores: Embedding::from_weight(scores)?.with_padding_idx(UNKNOWN)?,
            device: device.clone(),
            spec,
        })
    }

    /// Lets the scores of the tokens begin with those of naive Bayes: the logarithm of the probability of the token in each
    /// class, less the mean over the classes, times `share`.
    ///
    /// # Errors
    /// Errors from the device.
    pub fn begin_with(&self, bayes: &NaiveBayes, share: f32) -> Result<()> {
        let classes = self.spec.labels.len();
        let row = |name: &String| match bayes.logarithms(name) {
            Some(logarithms) if share > 0.0 => {
                let mean = logarithms.iter().sum::<f64>() / classes as f64;
                logarithms.iter().map(|logarithm| share * (logarithm - mean) as f32).collect()
            }
            _ => vec![0.0; classes],
        };
        let (unknown, known) = self.spec.vocabulary.names().split_at(SPECIAL.len());
        let zeros = unknown.iter().map(|_| vec![0.0; classes]);
        self.scores.weight().assign(&zeros.chain(known.iter().map(row)).flatten().collect::<Vec<_>>())
    }

    /// Returns all parameters with their names.
    pub fn parameters(&self) -> Vec<(String, Tensor)> {
        named_parameters(&[
            ("embedding", &self.embedding),
            ("gru", &self.gru),
            ("attention", &self.attention),
            ("head", &self.head),
            ("scores", &self.scores),
        ])
    }

    /// Returns logits `[B, classes]` and attention weights `[B, 1, T]` of texts, none of them empty.
    fn read(&self, texts: &[&[u32]], noise: Noise, mode: &mut Mode) -> Result<(Tensor, Tensor)> {
        let (batch, lengths) = (texts.len(), texts.iter().map(|text| text.len()).collect::<Vec<_>>());
        let steps = lengths.iter().copied().max().unwrap_or(0);
        let mut tokens = vec![UNKNOWN; steps * batch];
        for (row, text) in texts.iter().enumerate() {
            for (step, &token) in text.iter().enumerate() {
                let is_noise = match mode {
                    Mode::Train(rng) => noise.tokens > 0.0 && rng.uniform(0.0, 1.0) < noise.tokens,
                    Mode::Eval => false,
                };
                tokens[step * batch + row] = if is_noise { UNKNOWN } else { token };
            }
        }
        let tokens = Tensor::from_indices(&self.device, &tokens, &[steps, batch])?;
        // Padding is unknown, whose score is 0.
        let scores = self.scores.forward_with(&tokens, mode)?.sum_axis(0)?;
        let x = self.embedding.forward_with(&tokens, mode)?;
        let x = mode.dropout(&x, noise.dropout)?;
        let states = self.gru.run(&x, RunOptions { lengths: Some(&lengths), ..Default::default() }, mode)?.output;
        let states = mode.dropout(&states, noise.dropout)?;
        let query = Tensor::full(&self.device, 1.0, &[1, batch, 1])?;
        let read = self.attention.run(&query, &states, &states, KeyMask::Lengths(&lengths), mode)?;
        let context = read.context.reshape(&[batch, 2 * self.spec.sizes.hidden])?;
        let logits = self.head.forward_with(&context, mode)?.add(&scores.reshape(&[batch, self.spec.labels.len()])?)?;
        Ok((logits, read.weights))
    }

    /// Returns the mean cross-entropy of some examples.
    ///
    /// # Errors
    /// Errors from the device.
    pub fn loss(&self, examples: &[&Example], noise: Noise, mode: &mut Mode) -> Result<Tensor> {
        let texts: Vec<&[u32]> = examples.iter().map(|example| &example.tokens[..]).collect();
        let classes: Vec<u32> = examples.iter().map(|example| example.class as u32).collect();
        let classes = Tensor::from_indices(&self.device, &classes, &[classes.len()])?;
        loss::cross_entropy(&self.read(&texts, noise, mode)?.0, &classes)
    }

    /// Classifies texts, none of them empty.
    ///
    /// # Errors
    /// Errors from the device.
    pub fn classify(&self, texts: &[&[u32]]) -> Result<Vec<Verdict>> {
        let (classes, noise) = (self.spec.labels.len(), Noise { dropout: 0.0, tokens: 0.0 });
        let mut verdicts = Vec::with_capacity(texts.len());
        for texts in texts.chunks(TOGETHER) {
            let (logits, weights) = self.read(texts, noise, &mut Mode::Eval)?;
            let steps = weights.dims()[2];
            let (probabilities, weights) = (logits.softmax()?.read_blocking()?, weights.read_blocking()?);
            let rows = probabilities.chunks_exact(classes).zip(weights.chunks_exact(steps)).zip(texts);
            verdicts.extend(rows.map(|((probabilities, weights), text)| Verdict {
                probabilities: probabilities.to_vec(),
                weights: weights[..text.len()].to_vec(),
            }));
        }
        Ok(verdicts)
    }

    /// Returns the tokens of a text, cut to the longest allowed; none for a text without words.
    pub fn tokens(&self, text: &str) -> Vec<u32> {
        let mut words = self.spec.unit.split(text);
        words.truncate(self.spec.longest);
        self.spec.vocabulary.encode(&words)
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

    /// Reads a file of [`Classifier::to_file`].
    ///
    /// # Errors
    /// [`wgru::Error::Format`] naming the field or tensor that is missing or does not match.
    pub fn from_file(device: &Device, file: &TensorFile) -> Result<Self> {
        let spec = Spec::read(file)?;
        let Sizes { embedding, hidden } = spec.sizes;
        // The sizes may be anything, so nothing is allocated before the file is known to hold as much.
        file.expect("embedding.weight", &[spec.vocabulary.len(), embedding])?;
        file.expect("gru.weight_hh_l0", &[hidden.saturating_mul(3), hidden])?;
        let classifier = Self::new(device, spec, &mut Rng::new(0))?;
        load(&classifier.parameters(), file)?;
        // Padding has this row too, so the verdict of a text would depend on the others.
        if classifier.scores.weight().read_blocking()?[..classifier.spec.labels.len()].iter().any(|&score| score != 0.0)
        {
            return Err(refuse("scores.weight", "the scores of the unknown token are not 0"));
        }
        Ok(classifier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classifier() -> Classifier {
        let names = ["<unknown>", "a", "b", "c"].map(String::from).to_vec();
        let spec = Spec {
            labels: vec!["no".into(), "yes".into()],
            unit: Unit::Word,
            longest: 5,
            vocabulary: Vocabulary::from_names(names, 1),
            sizes: Sizes { embedding: 3, hidden: 4 },
        };
        Classifier::new(&Device::cpu(), spec, &mut Rng::new(1)).unwrap()
    }

    #[test]
    fn verdicts_do_not_depend_on_the_other_texts() {
        let classifier = classifier();
        let texts = [&[1, 2, 3, 0, 1][..], &[2], &[3, 3, 1]];
        let together = classifier.classify(&texts).unwrap();
        for (text, verdict) in texts.iter().zip(&together) {
            assert_eq!(verdict.weights.len(), text.len());
            let sum = |values: &[f32]| values.iter().sum::<f32>();
            assert!((sum(&verdict.weights) - 1.0).abs() < 1e-5 && (sum(&verdict.probabilities) - 1.0).abs() < 1e-5);
            let alone = &classifier.classify(&[text]).unwrap()[0];
            for (a, b) in alone
                .probabilities
                .iter()
                .chain(&alone.weights)
                .zip([&verdict.probabilities[..], &verdict.weights].concat())
            {
                assert!((a - b).abs() < 1e-5, "{alone:?} {verdict:?}");
            }
        }
    }

    #[test]
    fn scores_begin_as_a_share_of_naive_bayes() {
        let classifier = classifier();
        let example = |text: &str, class| Example { class, words: Unit::Word.split(text), tokens: Vec::new() };
        let train = [example("a a b", 0), example("b", 1), example("rare", 1)];
        let bayes = NaiveBayes::fit(train.iter(), 2, Unit::Word);
        let texts = [&[1, 0, 2, 1, 3][..], &[2, 0]];
        let logits = || {
            let noise = Noise { dropout: 0.0, tokens: 0.0 };
            classifier.read(&texts, noise, &mut Mode::Eval).unwrap().0.read_blocking().unwrap()
        };
        let before = logits();
        classifier.begin_with(&bayes, 0.5).unwrap();
        // P(a) = (2 + 1) / (3 + 3) and (0 + 1) / (2 + 3), P(b) = 2 / 6 and 2 / 5; c is in no text.
        let (a, b) = ((3f32 / 6.0 / (1.0 / 5.0)).ln(), (2f32 / 6.0 / (2.0 / 5.0)).ln());
        let gains: Vec<f32> = logits().iter().zip(&before).map(|(after, before)| after - before).collect();
        for (gain, expected) in gains.iter().zip([2.0 * a + b, -2.0 * a - b, b, -b].map(|ratio| ratio / 4.0)) {
            assert!((gain - expected).abs() < 1e-5, "{gains:?}");
        }
        classifier.begin_with(&bayes, 0.0).unwrap();
        assert_eq!(logits(), before);
    }

    #[test]
    fn saved_classifier_gives_the_same_verdicts() {
        let classifier = classifier();
        let bytes = classifier.to_file().unwrap().to_bytes().unwrap();
        let copy = Classifier::from_file(&Device::cpu(), &TensorFile::from_bytes("memory", &bytes).unwrap()).unwrap();
        let tokens = copy.tokens("A b, unseen c");
        assert_eq!(tokens, [1, 2, 0, 0, 3]);
        assert_eq!(copy.classify(&[&tokens]).unwrap(), classifier.classify(&[&tokens]).unwrap());
    }

    #[test]
    fn mismatched_files_are_refused() {
        for (key, value) in [
            ("classify.version", "1"),
            ("classify.hidden", "4000000000"),
            ("classify.embedding", "0"),
            ("classify.labels", "[\"one\"]"),
            ("classify.labels", "[\"one\",\"two\",\"three\"]"),
            ("classify.vocabulary", "[\"<unknown>\"]"),
            ("classify.vocabulary", "{}"),
            ("classify.tokens", "syllables"),
        ] {
            let mut file = classifier().to_file().unwrap();
            file.metadata.insert(key.into(), value.into());
            let refused = Classifier::from_file(&Device::cpu(), &file);
            assert!(matches!(refused, Err(wgru::Error::Format { .. })), "{key} {value}");
        }
        let metadata = classifier().to_file().unwrap().metadata;
        // The unknown token, which also is the padding, has no score.
        for (damaged, value) in [("embedding.weight", f32::NAN), ("scores.weight", f32::NAN), ("scores.weight", 1.0)] {
            let mut file = TensorFile::default();
            for (name, tensor) in classifier().parameters() {
                let value = if name == damaged { value } else { 0.0 };
                file.insert(&name, tensor.dims(), vec![value; tensor.len()]);
            }
            file.metadata = metadata.clone();
            let refused = Classifier::from_file(&Device::cpu(), &file);
            assert!(matches!(refused, Err(wgru::Error::Format { .. })), "{damaged} {value}");
        }
    }
}
