"""Writes recurrent.json and recurrent.safetensors beside this file: ONNX Runtime's results for 240 random GRU, LSTM
and RNN nodes that cover every attribute.

    .venv/bin/pip install numpy onnx onnxruntime safetensors
    .venv/bin/python tests/onnx/generate_recurrent.py

Cases are drawn with the seeds in `cases`. Inputs and weights come from `fill` (the hash of tests/golden/generate.py,
which also exists in Rust), so the files hold only descriptions and outputs. The streams, for G gates and D directions,
are laid out as the node takes them with layout 0. With "layout": 1, X, initial_h, initial_c and the outputs are
transposed around the node, since ONNX Runtime only supports layout 0:

    X fill(10 n, T*B*I, 1)   W (10 n + 1, 0.6)   R (10 n + 2, 0.6)   B (10 n + 3, 0.4)
    initial_h (10 n + 4, 0.8)   initial_c (10 n + 5, 0.8)   P (10 n + 6, 0.5)          n: number of the case

ONNX Runtime is the oracle even where the specification is silent. `reference` expresses its behavior in f64:
a sequence of length 0 has Y_h = Y_c = 0, whatever the first states; `clip` bounds every argument of a gate's
activation; with input_forget, the forget gate is 1 - i. The script fails if ONNX Runtime deviates from that.
"""

import json
import math
import random
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import safetensors.numpy
from onnx import TensorProto, helper

HERE = Path(__file__).resolve().parent
COUNT = 240
GATES = dict(GRU=3, LSTM=4, RNN=1)
# Number of parameters of each activation: alpha, beta.
ACTIVATIONS = {
    "Sigmoid": 0, "Tanh": 0, "Relu": 0, "Softsign": 0, "Softplus": 0,
    "LeakyRelu": 1, "ThresholdedRelu": 1, "Elu": 1,
    "Affine": 2, "ScaledTanh": 2, "HardSigmoid": 2,
}


def mix(x):
    x = np.array(x).astype(np.uint32)
    x ^= x >> np.uint32(16)
    x *= np.uint32(0x7FEB352D)
    x ^= x >> np.uint32(15)
    x *= np.uint32(0x846CA68B)
    x ^= x >> np.uint32(16)
    return x


def fill(stream, shape, scale):
    s = mix([stream + 1])[0]
    v = mix(np.arange(int(np.prod(shape)), dtype=np.uint32) ^ s) >> np.uint32(8)
    unit = v.astype(np.float32) / np.float32(8388608.0) - np.float32(1)
    return (unit * np.float32(scale)).reshape(shape)


def cases():
    rng = random.Random(20261122)
    for n in range(COUNT):
        op = ["GRU", "LSTM", "RNN"][n % 3]
        chance = lambda p: rng.random() < p  # noqa: E731
        direction = rng.choice(["forward", "reverse", "bidirectional"])
        d = 2 if direction == "bidirectional" else 1
        t, b, i = rng.randint(1, 5), rng.randint(1, 4), rng.randint(1, 5)
        h = rng.choice([1, 2, 3, 4, 5, 7, 17]) if d == 1 else rng.choice([1, 2, 3, 5])
        case = dict(op=op, direction=direction, layout=int(chance(0.3)), opset=rng.choice([7, 14, 14, 21, 22]),
                    steps=t, batch=b, input=i, hidden=h, bias=chance(0.8), initial_h=chance(0.6))
        if case["layout"]:
            case["opset"] = max(14, case["opset"])
        if chance(0.5):
            case["lengths"] = [rng.randint(0, t) for _ in range(b)]
        if chance(0.3):
            case["clip"] = rng.choice([0.1, 0.25, 0.5, 1.0])
        if op == "GRU":
            case["linear_before_reset"] = int(chance(0.5))
        if op == "LSTM":
            case["initial_c"], case["peepholes"], case["input_forget"] = chance(0.6), chance(0.4), int(chance(0.3))
        if chance(0.6):
            each = dict(GRU=2, LSTM=3, RNN=1)[op]
            names = [rng.choice(list(ACTIVATIONS)) for _ in range(each)]
            # The same activations in both directions, or different ones.
            names = names * d if chance(0.5) else names + [rng.choice(list(ACTIVATIONS)) for _ in range(each * (d - 1))]
            # GRU and LSTM accept the names in any case.
            case["activations"] = [rng.choice([str, str.lower if op != "RNN" else str])(name) for name in names]
            alphas = [round(rng.uniform(0.2, 0.9), 2) for name in names if ACTIVATIONS[name] >= 1]
            betas = [round(rng.uniform(0.2, 0.9), 2) for name in names if ACTIVATIONS[name] >= 2]
            # Often fewer than needed: the others take their defaults.
            if alphas and chance(0.8):
                case["activation_alpha"] = alphas[: rng.randint(1, len(alphas))]
            if betas and chance(0.8):
                case["activation_beta"] = betas[: rng.randint(1, len(betas))]
        yield n, case


def tensors(n, c):
    g, d = GATES[c["op"]], 2 if c["direction"] == "bidirectional" else 1
    t, b, i, h = c["steps"], c["batch"], c["input"], c["hidden"]
    out = dict(X=fill(10 * n, (t, b, i), 1), W=fill(10 * n + 1, (d, g * h, i), 0.6), R=fill(10 * n + 2, (d, g * h, h), 0.6))
    if c["bias"]:
        out["B"] = fill(10 * n + 3, (d, 2 * g * h), 0.4)
    if "lengths" in c:
        out["sequence_lens"] = np.array(c["lengths"], np.int32)
    if c["initial_h"]:
        out["initial_h"] = fill(10 * n + 4, (d, b, h), 0.8)
    if c.get("initial_c"):
        out["initial_c"] = fill(10 * n + 5, (d, b, h), 0.8)
    if c.get("peepholes"):
        out["P"] = fill(10 * n + 6, (d, 3 * h), 0.5)
    return out


def runtime(c, given):
    order = ["X", "W", "R", "B", "sequence_lens", "initial_h"] + ["initial_c", "P"] * (c["op"] == "LSTM")
    names = [name if name in given else "" for name in order]
    while not names[-1]:
        names.pop()
    keys = "direction clip linear_before_reset input_forget activations activation_alpha activation_beta"
    attributes = {k: c[k] for k in keys.split() if k in c}
    outputs = ["Y", "Y_h"] + ["Y_c"] * (c["op"] == "LSTM")
    node = helper.make_node(c["op"], names, outputs, hidden_size=c["hidden"], **attributes)
    kind = lambda a: TensorProto.INT32 if a.dtype == np.int32 else TensorProto.FLOAT  # noqa: E731
    graph = helper.make_graph(
        [node], "g",
        [helper.make_tensor_value_info(k, kind(a), a.shape) for k, a in given.items()],
        [helper.make_tensor_value_info(k, TensorProto.FLOAT, None) for k in outputs],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", c["opset"])], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return dict(zip(outputs, session.run(None, given)))


def activation(name, alpha, beta):
    sigmoid = lambda v: 1 / (1 + np.exp(-v))  # noqa: E731
    return {
        "sigmoid": sigmoid,
        "tanh": np.tanh,
        "relu": lambda v: np.maximum(v, 0),
        "softsign": lambda v: v / (1 + np.abs(v)),
        "softplus": lambda v: np.log1p(np.exp(v)),
        "leakyrelu": lambda v: np.where(v >= 0, v, alpha * v),
        "thresholdedrelu": lambda v: np.where(v > alpha, v, 0),
        "elu": lambda v: np.where(v >= 0, v, alpha * np.expm1(v)),
        "affine": lambda v: alpha * v + beta,
        "scaledtanh": lambda v: alpha * np.tanh(beta * v),
        "hardsigmoid": lambda v: np.clip(alpha * v + beta, 0, 1),
    }[name]


def functions(c):
    each = dict(GRU=["sigmoid", "tanh"], LSTM=["sigmoid", "tanh", "tanh"], RNN=["tanh"])[c["op"]]
    d = 2 if c["direction"] == "bidirectional" else 1
    alphas, betas = iter(c.get("activation_alpha", [])), iter(c.get("activation_beta", []))
    default = dict(leakyrelu=(0.01, 0), hardsigmoid=(0.2, 0.5), elu=(1.0, 0))
    out, used = [], {name.lower(): n for name, n in ACTIVATIONS.items()}
    for name in c.get("activations", each * d):
        name = name.lower()
        alpha, beta = default.get(name, (0.0, 0.0))
        alpha = next(alphas, alpha) if used[name] >= 1 else alpha
        beta = next(betas, beta) if used[name] >= 2 else beta
        out.append(activation(name, alpha, beta))
    return [out[len(each) * k : len(each) * (k + 1)] for k in range(d)]


def reference(c, given):
    """Computes the node's outputs in f64, step by step."""
    op, h = c["op"], c["hidden"]
    g, d = GATES[op], 2 if c["direction"] == "bidirectional" else 1
    t, b = c["steps"], c["batch"]
    f64 = {k: v.astype(np.float64) for k, v in given.items()}
    lengths = c.get("lengths", [t] * b)
    y, last, cell = np.zeros((t, d, b, h)), np.zeros((d, b, h)), np.zeros((d, b, h))
    clip = lambda v: np.clip(v, -c["clip"], c["clip"]) if "clip" in c else v  # noqa: E731
    for k in range(d):
        f = functions(c)[k]
        blocks = lambda a: np.split(a, a.shape[0] // h)  # noqa: E731
        W, R = blocks(f64["W"][k]), blocks(f64["R"][k])
        bias = blocks(f64["B"][k]) if "B" in given else [np.zeros(h)] * (2 * g)
        peep = blocks(f64["P"][k]) if "P" in given else [np.zeros(h)] * 3
        for row in range(b):
            s = f64["initial_h"][k, row] if "initial_h" in given else np.zeros(h)
            m = f64["initial_c"][k, row] if "initial_c" in given else np.zeros(h)
            steps = range(lengths[row])
            for at in reversed(steps) if c["direction"] == "reverse" or k == 1 else steps:
                x = f64["X"][at, row]
                both = lambda q, s=s, x=x: W[q] @ x + bias[q] + R[q] @ s + bias[g + q]  # noqa: E731
                if op == "RNN":
                    s = f[0](clip(both(0)))
                elif op == "GRU":
                    z, r = f[0](clip(both(0))), f[0](clip(both(1)))
                    if c["linear_before_reset"]:
                        n = W[2] @ x + bias[2] + r * (R[2] @ s + bias[5])
                    else:
                        n = W[2] @ x + bias[2] + R[2] @ (r * s) + bias[5]
                    s = (1 - z) * f[1](clip(n)) + z * s
                else:
                    i = f[0](clip(both(0) + peep[0] * m))
                    forget = 1 - i if c["input_forget"] else f[0](clip(both(2) + peep[2] * m))
                    m = forget * m + i * f[1](clip(both(3)))
                    s = f[0](clip(both(1) + peep[1] * m)) * f[2](m)
                y[at, k, row] = s
            if lengths[row]:
                last[k, row], cell[k, row] = s, m
    return dict(Y=y, Y_h=last, Y_c=cell)


def main():
    listed, stored, worst = [], {}, 0.0
    for n, c in cases():
        given = tensors(n, c)
        got = runtime(c, given)
        want = reference(c, given)
        for key, value in got.items():
            error = np.abs(value - want[key]).max() / max(1e-30, np.abs(want[key]).max())
            worst = max(worst, error)
            if not error <= 1e-5:
                print(n, key, f"{error:.1e}", c)
            stored[f"{n}.{key}"] = value
        listed.append(c)
    versions = dict(onnx=onnx.__version__, onnxruntime=onnxruntime.__version__, numpy=np.__version__)
    lines = ",\n".join("    " + json.dumps(c) for c in listed)
    (HERE / "recurrent.json").write_text(f'{{\n  "versions": {json.dumps(versions)},\n  "cases": [\n{lines}\n  ]\n}}\n')
    safetensors.numpy.save_file(stored, HERE / "recurrent.safetensors")
    print(f"{len(listed)} cases, worst difference from f64 {worst:.1e}")
    assert worst <= 1e-5 and math.isfinite(worst)


if __name__ == "__main__":
    main()
