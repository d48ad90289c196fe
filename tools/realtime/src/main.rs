//! Runs streams where RealtimeSanitizer ends the program at each call of the C library that allocates, locks or makes a
//! system call.
//!
//! `realtime BLOCKS [FOLDER]` also runs the ONNX models of the folder. `realtime allocate`, `lock` and `print` do there
//! what streams must not.
#![feature(sanitize)]

mod models;
#[path = "../../../tests/stream/published.rs"]
mod published;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

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

/// Waits for a lock that another thread holds. A free one would be taken without a call of the C library.
#[sanitize(realtime = "nonblocking")]
fn lock(mutex: &Mutex<()>) -> bool {
    mutex.lock().is_ok()
}

#[sanitize(realtime = "nonblocking")]
fn print() {
    eprintln!("printed");
}

/// Makes a mistake that must end the program; returns whether this was its name.
fn fail(mistake: &str) -> bool {
    match mistake {
        "allocate" => println!("{}", allocate().capacity()),
        "lock" => {
            let mutex = Mutex::new(());
            let guard = mutex.lock().expect("a free lock");
            std::thread::scope(|scope| {
                let waiting = scope.spawn(|| lock(&mutex));
                std::thread::sleep(Duration::from_millis(100));
                drop(guard);
                println!("{}", waiting.join().expect("a thread"));
            });
        }
        "print" => print(),
        _ => return false,
    }
    true
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let first = arguments.next().unwrap_or_default();
    if fail(&first) {
        return;
    }
    let blocks: usize = first.parse().expect("usage: realtime BLOCKS [FOLDER]");
    let (x, odd) = (models::noise(), models::odd_noise());
    let mut out = vec![0.0; 512];

    let options = StreamOptions { non_finite: NonFinite::Reset, ..Default::default() };
    let streams = models::streams(options);
    let each = blocks.div_ceil(streams.len());
    for stream in &streams {
        let (mut live, mut control) = stream.clone().live();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut out = vec![0.0; 512];
                for block in 0..each {
                    callback(&mut live, &odd, &mut out, block);
                }
                done.store(true, Ordering::Relaxed);
            });
            let (mut exchanges, mut resets, mut snapshots) = (0, 0, 0);
            for next in 0.. {
                // Each of the streams in turn.
                exchanges += u32::from(control.exchange(streams[next % streams.len()].clone(), next % 100).is_ok());
                resets += u32::from(control.reset().is_ok());
                _ = control.request_snapshot();
                snapshots += u32::from(control.take_snapshot().is_some());
                if done.load(Ordering::Relaxed) {
                    break;
                }
                std::thread::yield_now();
            }
            println!("{exchanges} exchanges, {resets} resets, {snapshots} snapshots");
        });
    }
    for options in models::options() {
        for mut stream in models::streams(options) {
            for block in 0..100 {
                let frames = LENGTHS[block % LENGTHS.len()];
                assert!(stream_block(&mut stream, &odd[block * 7..][..frames], &mut out[..frames]));
            }
        }
        if options.fast_activations {
            continue; // only for one sequence
        }
        for stream in models::streams(StreamOptions { batch: 5, ..options }) {
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
        assert!(network_block(&mut network, &odd[block..][..frames], &mut out[..frames]));
    }
    if let Some(folder) = arguments.next() {
        for (path, input, mut stream) in published::streams(folder.as_ref()) {
            for frame in 0..200 {
                let mut buffer = stream.input_mut(input).expect("the input");
                let len = buffer.len();
                buffer.copy_from_slice(&x[frame..][..len]);
                drop(buffer);
                onnx_frame(&mut stream);
            }
            println!("{path}: 200 frames");
        }
    }
    println!("{} blocks: RealtimeSanitizer reported nothing", each * streams.len());
}
