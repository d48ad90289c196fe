//! Matrix products of the sizes that a GRU needs: `cargo bench --bench matmul`.

mod common;

use criterion::{Criterion, Throughput};
use wgru::kernels::MatMul;

fn main() {
    let mut c = Criterion::default().configure_from_args();
    let mut group = c.benchmark_group("matmul");
    group.sample_size(10);
    let weights = |m: usize, n: usize, k: usize| MatMul::new(m, n, k).b_transposed();
    let shapes = [
        ("step-b1", weights(1, 768, 256)),
        ("step-b8", weights(8, 768, 256)),
        ("step-b32", weights(32, 768, 256)),
        ("input-b32-t128", weights(4096, 768, 256)),
        ("weight-gradient-b32-t64", MatMul::new(768, 256, 2048).a_transposed()),
        ("square-512", MatMul::new(512, 512, 512)),
        ("odd-61x127x253", MatMul::new(61, 127, 253)),
    ];
    for device in common::devices() {
        for (name, p) in &shapes {
            group.throughput(Throughput::Elements(2 * u64::from(p.m) * u64::from(p.n) * u64::from(p.k)));
            common::kernel(&mut group, &device, name, p);
        }
    }
    group.finish();
    c.final_summary();
}
