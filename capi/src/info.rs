//! Descriptions of models.

use std::ffi::{CString, c_char};

use engine::Cell;
use engine::io::LayerInfo;
use engine::io::onnx::{Extent, Info};

use crate::tensor::{WGRU_MAX_RANK, c_name};

/// Kind of a model.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WgruKind {
    /// A recurrent layer or a stack of them, optionally with a linear layer after it.
    Recurrent = 0,
    /// A network of several layers that its file describes: RTNeural, AIDA-X, GuitarML, Neural Amp Modeler, Keras.
    Network = 1,
    /// An ONNX model.
    Onnx = 2,
}

/// Kind of a recurrent cell.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WgruCell {
    /// A kind that this header does not know.
    Other = 0,
    /// GRU that applies the reset gate after the recurrent product (PyTorch, Keras' default).
    Gru = 1,
    /// GRU that applies the reset gate before the recurrent product.
    GruResetBefore = 2,
    /// LSTM.
    Lstm = 3,
    /// RNN with tanh.
    Rnn = 4,
    /// RNN with ReLU.
    RnnRelu = 5,
}

impl WgruCell {
    fn of(cell: Cell) -> Self {
        match cell {
            Cell::Gru => WgruCell::Gru,
            Cell::GruResetBefore => WgruCell::GruResetBefore,
            Cell::Lstm => WgruCell::Lstm,
            Cell::Rnn => WgruCell::Rnn,
            Cell::RnnRelu => WgruCell::RnnRelu,
            #[allow(unreachable_patterns, reason = "cells may be added")]
            _ => WgruCell::Other,
        }
    }
}

/// Kind and sizes of a model.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct WgruModelInfo {
    /// Kind of the model.
    pub kind: WgruKind,
    /// Features of a step of the input; 0 if the file does not tell, and for ONNX models, which have ports.
    pub input_size: usize,
    /// Features of a step of the output; 0 as above.
    pub output_size: usize,
    /// Number of inputs, for `wgru_model_input`.
    pub input_count: usize,
    /// Number of outputs, for `wgru_model_output`.
    pub output_count: usize,
    /// Number of recurrent layers, for `wgru_model_layer`; 0 for ONNX models.
    pub layer_count: usize,
    /// Number of weights; 0 for ONNX models.
    pub parameter_count: usize,
}

/// A recurrent layer of a model.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct WgruLayer {
    /// Name in the file, UTF-8; empty if the file holds only this layer. Belongs to the model.
    pub name: *const c_char,
    /// Kind of its cell.
    pub cell: WgruCell,
    /// Features of a step of its input.
    pub input_size: usize,
    /// Units of its state.
    pub hidden_size: usize,
    /// Number of layers in the stack.
    pub stack: usize,
    /// Whether it also reads the sequence backward. Such layers do not run frame by frame.
    pub bidirectional: bool,
}

/// An input or output of a model.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct WgruPort {
    /// Name, UTF-8. Belongs to the model.
    pub name: *const c_char,
    /// Whether it holds floats; otherwise integers.
    pub is_float: bool,
    /// Whether a run needs it. Always true for outputs, which every run gives.
    pub is_required: bool,
    /// Number of axes; -1 if the file does not tell.
    pub rank: i32,
    /// Extents, outermost first; -1 for those that the file leaves open.
    pub dims: [i64; WGRU_MAX_RANK],
}

/// A layer with its name as a C string.
pub struct Layer {
    name: CString,
    info: LayerInfo,
}

impl Layer {
    pub fn new(info: LayerInfo) -> Self {
        Self { name: c_name(&info.name), info }
    }

    pub fn view(&self) -> WgruLayer {
        let LayerInfo { cell, input, hidden, layers, bidirectional, .. } = self.info;
        WgruLayer {
            name: self.name.as_ptr(),
            cell: WgruCell::of(cell),
            input_size: input,
            hidden_size: hidden,
            stack: layers,
            bidirectional,
        }
    }
}

/// A port with its name as a C string.
pub struct Port {
    pub name: CString,
    is_float: bool,
    is_required: bool,
    /// `None` if the number of axes is open; an extent is -1 if it is.
    dims: Option<Vec<i64>>,
}

impl Port {
    /// Describes a port of floats.
    pub fn floats(name: &str, dims: &[i64]) -> Self {
        Self { name: c_name(name), is_float: true, is_required: true, dims: Some(dims.to_vec()) }
    }

    /// Describes a port whose axes are not known.
    pub fn unknown(name: &str) -> Self {
        Self { dims: None, ..Self::floats(name, &[]) }
    }

    /// Describes integers.
    pub fn ints(name: &str, dims: &[i64]) -> Self {
        Self { is_float: false, ..Self::floats(name, dims) }
    }

    pub fn optional(self) -> Self {
        Self { is_required: false, ..self }
    }

    /// Describes an input or output of an ONNX model.
    pub fn of(info: &Info) -> Self {
        let extent = |extent: &Extent| match extent {
            Extent::Fixed(n) => i64::try_from(*n).unwrap_or(-1),
            Extent::Named(_) | Extent::Free => -1,
        };
        let dims = info.dims.as_ref().map(|dims| dims.iter().map(extent).collect());
        Self { name: c_name(&info.name), is_float: info.float, is_required: true, dims }
    }

    pub fn view(&self) -> WgruPort {
        let mut dims = [0; WGRU_MAX_RANK];
        let known = self.dims.as_deref().filter(|known| known.len() <= WGRU_MAX_RANK);
        dims.iter_mut().zip(known.into_iter().flatten()).for_each(|(to, from)| *to = *from);
        WgruPort {
            name: self.name.as_ptr(),
            is_float: self.is_float,
            is_required: self.is_required,
            rank: known.map_or(-1, |known| known.len() as i32),
            dims,
        }
    }
}
