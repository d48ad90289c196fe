//! Runs kernels on tensors: checks them, then hands them to the device.

use std::marker::PhantomData;
use std::sync::Arc;

use crate::cpu;
use crate::device::{Device, Engine};
use crate::error::{Error, Result};
#[cfg(feature = "gpu")]
use crate::gpu;
use crate::kernel::{Call, Kernel, MOST_BUFFERS, Program, Typed};
use crate::tensor::Tensor;

impl Device {
    /// Runs one kernel. The CPU runs it at once; a GPU records it and submits it later.
    ///
    /// # Errors
    /// [`Error::Shape`] if a buffer is shorter than the kernel requires, [`Error::DeviceMix`] for tensors of another
    /// device, [`Error::Value`] if a tensor is both read and written, or written twice, [`Error::Limit`] for too many
    /// workgroups.
    #[doc(hidden)]
    pub fn run<const R: usize, const W: usize, K: Kernel<R, W>>(
        &self,
        kernel: &K,
        reads: [&Tensor; R],
        writes: [&Tensor; W],
    ) -> Result<()> {
        let (program, call) = (&Typed::<K, R, W>::PROGRAM, Typed::<K, R, W>(*kernel));
        self.run_once(program, cpu::fast_of::<K>(), &reads, &writes, &call)
    }

    /// Runs a kernel once. On the CPU this creates no binding.
    fn run_once(
        &self,
        program: &Program,
        fast: Option<cpu::Fast>,
        reads: &[&Tensor],
        writes: &[&Tensor],
        call: &dyn Call,
    ) -> Result<()> {
        match self.engine() {
            Engine::Cpu(cpu) => {
                self.check_bind(program.name, (program.reads, reads), (program.writes, writes))?;
                call.check()?;
                let (mut lens, (need, written)) = ([0; MOST_BUFFERS], (program.reads, program.writes));
                call.lens(&mut lens);
                check_lens(program.name, need, &lens, reads.iter().map(|t| t.len()))?;
                check_lens(program.name, written, &lens[reads.len()..], writes.iter().map(|t| t.len()))?;
                let all = |i: usize| if i < reads.len() { reads[i] } else { writes[i - reads.len()] };
                run_on(cpu, program.name, call, fast, [reads.len(), writes.len()], &|i| all(i).memory().cpu());
                writes.iter().for_each(|t| t.touch());
                Ok(())
            }
            #[cfg(feature = "gpu")]
            Engine::Gpu(_) => self.bind_any(program, call.variant(), fast, reads, writes)?.run(call),
        }
    }

    /// Binds tensors to variant `variant` of a kernel, which can then run any number of times.
    ///
    /// # Errors
    /// Same as [`Device::run`].
    #[doc(hidden)]
    pub fn bind<const R: usize, const W: usize, K: Kernel<R, W>>(
        &self,
        variant: usize,
        reads: [&Tensor; R],
        writes: [&Tensor; W],
    ) -> Result<Bound<K, R, W>> {
        let raw = self.bind_any(&Typed::<K, R, W>::PROGRAM, variant, cpu::fast_of::<K>(), &reads, &writes)?;
        Ok(Bound { raw, kernel: PhantomData })
    }

    fn bind_any(
        &self,
        program: &Program,
        variant: usize,
        fast: Option<cpu::Fast>,
        reads: &[&Tensor],
        writes: &[&Tensor],
    ) -> Result<BoundAny> {
        self.check_bind(program.name, (program.reads, reads), (program.writes, writes))?;
        let lens = reads.iter().chain(writes).map(|t| t.len()).collect();
        let all = reads.iter().chain(writes);
        let engine = match self.engine() {
            Engine::Cpu(_) => BoundEngine::Cpu(fast, all.map(|t| t.memory().cpu().clone()).collect()),
            #[cfg(feature = "gpu")]
            Engine::Gpu(gpu) => {
                BoundEngine::Gpu(gpu.bind(&program.of(variant), all.map(|t| t.memory().gpu().clone()).collect())?)
            }
        };
        let names = (program.name, program.reads, program.writes);
        let writes = writes.iter().map(|t| t.detach()).collect();
        Ok(BoundAny { device: self.clone(), engine, writes, lens, names, variant })
    }

    /// Checks that all tensors are on this device, and that no written tensor is bound twice.
    fn check_bind(
        &self,
        op: &'static str,
        (read_names, reads): (&[&'static str], &[&Tensor]),
        (write_names, writes): (&[&'static str], &[&Tensor]),
    ) -> Result<()> {
        for (tensor, arg) in reads.iter().zip(read_names).chain(writes.iter().zip(write_names)) {
            self.check_same(op, arg, tensor)?;
        }
        for (i, (tensor, arg)) in writes.iter().zip(write_names).enumerate() {
            if writes[..i].iter().any(|w| w.shares_memory(tensor)) {
                return Err(Error::value(op, arg, "a tensor that is not written twice", "one that is"));
            }
            if reads.iter().any(|r| r.shares_memory(tensor)) {
                return Err(Error::value(op, arg, "a tensor that is not read too", "one that is"));
            }
        }
        Ok(())
    }
}

/// Tensors bound to kernel `K`.
pub struct Bound<K, const R: usize, const W: usize> {
    raw: BoundAny,
    kernel: PhantomData<K>,
}

/// Tensors bound to a kernel.
struct BoundAny {
    device: Device,
    engine: BoundEngine,
    /// The written tensors, to update their versions.
    writes: Vec<Tensor>,
    lens: Vec<usize>,
    /// Names of the kernel, of the bindings that it reads, and of those that it writes.
    names: (&'static str, &'static [&'static str], &'static [&'static str]),
    /// Variant of the kernel.
    variant: usize,
}

enum BoundEngine {
    Cpu(Option<cpu::Fast>, Vec<Arc<cpu::Memory>>),
    #[cfg(feature = "gpu")]
    Gpu(gpu::Binding),
}

impl<K: Kernel<R, W>, const R: usize, const W: usize> Bound<K, R, W> {
    /// Runs the kernel on the bound tensors.
    ///
    /// # Errors
    /// Same as [`Device::run`].
    pub fn run(&mut self, kernel: &K) -> Result<()> {
        self.raw.run(&Typed::<K, R, W>(*kernel))
    }
}

impl BoundAny {
    fn run(&mut self, call: &dyn Call) -> Result<()> {
        call.check()?;
        let (name, reads, writes) = self.names;
        if call.variant() != self.variant {
            return Err(Error::value(name, "variant", self.variant, call.variant()));
        }
        let (mut lens, r) = ([0; MOST_BUFFERS], reads.len());
        call.lens(&mut lens);
        check_lens(name, reads, &lens, self.lens[..r].iter().copied())?;
        check_lens(name, writes, &lens[r..], self.lens[r..].iter().copied())?;
        let done = match (self.device.engine(), &mut self.engine) {
            (Engine::Cpu(cpu), BoundEngine::Cpu(fast, memory)) => {
                run_on(cpu, name, call, *fast, [r, writes.len()], &|i| &memory[i]);
                Ok(())
            }
            #[cfg(feature = "gpu")]
            (Engine::Gpu(gpu), BoundEngine::Gpu(binding)) => {
                call.check_shader()?;
                let (groups, loops) = (call.groups(), call.loops());
                gpu.check_dispatch(name, groups, loops)?;
                gpu.dispatch(binding, call.bytes(), groups, [call.work(), loops])
            }
            #[cfg(feature = "gpu")]
            _ => unreachable!("bound by this device"),
        };
        // Updates versions after the write, so that a version read before it no longer matches.
        self.writes.iter().for_each(Tensor::touch);
        done
    }
}

/// Runs a call on its buffers. `memory` returns the buffers to read, followed by those to write.
fn run_on<'a>(
    cpu: &cpu::Cpu,
    name: &'static str,
    call: &dyn Call,
    fast: Option<cpu::Fast>,
    [reads, writes]: [usize; 2],
    memory: &dyn Fn(usize) -> &'a Arc<cpu::Memory>,
) {
    // The rest of the array repeats the last buffer. Every kernel writes at least one.
    let all: [&cpu::Memory; MOST_BUFFERS] = std::array::from_fn(|i| &**memory(i.min(reads + writes - 1)));
    cpu.run(call, fast, &all[..reads], &all[reads..reads + writes]);
    cpu::recording::launched(name, call, fast, reads, &|| (0..reads + writes).map(|i| memory(i).clone()).collect());
}

fn check_lens(op: &'static str, args: &[&'static str], need: &[usize], has: impl Iterator<Item = usize>) -> Result<()> {
    for ((arg, need), has) in args.iter().zip(need).zip(has) {
        if has < *need {
            return Err(Error::shape(op, arg, format!("at least {need} elements"), &[has]));
        }
    }
    Ok(())
}
