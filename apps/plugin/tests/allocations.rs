//! The audio thread allocates nothing: blocks of all sizes, events, resets, exchange of models.
#![allow(unsafe_code, reason = "counts allocations")]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use clack_host::events::event_types::ParamValueEvent;
use clack_host::events::{Pckn, io::EventBuffer};
use clack_host::utils::ClapId;

use common::models::{Models, fixture};
use common::{INPUT, MIX, Plugin, signal};

thread_local!(static CALLS: Cell<usize> = const { Cell::new(0) });

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

#[test]
fn audio_thread_allocates_nothing() {
    let models = Models::new();
    let (nam, onnx, graph) = (models.nam(1, 48_000.0), models.onnx(2), models.onnx_graph(2));
    let mut events = EventBuffer::new();
    for (at, id, value) in [(0, INPUT, 3.0), (1, MIX, 0.5), (9999, MIX, 0.9)] {
        events.push(&ParamValueEvent::new(at, ClapId::new(id), Pckn::match_all(), value));
    }
    for rate in [44_100.0, 48_000.0, 96_000.0] {
        for first in [&nam, &onnx, &graph, &fixture("aidax.json"), &fixture("rtneural.json")] {
            let mut plugin = Plugin::with(first, rate, 2);
            let (mut x, mut y) = ([signal(4096, 1), signal(4096, 2)], [vec![0.0; 4096], vec![0.0; 4096]]);
            x[0][7] = f32::NAN;
            for (round, second) in [&nam, first, &graph].into_iter().enumerate() {
                plugin.load(second).expect("loaded");
                for size in [1, 7, 64, 4096, 128, 1] {
                    let [left, right] = &mut x;
                    let [a, b] = &mut y;
                    let (mut input, mut output) =
                        ([&mut left[..size], &mut right[..size]], [&mut a[..size], &mut b[..size]]);
                    let before = CALLS.get();
                    plugin.block(&mut input, &mut output, &events);
                    plugin.reset();
                    plugin.block(&mut input, &mut output, &events);
                    assert_eq!(CALLS.get() - before, 0, "{}, {rate} Hz, {round}, {size}", first.display());
                }
                plugin.idle();
            }
        }
    }
}
