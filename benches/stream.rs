//! One frame of a stream: layers of few units by cell and way of stepping, larger ones by weight precision and batch.
//! `cargo bench --bench stream`; `-- few` or `-- many` runs one half.

use criterion::{BenchmarkId, Criterion, Throughput};
use wgru::nn::RecurrentConfig;
use wgru::{Cell, Device, Precision, Rng, Stream, StreamOptions};

/// Frames of a block.
const BLOCK: usize = 64;

fn stream(cell: Cell, input: usize, hidden: usize, options: StreamOptions) -> Stream {
    let config = RecurrentConfig::new(cell, input, hidden);
    let layer = config.build(&Device::cpu(), &mut Rng::new(1)).expect("built");
    Stream::new(&layer, options).expect("a stream")
}

/// One input, as in models of audio effects: a step, and a block of steps, with exact and with fast activations.
fn few(c: &mut Criterion) {
    let mut group = c.benchmark_group("few");
    group.sample_size(20);
    let x: Vec<f32> = (0..BLOCK).map(|i| (i as f32).sin()).collect();
    for cell in [Cell::Gru, Cell::Lstm] {
        for hidden in [8, 12, 16, 20, 24, 32, 40, 64] {
            for fast_activations in [false, true] {
                let options = StreamOptions { fast_activations, ..Default::default() };
                let (mut stream, name) = (stream(cell, 1, hidden, options), format!("{cell} h{hidden}"));
                let kind = if fast_activations { "fast" } else { "exact" };
                group.throughput(Throughput::Elements(1));
                group.bench_function(BenchmarkId::new(format!("{kind} step"), &name), |b| {
                    b.iter(|| stream.step(&x[..1]).expect("step")[0]);
                });
                let mut out = vec![0.0; BLOCK * hidden];
                group.throughput(Throughput::Elements(BLOCK as u64));
                group.bench_function(BenchmarkId::new(format!("{kind} block of {BLOCK}"), &name), |b| {
                    b.iter(|| stream.process(&x, &mut out).expect("process"));
                });
            }
        }
    }
    group.finish();
}

fn many(c: &mut Criterion) {
    let mut group = c.benchmark_group("many");
    group.sample_size(20);
    for hidden in [64, 128, 256, 512] {
        for weights in [Precision::F32, Precision::F16, Precision::Bf16, Precision::Int8] {
            for batch in [1, 4] {
                let options = StreamOptions { batch, weights, ..Default::default() };
                let mut stream = stream(Cell::Gru, hidden, hidden, options);
                let frame = vec![0.5; batch * hidden];
                group.bench_function(BenchmarkId::new(format!("{weights:?}"), format!("h{hidden}-b{batch}")), |b| {
                    b.iter(|| stream.step(&frame).expect("step")[0]);
                });
            }
        }
    }
    group.finish();
}

fn main() {
    let mut c = Criterion::default().configure_from_args();
    few(&mut c);
    many(&mut c);
    c.final_summary();
}
