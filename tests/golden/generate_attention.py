"""Writes attention.json beside this file: layer normalization, attention, and a layer-normalized GRU, by PyTorch.

    python -m venv .venv
    .venv/bin/pip install torch numpy
    .venv/bin/python tests/golden/generate_attention.py

Everything is computed in float64 on the CPU. All input numbers come from `fill`, a hash that any language can
reproduce bit for bit (see generate.py), so the file holds only results and two runs write the same bytes. Gradients
are those of the sum of each result times its cotangent.

    layer_norm       x fill(2000, dims, 2), weight fill(2001), bias fill(2002), dy fill(2003)
    attention        query fill(2100) [B, Q, dq], keys fill(2101) [B, S, dk], values fill(2102) [B, S, dv],
                     cotangents fill(2103) of the context and fill(2104) of the weights, parameters fill(2110 + i, 0.7)
                     in the order key.weight, query.weight, score.weight
    layer_norm_gru   x fill(2200) [T, B, I], h0 fill(2201, 0.5), cotangents fill(2202) of y and fill(2203) of h_n;
                     of layer l and direction d, from stream s = 2300 + 10 (2 l + d): weight_ih fill(s, 1),
                     weight_hh fill(s + 1, 1), 1 + fill(s + 2, 0.5) norm_ih_weight, fill(s + 3, 0.5) norm_ih_bias,
                     1 + fill(s + 4, 0.5) norm_hh_weight, fill(s + 5, 0.5) norm_hh_bias
"""

import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

HERE = Path(__file__).resolve().parent
torch.set_num_threads(1)


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


def listed(tensor):
    return [float(f"{v:.8g}") for v in tensor.detach().reshape(-1).tolist()]


# ---- layer normalization ------------------------------------------------------------------------


def layer_norm(dims, groups):
    width = dims[-1]
    x, dy = fill(2000, dims, 2.0), fill(2003, dims)
    weight, bias = fill(2001, (groups, width)), fill(2002, (groups, width))
    plain = F.layer_norm(x, (width,), eps=1e-5)
    if groups == 1:  # PyTorch's own function
        y = F.layer_norm(x, (width,), weight[0], bias[0], 1e-5)
    else:  # separate weights for each index of the second-to-last axis
        y = plain * weight + bias
    (y * dy).sum().backward()
    return dict(dims=dims, groups=groups, y=listed(y), dx=listed(x.grad), dweight=listed(weight.grad),
                dbias=listed(bias.grad))


# ---- attention ----------------------------------------------------------------------------------


def attention(name, score, scaled, batch, queries, steps, dq, dk, dv, units=0, lengths=None, keep=None):
    q, k, v = fill(2100, (batch, queries, dq)), fill(2101, (batch, steps, dk)), fill(2102, (batch, steps, dv))
    shapes = dict(dot=[], general=[("key.weight", (dq, dk))],
                  additive=[("key.weight", (units, dk)), ("query.weight", (units, dq)), ("score.weight", (1, units))])
    w = {key: fill(2110 + i, shape, 0.7) for i, (key, shape) in enumerate(shapes[score])}
    if score == "dot":
        scores, products = q @ k.transpose(1, 2), dq
    elif score == "general":
        scores, products = torch.einsum("bqi,ij,bsj->bqs", q, w["key.weight"], k), dq
    else:
        sums = (q @ w["query.weight"].T)[:, :, None] + (k @ w["key.weight"].T)[:, None]
        scores, products = torch.tanh(sums) @ w["score.weight"][0], units
    if scaled:
        scores = scores / products**0.5
    if lengths is not None:
        allowed = torch.arange(steps)[None] < torch.tensor(lengths)[:, None]
    elif keep is not None:
        allowed = torch.tensor(keep).reshape(batch, steps).bool()
    else:
        allowed = torch.ones(batch, steps, dtype=torch.bool)
    allowed = allowed[:, None].expand(batch, queries, steps)
    # A row without any key gives zeros, where softmax would give NaN.
    empty = ~allowed.any(-1, keepdim=True)
    weights = torch.softmax(scores.masked_fill(~allowed & ~empty, -torch.inf), -1) * ~empty
    context = weights @ v
    if score == "dot" and scaled and not empty.any():
        same = F.scaled_dot_product_attention(q, k, v, attn_mask=allowed)
        assert torch.allclose(context, same, rtol=0, atol=1e-12), name
    (context * fill(2103, context.shape)).sum().add((weights * fill(2104, weights.shape)).sum()).backward()
    zero = lambda t: torch.zeros_like(t) if t.grad is None else t.grad
    return dict(name=name, score=score, scaled=scaled, batch=batch, queries=queries, steps=steps, query=dq, key=dk,
                value=dv, units=units, lengths=lengths, keep=keep, context=listed(context), weights=listed(weights),
                dquery=listed(zero(q)), dkeys=listed(zero(k)), dvalues=listed(v.grad),
                gradients={key: listed(zero(t)) for key, t in w.items()})


ATTENTION = [
    attention("dot", "dot", False, 2, 3, 4, 5, 5, 3),
    attention("dot_scaled_lengths", "dot", True, 3, 2, 5, 4, 4, 3, lengths=[5, 1, 3]),
    attention("dot_one", "dot", True, 1, 1, 1, 1, 1, 1),
    attention("dot_empty_row", "dot", True, 3, 2, 4, 3, 3, 2, lengths=[4, 0, 2]),
    attention("general", "general", False, 2, 3, 4, 5, 3, 2),
    attention("general_scaled_keep", "general", True, 2, 2, 5, 3, 4, 6, keep=[0, 1, 1, 0, 1, 1, 0, 0, 0, 0]),
    attention("general_lengths", "general", False, 3, 1, 67, 3, 5, 2, lengths=[67, 66, 2]),
    attention("additive", "additive", False, 2, 3, 4, 5, 3, 2, units=4),
    attention("additive_lengths", "additive", False, 3, 1, 6, 4, 5, 3, units=7, lengths=[6, 2, 4]),
    attention("additive_scaled_keep_empty", "additive", True, 2, 2, 3, 2, 3, 4, units=1, keep=[0, 0, 0, 1, 0, 1]),
]

# ---- a GRU with layer normalization --------------------------------------------------------------


def normed(a, weight, bias):
    """Normalizes each gate's H units of a [B, 3 H] separately."""
    width = a.shape[1] // 3
    parts = zip(a.chunk(3, 1), weight.chunk(3), bias.chunk(3))
    return [F.layer_norm(p, (width,), w, b, 1e-5) for p, w, b in parts]


def layer_norm_gru(name, inputs, hidden, batch, steps, layers=1, bidirectional=False, reverse=False, lengths=None):
    dirs = 1 + bidirectional
    x = fill(2200, (steps, batch, inputs))
    h0 = fill(2201, (layers * dirs, batch, hidden), 0.5)
    valid, w, below, last = torch.tensor(lengths or [steps] * batch), {}, x, []
    for layer in range(layers):
        sides = []
        for d in range(dirs):
            s, end = 2300 + 10 * (2 * layer + d), f"_l{layer}" + "_reverse" * d
            width = inputs if layer == 0 else dirs * hidden
            one = lambda t: (t.detach() + 1).requires_grad_()
            p = [fill(s, (3 * hidden, width)), fill(s + 1, (3 * hidden, hidden)),
                 one(fill(s + 2, (3 * hidden,), 0.5)), fill(s + 3, (3 * hidden,), 0.5),
                 one(fill(s + 4, (3 * hidden,), 0.5)), fill(s + 5, (3 * hidden,), 0.5)]
            names = ["weight_ih", "weight_hh", "norm_ih_weight", "norm_ih_bias", "norm_hh_weight", "norm_hh_bias"]
            w |= {n + end: t for n, t in zip(names, p)}
            h, out = h0[layer * dirs + d], [None] * steps
            for t in reversed(range(steps)) if d or reverse else range(steps):
                ar, az, an = normed(below[t] @ p[0].T, p[2], p[3])
                cr, cz, cn = normed(h @ p[1].T, p[4], p[5])
                r, z = torch.sigmoid(ar + cr), torch.sigmoid(az + cz)
                n = torch.tanh(an + r * cn)
                on = (t < valid)[:, None]
                h = torch.where(on, (1 - z) * n + z * h, h)
                out[t] = torch.where(on, h, 0.0)
            sides.append(torch.stack(out))
            last.append(h)
        below = torch.cat(sides, -1)
    h_n = torch.stack(last)
    (below * fill(2202, below.shape)).sum().add((h_n * fill(2203, h_n.shape)).sum()).backward()
    grads = dict(dx=x.grad, dh0=h0.grad) | {"d." + k: t.grad for k, t in w.items()}
    return dict(name=name, input=inputs, hidden=hidden, batch=batch, steps=steps, layers=layers, lengths=lengths,
                bidirectional=bidirectional, reverse=reverse, y=listed(below), h_n=listed(h_n),
                gradients={k: listed(v) for k, v in grads.items()})


GRU = [
    layer_norm_gru("plain", 3, 5, 2, 4),
    layer_norm_gru("lengths", 3, 5, 3, 4, lengths=[4, 1, 2]),
    layer_norm_gru("reverse_lengths", 3, 4, 3, 4, reverse=True, lengths=[2, 4, 1]),
    layer_norm_gru("bidirectional_two_layers", 3, 5, 2, 3, layers=2, bidirectional=True),
    layer_norm_gru("bidirectional_two_layers_lengths", 3, 5, 3, 4, layers=2, bidirectional=True, lengths=[1, 4, 3]),
    layer_norm_gru("wide", 4, 10, 2, 3),
]

if __name__ == "__main__":
    norms = [layer_norm(*c) for c in [((1, 4), 1), ((3, 5), 1), ((2, 3, 7), 1), ((2, 3, 4), 3), ((4, 67), 1)]]
    top = dict(versions=dict(torch=torch.__version__, numpy=np.__version__))
    parts = dict(layer_norm=norms, attention=ATTENTION, layer_norm_gru=GRU)
    rows = [f'"{key}": [\n' + ",\n".join(json.dumps(row) for row in list_) + "\n]" for key, list_ in parts.items()]
    text = "{\n" + f'"versions": {json.dumps(top["versions"])},\n' + ",\n".join(rows) + "\n}\n"
    (HERE / "attention.json").write_text(text)
    print({key: len(list_) for key, list_ in parts.items()}, len(text), "bytes")
