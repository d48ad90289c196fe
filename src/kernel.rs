//! The kernel contract: one struct of parameters, one WGSL shader and one Rust twin that compute the same.
//!
//! `shaders/<stem>.wgsl` and `src/kernels/<stem>.rs` share names, index expressions and order. Buffers are slices
//! of 4-byte words: those that are read are `&[f32]`, written ones `&mut [f32]`, which is WebGPU's own aliasing rule.
//! Indices are `u32` words in such a slice; [`words`] views them.

use std::any::Any;

use bytemuck::Pod;

use crate::error::{Error, Result};

/// Threads of one workgroup in the kernels that give every element a thread.
pub const WORKGROUP: usize = 64;

/// Workgroups along x before [`linear_groups`] goes on along y; `shaders/common/linear.wgsl` undoes it.
const FOLD: usize = 32_768;

/// Iterations of all loops of one invocation after which llvmpipe, Mesa's software adapter, ends every loop without a word.
pub(crate) const MOST_LOOPS: u64 = u16::MAX as u64;

/// Buffers of a kernel, at most: WebGPU's default limit.
pub(crate) const MOST_BUFFERS: usize = 8;

/// One kernel: `R` buffers that it reads, `W` buffers that it writes.
pub trait Kernel<const R: usize, const W: usize>: Pod + Send + Sync + Params {
    /// The stem: names the shader, its test and its label on the GPU.
    const NAME: &'static str;
    /// The shader, in parts that follow each other; those that it shares with others are in a program once.
    const WGSL: &'static [&'static str];
    /// Names of the bindings that are read, from binding 1 on.
    const READS: [&'static str; R];
    /// Names of the bindings that are written, after those that are read.
    const WRITES: [&'static str; W];
    /// Names of the bindings that hold `u32` words; all others hold `f32`.
    const INDICES: &'static [&'static str] = &[];

    /// Whether an index into a buffer is read from a buffer, so that their lengths do not prove it in range.
    const ADDRESSES: bool = !Self::INDICES.is_empty();
    /// Lanes that every subgroup must have; 0 when the shader uses none.
    const SUBGROUP: u32 = 0;

    /// Refuses parameters for which the other functions have no meaning: extents of 0, unknown operations, strides
    /// that overflow. Called before any of them.
    ///
    /// # Errors
    /// [`Error::Value`] naming the parameter.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// Refuses parameters that only the twin can run.
    ///
    /// # Errors
    /// [`Error::Limit`] naming the limit.
    fn check_shader(&self) -> Result<()> {
        Ok(())
    }

    /// Iterations of all loops of one invocation, at most; 0 where no loop is long.
    fn loops(&self) -> u64 {
        0
    }

    /// Workgroups of one dispatch.
    fn groups(&self) -> [u32; 3];

    /// Least number of words that each buffer must hold.
    fn lens(&self) -> ([usize; R], [usize; W]);

    /// Multiply-adds of one dispatch, roughly: bounds how much is submitted at once.
    fn work(&self) -> u64 {
        let (reads, writes) = self.lens();
        reads.into_iter().chain(writes).map(|n| n as u64).sum()
    }

    /// The reference twin: for reading and for checking. Whatever is faster is another function.
    fn run(&self, reads: [&[f32]; R], writes: [&mut [f32]; W]);
}

/// Reflection of a parameter block: field names and WGSL types, in order. Implemented by the macro `params!`.
pub trait Params {
    /// `(name, WGSL type)` of each field.
    const FIELDS: &'static [(&'static str, &'static str)];
}

/// What a kernel is, without its type and parameters.
#[cfg_attr(not(feature = "gpu"), expect(dead_code, reason = "what only a GPU asks"))]
pub(crate) struct Program {
    pub name: &'static str,
    pub wgsl: &'static [&'static str],
    pub reads: &'static [&'static str],
    pub writes: &'static [&'static str],
    pub addresses: bool,
    pub subgroup: u32,
    /// Bytes of the parameter block.
    pub size: usize,
}

/// A kernel with its parameters, without its type: all that depends on the type is here, so that what runs kernels is
/// compiled once, not once for each.
#[cfg_attr(not(feature = "gpu"), expect(dead_code, reason = "what only a GPU asks"))]
pub(crate) trait Call {
    fn check(&self) -> Result<()>;
    fn check_shader(&self) -> Result<()>;
    fn groups(&self) -> [u32; 3];
    fn loops(&self) -> u64;
    fn work(&self) -> u64;
    /// Of the buffers that are read, then of those written, then 0.
    fn lens(&self, lens: &mut [usize; MOST_BUFFERS]);
    /// The parameter block.
    fn bytes(&self) -> &[u8];
    fn kernel(&self) -> &(dyn Any + Send + Sync);
    /// Runs the twin on as many buffers as the kernel has.
    fn run(&self, reads: &[&[f32]], writes: &mut [&mut [f32]]);
}

/// A kernel as a [`Call`].
pub(crate) struct Typed<'a, K, const R: usize, const W: usize>(pub &'a K);

impl<K: Kernel<R, W>, const R: usize, const W: usize> Typed<'_, K, R, W> {
    pub const PROGRAM: Program = Program {
        name: K::NAME,
        wgsl: K::WGSL,
        reads: &K::READS,
        writes: &K::WRITES,
        addresses: K::ADDRESSES,
        subgroup: K::SUBGROUP,
        size: size_of::<K>(),
    };
}

impl<K: Kernel<R, W>, const R: usize, const W: usize> Call for Typed<'_, K, R, W> {
    fn check(&self) -> Result<()> {
        self.0.check()
    }

    fn check_shader(&self) -> Result<()> {
        self.0.check_shader()
    }

    fn groups(&self) -> [u32; 3] {
        self.0.groups()
    }

    fn loops(&self) -> u64 {
        self.0.loops()
    }

    fn work(&self) -> u64 {
        self.0.work()
    }

    fn lens(&self, lens: &mut [usize; MOST_BUFFERS]) {
        const { assert!(R + W <= MOST_BUFFERS, "more buffers than WebGPU binds") };
        let (reads, writes) = self.0.lens();
        lens[..R].copy_from_slice(&reads);
        lens[R..R + W].copy_from_slice(&writes);
    }

    fn bytes(&self) -> &[u8] {
        bytemuck::bytes_of(self.0)
    }

    fn kernel(&self) -> &(dyn Any + Send + Sync) {
        self.0
    }

    fn run(&self, reads: &[&[f32]], writes: &mut [&mut [f32]]) {
        let reads = std::array::from_fn(|i| reads[i]);
        let mut writes = writes.iter_mut();
        self.0.run(reads, std::array::from_fn(|_| writes.next().map_or(&mut [][..], |w| &mut **w)));
    }
}

/// What the contract test needs to know of a kernel, without its type.
#[derive(Clone, Debug)]
pub struct Contract {
    /// The stem.
    pub name: &'static str,
    /// The complete shader.
    pub wgsl: String,
    /// `(name, is u32)` of the bindings that are read.
    pub reads: Vec<(&'static str, bool)>,
    /// `(name, is u32)` of the bindings that are written.
    pub writes: Vec<(&'static str, bool)>,
    /// `(name, WGSL type)` of the parameters.
    pub params: &'static [(&'static str, &'static str)],
    /// Bytes of the parameter block.
    pub size: usize,
    /// Lanes that every subgroup must have; 0 when the shader uses none.
    pub subgroup: u32,
    /// Invocations of a workgroup along each dimension.
    pub workgroup_size: [u64; 3],
    /// Bytes of workgroup memory.
    pub workgroup_bytes: u64,
}

/// The contract of kernel `K`.
pub fn contract<const R: usize, const W: usize, K: Kernel<R, W>>() -> Contract {
    let typed = |name: &'static str| (name, K::INDICES.contains(&name));
    Contract {
        name: K::NAME,
        wgsl: K::WGSL.join("\n"),
        reads: K::READS.map(typed).to_vec(),
        writes: K::WRITES.map(typed).to_vec(),
        params: K::FIELDS,
        size: size_of::<K>(),
        subgroup: K::SUBGROUP,
        workgroup_size: crate::wgsl::workgroup_size(K::WGSL),
        workgroup_bytes: crate::wgsl::workgroup_bytes(K::WGSL),
    }
}

/// Workgroups that give each of `threads` one invocation; `linear(id)` in WGSL counts them.
pub fn linear_groups(threads: usize) -> [u32; 3] {
    let groups = threads.div_ceil(WORKGROUP).max(1);
    [groups.min(FOLD) as u32, groups.div_ceil(FOLD) as u32, 1]
}

/// Refuses parameters that are 0.
pub(crate) fn at_least_one<const N: usize>(op: &'static str, fields: [(&'static str, u32); N]) -> Result<()> {
    match fields.into_iter().find(|(_, value)| *value == 0) {
        Some((name, _)) => Err(Error::value(op, name, "at least 1", 0)),
        None => Ok(()),
    }
}

/// Refuses parameters `(name, value, most)` above their most.
pub(crate) fn at_most<const N: usize>(op: &'static str, fields: [(&'static str, u32, usize); N]) -> Result<()> {
    match fields.into_iter().find(|(_, value, most)| *value as usize > *most) {
        Some((name, value, most)) => Err(Error::value(op, name, format!("at most {most}"), value)),
        None => Ok(()),
    }
}

// Shaders compute indices, lengths and bounds of loops in 32 bits, and twins in `usize`, which has 32 bits in a browser. So
// `check` tests every product and sum of parameters by one of the next three functions, before anything else computes with
// them. `tests/bounds.rs` tries every kernel at the edges of 16, 31 and 32 bits.

/// Largest bound of a loop that no buffer's length limits: counters pass their bound by up to a tile.
const LONGEST: usize = 1 << 31;

/// Refuses a buffer with these extents if its length does not fit a `u32`.
pub(crate) fn countable(op: &'static str, arg: &'static str, extents: &[u32]) -> Result<()> {
    let count = extents.iter().try_fold(1u64, |n, &extent| n.checked_mul(extent.into()));
    match count {
        Some(count) if count < u64::from(u32::MAX) => Ok(()),
        _ => Err(Error::value(op, arg, "fewer than 2^32 - 1 elements", format!("extents {extents:?}"))),
    }
}

/// Refuses a buffer whose last index, `offset + Σ (extent − 1)·step`, does not fit a `u32`.
pub(crate) fn addressable(op: &'static str, arg: &'static str, offset: u32, steps: &[(u32, u32)]) -> Result<()> {
    let last = steps.iter().try_fold(u64::from(offset), |sum, &(extent, step)| {
        u64::from(extent.saturating_sub(1)).checked_mul(step.into()).and_then(|n| sum.checked_add(n))
    });
    match last {
        Some(last) if last < u64::from(u32::MAX) => Ok(()),
        _ => Err(Error::value(op, arg, "fewer than 2^32 - 1 elements", "strides that reach further")),
    }
}

/// Refuses bounds of loops that leave a counter no room to pass them by a tile.
pub(crate) fn loopable<const N: usize>(op: &'static str, fields: [(&'static str, u32); N]) -> Result<()> {
    at_most(op, fields.map(|(name, value)| (name, value, LONGEST)))
}

/// The `u32` words of a buffer of indices.
pub fn words(buffer: &[f32]) -> &[u32] {
    bytemuck::cast_slice(buffer)
}

/// Rust types that a parameter block may hold, by their WGSL names.
pub trait Field {
    /// The WGSL type.
    const WGSL: &'static str;
}
impl Field for u32 {
    const WGSL: &'static str = "u32";
}
impl Field for f32 {
    const WGSL: &'static str = "f32";
}
impl Field for [u32; 4] {
    const WGSL: &'static str = "vec4<u32>";
}
impl Field for [f32; 4] {
    const WGSL: &'static str = "vec4<f32>";
}

/// Declares a kernel's parameter block: `repr(C)`, `Pod`, and its fields reflected for the contract test.
macro_rules! params {
    ($(#[$meta:meta])* pub struct $name:ident { $($(#[$fmeta:meta])* pub $field:ident: $type:ty,)* }) => {
        $(#[$meta])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug, Default, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
        pub struct $name { $($(#[$fmeta])* pub $field: $type,)* }

        impl $crate::kernel::Params for $name {
            const FIELDS: &'static [(&'static str, &'static str)] =
                &[$((stringify!($field), <$type as $crate::kernel::Field>::WGSL)),*];
        }
    };
}
pub(crate) use params;

/// The shader of a stem, after the parts it shares with others.
macro_rules! wgsl {
    ($($stem:literal),+) => {
        &[$({
            const TEXT: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/", $stem, ".wgsl"));
            const BARE: [u8; $crate::wgsl::bare::<0>(TEXT).1] = $crate::wgsl::bare(TEXT).0;
            match std::str::from_utf8(&BARE) {
                Ok(text) => text,
                Err(_) => panic!("comments are cut at whole characters"),
            }
        }),+]
    };
}
pub(crate) use wgsl;
