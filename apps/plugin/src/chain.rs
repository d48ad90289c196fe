//! Networks from files, on a signal.

use wgru::io::Network;
use wgru::{NetworkStream, StreamOptions};

use crate::failure::{Failure, Result};

/// A network that reads and writes one value per sample. Clones share the weights of recurrent layers. Allocates only
/// when it is created.
#[derive(Clone)]
pub struct Chain {
    stream: NetworkStream,
    /// The state that a reset sets.
    state: Vec<f32>,
}

impl Chain {
    /// Creates the chain of a network.
    ///
    /// # Errors
    /// A text for a layer that does not run sample by sample, and for other widths.
    pub fn new(network: &Network) -> Result<Self> {
        let stream = network.stream(StreamOptions::default());
        let stream = stream.map_err(|error| Failure::new(format!("does not run sample by sample: {error}")))?;
        match stream.widths() {
            [1, 1] => {}
            [1, width] => return Err(Failure::new(format!("gives {width} values for each sample; expected one"))),
            [width, _] => {
                let why = "where it gets 1; models with knobs are not supported";
                return Err(Failure::new(format!("takes {width} values for each sample, {why}")));
            }
        }
        let mut chain = Self { state: vec![0.0; stream.state_len()], stream };
        chain.rest();
        Ok(chain)
    }

    /// Number of values of the state.
    pub fn state_len(&self) -> usize {
        self.state.len()
    }

    /// Replaces samples by the output for them. The result does not depend on the block sizes.
    pub fn process(&mut self, samples: &mut [f32]) {
        let result = self.stream.process_in_place(samples);
        debug_assert!(result.is_ok(), "the widths were checked: {result:?}");
    }

    /// Makes [`reset`](Self::reset) restore the current states.
    pub fn rest(&mut self) {
        let result = self.stream.save_state(&mut self.state);
        debug_assert!(result.is_ok(), "a state of this stream: {result:?}");
    }

    pub fn reset(&mut self) {
        let result = self.stream.load_state(&self.state);
        debug_assert!(result.is_ok(), "a state of this stream: {result:?}");
    }
}
