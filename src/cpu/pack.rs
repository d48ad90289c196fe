//! [`Pack`] by blocks, multithreaded for large matrices: training packs both layouts at every step.
#![allow(unsafe_code, reason = "threads write disjoint blocks of one buffer")]

use super::thread_pool::{Parts, ThreadPool};
use crate::kernel::Kernel;
use crate::kernels::Pack;
use crate::kernels::fused::BLOCK;

/// Weights from which a second thread pays off.
const PARALLEL: usize = 1 << 15;

/// Runs [`Pack`]. Checks the buffer lengths itself.
pub fn run(pool: &ThreadPool, p: &Pack, [u, bias]: [&[f32]; 2], packed: &mut [f32]) {
    let (reads, [len]) = p.lens();
    assert!(u.len() >= reads[0] && bias.len() >= reads[1] && packed.len() >= len);
    let [blocks, rows, row] = p.extent();
    let all = blocks * rows * row;
    let parts = Parts::new(&mut packed[p.direction as usize * all..][..all]);
    let block = |i: usize| {
        // SAFETY: no other thread accesses this block.
        let out = unsafe { parts.get(i * rows * row..(i + 1) * rows * row) };
        fill(p, i * BLOCK, u, bias, out);
    };
    if all < PARALLEL { (0..blocks).for_each(block) } else { pool.over(blocks, block) }
}

/// Packs the block of units starting at `first`.
fn fill(p: &Pack, first: usize, u: &[f32], bias: &[f32], out: &mut [f32]) {
    let [h, gates, depth] = [p.hidden, p.gates, p.depth].map(|n| n as usize);
    let count = BLOCK.min(h - first);
    if count < BLOCK {
        out.fill(0.0);
    }
    for gate in 0..gates {
        if p.transposed == 1 {
            for (k, out) in out.chunks_exact_mut(gates * BLOCK).enumerate() {
                out[gate * BLOCK..][..count].copy_from_slice(&u[(gate * depth + k) * h + first..][..count]);
            }
            continue;
        }
        // Reads one cache line per row at a time, so that the writes stay local too.
        for (part, out) in out[..depth * gates * BLOCK].chunks_mut(BLOCK * gates * BLOCK).enumerate() {
            for lane in 0..count {
                let row = &u[(gate * h + first + lane) * depth + part * BLOCK..];
                for (out, &v) in out[gate * BLOCK + lane..].iter_mut().step_by(gates * BLOCK).zip(row) {
                    *out = v;
                }
            }
        }
        let last = &mut out[(depth * gates + gate) * BLOCK..][..count];
        last.copy_from_slice(&bias[gate * h + first..][..count]);
    }
}
