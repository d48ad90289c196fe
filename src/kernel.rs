//! The kernel contract: one parameter struct, and a WGSL shader and a Rust twin that compute the same function of it.
//!
//! `shaders/<stem>.wgsl` and `src/kernels/<stem>.rs` share names, index expressions and order. Buffers are slices of
//! 4-byte words: inputs are `&[f32]` and outputs `&mut [f32]`, which matches WebGPU's aliasing rule. Indices are `u32`
//! words in such a slice; [`words`] views them.

use std::any::Any;

use bytemuck::Pod;

use crate::error::{Error, Result};

/// Threads per workgroup in kernels that use one thread per element.
pub const WORKGROUP: usize = 64;

/// Workgroups along x before [`linear_groups`] continues along y; `shaders/common/linear.wgsl` computes the inverse.
const FOLD: usize = 32_768;

/// Loop iterations per invocation after which llvmpipe, Mesa's software adapter, silently ends every loop.
pub(crate) const MOST_LOOPS: u64 = u16::MAX as u64;

/// Whether this is a browser build that only runs recurrent layers. It leaves out what other models need: recordings,
/// and the fast paths of most kernels.
pub(crate) const IS_LEAN: bool =
    cfg!(all(target_arch = "wasm32", not(any(feature = "autograd", feature = "elementwise"))));

/// Maximum number of buffers of a kernel: WebGPU's default limit.
pub(crate) const MOST_BUFFERS: usize = 8;

/// Name and parts of a shader.
pub type Text = (&'static str, &'static [&'static str]);

/// A kernel that reads `R` buffers and writes `W` buffers.
pub trait Kernel<const R: usize, const W: usize>: Pod + Send + Sync + Params {
    /// The stem, which names the shader, its test and its label on the GPU.
    const NAME: &'static str;
    /// The shader as a list of consecutive parts. Parts shared by several shaders are stored only once in the binary.
    const WGSL: &'static [&'static str];
    /// Further shaders that compute the same function from the same buffers.
    const VARIANTS: &'static [Text] = &[];
    /// Names of the bindings that are read, starting at binding 1.
    const READS: [&'static str; R];
    /// Names of the bindings that are written, following those that are read.
    const WRITES: [&'static str; W];
    /// Names of the bindings that hold `u32` words; all others hold `f32`.
    const INDICES: &'static [&'static str] = &[];

    /// Whether the kernel reads an index from a buffer, so that buffer lengths alone do not prove that accesses are in
    /// range.
    const ADDRESSES: bool = !Self::INDICES.is_empty();
    /// Required subgroup size in lanes; 0 if the shader uses no subgroups.
    const SUBGROUP: u32 = 0;

    /// Rejects parameters for which the other functions are undefined: extents of 0, unknown operations, strides that
    /// overflow. Called before any of them.
    ///
    /// # Errors
    /// [`Error::Value`] naming the parameter.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// Returns the index of the shader that runs these parameters: 0 is [`WGSL`](Self::WGSL), and the others are
    /// [`VARIANTS`](Self::VARIANTS).
    fn variant(&self) -> usize {
        0
    }

    /// Rejects parameters that only the twin supports.
    ///
    /// # Errors
    /// [`Error::Limit`] naming the limit.
    fn check_shader(&self) -> Result<()> {
        Ok(())
    }

    /// Upper bound on the iterations of all loops of one invocation; 0 if no loop is long. Like [`work`](Self::work), it
    /// limits the size of a submission: an iteration takes time even if it computes little.
    fn loops(&self) -> u64 {
        0
    }

    /// Workgroups of one dispatch. By default, there is one invocation for each word of the first buffer written.
    fn groups(&self) -> [u32; 3] {
        linear_groups(self.lens().1[0])
    }

    /// Minimum length of each buffer, in words.
    fn lens(&self) -> ([usize; R], [usize; W]);

    /// Approximate number of multiply-adds of one dispatch; bounds how much is submitted at once.
    fn work(&self) -> u64 {
        let (reads, writes) = self.lens();
        reads.into_iter().chain(writes).map(|n| n as u64).sum()
    }

    /// The reference twin, written for readability and as a reference for tests. Faster implementations are separate
    /// functions.
    fn run(&self, reads: [&[f32]; R], writes: [&mut [f32]; W]);
}

/// Reflection of a parameter block: field names and WGSL types, in order. Implemented by the macro `params!`.
pub trait Params {
    /// `(name, WGSL type)` of each field.
    const FIELDS: &'static [(&'static str, &'static str)];
}

/// Static description of a kernel, without its type and parameters.
#[cfg_attr(not(feature = "gpu"), expect(dead_code, reason = "some fields are only read for a GPU"))]
#[derive(Clone, Copy)]
pub(crate) struct Program {
    pub name: &'static str,
    pub wgsl: &'static [&'static str],
    variants: &'static [Text],
    pub reads: &'static [&'static str],
    pub writes: &'static [&'static str],
    pub addresses: bool,
    pub subgroup: u32,
    /// Bytes of the parameter block.
    pub size: usize,
}

impl Program {
    /// Returns the program of a variant.
    #[cfg(feature = "gpu")]
    pub fn of(&self, variant: usize) -> Self {
        match variant.checked_sub(1) {
            None => *self,
            Some(i) => Self { name: self.variants[i].0, wgsl: self.variants[i].1, ..*self },
        }
    }
}

/// Type-erased kernel with its parameters, so that the code that runs kernels is not monomorphized per kernel.
#[cfg_attr(not(feature = "gpu"), expect(dead_code, reason = "some methods are only called for a GPU"))]
pub(crate) trait Call {
    /// Returns a copy, for a recording; `None` in builds without recordings.
    fn boxed(&self) -> Option<Box<dyn Call + Send + Sync>>;
    fn check(&self) -> Result<()>;
    fn variant(&self) -> usize;
    fn check_shader(&self) -> Result<()>;
    fn groups(&self) -> [u32; 3];
    fn loops(&self) -> u64;
    fn work(&self) -> u64;
    /// Stores the minimum length of each buffer: first those read, then those written. Leaves the remaining entries as
    /// they are.
    fn lens(&self, lens: &mut [usize; MOST_BUFFERS]);
    /// The parameter block.
    fn bytes(&self) -> &[u8];
    fn kernel(&self) -> &(dyn Any + Send + Sync);
    /// Runs the twin on as many buffers as the kernel has.
    fn run(&self, reads: &[&[f32]], writes: &mut [&mut [f32]]);
}

/// Adapts a typed kernel to [`Call`].
pub(crate) struct Typed<K, const R: usize, const W: usize>(pub K);

impl<K: Kernel<R, W>, const R: usize, const W: usize> Typed<K, R, W> {
    pub const PROGRAM: Program = Program {
        name: K::NAME,
        wgsl: K::WGSL,
        variants: K::VARIANTS,
        reads: &K::READS,
        writes: &K::WRITES,
        addresses: K::ADDRESSES,
        subgroup: K::SUBGROUP,
        size: size_of::<K>(),
    };
}

impl<K: Kernel<R, W>, const R: usize, const W: usize> Call for Typed<K, R, W> {
    fn boxed(&self) -> Option<Box<dyn Call + Send + Sync>> {
        // Browser builds that record nothing do not need the code.
        (!IS_LEAN).then(|| Box::new(Self(self.0)) as _)
    }

    fn check(&self) -> Result<()> {
        self.0.check()
    }

    fn variant(&self) -> usize {
        self.0.variant()
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
        bytemuck::bytes_of(&self.0)
    }

    fn kernel(&self) -> &(dyn Any + Send + Sync) {
        &self.0
    }

    fn run(&self, reads: &[&[f32]], writes: &mut [&mut [f32]]) {
        let reads = std::array::from_fn(|i| reads[i]);
        let mut writes = writes.iter_mut();
        self.0.run(reads, std::array::from_fn(|_| writes.next().map_or(&mut [][..], |w| &mut **w)));
    }
}

/// A type-erased kernel contract, for the contract test.
#[derive(Clone, Debug)]
pub struct Contract {
    /// The stem.
    pub name: &'static str,
    /// The complete shader text.
    pub wgsl: String,
    /// `(name, is u32)` of the bindings that are read.
    pub reads: Vec<(&'static str, bool)>,
    /// `(name, is u32)` of the bindings that are written.
    pub writes: Vec<(&'static str, bool)>,
    /// `(name, WGSL type)` of the parameters.
    pub params: &'static [(&'static str, &'static str)],
    /// Bytes of the parameter block.
    pub size: usize,
    /// [`Kernel::ADDRESSES`]
    pub addresses: bool,
    /// Required subgroup size in lanes; 0 if the shader uses no subgroups.
    pub subgroup: u32,
    /// Invocations of a workgroup along each dimension.
    pub workgroup_size: [u64; 3],
    /// Bytes of workgroup memory.
    pub workgroup_bytes: u64,
}

/// Returns the contracts of kernel `K`: one for each of its shaders.
pub fn contracts<const R: usize, const W: usize, K: Kernel<R, W>>() -> Vec<Contract> {
    std::iter::once((K::NAME, K::WGSL)).chain(K::VARIANTS.iter().copied()).map(contract::<R, W, K>).collect()
}

fn contract<const R: usize, const W: usize, K: Kernel<R, W>>((name, wgsl): Text) -> Contract {
    let typed = |name: &'static str| (name, K::INDICES.contains(&name));
    Contract {
        name,
        wgsl: wgsl.join("\n"),
        reads: K::READS.map(typed).to_vec(),
        writes: K::WRITES.map(typed).to_vec(),
        params: K::FIELDS,
        size: size_of::<K>(),
        addresses: K::ADDRESSES,
        subgroup: K::SUBGROUP,
        workgroup_size: crate::wgsl::workgroup_size(wgsl),
        workgroup_bytes: crate::wgsl::workgroup_bytes(wgsl),
    }
}

/// Workgroups that give each of `threads` one invocation; `linear(id)` in WGSL is the matching index.
pub fn linear_groups(threads: usize) -> [u32; 3] {
    let groups = threads.div_ceil(WORKGROUP).max(1);
    [groups.min(FOLD) as u32, groups.div_ceil(FOLD) as u32, 1]
}

/// Rejects parameters that are 0.
pub(crate) fn at_least_one<const N: usize>(op: &'static str, fields: [(&'static str, u32); N]) -> Result<()> {
    match fields.into_iter().find(|(_, value)| *value == 0) {
        Some((name, _)) => Err(Error::value(op, name, "at least 1", 0)),
        None => Ok(()),
    }
}

/// Rejects parameters `(name, value, maximum)` above their maximum.
pub(crate) fn at_most<const N: usize>(op: &'static str, fields: [(&'static str, u32, usize); N]) -> Result<()> {
    match fields.into_iter().find(|(_, value, most)| *value as usize > *most) {
        Some((name, value, most)) => Err(Error::value(op, name, format!("at most {most}"), value)),
        None => Ok(()),
    }
}

// Shaders compute indices, lengths and loop bounds in 32 bits, and so do twins in browsers, where `usize` has 32 bits.
// `check` therefore tests every product and sum of parameters with one of the next three functions before anything else
// computes with them. `tests/bounds.rs` tries every kernel at the 16-, 31- and 32-bit edges.

/// Largest loop bound that is not limited by a buffer's length. A counter may exceed its bound by up to a tile.
const LONGEST: usize = 1 << 31;

/// Rejects a buffer with these extents if its length does not fit in a `u32`.
pub(crate) fn countable(op: &'static str, arg: &'static str, extents: &[u32]) -> Result<()> {
    let count = extents.iter().try_fold(1u64, |n, &extent| n.checked_mul(extent.into()));
    match count {
        Some(count) if count < u64::from(u32::MAX) => Ok(()),
        _ => Err(Error::value(op, arg, "fewer than 2^32 - 1 elements", format!("extents {extents:?}"))),
    }
}

/// Rejects a buffer whose last index, `offset + Σ (extent − 1)·step`, does not fit in a `u32`.
pub(crate) fn addressable(op: &'static str, arg: &'static str, offset: u32, steps: &[(u32, u32)]) -> Result<()> {
    let last = steps.iter().try_fold(u64::from(offset), |sum, &(extent, step)| {
        u64::from(extent.saturating_sub(1)).checked_mul(step.into()).and_then(|n| sum.checked_add(n))
    });
    match last {
        Some(last) if last < u64::from(u32::MAX) => Ok(()),
        _ => Err(Error::value(op, arg, "fewer than 2^32 - 1 elements", "strides that extend further")),
    }
}

/// Rejects loop bounds so large that a counter could overflow when it exceeds them by a tile.
pub(crate) fn loopable<const N: usize>(op: &'static str, fields: [(&'static str, u32); N]) -> Result<()> {
    at_most(op, fields.map(|(name, value)| (name, value, LONGEST)))
}

/// Views a buffer of indices as `u32` words.
pub fn words(buffer: &[f32]) -> &[u32] {
    bytemuck::cast_slice(buffer)
}

/// Rust types allowed in a parameter block, with their WGSL names.
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

/// Declares a kernel's parameter block: `repr(C)`, `Pod`, with its fields reflected for the contract test. A kernel
/// with the parameters of another one wraps it.
macro_rules! params {
    ($(#[$meta:meta])* pub struct $name:ident(pub $params:ty);) => {
        $(#[$meta])*
        #[repr(transparent)]
        #[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
        pub struct $name(pub $params);

        impl $crate::kernel::Params for $name {
            const FIELDS: &'static [(&'static str, &'static str)] = <$params as $crate::kernel::Params>::FIELDS;
        }
    };
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

/// Declares the constants that describe a kernel's shader: its stem, the shared parts before it, and the bindings that
/// it reads and writes. Those that hold `u32` words are marked.
///
/// ```text
/// shader!("gather", ["common/linear"], [table, index: u32] -> [out]);
/// ```
macro_rules! shader {
    (@words $name:ident u32) => { stringify!($name) };
    (
        $stem:literal, [$($part:literal),*],
        [$($read:ident $(: $of_read:ident)?),*] -> [$($write:ident $(: $of_write:ident)?),*]
    ) => {
        const NAME: &'static str = $stem;
        const WGSL: &'static [&'static str] = $crate::kernel::wgsl!($($part,)* $stem);
        const READS: [&'static str; <[&str]>::len(&[$(stringify!($read)),*])] = [$(stringify!($read)),*];
        const WRITES: [&'static str; <[&str]>::len(&[$(stringify!($write)),*])] = [$(stringify!($write)),*];
        const INDICES: &'static [&'static str] = &[
            $($($crate::kernel::shader!(@words $read $of_read),)?)*
            $($($crate::kernel::shader!(@words $write $of_write),)?)*
        ];
    };
}
pub(crate) use shader;

/// Expands to the parts of a shader, without comments: shared parts first, then the stem's own.
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
