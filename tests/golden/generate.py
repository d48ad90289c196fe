"""Writes the golden fixtures beside this file: results of PyTorch, Keras and ONNX Runtime.

Set up and run (CPU only; about ten seconds):

    python -m venv .venv
    .venv/bin/pip install torch numpy onnx onnxruntime keras safetensors
    .venv/bin/python tests/golden/generate.py

All input numbers come from `fill`, a hash that any language can reproduce bit for bit, so the
files hold only results. Nothing is random: two runs on one machine write the same bytes.
The "versions" of each JSON file list the versions used.

    gru.json, gru.safetensors   outputs and gradients of whole GRU stacks
    training.json               loss curves of a small model under several optimizers
    losses.json                 losses and their gradients
    schedules.json              learning rates of three schedules
    torch_gru.safetensors       a state dict as written by torch and safetensors


The GRU cases
-------------
Layer l, direction d (0 forward, 1 reverse), s = 10 (2 l + d), k = f32(1) / sqrt(f32(H)):

    weight_ih  fill(s,     3H * in, k)      in = I for layer 0, D * H after it
    weight_hh  fill(s + 1, 3H * H,  k)
    bias_ih    fill(s + 2, 3H,      k)
    bias_hh    fill(s + 3, 3H,      k)
    x          fill(1000, T * B * I,     1)     as [T, B, I], or [B, T, I] if batch_first
    h0         fill(1001, L * D * B * H, 0.5)   as [L * D, B, H]; zeros unless "h0"
    dy         fill(1002, numel(y),      1)     as y: [T, B, D * H], or [B, T, D * H]
    dhn        fill(1003, numel(h_n),    1)     as h_n: [L * D, B, H]

All weights use PyTorch's layout and gate order (r, z, n), whichever library computes the case. The
gradients are those of sum(y * dy) + sum(h_n * dhn). With "lengths" (by batch row, not sorted), y is
zero at the padded steps, h_n holds each row's last valid step, and the reverse direction starts there.
"reset_after": false is the GRU of Cho et al. 2014; there bias_ih + bias_hh is one bias, so both
have the same gradient.

A tensor is named "<case>.<name>", where <name> is one of

    y  h_n  dx  dh0  d.weight_ih_l0  d.weight_hh_l0_reverse  d.bias_ih_l1  ...

and is stored whole if it has at most 4096 elements. A larger one, listed in the case's "sampled",
is stored as 2048 of its n elements, at the flat positions

    p_k = k * n / 2048 + mix(k) % max(1, n / 2048)      for k in 0..2048, integer division

"max" maps every stored <name> to the largest |element| of the whole tensor. A case with
"gradients": false stores only y and h_n.
"""

import json
import math
import os
import platform
from pathlib import Path

os.environ["KERAS_BACKEND"] = "torch"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import keras  # noqa: E402
import numpy as np  # noqa: E402
import onnx  # noqa: E402
import onnxruntime  # noqa: E402
import safetensors  # noqa: E402
import safetensors.numpy  # noqa: E402
import safetensors.torch  # noqa: E402
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

HERE = Path(__file__).resolve().parent
WHOLE, SAMPLES = 4096, 2048
VERSIONS = dict(
    python=platform.python_version(),
    numpy=np.__version__,
    torch=torch.__version__,
    keras=keras.__version__,
    onnx=onnx.__version__,
    onnxruntime=onnxruntime.__version__,
    safetensors=safetensors.__version__,
)
# Keras promotes float64 * float64 to float32 in `matmul`, whatever the layer's dtype (in 3.15, seen as
# an error of 3e-8). With torch's own matmul, the whole layer runs in float64; `same` below checks this.
keras.src.backend.numpy.matmul = torch.matmul
torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)


# ---- data ---------------------------------------------------------------------------------------


def mix(x):
    x = np.array(x).astype(np.uint32)
    x ^= x >> np.uint32(16)
    x *= np.uint32(0x7FEB352D)
    x ^= x >> np.uint32(15)
    x *= np.uint32(0x846CA68B)
    x ^= x >> np.uint32(16)
    return x


def fill(stream, shape, scale):
    """f32 values, uniform in (-scale, scale), the same in every language."""
    s = mix([stream + 1])[0]
    n = int(np.prod(shape))
    v = mix(np.arange(n, dtype=np.uint32) ^ s) >> np.uint32(8)
    unit = v.astype(np.float32) / np.float32(8388608.0) - np.float32(1)
    return (unit * np.float32(scale)).reshape(shape)


def fill64(stream, shape, scale):
    return torch.from_numpy(fill(stream, shape, scale)).double()


def gru_weights(layers, dirs, inputs, hidden, bias):
    """Returns f32 weights by PyTorch name, in PyTorch's order."""
    k = np.float32(1) / np.sqrt(np.float32(hidden))
    out = {}
    for l in range(layers):
        for d in range(dirs):
            s, end = 10 * (2 * l + d), f"_l{l}" + "_reverse" * d
            out["weight_ih" + end] = fill(s, (3 * hidden, inputs if l == 0 else dirs * hidden), k)
            out["weight_hh" + end] = fill(s + 1, (3 * hidden, hidden), k)
            if bias:
                out["bias_ih" + end] = fill(s + 2, (3 * hidden,), k)
                out["bias_hh" + end] = fill(s + 3, (3 * hidden,), k)
    return out


def swap_rz(w, axis=0):
    """Swaps the first two of three gate blocks: r z n <-> z r n. It is its own inverse."""
    r, z, n = (np.split if isinstance(w, np.ndarray) else torch.tensor_split)(w, 3, axis)
    return np.concatenate([z, r, n], axis) if isinstance(w, np.ndarray) else torch.cat([z, r, n], axis)


# ---- the cases ----------------------------------------------------------------------------------

YES, NO = True, False
MIXED = "mixed"


def case(oracle, layers, bi, bias, bf, i, h, b, t, lengths, h0):
    """One case, as stored in gru.json. `lengths` is None, MIXED, or a list."""
    named = lengths is not None
    if lengths == MIXED:
        # One row of 1 step and one of all T steps in the middle; the others vary.
        lengths = [1 + int(mix(77 + k)) % t for k in range(b)]
        lengths[b // 2 - 1], lengths[b // 2] = 1, t
    kind = dict(torch="torch-float64", keras="keras-float64", ort="onnxruntime-float32")[oracle]
    flags = [("bi", bi), ("nobias", not bias), ("bf", bf), ("len", named), ("h0", h0)]
    name = f"{oracle}_l{layers}_i{i}_h{h}_b{b}_t{t}" + "".join("_" + f for f, on in flags if on)
    if named and b == 2:
        name += "_" + "_".join(map(str, lengths))
    return dict(
        name=name, layers=layers, bidirectional=bi, bias=bias, batch_first=bf,
        reset_after=oracle == "torch", input=i, hidden=h, batch=b, steps=t, lengths=lengths,
        h0=h0, oracle=kind, gradients=oracle != "ort",
    )


# oracle, layers, bidirectional, bias, batch_first, I, H, B, T, lengths, h0
CASES = [case(*c) for c in [
    ("torch", 1, NO, YES, NO, 1, 1, 1, 1, None, NO),
    ("torch", 1, NO, YES, NO, 3, 1, 2, 7, None, YES),
    ("torch", 1, NO, NO, NO, 1, 1, 2, 64, None, YES),
    ("torch", 1, YES, NO, NO, 5, 1, 33, 7, MIXED, YES),
    ("torch", 3, YES, YES, YES, 5, 1, 1, 7, None, YES),
    ("torch", 1, NO, YES, NO, 5, 3, 1, 1, None, YES),
    ("torch", 1, NO, YES, NO, 5, 3, 2, 7, None, NO),
    ("torch", 1, NO, YES, NO, 5, 3, 2, 7, None, YES),
    ("torch", 1, NO, NO, YES, 5, 3, 2, 7, None, YES),
    ("torch", 1, NO, YES, NO, 5, 3, 2, 7, [1, 7], YES),
    ("torch", 1, NO, YES, YES, 3, 3, 33, 64, MIXED, YES),
    ("torch", 1, YES, YES, NO, 5, 3, 2, 7, None, YES),
    ("torch", 1, YES, YES, NO, 5, 3, 2, 7, [3, 7], YES),
    ("torch", 1, YES, YES, NO, 5, 3, 2, 7, [2, 5], YES),  # no row reaches T
    ("torch", 1, YES, YES, YES, 5, 3, 33, 7, MIXED, NO),
    ("torch", 2, NO, YES, NO, 1, 3, 33, 7, MIXED, YES),
    ("torch", 2, NO, YES, YES, 5, 3, 33, 1, None, YES),
    ("torch", 2, YES, YES, NO, 5, 3, 2, 64, [64, 1], YES),
    ("torch", 3, YES, YES, NO, 3, 3, 33, 7, MIXED, YES),
    ("torch", 3, NO, NO, YES, 20, 3, 2, 7, None, NO),
    ("torch", 3, YES, NO, YES, 5, 3, 2, 7, None, YES),
    ("torch", 1, NO, YES, NO, 20, 67, 1, 1, None, YES),
    ("torch", 1, NO, YES, NO, 67, 67, 2, 7, None, YES),
    ("torch", 1, YES, YES, NO, 20, 67, 33, 7, MIXED, YES),
    ("torch", 1, NO, NO, YES, 1, 67, 33, 64, None, NO),
    ("torch", 1, YES, NO, NO, 67, 67, 1, 64, None, YES),
    ("torch", 2, YES, YES, NO, 20, 67, 2, 7, [1, 5], YES),  # no row reaches T
    ("torch", 2, YES, YES, YES, 1, 67, 2, 1, None, YES),
    ("torch", 2, NO, YES, YES, 20, 67, 33, 7, MIXED, YES),
    ("torch", 3, NO, YES, NO, 5, 67, 2, 7, None, YES),
    ("torch", 1, NO, YES, NO, 20, 128, 2, 7, None, YES),
    ("torch", 1, NO, YES, NO, 3, 128, 1, 64, None, YES),
    ("torch", 1, NO, YES, NO, 67, 128, 33, 1, None, YES),
    ("torch", 1, YES, YES, YES, 5, 128, 2, 7, [7, 1], YES),
    ("torch", 2, NO, YES, NO, 67, 128, 1, 7, None, NO),
    ("torch", 1, NO, YES, NO, 20, 128, 33, 64, None, YES),
    ("torch", 1, NO, YES, NO, 20, 257, 1, 1, None, YES),
    ("torch", 1, NO, YES, NO, 3, 257, 2, 7, [4, 7], YES),
    ("torch", 1, YES, NO, NO, 20, 257, 1, 7, None, YES),
    ("torch", 2, NO, YES, YES, 5, 257, 2, 7, None, YES),
    ("torch", 1, NO, YES, NO, 67, 257, 33, 64, MIXED, YES),
    ("keras", 1, NO, YES, NO, 1, 1, 2, 7, None, YES),
    ("keras", 1, NO, YES, NO, 20, 67, 1, 1, None, YES),
    ("keras", 1, NO, YES, NO, 5, 3, 2, 7, None, YES),
    ("keras", 1, NO, YES, YES, 5, 3, 2, 7, None, NO),
    ("keras", 1, NO, NO, NO, 3, 3, 33, 7, None, YES),
    ("keras", 1, YES, YES, NO, 5, 3, 2, 7, None, YES),
    ("keras", 1, YES, YES, NO, 5, 3, 2, 7, [3, 7], YES),
    ("keras", 1, YES, NO, YES, 20, 67, 2, 7, None, YES),
    ("keras", 2, NO, YES, NO, 20, 67, 33, 7, None, YES),
    ("keras", 2, YES, YES, NO, 5, 3, 33, 7, None, YES),
    ("keras", 2, YES, YES, YES, 5, 67, 33, 7, MIXED, YES),
    ("keras", 3, NO, YES, YES, 5, 3, 2, 64, None, YES),
    ("keras", 3, YES, YES, NO, 1, 3, 2, 7, None, NO),
    ("keras", 1, NO, YES, NO, 20, 128, 2, 7, None, YES),
    ("keras", 1, NO, YES, NO, 67, 257, 2, 7, None, YES),
    ("keras", 1, NO, YES, NO, 67, 67, 33, 64, None, YES),
    ("ort", 1, NO, YES, NO, 5, 3, 2, 7, [1, 7], YES),
    ("ort", 1, YES, YES, NO, 20, 67, 33, 7, MIXED, YES),
    ("ort", 2, YES, YES, NO, 5, 3, 33, 64, MIXED, YES),
    ("ort", 1, NO, NO, YES, 3, 128, 2, 7, [7, 3], NO),
    ("ort", 2, NO, YES, NO, 20, 257, 2, 7, [1, 5], YES),
]]


class Problem:
    """A case's data: f32 weights, and float64 x, h0 and cotangents."""

    def __init__(self, c):
        self.c = c
        self.L, self.D = c["layers"], 1 + c["bidirectional"]
        self.I, self.H, self.B, self.T = c["input"], c["hidden"], c["batch"], c["steps"]
        self.weights = gru_weights(self.L, self.D, self.I, self.H, c["bias"])
        first = (self.B, self.T) if c["batch_first"] else (self.T, self.B)
        self.x = fill64(1000, (*first, self.I), 1.0)
        state = (self.L * self.D, self.B, self.H)
        self.h0 = fill64(1001, state, 0.5) if c["h0"] else torch.zeros(state, dtype=torch.float64)
        self.dy = fill64(1002, (*first, self.D * self.H), 1.0)
        self.dhn = fill64(1003, state, 1.0)

    def swap(self, a):
        """Converts between the case's own layout and [T, B, ...]."""
        return a.transpose(0, 1) if self.c["batch_first"] else a

    def leaves(self):
        """Returns fresh float64 leaves: x, h0, and the weights by name."""
        w = {k: torch.from_numpy(v).double().requires_grad_() for k, v in self.weights.items()}
        return self.x.clone().requires_grad_(), self.h0.clone().requires_grad_(), w

    def backward(self, y, h_n):
        ((y * self.dy).sum() + (h_n * self.dhn).sum()).backward()


def ends(p):
    return [(l, d, f"_l{l}" + "_reverse" * d) for l in range(p.L) for d in range(p.D)]


# ---- three oracles, and a reference to check them against ----------------------------------------


def reference(p, reset_after, gradients=True):
    """Evaluates the equations step by step in float64, with autograd."""
    x, h0, w = p.leaves()
    lengths = torch.tensor(p.c["lengths"] or [p.T] * p.B)
    below, last = p.swap(x), []
    for l in range(p.L):
        sides = []
        for d in range(p.D):
            end = ends(p)[l * p.D + d][2]
            zero = torch.zeros(3 * p.H, dtype=torch.float64)
            wi, wh = w["weight_ih" + end], w["weight_hh" + end]
            bi, bh = w.get("bias_ih" + end, zero), w.get("bias_hh" + end, zero)
            h, steps = h0[l * p.D + d], [None] * p.T
            for t in reversed(range(p.T)) if d else range(p.T):
                ar, az, an = (below[t] @ wi.T + bi).chunk(3, 1)
                ur, uz, un = wh.chunk(3)
                dr, dz, dn = bh.chunk(3)
                r = torch.sigmoid(ar + h @ ur.T + dr)
                z = torch.sigmoid(az + h @ uz.T + dz)
                n = torch.tanh(an + r * (h @ un.T + dn) if reset_after else an + (r * h) @ un.T + dn)
                valid = (t < lengths)[:, None]
                h = torch.where(valid, (1 - z) * n + z * h, h)
                steps[t] = torch.where(valid, h, 0.0)
            sides.append(torch.stack(steps))
            last.append(h)
        below = torch.cat(sides, -1)
    y, h_n = p.swap(below), torch.stack(last)
    out = dict(y=y.detach(), h_n=h_n.detach())
    if gradients:
        p.backward(y, h_n)
        out |= dict(dx=x.grad, dh0=h0.grad) | {"d." + k: v.grad for k, v in w.items()}
    return out


def by_torch(p):
    """torch.nn.GRU in float64."""
    x, h0, _ = p.leaves()
    gru = torch.nn.GRU(p.I, p.H, p.L, bias=p.c["bias"], batch_first=p.c["batch_first"],
                       bidirectional=p.c["bidirectional"], dtype=torch.float64)
    gru.load_state_dict({k: torch.from_numpy(v).double() for k, v in p.weights.items()})
    if p.c["lengths"] is None:
        y, h_n = gru(x, h0)
    else:
        rnn = torch.nn.utils.rnn
        packed = rnn.pack_padded_sequence(x, torch.tensor(p.c["lengths"]), p.c["batch_first"], enforce_sorted=False)
        packed, h_n = gru(packed, h0)
        y, _ = rnn.pad_packed_sequence(packed, p.c["batch_first"], total_length=p.T)
    p.backward(y, h_n)
    out = dict(y=y.detach(), h_n=h_n.detach(), dx=x.grad, dh0=h0.grad)
    return out | {"d." + k: v.grad for k, v in gru.named_parameters()}


def by_keras(p):
    """keras.layers.GRU(reset_after=False) in float64, one layer object per layer and direction.

    The reverse direction is go_backwards with its outputs restored to the original time order,
    as keras.layers.Bidirectional does. With lengths, Keras skips the masked steps and so keeps the
    state; it repeats outputs there, which are zeroed here.
    """
    x, h0, _ = p.leaves()
    mask, keep = None, 1.0
    if p.c["lengths"] is not None:
        mask = torch.arange(p.T)[None] < torch.tensor(p.c["lengths"])[:, None]
        keep = mask[..., None].double()
    below = p.swap(x).transpose(0, 1)  # Keras is batch first
    last, grads = [], []
    for l in range(p.L):
        sides = []
        for d in range(p.D):
            end = ends(p)[l * p.D + d][2]
            gru = keras.layers.GRU(p.H, return_sequences=True, return_state=True, reset_after=False,
                                   use_bias=p.c["bias"], go_backwards=bool(d), dtype="float64")
            gru.build(tuple(below.shape))
            w = [swap_rz(p.weights[n + end].astype(np.float64)).T for n in ("weight_ih", "weight_hh")]
            if p.c["bias"]:
                w.append(swap_rz(p.weights["bias_ih" + end].astype(np.float64) + p.weights["bias_hh" + end]))
            gru.set_weights(w)
            y, h = gru(below, initial_state=h0[l * p.D + d], mask=mask)
            assert y.dtype == h.dtype == torch.float64
            sides.append((y.flip(1) if d else y) * keep)
            last.append(h)
            grads.append((end, gru))
        below = torch.cat(sides, -1)
    y = below if p.c["batch_first"] else below.transpose(0, 1)
    h_n = torch.stack(last)
    p.backward(y, h_n)
    out = dict(y=y.detach(), h_n=h_n.detach(), dx=x.grad, dh0=h0.grad)
    for end, gru in grads:
        g = [v.value.grad for v in gru.trainable_variables]
        out["d.weight_ih" + end] = swap_rz(g[0].T)
        out["d.weight_hh" + end] = swap_rz(g[1].T)
        if p.c["bias"]:
            out["d.bias_ih" + end] = out["d.bias_hh" + end] = swap_rz(g[2])
    return out


def by_onnxruntime(p):
    """ONNX Runtime's GRU nodes in float32, linear_before_reset = 0 and sequence_lens."""
    nodes, inits, below, states = [], [], "x", []

    def constant(name, value):
        inits.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    constant("lens", np.array(p.c["lengths"], np.int32))
    shape = constant("shape", np.array([p.T, p.B, p.D * p.H], np.int64))
    for l in range(p.L):
        tails = [e for k, _, e in ends(p) if k == l]
        w, r = (np.stack([swap_rz(p.weights[n + e]) for e in tails]) for n in ("weight_ih", "weight_hh"))
        bias = ""
        if p.c["bias"]:
            bias = constant(f"B{l}", np.stack([
                np.concatenate([swap_rz(p.weights[n + e]) for n in ("bias_ih", "bias_hh")]) for e in tails]))
        h0 = constant(f"h{l}", p.h0[l * p.D:(l + 1) * p.D].float().numpy()) if p.c["h0"] else ""
        nodes += [
            helper.make_node("GRU", [below, constant(f"W{l}", w), constant(f"R{l}", r), bias, "lens", h0],
                             [f"Y{l}", f"Yh{l}"], hidden_size=p.H, linear_before_reset=0,
                             direction="bidirectional" if p.D == 2 else "forward"),
            helper.make_node("Transpose", [f"Y{l}"], [f"Yt{l}"], perm=[0, 2, 1, 3]),
            helper.make_node("Reshape", [f"Yt{l}", shape], [f"y{l}"]),
        ]
        below = f"y{l}"
        states.append(f"Yh{l}")
    f32 = TensorProto.FLOAT
    graph = helper.make_graph(
        nodes, "gru", [helper.make_tensor_value_info("x", f32, [p.T, p.B, p.I])],
        [helper.make_tensor_value_info(below, f32, [p.T, p.B, p.D * p.H])]
        + [helper.make_tensor_value_info(n, f32, [p.D, p.B, p.H]) for n in states], inits)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    y, *h = session.run(None, {"x": np.ascontiguousarray(p.swap(p.x).float().numpy())})
    return dict(y=p.swap(torch.from_numpy(y)), h_n=torch.from_numpy(np.concatenate(h)))


def same(case_name, got, want, tolerance):
    assert got.keys() == want.keys(), case_name
    worst = 0.0
    for k in want:
        scale = max(1.0, want[k].abs().max().item())
        error = (got[k].double() - want[k]).abs().max().item() / scale
        assert error <= tolerance, f"{case_name}.{k}: differs from the reference by {error:e}"
        worst = max(worst, error)
    return worst


def check_reset(p, before):
    """Asserts that the two placements of the reset gate differ wherever the equations say so."""
    c = p.c
    if c["bias"] and (c["h0"] or p.T > 1):
        gap = (reference(p, True, gradients=False)["y"] - before["y"]).abs().max().item()
        assert gap > 1e-3, f"{c['name']}: reset before and after agree ({gap:e})"


def check_bidirectional():
    """Checks that keras.layers.Bidirectional gives the same as by_keras, which builds it manually."""
    p = Problem(case("keras", 1, YES, YES, YES, 5, 3, 2, 7, None, YES))
    gru = keras.layers.GRU(p.H, return_sequences=True, return_state=True, reset_after=False, dtype="float64")
    both = keras.layers.Bidirectional(gru, dtype="float64")
    both.build(tuple(p.x.shape))
    w = []
    for _, _, e in ends(p):
        w += [swap_rz(p.weights[n + e].astype(np.float64)).T for n in ("weight_ih", "weight_hh")]
        w.append(swap_rz(p.weights["bias_ih" + e].astype(np.float64) + p.weights["bias_hh" + e]))
    both.set_weights(w)
    y, *h = both(p.x, initial_state=[p.h0[0], p.h0[1]])
    want = reference(p, False, gradients=False)
    same("Bidirectional", dict(y=y.detach(), h_n=torch.stack(h).detach()), want, 1e-12)


# ---- files --------------------------------------------------------------------------------------


def positions(n):
    k = np.arange(SAMPLES, dtype=np.uint64)
    n = np.uint64(n)
    return k * n // np.uint64(SAMPLES) + mix(k).astype(np.uint64) % max(np.uint64(1), n // np.uint64(SAMPLES))


def write_json(name, head, key, rows, tail=None):
    """Writes one row per line, so that diffs are readable."""
    parts = [f'"{k}": {json.dumps(v)}' for k, v in head.items()]
    parts.append(f'"{key}": [\n' + ",\n".join(json.dumps(r, allow_nan=False) for r in rows) + "\n]")
    (HERE / name).write_text("{\n" + ",\n".join(parts) + "\n}\n")


def write_gru():
    oracles = {"torch": by_torch, "keras": by_keras, "onnxruntime": by_onnxruntime}
    check_bidirectional()
    tensors, rows, worst = {}, [], {}
    for c in CASES:
        p, kind = Problem(c), c["oracle"].split("-")[0]
        got = oracles[kind](p)
        want = reference(p, c["reset_after"], c["gradients"])
        error = same(c["name"], got, want, 2e-6 if kind == "onnxruntime" else 1e-12)
        worst[kind] = max(worst.get(kind, 0.0), error)
        if not c["reset_after"]:
            check_reset(p, want)
        sampled, largest = [], {}
        for name, value in got.items():
            value = value.detach().double().contiguous().numpy()
            assert np.isfinite(value).all(), (c["name"], name)
            largest[name] = float(np.abs(value).max())
            if value.size > WHOLE:
                sampled.append(name)
                value = value.reshape(-1)[positions(value.size)]
            assert f"{c['name']}.{name}" not in tensors
            tensors[f"{c['name']}.{name}"] = value.astype(np.float32)
        rows.append(c | dict(sampled=sampled, max=largest))
    safetensors.numpy.save_file(tensors, HERE / "gru.safetensors")
    write_json("gru.json", dict(versions=VERSIONS), "cases", rows)
    print(len(rows), "GRU cases,", len(tensors), "tensors; worst distance to the reference:", worst)


def write_training():
    """Full-batch training of GRU(5, 16, batch_first) and Linear(16, 1) on h_n[-1]; MSE; float64."""
    hidden, inputs, batch, steps, updates = 16, 5, 8, 12, 10
    adam, sgd = torch.optim.Adam, torch.optim.SGD
    plans = [
        ("sgd", sgd, dict(lr=0.1), None),
        ("sgd_momentum", sgd, dict(lr=0.1, momentum=0.9), None),
        ("sgd_nesterov_decay", sgd, dict(lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01), None),
        ("sgd_clip", sgd, dict(lr=0.1), 0.1),
        ("adam", adam, dict(lr=0.01), None),
        ("adam_l2", adam, dict(lr=0.01, weight_decay=0.01), None),
        ("adamw", torch.optim.AdamW, dict(lr=0.01, weight_decay=0.1), None),
        ("adam_clip", adam, dict(lr=0.01), 0.1),
    ]
    x = fill64(1000, (batch, steps, inputs), 1.0)
    target = fill64(1004, (batch, 1), 1.0)
    rows = []
    for name, optimizer, options, clip in plans:
        gru = torch.nn.GRU(inputs, hidden, batch_first=True, dtype=torch.float64)
        linear = torch.nn.Linear(hidden, 1, dtype=torch.float64)
        model = torch.nn.ModuleDict(dict(gru=gru, linear=linear))
        start = {"gru." + k: v for k, v in gru_weights(1, 1, inputs, hidden, True).items()}
        start |= {"linear.weight": fill(40, (1, hidden), 0.25), "linear.bias": fill(41, (1,), 0.25)}
        model.load_state_dict({k: torch.from_numpy(v).double() for k, v in start.items()})
        step = optimizer(model.parameters(), foreach=False, **options)
        losses, norms = [], []
        for k in range(updates + 1):
            loss = F.mse_loss(linear(gru(x)[1][-1]), target)
            losses.append(loss.item())
            if k == updates:
                break
            step.zero_grad()
            loss.backward()
            limit = math.inf if clip is None else clip
            norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), limit, foreach=False).item())
            step.step()
        defaults = {k: step.defaults[k] for k in ("momentum", "nesterov", "betas", "eps", "weight_decay")
                    if k in step.defaults}
        final = {k: dict(sum=v.sum().item(), sum_sq=(v * v).sum().item()) for k, v in model.state_dict().items()}
        rows.append(dict(name=name, optimizer=optimizer.__name__.lower(), lr=options["lr"], **defaults,
                         clip_grad_norm=clip, losses=losses, grad_norms=norms, final=final))
    model = dict(input=inputs, hidden=hidden, output=1, batch=batch, steps=steps, batch_first=True,
                 updates=updates, loss="mse")
    write_json("training.json", dict(versions=VERSIONS, model=model), "curves", rows)
    print(len(rows), "loss curves")


def write_losses():
    """Losses in float64 with the gradient by the first argument."""
    rows = []

    def add(name, loss, stream, shape, scale, target, run, **options):
        source, value = target
        for reduction in ("mean", "sum"):
            x = fill64(stream, shape, scale).requires_grad_()
            out = run(x, value, reduction=reduction, **options)
            out.backward()
            rows.append(dict(
                name=f"{name}_{reduction}", loss=loss, reduction=reduction, **options,
                input=dict(stream=stream, shape=list(shape), scale=scale), target=source,
                value=out.item(), grad=x.grad.reshape(-1).tolist()))

    def filled(stream, shape, scale):
        return dict(stream=stream, shape=list(shape), scale=scale), fill64(stream, shape, scale)

    def listed(values, shape, kind):
        value = torch.tensor(values, dtype=kind).reshape(shape)
        return dict(values=values, shape=list(shape)), value

    shape = (4, 6)
    against = filled(2001, shape, 2.0)
    add("mse", "mse", 2000, shape, 2.0, against, F.mse_loss)
    add("l1", "l1", 2000, shape, 2.0, against, F.l1_loss)
    add("huber", "huber", 2000, shape, 2.0, against, F.huber_loss, delta=0.7)

    rows_, classes = 10, 7
    labels = [int(v) % classes for v in mix(np.arange(100, 100 + rows_))]
    holes = [-100 if k in (2, 3, 9) else v for k, v in enumerate(labels)]
    ours = [5 if k in (0, 6) else v % 5 for k, v in enumerate(labels)]  # a class as ignore_index
    whole, masked, classed = (listed(v, (rows_,), torch.int64) for v in (labels, holes, ours))
    shape = (rows_, classes)
    for name, scale, target, index, smooth in [
        ("cross_entropy", 2.0, whole, -100, 0.0),
        ("cross_entropy_smooth", 2.0, whole, -100, 0.1),
        ("cross_entropy_ignore", 2.0, masked, -100, 0.0),
        ("cross_entropy_ignore_smooth", 2.0, masked, -100, 0.1),
        ("cross_entropy_ignore_class_smooth", 2.0, classed, 5, 0.1),
        ("cross_entropy_large_logits", 200.0, masked, -100, 0.1),
    ]:
        add(name, "cross_entropy", 2002, shape, scale, target, F.cross_entropy,
            ignore_index=index, label_smoothing=smooth)

    shape = (3, 8)
    soft = (fill(2004, shape, 1.0).reshape(-1) * np.float32(0.5) + np.float32(0.5)).tolist()
    hard = [float(v > 0.5) for v in soft]
    bce = F.binary_cross_entropy_with_logits
    add("bce_with_logits_soft", "bce_with_logits", 2003, shape, 3.0, listed(soft, shape, torch.float64), bce)
    add("bce_with_logits_hard", "bce_with_logits", 2003, shape, 3.0, listed(hard, shape, torch.float64), bce)
    add("bce_with_logits_large", "bce_with_logits", 2003, shape, 200.0, listed(hard, shape, torch.float64), bce)
    write_json("losses.json", dict(versions=VERSIONS), "losses", rows)
    print(len(rows), "losses")


def write_schedules():
    """The learning rate of update k (from 0); the schedule steps once after every update."""
    schedules, rows, updates = torch.optim.lr_scheduler, [], 30
    for name, kind, base, options in [
        ("step", "StepLR", 0.1, dict(step_size=7, gamma=0.5)),
        ("cosine", "CosineAnnealingLR", 0.1, dict(T_max=30, eta_min=0.001)),
        ("cosine_past", "CosineAnnealingLR", 0.1, dict(T_max=20, eta_min=0.001)),  # rises after T_max
        ("one_cycle", "OneCycleLR", 0.1, dict(max_lr=0.1, total_steps=30, pct_start=0.3, div_factor=25.0,
                                              final_div_factor=1e4)),
        ("one_cycle_other", "OneCycleLR", 0.1, dict(max_lr=0.02, total_steps=30, pct_start=0.25, div_factor=10.0,
                                                    final_div_factor=100.0)),
    ]:
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=base)
        more = dict(anneal_strategy="cos", three_phase=False, cycle_momentum=False) if kind == "OneCycleLR" else {}
        schedule, values = getattr(schedules, kind)(optimizer, **options, **more), []
        for k in range(updates):
            values.append(float(optimizer.param_groups[0]["lr"]))
            optimizer.step()
            if k + 1 < updates:
                schedule.step()
        rows.append(dict(name=name, schedule=kind, base_lr=base, **options, values=values))
    write_json("schedules.json", dict(versions=VERSIONS), "schedules", rows)
    print(len(rows), "schedules")


def write_torch_file():
    """GRU(5, 16, num_layers=2, bidirectional=True), saved the way torch users would."""
    gru = torch.nn.GRU(5, 16, num_layers=2, bidirectional=True)
    gru.load_state_dict({k: torch.from_numpy(v) for k, v in gru_weights(2, 2, 5, 16, True).items()})
    safetensors.torch.save_file(gru.state_dict(), HERE / "torch_gru.safetensors", metadata={"format": "pt"})


if __name__ == "__main__":
    write_gru()
    write_training()
    write_losses()
    write_schedules()
    write_torch_file()
    for file in HERE.glob("*.safetensors"):
        file.chmod(0o644)  # safetensors creates them private
