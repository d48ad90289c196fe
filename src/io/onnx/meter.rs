//! Limits on the memory and work of a run. The cost of each node is known before it runs.

use super::value::Value;
use crate::error::{Error, Result};

/// Bytes that a run may hold, in addition to [`MEMORY_SHARE`] per byte of its inputs.
const MEMORY: u64 = 512 << 20;
const MEMORY_SHARE: u64 = 256;
/// Work that a run may do, in addition to [`WORK_SHARE`] for each pair of an input element with a weight (layers) or
/// with another input element (attention).
const WORK: u64 = 1 << 30;
const WORK_SHARE: u64 = 4;
/// Work of writing a float, in multiply-adds.
const ELEMENT: u64 = 8;
/// Work of writing an integer, whose index is computed one axis at a time.
const INTEGER: u64 = 64;
/// Fixed work of a product, in addition to its multiply-adds.
const PRODUCT: u64 = 256;
/// Bytes that constants computed at load may take, in addition to [`FOLDED_SHARE`] per byte of the file.
const FOLDED: u64 = 16 << 20;
const FOLDED_SHARE: u64 = 8;

/// Limits of one run of a model. The defaults depend on the model and its inputs: a small file cannot demand gigabytes
/// or hours, and typical models get many times what they need.
///
/// ```no_run
/// use wgru::{Device, io::onnx::{Limits, OnnxModel}};
/// let model = OnnxModel::load(&Device::cpu(), &std::fs::read("model.onnx").unwrap())?;
/// let model = model.with_limits(Limits { memory: Some(8 << 30), ..Limits::default() });
/// # Ok::<(), wgru::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Maximum bytes of all values between nodes, including the temporary memory of the running node. Weights and
    /// inputs do not count. Default: 512 MiB plus 256 times the bytes of the inputs.
    pub memory: Option<u64>,
    /// Maximum work in multiply-adds. Writing a float counts as 8, writing an integer as 64. Default: 2^30, plus 4 for
    /// each pair of an input element with a weight or with another input element.
    pub work: Option<u64>,
}

/// Memory and work of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cost {
    /// Bytes of its outputs and temporary values.
    pub bytes: u64,
    /// Multiply-adds.
    pub work: u64,
}

impl Cost {
    /// Cost of writing `n` floats.
    pub fn floats(n: usize) -> Self {
        Self { bytes: 4, work: ELEMENT }.times(n)
    }

    /// Cost of writing `n` integers.
    pub fn ints(n: usize) -> Self {
        Self { bytes: 8, work: INTEGER }.times(n)
    }

    /// Cost of copying a value.
    pub fn copy(value: &Value) -> Self {
        match value {
            Value::Tensor(x) | Value::Whole(x) => Self::floats(x.len()),
            Value::Ints(x) => Self::ints(x.extent()),
        }
    }

    /// Cost of `batch` products of `[m, k]` and `[k, n]`.
    pub fn product([batch, m, k, n]: [usize; 4]) -> Self {
        let each = [m, k, n].into_iter().fold(1u64, |all, n| all.saturating_mul(n as u64));
        Self { bytes: 0, work: each.saturating_add(PRODUCT).saturating_mul(batch as u64) }
    }

    /// Returns `n` times this cost.
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

/// Counts memory held and work done, by a load or by a run with all of its subgraphs.
#[derive(Debug)]
pub(super) struct Meter {
    held: u64,
    memory: u64,
    done: u64,
    work: u64,
}

impl Meter {
    /// Meter for the constants that loading a file of `len` bytes computes or copies. Their memory is never released.
    pub fn of_load(len: usize) -> Self {
        let memory = FOLDED + FOLDED_SHARE * len as u64;
        Self { held: 0, memory, done: 0, work: memory.saturating_mul(ELEMENT) }
    }

    /// Meter for a run of a model with `weights` weights on inputs with `elements` elements.
    pub fn of_run(limits: Limits, weights: u64, elements: u64) -> Self {
        let memory = MEMORY.saturating_add(elements.saturating_mul(4 * MEMORY_SHARE));
        let pairs = elements.saturating_mul(weights.saturating_add(elements));
        let work = WORK.saturating_add(pairs.saturating_mul(WORK_SHARE));
        Self { held: 0, memory: limits.memory.unwrap_or(memory), done: 0, work: limits.work.unwrap_or(work) }
    }

    /// Charges the work of a node that is about to run.
    ///
    /// # Errors
    /// [`Error::Budget`] if the work, or the node's memory in addition to the memory held, exceeds the limit.
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

    /// Counts bytes as held until [`release`](Meter::release).
    pub fn hold(&mut self, bytes: u64) {
        self.held = self.held.saturating_add(bytes);
    }

    pub fn release(&mut self, bytes: u64) {
        self.held = self.held.saturating_sub(bytes);
    }
}
