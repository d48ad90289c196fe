//! The CPU device: runs a kernel's twin, or a faster function where there is one.

mod cell;
mod gru;
mod int8;
mod lines;
mod matmul;
mod packed;
mod shelf;
mod simd;
mod step;

use std::any::Any;
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::error::{Error, Result};
use crate::kernel::Kernel;
use crate::kernels::{
    GruSequence, GruSequenceBackward, LstmCell, LstmCellBackward, MatMul, RnnCell, StateUpdate, StateUpdateBackward,
};
use lines::Lines;
pub use packed::Precision;
pub(crate) use packed::{Inputs, Packed};
use shelf::Shelf;
pub(crate) use simd::{Isa, LANES};
pub(crate) use step::Gates;

/// 4-byte words that tensors of the CPU device share. They go back to their shelf when dropped.
pub(crate) struct Memory {
    lines: RwLock<Lines>,
    shelf: Arc<Shelf>,
}

impl Drop for Memory {
    fn drop(&mut self) {
        // Not what a panic left.
        if let Ok(lines) = self.lines.get_mut() {
            self.shelf.give(std::mem::take(lines));
        }
    }
}

impl Memory {
    pub fn read(&self) -> RwLockReadGuard<'_, Lines> {
        self.lines.read().expect("a kernel panicked while it held this buffer")
    }

    fn write(&self) -> RwLockWriteGuard<'_, Lines> {
        self.lines.write().expect("a kernel panicked while it held this buffer")
    }

    pub fn overwrite(&self, words: &[f32]) {
        self.write()[..words.len()].copy_from_slice(words);
    }
}

/// How the CPU device works; [`Default`] uses what the machine has.
#[derive(Clone, Debug, Default)]
pub struct CpuOptions {
    /// Threads for large work; `None` takes rayon's pool. The numbers do not depend on it.
    pub threads: Option<usize>,
    /// Run the reference twins only: slow, for checking the fast paths.
    pub reference: bool,
    /// `avx512`, `avx2`, `neon` or `portable`; `None` takes the best that the processor has.
    pub isa: Option<String>,
}

pub(crate) struct Cpu {
    options: CpuOptions,
    isa: Isa,
    /// Threads of its own, if a number was asked for.
    pool: Option<rayon::ThreadPool>,
    shelf: Arc<Shelf>,
}

impl Cpu {
    /// What the machine has.
    pub fn best() -> Self {
        Self { options: CpuOptions::default(), isa: Isa::detect(), pool: None, shelf: Arc::default() }
    }

    pub fn new(options: CpuOptions) -> Result<Self> {
        let isa = match &options.isa {
            None => Isa::detect(),
            Some(name) => *Isa::available().iter().find(|i| i.name() == name).ok_or_else(|| {
                let names: Vec<_> = Isa::available().iter().map(|i| i.name()).collect();
                Error::value("Device::cpu_with", "isa", format!("one of {names:?}"), name)
            })?,
        };
        let pool = match options.threads {
            None | Some(1) => None,
            Some(0) => return Err(Error::value("Device::cpu_with", "threads", "at least 1", 0)),
            Some(n) => Some(rayon::ThreadPoolBuilder::new().num_threads(n).build().map_err(|e| {
                Error::value("Device::cpu_with", "threads", "as many as the system gives", format!("{n}: {e}"))
            })?),
        };
        Ok(Self { options, isa, pool, shelf: Arc::default() })
    }

    /// `words` of any value.
    pub fn alloc(&self, words: usize) -> Arc<Memory> {
        Arc::new(Memory { lines: RwLock::new(self.shelf.take(words)), shelf: self.shelf.clone() })
    }

    pub fn name(&self) -> String {
        if self.options.reference { "cpu (reference twins)".into() } else { format!("cpu ({})", self.isa.name()) }
    }

    /// Buffers must be as long as the kernel asks and none may be both read and written: the caller checked.
    pub fn run<const R: usize, const W: usize, K: Kernel<R, W>>(
        &self,
        kernel: &K,
        reads: [&Memory; R],
        writes: [&Memory; W],
    ) {
        // A buffer that is read twice is locked once: a second lock of the same thread may never be granted. All are
        // locked in the order of their addresses, so that two threads cannot wait for each other.
        let first = |i: usize| (0..=i).find(|&j| std::ptr::eq(reads[j], reads[i])).unwrap_or(i);
        let mut order: Vec<usize> = (0..R + W).filter(|&i| i >= R || first(i) == i).collect();
        order.sort_by_key(|&i| std::ptr::from_ref(if i < R { reads[i] } else { writes[i - R] }));
        let mut read: [Option<_>; R] = std::array::from_fn(|_| None);
        let mut written: [Option<_>; W] = std::array::from_fn(|_| None);
        for i in order {
            match i.checked_sub(R) {
                None => read[i] = Some(reads[i].read()),
                Some(w) => written[w] = Some(writes[w].write()),
            }
        }
        let slices: [&[f32]; R] = std::array::from_fn(|i| read[first(i)].as_ref().map_or(&[][..], |g| &g[..]));
        let mut targets = written.each_mut().map(|g| g.as_mut().map_or(&mut [][..], |g| &mut g[..]));
        if self.options.reference || !self.run_fast(kernel, &slices, &mut targets) {
            kernel.run(slices, targets);
        }
    }

    /// The kernels that matter have a faster function; says whether this was one.
    fn run_fast(&self, kernel: &(dyn Any + Send + Sync), reads: &[&[f32]], writes: &mut [&mut [f32]]) -> bool {
        if self.run_cell(kernel, reads, writes) == Some(true) {
            return true;
        }
        match &self.pool {
            Some(pool) if is_large(reads) => pool.install(|| self.run_large(kernel, reads, writes)).is_some(),
            _ => self.run_large(kernel, reads, writes).is_some(),
        }
    }

    /// Those that may split their work over threads.
    fn run_large(&self, kernel: &(dyn Any + Send + Sync), reads: &[&[f32]], writes: &mut [&mut [f32]]) -> Option<()> {
        let parallel = self.options.threads != Some(1);
        if let Some(kernel) = kernel.downcast_ref::<MatMul>() {
            matmul::run(self.isa, parallel, kernel, reads.try_into().ok()?, writes.first_mut()?);
        } else if let Some(kernel) = kernel.downcast_ref::<GruSequence>() {
            let [state, y, saved] = writes else { return None };
            gru::forward(self.isa, parallel, kernel, reads.try_into().ok()?, [state, y, saved]);
        } else if let Some(kernel) = kernel.downcast_ref::<GruSequenceBackward>() {
            let [d_gates, carry] = writes else { return None };
            gru::backward(self.isa, parallel, kernel, reads.try_into().ok()?, [d_gates, carry]);
        } else {
            return None;
        }
        Some(())
    }

    /// Those of one step, where their options are the usual ones.
    fn run_cell(&self, kernel: &(dyn Any + Send + Sync), reads: &[&[f32]], writes: &mut [&mut [f32]]) -> Option<bool> {
        if let Some(kernel) = kernel.downcast_ref::<RnnCell>() {
            let [fresh, saved] = writes else { return None };
            Some(cell::rnn(self.isa, kernel, reads.try_into().ok()?, [fresh, saved]))
        } else if let Some(kernel) = kernel.downcast_ref::<LstmCell>() {
            let [fresh, saved] = writes else { return None };
            Some(cell::lstm(self.isa, kernel, reads.try_into().ok()?, [fresh, saved]))
        } else if let Some(kernel) = kernel.downcast_ref::<LstmCellBackward>() {
            let [d_gates, carry] = writes else { return None };
            Some(cell::lstm_backward(self.isa, kernel, reads.try_into().ok()?, [d_gates, carry]))
        } else if let Some(kernel) = kernel.downcast_ref::<StateUpdate>() {
            let [state, y, _] = writes else { return None };
            Some(cell::update(kernel, reads.try_into().ok()?, [state, y]))
        } else if let Some(kernel) = kernel.downcast_ref::<StateUpdateBackward>() {
            let [d_fresh, carry] = writes else { return None };
            Some(cell::update_backward(kernel, reads.try_into().ok()?, [d_fresh, carry]))
        } else {
            None
        }
    }
}

/// Whether work on these buffers may be split over threads: only then is it handed to the pool.
fn is_large(reads: &[&[f32]]) -> bool {
    reads.iter().map(|r| r.len()).sum::<usize>() >= 1 << 12
}
