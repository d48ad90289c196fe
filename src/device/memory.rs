//! Memory of a device.

use std::sync::Arc;

use crate::cpu;
#[cfg(feature = "gpu")]
use crate::gpu;

/// A readback in flight.
pub(crate) enum Reading {
    Done(Vec<f32>),
    #[cfg(feature = "gpu")]
    Gpu(gpu::Reading),
}

/// A buffer of 32-bit words on a device.
#[derive(Clone)]
pub(crate) enum Memory {
    Cpu(Arc<cpu::Memory>),
    #[cfg(feature = "gpu")]
    Gpu(Arc<gpu::Memory>),
}

impl Memory {
    pub(crate) fn cpu(&self) -> &Arc<cpu::Memory> {
        match self {
            Memory::Cpu(memory) => memory,
            #[cfg(feature = "gpu")]
            Memory::Gpu(_) => unreachable!("the device of every tensor was checked"),
        }
    }

    #[cfg(feature = "gpu")]
    pub(crate) fn gpu(&self) -> &Arc<gpu::Memory> {
        match self {
            Memory::Gpu(memory) => memory,
            Memory::Cpu(_) => unreachable!("the device of every tensor was checked"),
        }
    }

    pub(crate) fn is_void(&self) -> bool {
        match self {
            Memory::Cpu(_) => false,
            #[cfg(feature = "gpu")]
            Memory::Gpu(memory) => memory.is_void(),
        }
    }

    pub(crate) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Memory::Cpu(a), Memory::Cpu(b)) => Arc::ptr_eq(a, b),
            #[cfg(feature = "gpu")]
            (Memory::Gpu(a), Memory::Gpu(b)) => Arc::ptr_eq(a, b),
            #[cfg(feature = "gpu")]
            _ => false,
        }
    }
}
