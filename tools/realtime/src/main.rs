//! Runs streams where RealtimeSanitizer ends the program at each allocation, lock and system call.
//!
//! `realtime BLOCKS [FOLDER]` also runs the ONNX models of the folder. `realtime allocate` allocates there on purpose.
#![feature(sanitize)]

mod models;

use std::sync::atomic::{AtomicBool, Ordering};

use wgru::io::onnx::BoundStream;
use wgru::{LiveStream, NetworkStream, NonFinite, Stream, StreamOptions, StreamPool};

/// Lengths of blocks. Frames are single numbers.
const LENGTHS: [usize; 6] = [1, 16, 64, 7, 512, 128];

/// The audio callback: blocks of all lengths, and calls that fail.
#[sanitize(realtime = "nonblocking")]
fn callback(live: &mut LiveStream, x: &[f32], out: &mut [f32], block: usize) {
    let frames = LENGTHS[block % LENGTHS.len()];
    let at = block * 64 % (x.len() - frames);
    if live.process(&x[at..][..frames], &mut out[..frames]).is_err() {
        std::process::abort();
    }
    if live.step(&[]).is_ok() || live.process(&x[..2], &mut out[..1]).is_ok() {
        std::process::abort();
    }
}

#[sanitize(realtime = "nonblocking")]
fn stream_block(stream: &mut Stream, x: &[f32], out: &mut [f32]) -> bool {
    let is_run = stream.process(x, out).is_ok() && stream.step(&x[..1]).is_ok() && stream.process_in_place(out).is_ok();
    stream.reset();
    is_run && stream.step(&[]).is_err()
}

#[sanitize(realtime = "nonblocking")]
fn network_block(stream: &mut NetworkStream, x: &[f32], out: &mut [f32]) -> bool {
    let is_run = stream.process(x, out).is_ok() && stream.step(&x[..1]).is_ok();
    stream.reset();
    is_run && stream.step(&[]).is_err()
}

#[sanitize(realtime = "nonblocking")]
fn pool_step(pool: &mut StreamPool) {
    pool.step();
}

#[sanitize(realtime = "nonblocking")]
fn onnx_frame(stream: &mut BoundStream) {
    stream.run();
}

#[sanitize(realtime = "nonblocking")]
fn allocate() -> Vec<u8> {
    Vec::with_capacity(std::hint::black_box(100))
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let first = arguments.next().unwrap_or_default();
    if first == "allocate" {
        println!("{}", allocate().capacity());
        return;
    }
    let blocks: usize = first.parse().expect("usage: realtime BLOCKS [FOLDER]");
    let x = models::sound();
    let mut out = vec![0.0; 512];

    let options = StreamOptions { non_finite: NonFinite::Reset, ..Default::default() };
    let streams = models::streams(options);
    for first in &streams {
        // The other stream of the exchange differs in kind and size.
        let others = &streams;
        let (mut live, mut control) = first.clone().live();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut out = vec![0.0; 512];
                for block in 0..blocks / streams.len() {
                    callback(&mut live, &x, &mut out, block);
                }
                done.store(true, Ordering::Relaxed);
            });
            let mut sent = [0usize; 3];
            for next in 0.. {
                sent[0] += usize::from(control.exchange(others[next % others.len()].clone(), next % 100).is_ok());
                sent[1] += usize::from(control.reset().is_ok());
                _ = control.request_snapshot();
                sent[2] += usize::from(control.take_snapshot().is_some());
                if done.load(Ordering::Relaxed) {
                    break;
                }
                std::thread::yield_now();
            }
            println!("{} exchanges, {} resets, {} snapshots", sent[0], sent[1], sent[2]);
        });
    }
    for options in models::options() {
        for mut stream in models::streams(options) {
            for block in 0..100 {
                let frames = LENGTHS[block % LENGTHS.len()];
                assert!(stream_block(&mut stream, &x[block * 7..][..frames], &mut out[..frames]));
            }
        }
        // Only single streams have fast activations.
        let options = StreamOptions { batch: 5, fast_activations: false, ..options };
        for stream in models::streams(options) {
            let mut pool = StreamPool::new(stream);
            let ids: Vec<_> = (0..4).map(|_| pool.join().expect("a free place")).collect();
            for value in &x[..100] {
                for id in &ids {
                    pool.frame_mut(*id).expect("a member").fill(*value);
                }
                pool_step(&mut pool);
            }
        }
    }
    let mut network = models::network();
    for block in 0..1000 {
        let frames = LENGTHS[block % LENGTHS.len()];
        assert!(network_block(&mut network, &x[block..][..frames], &mut out[..frames]));
    }
    if let Some(folder) = arguments.next() {
        for (name, mut stream) in models::onnx(folder.as_ref()) {
            for _ in 0..200 {
                onnx_frame(&mut stream);
            }
            println!("{name}: 200 frames");
        }
    }
    println!("{blocks} blocks: no allocation, lock or system call");
}
