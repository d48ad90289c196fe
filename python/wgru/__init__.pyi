"""Types of wgru."""

from os import PathLike
from typing import Any, Callable, Literal, Optional, Union

import numpy as np
from numpy.typing import ArrayLike, NDArray

__version__: str

Floats = NDArray[np.float32]
State = Union[Floats, tuple[Floats, Floats]]
DeviceKind = Literal["cpu", "gpu", "auto"]
DeviceLike = Union["Device", DeviceKind]

class Device:
    """A device that computes: the CPU or a GPU."""

    def __init__(self, kind: DeviceKind = "auto", *, threads: Optional[int] = None) -> None: ...
    @property
    def name(self) -> str: ...
    @property
    def reason(self) -> str: ...
    @property
    def is_gpu(self) -> bool: ...
    @property
    def is_hardware_gpu(self) -> bool: ...

class Model:
    """A model: a recurrent layer, a network of layers, or an ONNX graph."""

    def __call__(
        self,
        x: ArrayLike,
        h0: Optional[Union[ArrayLike, tuple[ArrayLike, ArrayLike]]] = None,
        *,
        lengths: Optional[ArrayLike] = None,
    ) -> Any: ...
    def run(self, inputs: dict[str, ArrayLike]) -> dict[str, Any]: ...
    def stream(
        self,
        batch: int = 1,
        *,
        weights: Literal["f32", "f16", "bf16", "int8", "auto"] = "f32",
        threads: int = 1,
        rate_ratio: float = 1.0,
    ) -> Any: ...
    def fit(
        self,
        x: ArrayLike,
        y: ArrayLike,
        *,
        epochs: int = 10,
        batch: int = 32,
        rate: float = 1e-3,
        loss: Literal["mse", "mae", "huber", "bce", "cross_entropy"] = "mse",
        optimizer: Literal["adam", "adamw", "sgd"] = "adam",
        validation: Optional[tuple[ArrayLike, ArrayLike]] = None,
        patience: Optional[int] = None,
        clip_norm: Optional[float] = None,
        ema: Optional[float] = None,
        warmup: int = 0,
        shuffle: bool = True,
        seed: int = 0,
        callback: Optional[Callable[[dict[str, Any]], Optional[bool]]] = None,
    ) -> dict[str, Any]: ...
    def save(self, path: Union[str, PathLike[str]]) -> None: ...
    def to_bytes(self) -> bytes: ...
    def export_onnx(self, path: Union[str, PathLike[str]], *, input: str = "x") -> None: ...
    def to(self, device: DeviceLike) -> Model: ...
    def state_dict(self) -> dict[str, Floats]: ...
    def load_state_dict(self, state: dict[str, ArrayLike]) -> None: ...
    def layers(self) -> list[dict[str, Any]]: ...
    @property
    def device(self) -> Device: ...
    @property
    def batch_first(self) -> bool: ...
    @property
    def info(self) -> dict[str, Any]: ...

class Stream:
    """A model that runs frame by frame on the CPU and carries its state."""

    def step(self, frame: ArrayLike, out: Optional[Floats] = None) -> Floats: ...
    def process(self, block: ArrayLike, out: Optional[Floats] = None) -> Floats: ...
    def reset(self) -> None: ...
    @property
    def state(self) -> Floats: ...
    @state.setter
    def state(self, state: ArrayLike) -> None: ...
    @property
    def batch(self) -> int: ...
    @property
    def input_size(self) -> int: ...
    @property
    def output_size(self) -> int: ...

class OnnxState:
    """The state of an `OnnxStream`."""

class OnnxStream:
    """An ONNX model that carries its state from call to call."""

    def run(self, inputs: dict[str, ArrayLike]) -> dict[str, Any]: ...
    def reset(self) -> None: ...
    @property
    def state(self) -> OnnxState: ...
    @state.setter
    def state(self, state: OnnxState) -> None: ...

def devices() -> list[dict[str, str]]: ...
def load(
    source: Union[str, PathLike[str], bytes],
    *,
    device: Optional[DeviceLike] = None,
    layer: Optional[str] = None,
    head: Optional[str] = None,
    batch_first: bool = True,
) -> Model: ...
def from_torch(
    module: Any, *, example: Any = None, tolerance: float = 1e-5, device: DeviceLike = "cpu"
) -> Model: ...
def GRU(
    input_size: int,
    hidden_size: int,
    num_layers: int = 1,
    bias: bool = True,
    batch_first: bool = True,
    dropout: float = 0.0,
    bidirectional: bool = False,
    *,
    reset_after: bool = True,
    device: DeviceLike = "cpu",
    seed: int = 0,
) -> Model: ...
def LSTM(
    input_size: int,
    hidden_size: int,
    num_layers: int = 1,
    bias: bool = True,
    batch_first: bool = True,
    dropout: float = 0.0,
    bidirectional: bool = False,
    proj_size: int = 0,
    *,
    device: DeviceLike = "cpu",
    seed: int = 0,
) -> Model: ...
def RNN(
    input_size: int,
    hidden_size: int,
    num_layers: int = 1,
    nonlinearity: Literal["tanh", "relu"] = "tanh",
    bias: bool = True,
    batch_first: bool = True,
    dropout: float = 0.0,
    bidirectional: bool = False,
    *,
    device: DeviceLike = "cpu",
    seed: int = 0,
) -> Model: ...
def Linear(
    in_features: int, out_features: int, bias: bool = True, *, device: DeviceLike = "cpu", seed: int = 0
) -> Model: ...
def Embedding(
    num_embeddings: int,
    embedding_dim: int,
    padding_idx: Optional[int] = None,
    *,
    device: DeviceLike = "cpu",
    seed: int = 0,
) -> Model: ...
def LayerNorm(normalized_shape: int, eps: float = 1e-5, *, device: DeviceLike = "cpu") -> Model: ...
def ReLU() -> Model: ...
def Tanh() -> Model: ...
def Dropout(p: float = 0.5) -> Model: ...
def LastState() -> Model: ...
def Sequential(*layers: Model, **named: Model) -> Model: ...

class WgruError(Exception):
    code: str

class ShapeError(WgruError, ValueError): ...
class ArgumentError(WgruError, ValueError): ...
class DTypeError(WgruError, TypeError): ...
class FileError(WgruError, OSError): ...
class MissingFileError(FileError, FileNotFoundError): ...
class FormatError(WgruError, ValueError): ...
class UnsupportedError(WgruError, NotImplementedError): ...
class ConversionError(UnsupportedError): ...
class LimitError(WgruError, RuntimeError): ...
class OutOfMemoryError(WgruError, MemoryError): ...
class DeviceError(WgruError, RuntimeError): ...
class BusyError(WgruError, RuntimeError): ...
class DivergedError(WgruError, ArithmeticError): ...
