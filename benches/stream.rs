//! One frame of a stream, by hidden size and weight precision: `cargo bench --bench stream`.

use criterion::{BenchmarkId, Criterion};
use wgru::nn::RecurrentConfig;
use wgru::{Device, Precision, Rng, Stream, StreamOptions};

fn main() {
    let mut c = Criterion::default().configure_from_args();
    let mut group = c.benchmark_group("stream");
    group.sample_size(20);
    for hidden in [64, 128, 256, 512] {
        let config = RecurrentConfig::gru(hidden, hidden);
        let gru = config.build(&Device::cpu(), &mut Rng::new(1)).expect("built");
        for weights in [Precision::F32, Precision::F16, Precision::Bf16, Precision::Int8] {
            for batch in [1, 4] {
                let mut stream =
                    Stream::new(&gru, StreamOptions { batch, weights, ..Default::default() }).expect("a stream");
                let frame = vec![0.5; batch * hidden];
                group.bench_function(BenchmarkId::new(format!("{weights:?}"), format!("h{hidden}-b{batch}")), |b| {
                    b.iter(|| stream.step(&frame).expect("step")[0]);
                });
            }
        }
    }
    group.finish();
    c.final_summary();
}
