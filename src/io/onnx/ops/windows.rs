//! Windows of convolutions and pooling, over one to three axes after batch and channels.

use super::Builder;
use crate::error::{Error, Result};
use crate::io::onnx::ints::{extent, shown};
use crate::io::onnx::meter::Cost;
use crate::ops::{movement, strided};
use crate::shape::MAX_RANK;
use crate::tensor::Tensor;

/// Maximum number of axes: a copy of windows has two for each, besides batch and channels.
const MOST: usize = 3;

/// Attributes of a window; missing ones have their defaults once the number of axes is known.
#[derive(Clone, Debug, Default)]
pub struct Spec {
    pub kernel: Option<Vec<usize>>,
    pub strides: Option<Vec<usize>>,
    pub dilations: Option<Vec<usize>>,
    /// Starts, then ends.
    pub pads: Option<Vec<i64>>,
    /// `SAME_UPPER` or `SAME_LOWER`: whether the larger half of the padding is at the end.
    pub same: Option<bool>,
}

/// A window on one axis.
#[derive(Clone, Copy, Debug)]
pub struct Axis {
    pub kernel: usize,
    pub stride: usize,
    pub dilation: usize,
    pub pads: [i64; 2],
}

impl Axis {
    /// Elements from the first one of a window to the last one.
    pub fn reach(&self) -> Option<usize> {
        (self.kernel - 1).checked_mul(self.dilation)?.checked_add(1)
    }
}

impl Spec {
    /// Reads the attributes of a node.
    pub fn of(b: &mut Builder) -> Result<Self> {
        let auto = b.text("auto_pad")?;
        let same = match auto.as_deref() {
            None | Some("NOTSET" | "VALID") => None,
            Some("SAME_UPPER") => Some(true),
            Some("SAME_LOWER") => Some(false),
            Some(other) => return Err(b.refuse(format!("auto_pad {other:?}"))),
        };
        let pads = b.ints("pads")?;
        let is_auto = auto.as_deref().is_some_and(|auto| auto != "NOTSET");
        if let Some(pads) = pads.as_deref()
            && (pads.iter().any(|&p| !(0..1 << 31).contains(&p)) || (is_auto && pads.iter().any(|&p| p != 0)))
        {
            let auto = auto.as_deref().unwrap_or("NOTSET");
            return Err(b.refuse(format!("pads {} with auto_pad {auto}", shown(pads))));
        }
        let mut list = |name| -> Result<Option<Vec<usize>>> {
            let Some(list) = b.ints(name)? else { return Ok(None) };
            match list.iter().all(|v| (1..1 << 31).contains(v)) && list.len() <= MOST {
                true => Ok(Some(list.into_iter().map(|v| v as usize).collect())),
                false => Err(b.refuse(format!("{name} {}; one to {MOST} axes are supported", shown(&list)))),
            }
        };
        let (strides, dilations, kernel) = (list("strides")?, list("dilations")?, list("kernel_shape")?);
        Ok(Self { kernel, strides, dilations, pads, same })
    }

    /// Returns the windows of each axis. The padding of `SAME` is still missing.
    pub fn axes(&self, rank: usize, kernel: &[usize]) -> Result<Vec<Axis>> {
        let wrong = |name: &'static str, got: usize| Error::value("onnx", name, format!("{rank} axes"), got);
        let fit = |name, list: &Option<Vec<usize>>| match list {
            Some(list) if list.len() != rank => Err(wrong(name, list.len())),
            list => Ok(list.clone().unwrap_or_else(|| vec![1; rank])),
        };
        if !(1..=MOST).contains(&rank) || kernel.len() != rank || kernel.contains(&0) {
            return Err(wrong("X", kernel.len()));
        }
        let (strides, dilations) = (fit("strides", &self.strides)?, fit("dilations", &self.dilations)?);
        let pads = self.pads.clone().unwrap_or_else(|| vec![0; 2 * rank]);
        if pads.len() != 2 * rank {
            return Err(wrong("pads", pads.len() / 2));
        }
        let axis = |a: usize| {
            let (kernel, stride, dilation) = (kernel[a], strides[a], dilations[a]);
            Axis { kernel, stride, dilation, pads: [pads[a], pads[rank + a]] }
        };
        Ok((0..rank).map(axis).collect())
    }

    /// Returns the windows on an input with these extents.
    pub fn resolve(&self, extents: &[usize], kernel: &[usize]) -> Result<Vec<Axis>> {
        let mut axes = self.axes(extents.len(), kernel)?;
        let Some(upper) = self.same else { return Ok(axes) };
        for (axis, &len) in axes.iter_mut().zip(extents) {
            let reach = axis.reach().ok_or_else(|| far(extents))?;
            let total = ((len - 1) / axis.stride * axis.stride).saturating_add(reach).saturating_sub(len) as i64;
            axis.pads = halves(total, upper);
        }
        Ok(axes)
    }
}

/// Splits a padding; the larger half is at the end if `upper`.
pub fn halves(total: i64, upper: bool) -> [i64; 2] {
    let total = total.max(0);
    if upper { [total / 2, total - total / 2] } else { [total - total / 2, total / 2] }
}

pub fn far(extents: &[usize]) -> Error {
    Error::shape("onnx", "X", "extents that the windows fit into, with padding", extents)
}

/// Extents of an input and its windows: `[B, C, padded..]` to `[B, C, kernel.., windows..]`.
pub struct Sizes {
    pub padded: Vec<usize>,
    pub windows: Vec<usize>,
}

impl Sizes {
    /// `x` has batch and channels in front. With `ceil`, a window may reach beyond the end, if it starts before it.
    pub fn of(x: &[usize], axes: &[Axis], ceil: bool) -> Result<Self> {
        let (mut padded, mut windows) = (Vec::with_capacity(axes.len()), Vec::with_capacity(axes.len()));
        for (axis, &len) in axes.iter().zip(&x[2..]) {
            let [start, end] = axis.pads.map(|pad| usize::try_from(pad).unwrap_or(0));
            let all = len.checked_add(start).and_then(|n| n.checked_add(end)).ok_or_else(|| far(x))?;
            let reach = axis.reach().ok_or_else(|| far(x))?;
            let room = all.checked_sub(reach).ok_or_else(|| far(x))?;
            let mut count = room / axis.stride + 1;
            if ceil && !room.is_multiple_of(axis.stride) && count * axis.stride < len + start {
                count += 1;
            }
            padded.push(all.max((count - 1) * axis.stride + reach));
            windows.push(count);
        }
        Ok(Self { padded, windows })
    }

    /// Number of windows of a channel.
    pub fn count(&self) -> Result<usize> {
        extent(&self.windows)
    }

    /// Cost of padding `[B, C, ..]` and copying its windows.
    pub fn cost(&self, x: &[usize], axes: &[Axis]) -> Result<Cost> {
        let taps = extent(&axes.iter().map(|a| a.kernel).collect::<Vec<_>>())?;
        let padded = extent(&[x[0], x[1], extent(&self.padded)?])?;
        Ok(Cost::floats(padded) + Cost::floats(extent(&[x[0], x[1], taps, self.count()?])?))
    }
}

/// Extends `[B, C, ..]` by the padding of the windows.
pub fn pad(x: &Tensor, axes: &[Axis], sizes: &Sizes, value: f32) -> Result<Tensor> {
    if sizes.padded == x.dims()[2..] {
        return Ok(x.clone());
    }
    let dims = [&x.dims()[..2], &sizes.padded].concat();
    let out = Tensor::full(x.device(), value, &dims)?;
    let lead = MAX_RANK - dims.len();
    let strides = out.shape().strides();
    let offset =
        (axes.iter().enumerate()).map(|(a, axis)| axis.pads[0].max(0) as usize * strides[lead + 2 + a] as usize);
    let offset = offset.sum();
    strided::copy((x, x.shape().strides(), 0), (&out, strides, offset), x.shape().padded())?;
    Ok(out)
}

/// Returns the windows of a padded input `[B, C, ..]`, as `[B, C, kernel.., windows..]`.
pub fn windows(x: &Tensor, axes: &[Axis], sizes: &Sizes) -> Result<Tensor> {
    let rank = axes.len();
    let kernel: Vec<usize> = axes.iter().map(|a| a.kernel).collect();
    let dims = [&x.dims()[..2], &kernel, &sizes.windows].concat();
    if kernel.iter().all(|&k| k == 1) && axes.iter().all(|a| a.stride == 1) {
        return x.reshape(&dims);
    }
    let out = Tensor::empty("onnx", x.device(), &dims)?;
    let (from, lead) = (x.shape().strides(), MAX_RANK - x.dims().len());
    let mut strides = [0; MAX_RANK];
    let first = MAX_RANK - dims.len();
    strides[first..first + 2].copy_from_slice(&from[lead..lead + 2]);
    for (a, axis) in axes.iter().enumerate() {
        let own = from[lead + 2 + a];
        strides[first + 2 + a] = own.saturating_mul(axis.dilation as u32);
        strides[first + 2 + rank + a] = own.saturating_mul(axis.stride as u32);
    }
    // A stride along an axis of extent 1 is never taken.
    (0..dims.len()).filter(|&i| dims[i] == 1).for_each(|i| strides[first + i] = 0);
    strided::copy((x, strides, 0), (&out, out.shape().strides(), 0), out.shape().padded())?;
    Ok(out)
}

/// Reverses the order along the axes after the first two.
pub fn flipped(w: &Tensor) -> Result<Tensor> {
    let axes: Vec<usize> = (2..w.dims().len()).filter(|&a| w.dims()[a] > 1).collect();
    movement::flip(w, &axes)
}
