//! Steps, blocks, resets, snapshots and the errors of these calls allocate nothing.
#![allow(unsafe_code, reason = "calls functions that take pointers, and counts allocations")]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr::{null, null_mut};

use common::{bytes, graph, layer, readers, signal};
use engine::Cell;
use wgru::*;

thread_local!(static CALLS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) });

/// Counts this thread's calls.
struct Counting;

// SAFETY: passes every call on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        _ = CALLS.try_with(|calls| calls.set(calls.get() + 1));
        // SAFETY: the caller upholds the same contract.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        _ = CALLS.try_with(|calls| calls.set(calls.get() + 1));
        // SAFETY: the caller upholds the same contract.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Calls for each model.
const CALLS_PER_MODEL: usize = 200_000;

#[test]
fn calls_of_an_audio_callback_allocate_nothing() {
    let rtneural = std::fs::read(readers().join("rtneural.json")).expect("read");
    let mut error = WgruError { status: WgruStatus::Ok, message: [0; WGRU_MESSAGE_SIZE] };
    for file in [bytes(&layer(Cell::Gru, 3, 8, 2)), bytes(&layer(Cell::Lstm, 1, 16, 1)), rtneural, graph()] {
        let (mut model, mut stream, mut info) = (null_mut(), null_mut(), std::mem::MaybeUninit::uninit());
        // SAFETY: the pointers live.
        let info = unsafe {
            assert_eq!(wgru_model_load(file.as_ptr(), file.len(), null(), &mut model, &mut error), WgruStatus::Ok);
            assert_eq!(wgru_stream_new(model, null(), &mut stream, &mut error), WgruStatus::Ok);
            assert_eq!(wgru_stream_info(stream, info.as_mut_ptr(), &mut error), WgruStatus::Ok);
            info.assume_init()
        };
        let (x, mut y) = (signal(4 * info.input_size), vec![0.0f32; 4 * info.output_size]);
        let mut state = vec![0.0f32; info.state_size];
        let (x, x_len, y, y_len) = (x.as_ptr(), x.len(), y.as_mut_ptr(), y.len());
        let before = CALLS.get();
        for k in 0..CALLS_PER_MODEL {
            let e = &raw mut error;
            let (i, o) = (info.input_size, info.output_size);
            // SAFETY: the pointers live.
            let statuses = unsafe {
                match k % 8 {
                    0 => [wgru_stream_snapshot(stream, state.as_mut_ptr(), state.len(), e), WgruStatus::Ok],
                    1 => [wgru_stream_restore(stream, state.as_ptr(), state.len(), e), WgruStatus::Ok],
                    2 => [wgru_stream_reset(stream, e), WgruStatus::Ok],
                    3 => [wgru_stream_step(stream, x, i, y, o, e), WgruStatus::Ok],
                    4 => [wgru_stream_step(stream, x, i + 1, y, o, e), WgruStatus::Shape],
                    5 => [wgru_stream_process(stream, x, x_len, y, y_len - 1, e), WgruStatus::Shape],
                    6 => [wgru_stream_process(null_mut(), x, x_len, y, y_len, e), WgruStatus::Handle],
                    _ => [wgru_stream_process(stream, x, x_len, y, y_len, e), WgruStatus::Ok],
                }
            };
            assert_eq!(statuses[0], statuses[1]);
        }
        assert_eq!(CALLS.get(), before, "calls of the allocator");
        // SAFETY: the handles live.
        unsafe {
            assert_eq!(wgru_stream_free(&mut stream), WgruStatus::Ok);
            assert_eq!(wgru_model_free(&mut model), WgruStatus::Ok);
        }
        assert!(CALLS.get() > before, "the test counts calls");
    }
}
