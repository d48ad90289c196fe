"""Writes the fixtures in `import/`, for tests/files/import.rs: files that only TensorFile::import reads, and
checkpoints with foreign objects.

    python -m venv .venv
    .venv/bin/pip install torch numpy
    .venv/bin/python tests/readers/generate_import.py

Arrays hold ramp(n), as in generate.py. Nothing is random.

    traced.pt, frozen.pt   TorchScript: GRU(2, 3) and Linear(3, 1); frozen, it has only constants
    program.pt2            the same by torch.export.save, packed again with deflate
    module.pt              a module saved as a whole, and state.pt its state dict
    lightning.ckpt         a checkpoint with foreign objects, a NumPy scalar and a key that is a tuple
    odd.pt                 element types and layouts that are not supported, beside one that is
    arrays2.pkl, arrays4.pkl, arrays5.pkl   NumPy's arrays in a plain pickle, by protocol
    tensors.pkl            tensors in a plain pickle
    early.tar              the format before 0.1.10: a view, and a parameter in a list
    weight_norm.pt         both forms of weight norm in a compiled DataParallel model, and the weights they mean
    rtneural.json, aidax.json, proteus.json, torch.json   audio models with an input x and the output y they give
"""

import io
import json
import pickle
import struct
import tarfile
import warnings
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
from torch.nn.utils import parametrizations, weight_norm

warnings.filterwarnings("ignore")
OUT = Path(__file__).resolve().parent / "import"


def ramp(*dims):
    n = int(np.prod(dims))
    return ((7 * np.arange(n) % 11 - 5) / 4).reshape(dims).astype(np.float32)


def filled(module):
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(torch.from_numpy(ramp(*p.shape)))
    return module.eval()


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = torch.nn.GRU(2, 3)
        self.head = torch.nn.Linear(3, 1, bias=False)
        self.register_buffer("scale", torch.from_numpy(ramp(2)))
        self.register_buffer("scratch", torch.from_numpy(ramp(4)), persistent=False)

    def forward(self, x):
        return self.head(self.gru(x)[0]) * self.scale.sum()


class Whole(Net):
    def __init__(self):
        super().__init__()
        self.levels = 3
        self.plain = torch.from_numpy(ramp(5))  # not in the state dict
        self.inner = torch.nn.ModuleList([torch.nn.Linear(2, 2)])
        self.inner[0].owner = {"module": self}  # a cycle


class Options(dict):
    pass


net = filled(Net())
traced = torch.jit.trace(net, torch.zeros(4, 1, 2))
traced.save(str(OUT / "traced.pt"))
torch.jit.freeze(torch.jit.trace(filled(torch.nn.Linear(3, 1)), torch.zeros(1, 3))).save(str(OUT / "frozen.pt"))
buffer = io.BytesIO()
torch.export.save(torch.export.export(net, (torch.zeros(4, 1, 2),)), buffer)
with zipfile.ZipFile(buffer) as old, zipfile.ZipFile(OUT / "program.pt2", "w", zipfile.ZIP_DEFLATED) as new:
    for name in old.namelist():
        if "sample_inputs" not in name:
            new.writestr(zipfile.ZipInfo(name), old.read(name), zipfile.ZIP_DEFLATED)

whole = filled(Whole())
torch.save(whole, OUT / "module.pt")
torch.save(whole.state_dict(), OUT / "state.pt")
options = Options(width=3, name="test")
options.extra = "more"
torch.save(
    {
        "state_dict": net.state_dict(),
        "hyper_parameters": options,
        "best": np.float32(0.25),
        "callbacks": {("a", 1): {"value": 1}, "b": np.float64(0.5)},
        "function": torch.nn.functional.relu,
        "set": {1, 2},
    },
    OUT / "lightning.ckpt",
)
torch.save(
    {
        "good": torch.from_numpy(ramp(2)),
        "large": torch.tensor([1 << 60, (1 << 60) + 1]),
        "float8": torch.zeros(2, dtype=torch.float8_e4m3fn),
        "complex": torch.zeros(2, dtype=torch.complex64),
        "sparse": torch.eye(2).to_sparse(),
        "quantized": torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8),
        "conjugate": torch.zeros(2, dtype=torch.complex64).conj(),
    },
    OUT / "odd.pt",
)
arrays = {
    "f4": ramp(2, 3),
    "f8": ramp(4).astype(np.float64),
    "big": ramp(3).astype(">f4"),
    "fortran": np.asfortranarray(ramp(2, 3)),
    "i8": np.arange(3),
    "scalar": np.float32(2.5),
    "count": np.int64(7),
    "objects": np.array([None, "a"], dtype=object),
}
for protocol in [2, 4, 5]:
    (OUT / f"arrays{protocol}.pkl").write_bytes(pickle.dumps(arrays, protocol=protocol))
base = torch.from_numpy(ramp(4, 3))
(OUT / "tensors.pkl").write_bytes(pickle.dumps({"base": base, "view": base.t()[1:]}, protocol=2))


def early():
    """Writes what torch.save wrote before 0.1.10, and checks it with torch.load."""

    def dump(*values):
        return b"".join(pickle.dumps(value, protocol=2) for value in values)

    values = ramp(8)
    storages = dump(1, (11, "cpu", torch.FloatStorage)) + struct.pack("<q", 8) + values.tobytes()
    storages += dump([(12, 11, 6, 2)])
    tensors = dump(2, (21, 11, torch.FloatTensor)) + struct.pack("<q2q2qq", 2, 2, 2, 1, 2, 1)
    tensors += dump((22, 12, torch.FloatTensor)) + struct.pack("<qqqq", 1, 2, 1, 0)

    class Key:
        def __init__(self, key):
            self.key = key

    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            return value.key if isinstance(value, Key) else None

    tree = io.BytesIO()
    Pickler(tree, protocol=2).dump(OrderedDict(a=Key("21"), b=[Key("22"), 5]))
    system = dump({"protocol_version": 1000, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}})
    with tarfile.open(OUT / "early.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
        members = dict(sys_info=system, pickle=tree.getvalue(), tensors=tensors, storages=storages)
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    read = torch.load(OUT / "early.tar", weights_only=False)
    assert torch.equal(read["a"], torch.tensor([[values[1], values[3]], [values[2], values[4]]])), read
    assert torch.equal(read["b"][0], torch.from_numpy(values[6:])), read


early()


def normed(function):
    layers = torch.nn.ModuleDict(dict(conv=torch.nn.Conv1d(2, 3, 4), gru=torch.nn.GRU(2, 3), all=torch.nn.Linear(2, 2)))
    filled(layers)
    function(layers["conv"])
    function(layers["gru"], name="weight_hh_l0")
    function(layers["all"], dim=None)
    for name, p in layers.named_parameters():
        if name.endswith(("_g", "original0")):
            p.data *= 1.5
    return layers


class Wrapped(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.old, self.new = normed(weight_norm), normed(parametrizations.weight_norm)


model = Wrapped()
state = {f"module._orig_mod.{name}": value for name, value in model.state_dict().items()}
for kind in ["old", "new"]:
    part = getattr(model, kind)
    [module(torch.zeros(1, 2, *[4] * (key == "conv"))) for key, module in part.items()]
    for name, weight in [("conv", "weight"), ("gru", "weight_hh_l0"), ("all", "weight")]:
        value = getattr(part[name], weight).detach().clone()
        state[f"module.want.{kind}.{name}.{weight}"] = value
torch.save({"state_dict": state, "epoch": 3}, OUT / "weight_norm.pt")


# Audio models, with outputs by NumPy in float64.


def sigmoid(v):
    return 1 / (1 + np.exp(-v))


def gru(x, w, u, b):
    h, out = np.zeros(len(u)), []
    for row in x:
        (az, ar, an), (cz, cr, cn) = np.split(row @ w + b[0], 3), np.split(h @ u + b[1], 3)
        z, r = sigmoid(az + cz), sigmoid(ar + cr)
        h = z * h + (1 - z) * np.tanh(an + r * cn)
        out.append(h)
    return np.array(out)


def lstm(x, w, u, b):
    h, c, out = np.zeros(len(u)), np.zeros(len(u)), []
    for row in x:
        i, f, g, o = np.split(row @ w + h @ u + b, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        out.append(h)
    return np.array(out)


def layer(kind, activation, width, *weights, **more):
    weights = [np.asarray(w).astype(float).tolist() for w in weights]
    return dict(type=kind, activation=activation, shape=[None, None, width], weights=weights, **more)


x = (np.sin(np.arange(12) / 2) / 2).reshape(-1, 1)
small = [ramp(1, 2), ramp(2), ramp(2, 9) / 2, ramp(3, 9) / 2, ramp(2, 9) / 4, ramp(3, 1), ramp(1)]
hidden = gru(np.tanh(x @ small[0] + small[1]), *small[2:5])
y = hidden @ small[5] + small[6]
rtneural = {
    "in_shape": [None, None, 1],
    "layers": [
        layer("time-distributed-dense", "tanh", 2, *small[:2]),
        layer("gru", "tanh", 3, *small[2:5]),
        layer("dense", "", 1, *small[5:]),
    ],
    "x": x.tolist(),
    "y": y.tolist(),
}
(OUT / "rtneural.json").write_text(json.dumps(rtneural))
small = [ramp(1, 8) / 2, ramp(2, 8) / 2, ramp(8) / 4, ramp(2, 1), ramp(1)]
y = lstm(x, *small[:3]) @ small[3] + small[4] + x
aidax = {
    "in_shape": [None, None, 1],
    "in_skip": 1,
    "in_gain": 0.0,
    "out_gain": -1.5,
    "metadata": {"name": "test", "samplerate": "48000"},
    "layers": [layer("lstm", "", 2, *small[:3]), layer("dense", "", 1, *small[3:])],
    "input_batch": x[:, 0].tolist(),
    "output_batch": y[:, 0].tolist(),
}
(OUT / "aidax.json").write_text(json.dumps(aidax))
rec, lin = filled(torch.nn.LSTM(1, 2)), filled(torch.nn.Linear(2, 1))
state = {f"rec.{k}": v for k, v in rec.state_dict().items()} | {f"lin.{k}": v for k, v in lin.state_dict().items()}
state = {name: value.tolist() for name, value in state.items()}
inside = torch.from_numpy(x[:, None]).float()
y = (lin(rec(inside)[0]) + inside).detach()[:, 0]
sizes = dict(model="SimpleRNN", input_size=1, skip=1, output_size=1, unit_type="LSTM", num_layers=1, hidden_size=2)
data = {"model_data": sizes | {"bias_fl": True}, "state_dict": state}
(OUT / "proteus.json").write_text(json.dumps(data | {"x": x.tolist(), "y": y.tolist()}))
(OUT / "torch.json").write_text(json.dumps(state))
