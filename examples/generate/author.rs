//! Writing: tokens drawn one after another, written as they come.

use std::io::{BufRead, ErrorKind, Write};

use wgru::models::decode::Sampling;
use wgru::nn::Module;
use wgru::{Device, Rng, Stream, StreamOptions};

use crate::common::Result;
use crate::model::LanguageModel;
use crate::tokens::{Decoder, Tokens};

/// A model that reads and writes token by token, on the CPU.
pub struct Author {
    tokens: Tokens,
    /// The bytes of every token.
    bytes: Vec<Vec<u8>>,
    /// Vectors of all tokens `[V, width]`.
    table: Vec<f32>,
    stream: Stream,
    /// After the last token.
    logits: Vec<f32>,
}

impl Author {
    /// Takes the weights of a model on any device.
    ///
    /// # Errors
    /// Errors from reading them back.
    pub fn new(model: &LanguageModel) -> Result<Self> {
        let model = LanguageModel::from_file(&Device::cpu(), &model.to_file()?)?;
        let stream = Stream::new(&model.gru, StreamOptions::default())?.then(&model.head)?;
        let logits = model.head.parameters().last().map_or(Vec::new(), |(_, bias)| vec![0.0; bias.len()]);
        Ok(Self {
            bytes: model.spec.tokens.bytes(),
            table: model.embedding.weight().read_blocking()?,
            tokens: model.spec.tokens,
            stream,
            logits,
        })
    }

    /// Begins a new text.
    pub fn reset(&mut self) {
        self.stream.reset();
        self.logits.fill(0.0);
    }

    /// Reads a text, without characters that the model does not know.
    ///
    /// # Errors
    /// None: the tokens are the model's.
    pub fn read(&mut self, text: &str) -> Result<()> {
        self.tokens.encode(text).into_iter().try_for_each(|token| self.read_token(token))
    }

    fn read_token(&mut self, token: u32) -> Result<()> {
        let width = self.stream.input();
        let vector = &self.table[token as usize * width..][..width];
        self.logits.copy_from_slice(self.stream.step(vector)?);
        Ok(())
    }

    /// Writes `length` characters, or fewer if `end` comes, each as soon as it is drawn. Returns `false` if the reader
    /// of the output has gone.
    ///
    /// # Errors
    /// Errors from the output.
    pub fn write(
        &mut self,
        length: usize,
        end: Option<char>,
        sampling: &Sampling,
        rng: &mut Rng,
        output: &mut dyn Write,
    ) -> Result<bool> {
        let (mut decoder, mut written) = (Decoder::default(), 0);
        while written < length {
            let token = sampling.draw(&self.logits, rng)?;
            self.read_token(token as u32)?;
            let text: String = decoder.push(&self.bytes[token]).chars().take(length - written).collect();
            let (text, is_end) = match end.and_then(|end| text.find(end)) {
                Some(at) => (&text[..at], true),
                None => (&text[..], false),
            };
            written += text.chars().count();
            if !emit(output, text)? {
                return Ok(false);
            }
            if is_end {
                break;
            }
        }
        Ok(true)
    }

    /// Answers every line of the input. An empty line gets no answer.
    ///
    /// # Errors
    /// Errors from input and output; names the line that is not UTF-8.
    pub fn converse(
        &mut self,
        length: usize,
        sampling: &Sampling,
        rng: &mut Rng,
        mut input: impl BufRead,
        output: &mut dyn Write,
        prompt: &str,
    ) -> Result<()> {
        let (mut bytes, mut number) = (Vec::new(), 0);
        loop {
            bytes.clear();
            number += 1;
            if !emit(output, prompt)? || input.read_until(b'\n', &mut bytes)? == 0 {
                return Ok(());
            }
            let line = std::str::from_utf8(&bytes).map_err(|_| format!("standard input: line {number}: not UTF-8"))?;
            let question = line.split_whitespace().collect::<Vec<_>>().join(" ");
            if !question.is_empty() {
                // As in the text that the model has learned.
                self.reset();
                self.read("\n")?;
                self.read(&question)?;
                self.read("\t")?;
                if !self.write(length, Some('\n'), sampling, rng, output)? {
                    return Ok(());
                }
            }
            if !emit(output, "\n")? {
                return Ok(());
            }
        }
    }
}

/// Writes text at once. Returns `false` if the reader, for example `head`, has enough.
pub fn emit(output: &mut dyn Write, text: &str) -> Result<bool> {
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        written => Ok(written.map(|()| true)?),
    }
}
