//! Limits of a run: the cost of each node is known before it runs

use super::value::Value;
use crate::error::{Error, Result};

/// Bytes that a run may hold beside [`MEMORY_SHARE`] for each byte of its inputs.
const MEMORY: u64 = 512 << 20;
const MEMORY_SHARE: u64 = 256;
/// Work that a run may do beside [`WORK_SHARE`] for each pair of an element of the inputs and a weight or another
/// element of the inputs: what layers and attention ask for.
const WORK: u64 = 1 << 30;
const WORK_SHARE: u64 = 4;
/// Work of a float that is written, in multiply-adds of a product.
const ELEMENT: u64 = 8;
/// Work of an integer: its place is computed axis by axis.
const INTEGER: u64 = 64;
/// Work of a product beside its multiply-adds.
const PRODUCT: u64 = 256;
/// Bytes that constants computed at load may take, beside [`FOLDED_SHARE`] for each byte of the file.
const FOLDED: u64 = 16 << 20;
const FOLDED_SHARE: u64 = 8;

/// Limits of one run of a model. The default is made for the model and its inputs: a small file cannot ask for
/// gigabytes or hours, and models of the usual kinds have many times what they need.
///
/// ```no_run
/// use wgru::{Device, io::onnx::{Limits, OnnxModel}};
/// let model = OnnxModel::load(&Device::cpu(), &std::fs::read("model.onnx").unwrap())?;
/// let model = model.with_limits(Limits { memory: Some(8 << 30), ..Limits::default() });
/// # Ok::<(), wgru::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all values between the nodes, with what the node that runs takes for itself. Weights and the inputs
    /// do not count. Default: 512 MiB and 256 times the inputs' bytes.
    pub memory: Option<u64>,
    /// Multiply-adds; a float that is written counts as 8, an integer as 64. Default: 2^30, and 4 for each pair of an
    /// element of the inputs with a weight or another element of the inputs.
    pub work: Option<u64>,
}

/// The memory and work of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cost {
    /// Bytes of its outputs and of what it needs meanwhile.
    pub bytes: u64,
    /// Multiply-adds.
    pub work: u64,
}

impl Cost {
    /// `n` floats that are written.
    pub fn floats(n: usize) -> Self {
        Self { bytes: 4, work: ELEMENT }.times(n)
    }

    /// `n` integers that are written.
    pub fn ints(n: usize) -> Self {
        Self { bytes: 8, work: INTEGER }.times(n)
    }

    /// A copy of a value.
    pub fn copy(value: &Value) -> Self {
        match value {
            Value::Tensor(x) => Self::floats(x.len()),
            Value::Ints(x) => Self::ints(x.extent()),
        }
    }

    /// A product of `[m, k]` and `[k, n]`, `batch` times.
    pub fn product([batch, m, k, n]: [usize; 4]) -> Self {
        let each = [m, k, n].into_iter().fold(1u64, |all, n| all.saturating_mul(n as u64));
        Self { bytes: 0, work: each.saturating_add(PRODUCT).saturating_mul(batch as u64) }
    }

    /// The same `n` times.
    pub fn times(self, n: usize) -> Self {
        Self { bytes: self.bytes.saturating_mul(n as u64), work: self.work.saturating_mul(n as u64) }
    }
}

impl std::ops::Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let (bytes, work) = (self.bytes.saturating_add(other.bytes), self.work.saturating_add(other.work));
        Self { bytes, work }
    }
}

impl std::iter::Sum for Cost {
    fn sum<I: Iterator<Item = Self>>(costs: I) -> Self {
        costs.fold(Self::default(), |a, b| a + b)
    }
}

/// Counts what is held and done, of a load or of a run with all of its subgraphs.
#[derive(Debug)]
pub(super) struct Meter {
    held: u64,
    memory: u64,
    done: u64,
    work: u64,
}

impl Meter {
    /// Of the constants that the load of a file of `len` bytes computes or copies. Nothing of them is given back.
    pub fn of_load(len: usize) -> Self {
        let memory = FOLDED + FOLDED_SHARE * len as u64;
        Self { held: 0, memory, done: 0, work: memory.saturating_mul(ELEMENT) }
    }

    /// Of a run of a model with `weights` elements on inputs of `elements`.
    pub fn of_run(limits: Limits, weights: u64, elements: u64) -> Self {
        let memory = MEMORY.saturating_add(elements.saturating_mul(4 * MEMORY_SHARE));
        let pairs = elements.saturating_mul(weights.saturating_add(elements));
        let work = WORK.saturating_add(pairs.saturating_mul(WORK_SHARE));
        Self { held: 0, memory: limits.memory.unwrap_or(memory), done: 0, work: limits.work.unwrap_or(work) }
    }

    /// Counts the work of a node that is about to run.
    ///
    /// # Errors
    /// [`Error::Budget`] when that, or its memory beside what is held, is more than allowed.
    pub fn charge(&mut self, cost: Cost) -> Result<()> {
        let (held, done) = (self.held.saturating_add(cost.bytes), self.done.saturating_add(cost.work));
        for (limit, needed, allowed) in [("memory", held, self.memory), ("work", done, self.work)] {
            if needed > allowed {
                return Err(Error::Budget { limit, needed, allowed });
            }
        }
        self.done = done;
        Ok(())
    }

    /// Counts bytes that stay until [`release`](Meter::release).
    pub fn hold(&mut self, bytes: u64) {
        self.held = self.held.saturating_add(bytes);
    }

    pub fn release(&mut self, bytes: u64) {
        self.held = self.held.saturating_sub(bytes);
    }
}
