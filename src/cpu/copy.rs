//! [`Copy`] with adjacent axes merged, and without a call for each short row.

use crate::kernels::Copy;

/// Elements up to which a loop is faster than a call of `memcpy`.
const SHORT: usize = 32;

/// An axis: its extent, and the strides of source and destination.
type Axis = [usize; 3];

/// Returns the axes innermost first, with adjacent axes merged where both strides allow it.
fn axes(p: &Copy) -> [Axis; 4] {
    // Strides of 1, because an iterator refuses a step of 0.
    let (mut out, mut last) = ([[1, 1, 1]; 4], 0);
    for axis in (0..4).rev().filter(|&axis| p.dims[axis] > 1) {
        let [extent, src, dst] = [p.dims[axis], p.src_strides[axis], p.dst_strides[axis]].map(|n| n as usize);
        let [inner, inner_src, inner_dst] = out[last];
        match inner {
            1 => out[last] = [extent, src, dst],
            _ if src == inner * inner_src && dst == inner * inner_dst => out[last][0] *= extent,
            _ => {
                last += 1;
                out[last] = [extent, src, dst];
            }
        }
    }
    out
}

/// Copies one row.
fn row(src: &[f32], from: usize, dst: &mut [f32], to: usize) {
    match (from, to) {
        (1, 1) if dst.len() > SHORT => dst.copy_from_slice(&src[..dst.len()]),
        (1, 1) => dst.iter_mut().zip(src).for_each(|(y, &x)| *y = x),
        (0, 1) => dst.fill(src[0]),
        (from, 1) => dst.iter_mut().zip(src.iter().step_by(from)).for_each(|(y, &x)| *y = x),
        (1, to) => dst.iter_mut().step_by(to).zip(src).for_each(|(y, &x)| *y = x),
        (0, to) => dst.iter_mut().step_by(to).for_each(|y| *y = src[0]),
        (from, to) => dst.iter_mut().step_by(to).zip(src.iter().step_by(from)).for_each(|(y, &x)| *y = x),
    }
}

/// Runs [`Copy`]. Returns false where several elements go to one place, of which the twin keeps the last.
pub fn run(p: &Copy, src: &[f32], dst: &mut [f32]) -> bool {
    let axes = axes(p);
    if axes.iter().any(|&[extent, _, to]| extent > 1 && to == 0) {
        return false;
    }
    let [[extent, from, to], middle, outer, last] = axes;
    let reach = (extent - 1) * to + 1;
    for i in 0..last[0] {
        for j in 0..outer[0] {
            for k in 0..middle[0] {
                let at = |side: usize| i * last[side] + j * outer[side] + k * middle[side];
                let (src, dst) = (&src[p.src_offset as usize + at(1)..], &mut dst[p.dst_offset as usize + at(2)..]);
                row(src, from, &mut dst[..reach], to);
            }
        }
    }
    true
}
