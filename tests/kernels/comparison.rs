//! Tests of the comparison helpers themselves.

use crate::common::{assert_close, relative_error};

const TOLERANCE: f64 = 1e-6;

#[test]
fn relative_error_is_relative_to_the_largest_expected_value() {
    assert!((relative_error(&[0.0, 4.5], &[0.0, 4.0]) - 0.125).abs() <= 1e-12);
}

#[test]
fn relative_error_finds_one_wrong_element() {
    let got = [1.0, -1.0, 0.25];
    assert!(relative_error(&got, &[1.0, -1.0, 0.25]) <= TOLERANCE);
    assert!(relative_error(&got, &[1.0, -1.0, 0.251]) > TOLERANCE);
}

#[test]
#[should_panic(expected = "error inf")]
fn assert_close_refuses_nan() {
    assert_close("NaN", &[1.0, f32::NAN], &[1.0, 1.0], TOLERANCE);
}

#[test]
#[should_panic(expected = "error")]
fn assert_close_refuses_nan_in_the_expected_values() {
    assert_close("NaN", &[1.0, 1.0], &[1.0, f64::NAN], TOLERANCE);
}

#[test]
#[should_panic(expected = "nothing to compare")]
fn assert_close_refuses_empty_input() {
    assert_close("nothing", &[], &[], TOLERANCE);
}

#[test]
#[should_panic(expected = "length")]
fn assert_close_refuses_a_different_length() {
    assert_close("lengths", &[1.0], &[1.0, 1.0], TOLERANCE);
}
