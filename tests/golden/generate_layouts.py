"""Writes layouts.safetensors beside this file: single recurrent layers as PyTorch, Keras and ONNX store them.

    python -m venv .venv
    .venv/bin/pip install torch numpy onnx onnxruntime keras safetensors
    .venv/bin/python tests/golden/generate_layouts.py

Tensors are named <case>.<framework>.<name>; <case>.x [B, T, I] and <case>.y [B, T, D H] are an input and the output.
All frameworks that support the case must agree on the output within 1e-6, or this script fails. The layouts are built
gate by gate from weights with seed 0, and share no code with the crate.
"""

import os
from pathlib import Path

os.environ["KERAS_BACKEND"] = "torch"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import keras  # noqa: E402
import numpy as np  # noqa: E402
import onnxruntime  # noqa: E402
import safetensors.numpy  # noqa: E402
import torch  # noqa: E402
from onnx import TensorProto, helper  # noqa: E402

B, T, I, H = 2, 5, 3, 4
GATES = {"gru": "rzn", "lstm": "ifgo", "rnn": "n"}
KERAS = {"gru": "zrn", "lstm": "ifgo", "rnn": "n"}
ONNX = {"gru": "zrn", "lstm": "iofg", "rnn": "n"}
rng = np.random.default_rng(0)
out = {}


def draw(*shape):
    return rng.uniform(-0.8, 0.8, shape).astype(np.float32)


def fresh(kind):
    """Returns the weights of one direction by gate."""
    return {g: dict(w=draw(H, I), u=draw(H, H), b=draw(H), d=draw(H)) for g in GATES[kind]}


def stack(gates, order, part):
    return np.concatenate([gates[g][part] for g in order])


def as_torch(kind, gates, suffix=""):
    parts = dict(weight_ih="w", weight_hh="u", bias_ih="b", bias_hh="d")
    return {f"{n}_l0{suffix}": stack(gates, GATES[kind], p) for n, p in parts.items()}


def as_keras(kind, gates, reset_after=True):
    b, d = (stack(gates, KERAS[kind], p) for p in "bd")
    bias = np.stack([b, d]) if kind == "gru" and reset_after else b + d
    return dict(
        kernel=np.concatenate([gates[g]["w"].T for g in KERAS[kind]], axis=1),
        recurrent_kernel=np.concatenate([gates[g]["u"].T for g in KERAS[kind]], axis=1),
        bias=bias,
    )


def as_onnx(kind, directions, peepholes=None):
    order = ONNX[kind]
    tensors = dict(
        W=np.stack([stack(g, order, "w") for g in directions]),
        R=np.stack([stack(g, order, "u") for g in directions]),
        B=np.stack([np.concatenate([stack(g, order, "b"), stack(g, order, "d")]) for g in directions]),
    )
    if peepholes is not None:
        tensors["P"] = np.stack([np.concatenate([p[g] for g in "iof"]) for p in peepholes])
    return tensors


def run_torch(kind, tensors, x, bidirectional=False):
    module = {"gru": torch.nn.GRU, "lstm": torch.nn.LSTM, "rnn": torch.nn.RNN}[kind]
    module = module(I, H, batch_first=True, bidirectional=bidirectional)
    module.load_state_dict({k: torch.from_numpy(v) for k, v in tensors.items()})
    with torch.no_grad():
        return module(torch.from_numpy(x))[0].numpy()


def run_keras(kind, tensors, x, **options):
    layer = {"gru": keras.layers.GRU, "lstm": keras.layers.LSTM, "rnn": keras.layers.SimpleRNN}[kind]
    layer = layer(H, return_sequences=True, **options)
    layer.build((B, T, I))
    layer.set_weights([tensors["kernel"], tensors["recurrent_kernel"], tensors["bias"]])
    return keras.ops.convert_to_numpy(layer(x))


def run_onnx(kind, tensors, x, **attributes):
    directions = tensors["W"].shape[0]
    names = ["x", "W", "R", "B"] + (["", "", "", "P"] if "P" in tensors else [])
    node = helper.make_node(kind.upper(), names, ["y"], hidden_size=H,
                            direction="bidirectional" if directions == 2 else "forward", **attributes)
    inputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, v.shape)
              for n, v in dict(x=x.transpose(1, 0, 2), **tensors).items()]
    graph = helper.make_graph([node], "g", inputs, [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    y = session.run(None, dict(x=np.ascontiguousarray(x.transpose(1, 0, 2)), **tensors))[0]
    return y.transpose(2, 0, 1, 3).reshape(B, T, directions * H)


def case(name, x, layouts, outputs):
    first = next(iter(outputs.values()))
    for framework, y in outputs.items():
        assert np.abs(y - first).max() < 1e-6, (name, framework, np.abs(y - first).max())
    out[f"{name}.x"], out[f"{name}.y"] = x, np.ascontiguousarray(first)
    for framework, tensors in layouts.items():
        for key, value in tensors.items():
            out[f"{name}.{framework}.{key}"] = np.ascontiguousarray(value)


for kind in ["gru", "lstm", "rnn"]:
    gates, x = fresh(kind), draw(B, T, I)
    t, k, o = as_torch(kind, gates), as_keras(kind, gates), as_onnx(kind, [gates])
    lbr = dict(linear_before_reset=1) if kind == "gru" else {}
    case(kind, x, dict(torch=t, keras=k, onnx=o),
         dict(torch=run_torch(kind, t, x), keras=run_keras(kind, k, x), onnx=run_onnx(kind, o, x, **lbr)))

    pair = [fresh(kind), fresh(kind)]
    t, o = as_torch(kind, pair[0]) | as_torch(kind, pair[1], "_reverse"), as_onnx(kind, pair)
    case(f"{kind}_both", x, dict(torch=t, onnx=o),
         dict(torch=run_torch(kind, t, x, True), onnx=run_onnx(kind, o, x, **lbr)))

gates, x = fresh("gru"), draw(B, T, I)
k, o = as_keras("gru", gates, False), as_onnx("gru", [gates])
case("gru_before", x, dict(keras=k, onnx=o),
     dict(keras=run_keras("gru", k, x, reset_after=False), onnx=run_onnx("gru", o, x)))

gates, x = fresh("lstm"), draw(B, T, I)
peepholes = {g: draw(H) for g in "ifo"}
o = as_onnx("lstm", [gates], [peepholes])
ours = as_torch("lstm", gates) | dict(weight_peephole_l0=np.concatenate([peepholes[g] for g in "ifo"]))
case("lstm_peephole", x, dict(torch=ours, onnx=o), dict(onnx=run_onnx("lstm", o, x)))

safetensors.numpy.save_file(out, Path(__file__).with_name("layouts.safetensors"))
