"""Layers, with the names and arguments of PyTorch. Each function returns a ``Model``.

Weights are random: equal seeds give equal weights. ``device`` is a ``Device``, "cpu", "gpu" or "auto".
"""

from . import _wgru
from ._errors import ArgumentError


def GRU(
    input_size,
    hidden_size,
    num_layers=1,
    bias=True,
    batch_first=True,
    dropout=0.0,
    bidirectional=False,
    *,
    reset_after=True,
    device="cpu",
    seed=0,
):
    """Creates a GRU. Unlike in PyTorch, the batch is the first axis by default.

    Without ``reset_after``, the reset gate acts before the recurrent product (Cho et al., 2014).
    """
    cell = "gru" if reset_after else "gru_reset_before"
    options = (num_layers, bias, batch_first, dropout, bidirectional, 0)
    return _wgru.recurrent(cell, input_size, hidden_size, *options, device, seed)


def LSTM(
    input_size,
    hidden_size,
    num_layers=1,
    bias=True,
    batch_first=True,
    dropout=0.0,
    bidirectional=False,
    proj_size=0,
    *,
    device="cpu",
    seed=0,
):
    """Creates an LSTM. Unlike in PyTorch, the batch is the first axis by default."""
    options = (num_layers, bias, batch_first, dropout, bidirectional, proj_size)
    return _wgru.recurrent("lstm", input_size, hidden_size, *options, device, seed)


def RNN(
    input_size,
    hidden_size,
    num_layers=1,
    nonlinearity="tanh",
    bias=True,
    batch_first=True,
    dropout=0.0,
    bidirectional=False,
    *,
    device="cpu",
    seed=0,
):
    """Creates a simple recurrent layer. Unlike in PyTorch, the batch is the first axis by default."""
    if nonlinearity not in ("tanh", "relu"):
        raise ArgumentError(f'RNN: nonlinearity: expected "tanh" or "relu", got {nonlinearity!r}')
    options = (num_layers, bias, batch_first, dropout, bidirectional, 0)
    return _wgru.recurrent(nonlinearity, input_size, hidden_size, *options, device, seed)


def Linear(in_features, out_features, bias=True, *, device="cpu", seed=0):
    """Creates a layer ``y = x·Wᵀ + b``."""
    return _wgru.layer("linear", [in_features, out_features], 0.0, bias, device, seed)


def Embedding(num_embeddings, embedding_dim, padding_idx=None, *, device="cpu", seed=0):
    """Creates a layer that looks up rows of a learned table. Its input holds integers."""
    sizes = [num_embeddings, embedding_dim] + ([] if padding_idx is None else [padding_idx])
    return _wgru.layer("embedding", sizes, 0.0, False, device, seed)


def LayerNorm(normalized_shape, eps=1e-5, *, device="cpu"):
    """Creates a layer that normalizes over the last axis, of ``normalized_shape`` features."""
    return _wgru.layer("layer_norm", [normalized_shape], eps, False, device, 0)


def ReLU():
    """Creates ``max(x, 0)`` as a layer."""
    return _wgru.layer("relu", [], 0.0, False, "cpu", 0)


def Tanh():
    """Creates ``tanh(x)`` as a layer."""
    return _wgru.layer("tanh", [], 0.0, False, "cpu", 0)


def Dropout(p=0.5):
    """Creates a layer that zeroes elements with probability ``p`` during training."""
    return _wgru.layer("dropout", [], p, False, "cpu", 0)


def LastState():
    """Creates a layer that takes the last state of each direction of the recurrent layer before it.

    ``[batch, steps, features]`` gives ``[batch, features]``.
    """
    return _wgru.layer("last_state", [], 0.0, False, "cpu", 0)


def Sequential(*layers, **named):
    """Connects layers: each runs on the output of the one before.

    Layers are named by their position, or by the keyword: ``Sequential(gru=GRU(3, 8), head=Linear(8, 1))``. The network
    shares the weights of its layers.
    """
    pairs = [(str(i), layer) for i, layer in enumerate(layers)] + list(named.items())
    return _wgru.sequential(pairs)
