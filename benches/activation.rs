//! Elementwise activations: `cargo bench --bench activation`.

mod common;

use criterion::{Criterion, Throughput};
use wgru::kernels::{Unary, UnaryOp};

fn main() {
    let mut c = Criterion::default().configure_from_args();
    let mut group = c.benchmark_group("activation");
    group.sample_size(10);
    let len = 1 << 16;
    group.throughput(Throughput::Elements(len));
    for device in common::devices() {
        for op in [UnaryOp::Sigmoid, UnaryOp::Tanh, UnaryOp::Exp, UnaryOp::Relu] {
            let kernel = Unary { len: len as u32, op: op as u32, alpha: 0.0 };
            common::kernel(&mut group, &device, &format!("{op:?}"), &kernel);
        }
    }
    group.finish();
    c.final_summary();
}
