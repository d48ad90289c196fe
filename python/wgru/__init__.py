"""Gated recurrent networks on NumPy arrays.

``load`` reads a model of any format. ``GRU``, ``LSTM``, ``RNN`` and the other layers build one, ``Sequential`` connects
them, and ``from_torch`` converts a module of PyTorch. A ``Model`` runs whole sequences, trains by ``fit``, and steps
frame by frame by ``stream``.
"""

from ._errors import (
    ArgumentError,
    BusyError,
    ConversionError,
    DeviceError,
    DivergedError,
    DTypeError,
    FileError,
    FormatError,
    LimitError,
    MissingFileError,
    OutOfMemoryError,
    ShapeError,
    UnsupportedError,
    WgruError,
)
from ._layers import (
    GRU,
    LSTM,
    RNN,
    Dropout,
    Embedding,
    LastState,
    LayerNorm,
    Linear,
    ReLU,
    Sequential,
    Tanh,
)
from ._torch import from_torch
from ._wgru import Device, Model, OnnxState, OnnxStream, Stream, __version__, load
from ._wgru import adapters as devices

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "ArgumentError",
    "BusyError",
    "ConversionError",
    "DTypeError",
    "Device",
    "DeviceError",
    "DivergedError",
    "Dropout",
    "Embedding",
    "FileError",
    "FormatError",
    "LastState",
    "LayerNorm",
    "LimitError",
    "Linear",
    "MissingFileError",
    "Model",
    "OnnxState",
    "OnnxStream",
    "OutOfMemoryError",
    "ReLU",
    "Sequential",
    "ShapeError",
    "Stream",
    "Tanh",
    "UnsupportedError",
    "WgruError",
    "__version__",
    "devices",
    "from_torch",
    "load",
]
