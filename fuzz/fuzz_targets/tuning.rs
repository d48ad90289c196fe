//! Fuzzes the reader of measured choices. What was read must survive a round trip.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wgru::Tuning;

fuzz_target!(|text: &str| {
    if let Ok(tuning) = Tuning::from_json(text) {
        assert_eq!(Tuning::from_json(&tuning.to_json()).expect("written by this crate"), tuning);
    }
});
