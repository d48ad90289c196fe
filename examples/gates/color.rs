//! Two color scales with evenly spaced lightness, each interpolated from nine colors.

use plotters::style::RGBColor;

/// Number of steps in a scale. Adjacent days with the same step are drawn as one rectangle.
pub const STEPS: usize = 64;

/// For values from 0 to 1: viridis, dark to light, by Smith and van der Walt.
pub const SHARE: [[u8; 3]; 9] = [
    [68, 1, 84],
    [71, 44, 122],
    [59, 81, 139],
    [44, 113, 142],
    [33, 144, 141],
    [39, 173, 129],
    [92, 200, 99],
    [170, 220, 50],
    [253, 231, 37],
];

/// For values from −1 to 1: blue below and red above a light 0, by Brewer.
pub const SIGNED: [[u8; 3]; 9] = [
    [33, 102, 172],
    [67, 147, 195],
    [146, 197, 222],
    [209, 229, 240],
    [247, 247, 247],
    [253, 219, 199],
    [244, 165, 130],
    [214, 96, 77],
    [178, 24, 43],
];

/// Returns the step of a value from 0 to 1.
pub fn step(share: f32) -> usize {
    (share.clamp(0.0, 1.0) * (STEPS - 1) as f32).round() as usize
}

/// Returns the color of a step.
pub fn color(scale: &[[u8; 3]; 9], step: usize) -> RGBColor {
    let place = step as f32 / (STEPS - 1) as f32 * 8.0;
    let low = (place as usize).min(7);
    let mix = |k: usize| {
        let [a, b] = [scale[low][k], scale[low + 1][k]].map(f32::from);
        (a + (b - a) * (place - low as f32)).round() as u8
    };
    RGBColor(mix(0), mix(1), mix(2))
}
