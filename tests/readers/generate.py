"""Writes the fixtures beside this file: the same values as stored by NumPy, PyTorch, Keras and h5py.

    python -m venv .venv
    .venv/bin/pip install torch numpy keras h5py
    .venv/bin/python tests/readers/generate.py

Every array of n elements holds ramp(n): element k is (7 k mod 11 - 5) / 4, which every float type of
at least two bytes represents exactly. Signed integers hold 7 k mod 11 - 5, unsigned ones 7 k mod 11,
and booleans k mod 2. Nothing is random.

    arrays.npz          every number type, both byte orders and both axis orders; numpy.savez
    compressed.npz      the same, numpy.savez_compressed
    fortran.npy         one array, first axis fastest
    state.pt            a training checkpoint of torch.save: see `checkpoint`
    legacy.pt           the same, in the format before PyTorch 1.6
    tensor.pt           a bare tensor
    model.weights.h5    Keras: GRU(4), Bidirectional(LSTM(2)) and Dense(1) on sequences of 3
    model.keras         the same model as a whole
    arrays.h5           the arrays of arrays.npz, by h5py
    chunks.h5           a compressed array in four chunks
    link.h5, text.h5    refused contents: a link, a string
"""

from collections import OrderedDict
import os
from pathlib import Path

os.environ["KERAS_BACKEND"] = "torch"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import h5py  # noqa: E402
import keras  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402

HERE = Path(__file__).resolve().parent


def ramp(*dims):
    n = int(np.prod(dims))
    return ((7 * np.arange(n) % 11 - 5) / 4).reshape(dims).astype(np.float32)


def typed(dtype, *dims):
    k = np.arange(int(np.prod(dims)))
    if dtype == "b1":
        return (k % 2 == 1).reshape(dims)
    if dtype[0] == "f":
        return ramp(*dims).astype(dtype)
    return (7 * k % 11 - (5 if dtype[0] == "i" else 0)).reshape(dims).astype(dtype)


TYPES = ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"]


def arrays():
    out = {t: typed(t, 2, 3) for t in TYPES}
    for t in ["f2", "f4", "f8", "i2", "i4", "i8", "u2", "u4", "u8"]:
        out[f"big_{t}"] = out[t].astype(f">{t}")
    out["fortran"] = np.asfortranarray(ramp(2, 3, 4))
    out["scalar"] = np.float32(2.5)
    out["empty"] = np.zeros((0, 3), np.float32)
    out["names/with.dots"] = ramp(5)
    return out


def checkpoint():
    base = torch.from_numpy(ramp(4, 6))
    gru = torch.nn.GRU(2, 3)
    with torch.no_grad():
        for p in gru.parameters():
            p.copy_(torch.from_numpy(ramp(*p.shape)))
    kinds = dict(f64=torch.float64, f16=torch.float16, bf16=torch.bfloat16)
    whole = dict(i64=torch.int64, i32=torch.int32, i16=torch.int16, i8=torch.int8)
    return {
        "model": gru.state_dict(),
        "epoch": 3,
        "lr": 0.125,
        "best": None,
        "note": "früh",
        "done": True,
        "views": {
            "base": base,
            "transposed": base.t(),
            "column": base[:, 2],
            "block": base[1:3, 2:5],
            "step": base[::2, ::3],
            "repeated": base[0, :2].expand(3, 2),
            "scalar": base[1, 1],
            "empty": base[:0],
        },
        "types": OrderedDict(
            {k: torch.from_numpy(ramp(2, 3)).to(t) for k, t in kinds.items()}
            | {k: torch.from_numpy(typed("i8", 2, 3)).to(t) for k, t in whole.items()}
            | {"u8": torch.from_numpy(typed("u1", 2, 3)), "bool": torch.from_numpy(typed("b1", 2, 3))}
        ),
        "parameter": torch.nn.Parameter(torch.from_numpy(ramp(3))),
        "list": [torch.from_numpy(ramp(2)), {"inner": (torch.from_numpy(ramp(1)), 7)}],
        "size": torch.Size([2, 3]),
        "device": torch.device("cpu"),
        "dtype": torch.float32,
    }


np.savez(HERE / "arrays.npz", **arrays())
np.savez_compressed(HERE / "compressed.npz", **arrays())
np.save(HERE / "fortran.npy", np.asfortranarray(ramp(2, 3)))
torch.save(checkpoint(), HERE / "state.pt")
torch.save(checkpoint(), HERE / "legacy.pt", _use_new_zipfile_serialization=False)
torch.save(torch.from_numpy(ramp(2, 2)).t(), HERE / "tensor.pt")

model = keras.Sequential(
    [
        keras.layers.Input((5, 3)),
        keras.layers.GRU(4, return_sequences=True),
        keras.layers.Bidirectional(keras.layers.LSTM(2)),
        keras.layers.Dense(1),
    ]
)
model.set_weights([ramp(*w.shape) for w in model.get_weights()])
model.save_weights(HERE / "model.weights.h5")
model.save(HERE / "model.keras")
with h5py.File(HERE / "arrays.h5", "w") as file:
    for name, value in arrays().items():
        if name != "b1":  # an enumeration in HDF5
            file[name.replace("/with.", "/")] = value
with h5py.File(HERE / "chunks.h5", "w") as file:
    file.create_dataset("a", data=ramp(4, 4), chunks=(2, 2), compression="gzip")
with h5py.File(HERE / "link.h5", "w") as file:
    file["a"] = h5py.SoftLink("/b")
with h5py.File(HERE / "text.h5", "w") as file:
    file["a"] = "text"
