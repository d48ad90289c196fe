//! The CPU device: runs a kernel's twin, or a faster function where there is one.

use std::any::Any;
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::kernel::Kernel;

/// 4-byte words that tensors of the CPU device share.
pub(crate) struct Memory(RwLock<Vec<f32>>);

impl Memory {
    pub fn new(words: Vec<f32>) -> Arc<Self> {
        Arc::new(Self(RwLock::new(words)))
    }

    pub fn read(&self) -> RwLockReadGuard<'_, Vec<f32>> {
        self.0.read().expect("a kernel panicked while it held this buffer")
    }

    fn write(&self) -> RwLockWriteGuard<'_, Vec<f32>> {
        self.0.write().expect("a kernel panicked while it held this buffer")
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
}

pub(crate) struct Cpu {
    options: CpuOptions,
}

impl Cpu {
    pub fn new(options: CpuOptions) -> Self {
        Self { options }
    }

    pub fn name(&self) -> String {
        "cpu".into()
    }

    /// Buffers must be as long as the kernel asks and none may be both read and written: the caller checked.
    pub fn run<const R: usize, const W: usize, K: Kernel<R, W>>(
        &self,
        kernel: &K,
        reads: [&Memory; R],
        writes: [&Memory; W],
    ) {
        // A buffer that is bound twice is locked once: a second lock of the same thread may never be granted.
        let first = |i: usize| (0..=i).find(|&j| std::ptr::eq(reads[j], reads[i])).unwrap_or(i);
        let guards: [Option<_>; R] = std::array::from_fn(|i| (first(i) == i).then(|| reads[i].read()));
        let slices: [&[f32]; R] = std::array::from_fn(|i| guards[first(i)].as_ref().map_or(&[][..], |g| &g[..]));
        let mut locked = writes.map(|m| m.write());
        let mut targets = locked.each_mut().map(|g| &mut g[..]);
        if self.options.reference || !self.run_fast(kernel, &slices, &mut targets) {
            kernel.run(slices, targets);
        }
    }

    /// The kernels that matter have a faster function; says whether this was one.
    fn run_fast(&self, kernel: &dyn Any, _reads: &[&[f32]], _writes: &mut [&mut [f32]]) -> bool {
        let _ = kernel;
        false
    }
}
