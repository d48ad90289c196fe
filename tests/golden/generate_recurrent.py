"""Writes recurrent.json and recurrent.safetensors beside this file: LSTM, GRU and simple recurrent layers by PyTorch
and Keras.

    python -m venv .venv
    .venv/bin/pip install torch numpy keras safetensors
    .venv/bin/python tests/golden/generate_recurrent.py

Everything is computed in float64 on the CPU and stored in float32. All input numbers come from `fill`, a hash that any
language can reproduce bit for bit (see generate.py), so the files hold only results and two runs write the same bytes.

Layer l, direction d (0 forward, 1 reverse), s = 10 (2 l + d), k = f32(1) / sqrt(f32(H)), all in PyTorch's layout:

    weight_ih  fill(s,     G * H * in, k)     weight_hh  fill(s + 1, G * H * P, k)     weight_hr  fill(s + 4, P * H, k)
    bias_ih    fill(s + 2, G * H,      k)     bias_hh    fill(s + 3, G * H,     k)
    x    fill(1000, [T, B, I] or [B, T, I], 1)     dy   fill(1002, y, 1)
    h0   fill(1001, [L * D, B, P], 0.5)            dhn  fill(1003, h_n, 1)
    c0   fill(1004, [L * D, B, H], 0.5)            dcn  fill(1005, c_n, 1)

A case is one flat tensor: y, h_n, c_n, dx, dh0, dc0, then the gradient of every weight in PyTorch's order; c_n and dc0
only for an LSTM. Gradients are those of sum(y * dy) + sum(h_n * dhn) + sum(c_n * dcn).

PyTorch gets "lengths" (packed sequences). Keras gets "mask", one string per batch row with 1 for a valid step and 0 for
a masked one, and repeats its outputs on masked steps. Keras' go_backwards gives outputs in processing order; they are
restored to time order here. Where Keras has one bias and the layer two, both get its gradient.
"""

import json
import os
from pathlib import Path

os.environ["KERAS_BACKEND"] = "torch"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import keras  # noqa: E402
import numpy as np  # noqa: E402
import safetensors.numpy  # noqa: E402
import torch  # noqa: E402

HERE = Path(__file__).resolve().parent
GATES = dict(lstm=4, gru=3, rnn=1)
# See generate.py: without this, Keras does not stay in float64.
keras.src.backend.numpy.matmul = torch.matmul
torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)


def mix(x):
    x = np.array(x).astype(np.uint32)
    x ^= x >> np.uint32(16)
    x *= np.uint32(0x7FEB352D)
    x ^= x >> np.uint32(15)
    x *= np.uint32(0x846CA68B)
    x ^= x >> np.uint32(16)
    return x


def fill(stream, shape, scale=1.0):
    """Returns float64 leaves of f32 values, uniform in (-scale, scale), the same in every language."""
    s = mix([stream + 1])[0]
    v = mix(np.arange(int(np.prod(shape)), dtype=np.uint32) ^ s) >> np.uint32(8)
    unit = v.astype(np.float32) / np.float32(8388608.0) - np.float32(1)
    return torch.from_numpy((unit * np.float32(scale)).reshape(shape)).double().requires_grad_()


def weights(c):
    """Returns the weights by PyTorch's name, in PyTorch's order."""
    rows, h, p = GATES[c["cell"]] * c["hidden"], c["hidden"], c["projection"] or c["hidden"]
    k = np.float32(1) / np.sqrt(np.float32(h))
    directions = 1 + c["bidirectional"]
    out = {}
    for layer in range(c["layers"]):
        for d in range(directions):
            s, end = 10 * (2 * layer + d), f"_l{layer}" + "_reverse" * d
            out["weight_ih" + end] = fill(s, (rows, directions * p if layer else c["input"]), k)
            out["weight_hh" + end] = fill(s + 1, (rows, p), k)
            if c["bias"]:
                out["bias_ih" + end] = fill(s + 2, (rows,), k)
                out["bias_hh" + end] = fill(s + 3, (rows,), k)
            if c["projection"]:
                out["weight_hr" + end] = fill(s + 4, (p, h), k)
    return out


class Problem:
    def __init__(self, c):
        self.c, self.weights = c, weights(c)
        b, t, h, p = c["batch"], c["steps"], c["hidden"], c["projection"] or c["hidden"]
        self.directions = 1 + c["bidirectional"]
        first = (b, t) if c["batch_first"] else (t, b)
        all_states = c["layers"] * self.directions
        self.x, self.dy = fill(1000, (*first, c["input"])), fill(1002, (*first, self.directions * p)).detach()
        self.h0, self.dhn = fill(1001, (all_states, b, p), 0.5), fill(1003, (all_states, b, p)).detach()
        self.is_lstm = c["cell"] == "lstm"
        self.c0, self.dcn = fill(1004, (all_states, b, h), 0.5), fill(1005, (all_states, b, h)).detach()

    def result(self, y, h_n, c_n):
        loss = (y * self.dy).sum() + (h_n * self.dhn).sum()
        if self.is_lstm:
            loss = loss + (c_n * self.dcn).sum()
        loss.backward()
        parts = [y, h_n] + [c_n] * self.is_lstm + [self.x.grad, self.h0.grad] + [self.c0.grad] * self.is_lstm
        parts += [w.grad for w in self.weights.values()]
        assert all(part.dtype == torch.float64 for part in parts)
        return torch.cat([part.detach().reshape(-1) for part in parts]).float().numpy()


def by_torch(c):
    p = Problem(c)
    if c["cell"] == "lstm":
        layer = torch.nn.LSTM(c["input"], c["hidden"], c["layers"], c["bias"], c["batch_first"], 0.0,
                              c["bidirectional"], c["projection"], dtype=torch.float64)
        first = (p.h0, p.c0)
    else:
        layer = torch.nn.RNN(c["input"], c["hidden"], c["layers"], c["activation"], c["bias"], c["batch_first"], 0.0,
                             c["bidirectional"], dtype=torch.float64)
        first = p.h0
    assert {name for name, _ in layer.named_parameters()} == set(p.weights)
    x = p.x
    if c["lengths"]:
        x = torch.nn.utils.rnn.pack_padded_sequence(x, torch.tensor(c["lengths"]), c["batch_first"],
                                                    enforce_sorted=False)
    y, last = torch.func.functional_call(layer, p.weights, (x, first))
    if c["lengths"]:
        y, _ = torch.nn.utils.rnn.pad_packed_sequence(y, c["batch_first"], total_length=c["steps"])
    return p.result(y, *(last if p.is_lstm else (last, None)))


def swap(w):
    """Swaps the first two of three blocks of columns: r z n <-> z r n."""
    r, z, n = torch.tensor_split(w, 3, -1)
    return torch.cat([z, r, n], -1)


class Variables:
    """Binds Keras' weights to functions of PyTorch-named weights, so that gradients reach the latter."""

    def __init__(self, layer, values):
        self.pairs = list(zip(layer.trainable_variables, values, strict=True))

    def __enter__(self):
        layer_values = [(v, value) for v, value in self.pairs]
        self.scope = keras.StatelessScope(state_mapping=layer_values)
        return self.scope.__enter__()

    def __exit__(self, *error):
        return self.scope.__exit__(*error)


def by_keras(c):
    p = Problem(c)
    w = {name.removesuffix("_l0"): value for name, value in p.weights.items()}
    is_gru = c["cell"] == "gru"
    order = swap if is_gru else (lambda v: v)
    values = [order(w["weight_ih"].T), order(w["weight_hh"].T)]
    if c["bias"]:
        ih, hh = order(w["bias_ih"]), order(w["bias_hh"])
        values.append(torch.stack([ih, hh]) if is_gru and c["reset_after"] else ih + hh)
    options = dict(return_sequences=True, return_state=True, use_bias=c["bias"], go_backwards=c["reverse"],
                   dtype="float64")
    if c["cell"] == "rnn":
        layer = keras.layers.SimpleRNN(c["hidden"], activation=c["activation"], **options)
    else:
        options |= dict(activation=c["activation"], recurrent_activation=c["recurrent_activation"], use_cudnn=False)
        if is_gru:
            layer = keras.layers.GRU(c["hidden"], reset_after=c["reset_after"], **options)
        else:
            layer = keras.layers.LSTM(c["hidden"], **options)
    x = p.x if c["batch_first"] else p.x.transpose(0, 1)
    layer.build(tuple(x.shape))
    mask = c["mask"] and torch.tensor([[flag == "1" for flag in row] for row in c["mask"]])
    first = [p.h0[0], p.c0[0]] if p.is_lstm else p.h0[0]
    with Variables(layer, values):
        y, *last = layer(x, initial_state=first, mask=mask)
    y = y.flip(1) if c["reverse"] else y
    y = y if c["batch_first"] else y.transpose(0, 1)
    return p.result(y, *[state[None] for state in last], *([] if p.is_lstm else [None]))


def case(oracle, cell, **given):
    c = dict(oracle=oracle, cell=cell, layers=1, bidirectional=False, reverse=False, bias=True, batch_first=False,
             reset_after=True, activation="tanh", recurrent_activation="sigmoid", input=3, hidden=5, projection=0,
             batch=4, steps=6, lengths=None, mask=None)
    assert set(given) <= set(c)
    return c | given


LENGTHS = [2, 6, 1, 5]
SHORT = [2, 5, 1, 3]  # no row reaches T
# Gaps with the first step masked; a row without a valid step; a prefix; a suffix with a gap.
MASK = ["010110", "000000", "111100", "001011"]
CASES = [
    case("torch", "lstm", batch=2, steps=3),
    case("torch", "lstm", bias=False, batch_first=True, lengths=LENGTHS),
    case("torch", "lstm", layers=2, bidirectional=True, hidden=4, lengths=SHORT),
    case("torch", "lstm", layers=3, hidden=4, lengths=LENGTHS),
    case("torch", "lstm", projection=2),
    case("torch", "lstm", projection=3, batch_first=True, bidirectional=True, lengths=LENGTHS),
    case("torch", "lstm", projection=1, layers=2, bidirectional=True, hidden=4, bias=False, lengths=SHORT),
    case("torch", "lstm", projection=4, layers=3, hidden=6, batch=2, steps=4),
    case("torch", "lstm", input=5, hidden=19, batch=3, steps=7),
    case("torch", "lstm", input=1, hidden=1, batch=1, steps=1),
    case("torch", "rnn"),
    case("torch", "rnn", activation="relu", bias=False, lengths=LENGTHS),
    case("torch", "rnn", layers=2, bidirectional=True, batch_first=True, lengths=SHORT),
    case("torch", "rnn", activation="relu", layers=3, bidirectional=True),
    case("torch", "rnn", layers=3, lengths=LENGTHS, hidden=33),
    case("keras", "lstm"),
    case("keras", "lstm", mask=MASK),
    case("keras", "lstm", mask=MASK, reverse=True, batch_first=True),
    case("keras", "lstm", mask=MASK, recurrent_activation="hard_sigmoid", bias=False),
    case("keras", "lstm", reverse=True, recurrent_activation="hard_sigmoid", activation="relu"),
    case("keras", "rnn", mask=MASK, batch_first=True),
    case("keras", "rnn", mask=MASK, reverse=True, activation="relu"),
    case("keras", "rnn", reverse=True, bias=False),
    case("keras", "gru"),
    case("keras", "gru", mask=MASK),
    case("keras", "gru", mask=MASK, reverse=True, batch_first=True),
    case("keras", "gru", mask=MASK, reverse=True, recurrent_activation="hard_sigmoid"),
    case("keras", "gru", reset_after=False, mask=MASK),
    case("keras", "gru", reset_after=False, mask=MASK, reverse=True, bias=False),
    case("keras", "gru", reset_after=False, mask=MASK, recurrent_activation="hard_sigmoid", activation="softsign"),
    case("keras", "gru", reset_after=False, reverse=True, batch_first=True),
]

tensors = {}
for i, c in enumerate(CASES):
    c["name"] = f"{i:02d}"
    tensors[c["name"]] = (by_torch if c["oracle"] == "torch" else by_keras)(c)
lines = ",\n".join(json.dumps(c) for c in CASES)
versions = json.dumps(dict(torch=torch.__version__, keras=keras.__version__))
text = f'{{"versions": {versions}, "cases": [\n{lines}\n]}}\n'
(HERE / "recurrent.json").write_text(text)
safetensors.numpy.save_file(tensors, HERE / "recurrent.safetensors")
size = (HERE / "recurrent.safetensors").stat().st_size
print(f"{len(CASES)} cases, {len(text)} + {size} bytes")
