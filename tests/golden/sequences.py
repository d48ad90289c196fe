"""Writes ctc.json and conv1d.json beside this file: results of PyTorch in float64.

    python -m venv .venv
    .venv/bin/pip install torch numpy
    .venv/bin/python tests/golden/sequences.py

The configurations are drawn from a seeded generator. All input numbers come from `fill`, the hash of generate.py, so
the files hold only results and two runs write the same bytes.

ctc.json, each case: logits = fill(3000, T * B * C, scale) as [T, B, C], then log_softmax and ctc_loss; "loss", and "grad",
the gradient of the logits for dloss = fill(3001, losses, 1). Values that are not finite are null.

conv1d.json, each case: x = fill(3010, B * in * T, 1) as [B, in, T], weight = fill(3011, ..., 1) as [out, in / groups, k],
bias = fill(3012, out, 1), dy = fill(3013, numel(y), 1) as [B, out, T']; "y", and the gradients "dx", "dw", "db".
"""

import json
import math
import random
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

HERE = Path(__file__).resolve().parent


def mix(x):
    x = np.array(x).astype(np.uint32)
    x ^= x >> np.uint32(16)
    x *= np.uint32(0x7FEB352D)
    x ^= x >> np.uint32(15)
    x *= np.uint32(0x846CA68B)
    x ^= x >> np.uint32(16)
    return x


def fill(stream, shape, scale):
    """Returns f32 values, uniform in (-scale, scale), as float64 leaves."""
    s = mix([stream + 1])[0]
    n = int(np.prod(shape))
    v = mix(np.arange(n, dtype=np.uint32) ^ s) >> np.uint32(8)
    unit = v.astype(np.float32) / np.float32(8388608.0) - np.float32(1)
    return torch.from_numpy((unit * np.float32(scale)).reshape(shape)).double()


def numbers(t):
    return [float(f"{v:.12g}") if math.isfinite(v) else None for v in t.detach().reshape(-1).tolist()]


def ctc_case(rng, i):
    t, b, c = rng.randint(4, 16), rng.randint(1, 4), rng.randint(2, 7)
    blank = rng.randrange(c)
    steps = [rng.randint(0 if i % 4 == 3 else 2, t) for _ in range(b)]
    # Few enough labels to fit in one of three cases; up to T labels in the others.
    most = [t if i % 3 != 1 else s // 2 for s in steps]
    labels = [[rng.choice([k for k in range(c) if k != blank]) for _ in range(rng.randint(0, m))] for m in most]
    padded = i % 2 == 0
    width = max(1, max(map(len, labels)) + i % 3)
    rows = [row + [blank] * (width - len(row)) for row in labels] if padded else labels
    targets = [label for row in rows for label in row]
    options = dict(blank=blank, reduction=["mean", "sum", "none"][i % 3], zero_infinity=rng.random() < 0.4)
    scale = rng.choice([0.5, 2.0, 20.0])
    logits = fill(3000, (t, b, c), scale).requires_grad_()
    tensor = torch.tensor(targets, dtype=torch.long).reshape((b, width) if padded else -1)
    lengths = torch.tensor(steps), torch.tensor([len(row) for row in labels])
    loss = F.ctc_loss(logits.log_softmax(-1), tensor, *lengths, **options)
    loss.backward(fill(3001, loss.shape, 1.0))
    sizes = dict(steps=t, batch=b, classes=c, scale=scale, input_lengths=steps, targets=targets)
    sizes["target_lengths"] = [len(row) for row in labels]
    return dict(**sizes, **options, loss=numbers(loss), grad=numbers(logits.grad))


def conv1d_case(rng, i):
    groups = [1, 1, 2, 3][i % 4]
    n_in, n_out = groups * rng.randint(1, 3), groups * rng.randint(1, 3)
    if i % 8 == 7:
        groups = n_out = n_in  # depthwise
    k, stride, dilation, padding = rng.randint(1, 5), rng.randint(1, 3), rng.randint(1, 3), rng.randint(0, 4)
    b, t = rng.randint(1, 3), dilation * (k - 1) + rng.randint(1, 8)
    bias = i % 3 != 2
    x, w = fill(3010, (b, n_in, t), 1.0), fill(3011, (n_out, n_in // groups, k), 1.0)
    leaves = [x, w] + ([fill(3012, (n_out,), 1.0)] if bias else [])
    for leaf in leaves:
        leaf.requires_grad_()
    y = F.conv1d(*leaves[:2], leaves[2] if bias else None, stride, padding, dilation, groups)
    y.backward(fill(3013, y.shape, 1.0))
    sizes = dict(input=n_in, output=n_out, kernel=k, stride=stride, padding=padding, dilation=dilation, groups=groups)
    grads = dict(zip(["dx", "dw", "db"], [numbers(leaf.grad) for leaf in leaves]))
    return dict(**sizes, batch=b, steps=t, bias=bias, y=numbers(y), **grads)


def write(name, case, count):
    rng = random.Random(name)
    cases = [case(rng, i) for i in range(count)]
    lines = ",\n".join(json.dumps(c) for c in cases)
    text = f'{{"torch": "{torch.__version__}", "cases": [\n{lines}\n]}}\n'
    (HERE / f"{name}.json").write_text(text)
    print(f"{name}.json: {count} cases, {len(text)} bytes")


write("ctc", ctc_case, 24)
write("conv1d", conv1d_case, 24)
