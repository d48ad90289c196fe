//! The CPU device: runs a kernel's twin, or its fast path if it has one.

mod cell;
mod copy;
mod elementwise;
mod equations;
mod int8;
mod lines;
mod logarithm;
mod matmul;
mod memory;
mod min_gru;
mod pack;
mod packed;
pub(crate) mod recording;
mod rows;
mod scratch;
mod sequence;
mod share_tuner;
mod simd;
mod small;
mod step;
mod sweep;
mod sync;
mod thread_pool;

use std::any::{Any, TypeId};
use std::sync::{Arc, OnceLock, RwLockReadGuard, RwLockWriteGuard};

use crate::error::{Error, Result};
use crate::kernel::{Call, IS_LEAN, MOST_BUFFERS};
use crate::kernels::fused::{GRU, GRU_RESET_BEFORE, LSTM, RNN};
use crate::kernels::{
    Binary, Copy, CrossEntropy, CrossEntropyBackward, Dropout, Fused, LayerNorm, LayerNormBackward, LstmCell,
    LstmCellBackward, MatMul, MinGruSequence, MinGruSequenceBackward, Pack, RecurrentSequence,
    RecurrentSequenceBackward, RnnCell, Softmax, StateUpdate, StateUpdateBackward, Unary, UnaryBackward,
};
pub(crate) use lines::Lines;
pub(crate) use memory::{Memory, Store};
pub(crate) use packed::{Inputs, Packed};
pub(crate) use recording::Recording;
pub(crate) use simd::{Isa, LANES};
pub(crate) use small::{HAS_FAST, SmallHead, SmallStack};
pub(crate) use step::{Matrices, StepScratch, StepWeights};
pub(crate) use thread_pool::ThreadPool;

/// Options of the CPU device; [`Default`] uses everything the machine offers.
#[derive(Clone, Debug, Default)]
pub struct CpuOptions {
    /// Number of threads for large operations. `None` uses the machine's available parallelism, in one thread pool
    /// shared by all such devices. Results do not depend on it.
    pub threads: Option<usize>,
    /// Runs only the reference twins, which are slow, to check the fast paths.
    pub reference: bool,
    /// Instruction set: `avx512`, `avx2`, `neon` or `portable`; `None` selects the best that the processor supports.
    pub isa: Option<String>,
}

/// Maximum number of threads per device.
const MOST_THREADS: usize = 64;

pub(crate) struct Cpu {
    options: CpuOptions,
    isa: Isa,
    pool: Arc<ThreadPool>,
    pub store: Store,
}

impl Cpu {
    /// Returns a device with the default options.
    pub fn best() -> Self {
        let (options, isa) = (CpuOptions::default(), Isa::detect());
        Self { options, isa, pool: shared_pool(), store: Store::default() }
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
            None => shared_pool(),
            Some(n @ 1..=MOST_THREADS) => Arc::new(ThreadPool::new(n)),
            Some(n) => {
                let expected = format!("1 to {MOST_THREADS}");
                return Err(Error::value("Device::cpu_with", "threads", expected, n));
            }
        };
        Ok(Self { options, isa, pool, store: Store::default() })
    }

    pub fn name(&self) -> String {
        if self.options.reference { "cpu (reference twins)".into() } else { format!("cpu ({})", self.isa.name()) }
    }

    /// Whether a batch of `rows` sequences is too small to occupy all threads.
    pub fn has_idle_threads(&self, rows: usize) -> bool {
        !self.options.reference && rows.div_ceil(sequence::GROUP) < self.pool.threads()
    }

    /// Runs a kernel. The caller must have checked that the buffers are long enough and that none is both read and
    /// written. `fast` is the fast path from [`fast_of`] for the kernel's type.
    pub fn run(&self, call: &dyn Call, fast: Option<Fast>, reads: &[&Memory], writes: &[&Memory]) {
        let (read, mut written) = lock(reads, writes);
        // On the stack, because an allocation can take as long as a small kernel.
        let slices: [&[f32]; MOST_BUFFERS] = std::array::from_fn(|i| match i < reads.len() {
            true => read[first(reads, i)].as_ref().map_or(&[][..], |g| &g[..]),
            false => &[],
        });
        let mut targets = written.each_mut().map(|g| g.as_mut().map_or(&mut [][..], |g| &mut g[..]));
        let (slices, targets) = (&slices[..reads.len()], &mut targets[..writes.len()]);
        let fast = fast.unwrap_or(Self::run_fast);
        if self.options.reference || !fast(self, call.kernel(), slices, targets) {
            call.run(slices, targets);
        }
    }

    /// Tries the fast paths of the most common kernels. Returns whether one ran.
    fn run_fast(&self, kernel: &(dyn Any + Send + Sync), reads: &[&[f32]], writes: &mut [&mut [f32]]) -> bool {
        let (isa, pool) = (self.isa, &*self.pool);
        /// Returns whether the fast path ran if `kernel` is a `$kernel`, with these writes.
        macro_rules! fast {
            ($kernel:ty, [$($write:pat),+], |$p:ident, $reads:ident| $run:expr) => {
                if let (Some($p), Ok($reads), [$($write),+]) =
                    (kernel.downcast_ref::<$kernel>(), reads.try_into(), &mut *writes)
                {
                    return $run;
                }
            };
        }
        // Single steps; these cover only the common options.
        fast!(RnnCell, [fresh, saved], |p, reads| cell::rnn(isa, p, reads, [fresh, saved]));
        fast!(LstmCell, [fresh, saved], |p, reads| cell::lstm(isa, p, reads, [fresh, saved]));
        fast!(StateUpdate, [state, y, _], |p, reads| cell::update(p, reads, [state, y]));
        // Not needed by programs that only run models.
        if cfg!(feature = "autograd") {
            if let (Some(p), Ok(reads), [a, b]) = (sequence_backward_of(kernel), reads.try_into(), &mut *writes) {
                sequence::backward(isa, pool, p, reads, [a, b]);
                return true;
            }
            fast!(LstmCellBackward, [a, b], |p, reads| cell::lstm_backward(isa, p, reads, [a, b]));
            fast!(StateUpdateBackward, [a, b], |p, reads| cell::update_backward(p, reads, [a, b]));
        }
        // These may split their work among threads.
        fast!(MatMul, [c], |p, reads| {
            matmul::run(isa, pool, p, reads, c);
            true
        });
        fast!(Pack, [packed], |p, reads| {
            pack::run(pool, p, reads, packed);
            true
        });
        if let (Some(p), Ok(reads), [state, y, saved]) = (sequence_of(kernel), reads.try_into(), &mut *writes) {
            sequence::forward(isa, pool, p, reads, [state, y, saved]);
            return true;
        }
        false
    }
}

/// Returns the parameters if the kernel is one of these.
macro_rules! parameters_of {
    ($name:ident: $($kernel:ty),+) => {
        fn $name(kernel: &(dyn Any + Send + Sync)) -> Option<Fused> {
            $(if let Some(kernel) = kernel.downcast_ref::<$kernel>() {
                return Some(kernel.0);
            })+
            None
        }
    };
}
parameters_of!(
    sequence_of: RecurrentSequence<GRU>,
    RecurrentSequence<GRU_RESET_BEFORE>,
    RecurrentSequence<LSTM>,
    RecurrentSequence<RNN>
);
parameters_of!(
    sequence_backward_of: RecurrentSequenceBackward<GRU>,
    RecurrentSequenceBackward<GRU_RESET_BEFORE>,
    RecurrentSequenceBackward<LSTM>,
    RecurrentSequenceBackward<RNN>
);

/// A fast path of a kernel; returns whether it ran.
pub(crate) type Fast = fn(&Cpu, &(dyn Any + Send + Sync), &[&[f32]], &mut [&mut [f32]]) -> bool;

/// Returns the fast path of a kernel that not every program uses. It is only referenced where the kernel's type is
/// known, so that the linker drops it from programs that never run the kernel.
pub(crate) fn fast_of<K: 'static>() -> Option<Fast> {
    /// Returns the fast path if `K` is `$kernel`, a kernel with these writes.
    macro_rules! fast {
        ($kernel:ty, [$($write:ident),+], |$cpu:ident, $p:ident, $reads:ident| $run:expr) => {
            if TypeId::of::<K>() == TypeId::of::<$kernel>() {
                return Some(|$cpu, kernel, reads, writes| {
                    let (Some($p), Ok($reads), [$($write),+]) =
                        (kernel.downcast_ref::<$kernel>(), reads.try_into(), writes)
                    else {
                        return false;
                    };
                    $run
                });
            }
        };
    }
    fast!(MinGruSequence, [y, h_n], |cpu, p, reads| min_gru::forward(cpu.isa, &cpu.pool, p, reads, [y, h_n]));
    fast!(MinGruSequenceBackward, [d_kv, d_h0], |cpu, p, reads| {
        min_gru::backward(cpu.isa, &cpu.pool, p, reads, [d_kv, d_h0])
    });
    // Nearly every model uses the remaining kernels, so the linker would keep their fast paths. Browser builds that
    // only run models leave them out to save space.
    if IS_LEAN {
        return None;
    }
    fast!(Copy, [dst], |_cpu, p, reads| {
        let [src] = reads;
        copy::run(p, src, dst)
    });
    fast!(Binary, [y], |_cpu, p, reads| elementwise::binary(p, reads, y));
    fast!(Unary, [y], |cpu, p, reads| {
        let [x] = reads;
        elementwise::unary(cpu.isa, p, x, y)
    });
    fast!(UnaryBackward, [dx], |_cpu, p, reads| elementwise::unary_backward(p, reads, dx));
    fast!(Dropout, [y], |cpu, p, reads| {
        let [x] = reads;
        elementwise::dropout(cpu.isa, p, x, y)
    });
    fast!(Softmax, [y], |cpu, p, reads| {
        let [x] = reads;
        rows::softmax(cpu.isa, p, x, y)
    });
    fast!(CrossEntropy, [loss, counted], |cpu, p, reads| rows::cross_entropy(cpu.isa, p, reads, [loss, counted]));
    fast!(CrossEntropyBackward, [dx], |cpu, p, reads| rows::cross_entropy_backward(cpu.isa, p, reads, dx));
    fast!(LayerNorm, [y, stats], |cpu, p, reads| rows::layer_norm(cpu.isa, p, reads, [y, stats]));
    fast!(LayerNormBackward, [dx, dw], |cpu, p, reads| rows::layer_norm_backward(cpu.isa, p, reads, [dx, dw]));
    None
}

/// Index of the first of `reads` that is the same buffer as the `i`-th.
fn first(reads: &[&Memory], i: usize) -> usize {
    (0..=i).find(|&j| std::ptr::eq(reads[j], reads[i])).unwrap_or(i)
}

type Buffers<T> = [Option<T>; MOST_BUFFERS];
type Locked<'a> = (Buffers<RwLockReadGuard<'a, Lines>>, Buffers<RwLockWriteGuard<'a, Lines>>);

/// Locks all buffers of a kernel. A buffer that is read twice is locked only once, since locking it again on the same
/// thread could deadlock. Locking in address order keeps two threads from deadlocking.
fn lock<'a>(reads: &[&'a Memory], writes: &[&'a Memory]) -> Locked<'a> {
    let r = reads.len();
    let place = |i: usize| std::ptr::from_ref(if i < r { reads[i] } else { writes[i - r] });
    let (mut order, mut count) = ([0; MOST_BUFFERS], 0);
    for i in (0..r + writes.len()).filter(|&i| i >= r || first(reads, i) == i) {
        // Insertion sort, since there are only a few buffers.
        let mut at = count;
        while at > 0 && place(order[at - 1]) > place(i) {
            order[at] = order[at - 1];
            at -= 1;
        }
        order[at] = i;
        count += 1;
    }
    let mut read = [const { None }; MOST_BUFFERS];
    let mut written = [const { None }; MOST_BUFFERS];
    for &i in &order[..count] {
        match i.checked_sub(r) {
            None => read[i] = Some(reads[i].read()),
            Some(w) => written[w] = Some(writes[w].write()),
        }
    }
    (read, written)
}

/// Returns the thread pool shared by all devices without an explicit number of threads.
fn shared_pool() -> Arc<ThreadPool> {
    static POOL: OnceLock<Arc<ThreadPool>> = OnceLock::new();
    let threads = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    POOL.get_or_init(|| Arc::new(ThreadPool::new(threads().min(MOST_THREADS)))).clone()
}
