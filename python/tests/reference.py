"""Recurrent layers in float64 NumPy, written from PyTorch's equations. Shares no code with the package."""

import numpy as np


def sigmoid(v):
    return 1 / (1 + np.exp(-v))


def step(cell, x, h, c, w):
    """One step of one direction. Returns the new states."""
    a = x @ w["weight_ih"].T + w.get("bias_ih", 0)
    b = h @ w["weight_hh"].T + w.get("bias_hh", 0)
    if cell == "GRU":
        (xr, xz, xn), (hr, hz, hn) = np.split(a, 3, -1), np.split(b, 3, -1)
        r, z = sigmoid(xr + hr), sigmoid(xz + hz)
        return (1 - z) * np.tanh(xn + r * hn) + z * h, c
    if cell == "LSTM":
        i, f, g, o = np.split(a + b, 4, -1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        return sigmoid(o) * np.tanh(c), c
    return (np.tanh(a + b) if cell == "RNN" else np.maximum(a + b, 0)), c


def run(cell, state, x, layers, bidirectional, hidden):
    """Runs `x` [B, T, I] through all layers, from zeros. Returns the output and `h_n`."""
    last = []
    for layer in range(layers):
        directions = []
        for suffix in ["", "_reverse"][: 1 + bidirectional]:
            names = ["weight_ih", "weight_hh", "bias_ih", "bias_hh"]
            keys = {name: f"{name}_l{layer}{suffix}" for name in names}
            w = {name: state[key].astype(np.float64) for name, key in keys.items() if key in state}
            steps = range(x.shape[1]) if not suffix else reversed(range(x.shape[1]))
            h = c = np.zeros((x.shape[0], hidden))
            y = np.zeros((x.shape[0], x.shape[1], hidden))
            for t in steps:
                h, c = step(cell, x[:, t], h, c, w)
                y[:, t] = h
            directions.append(y)
            last.append(h)
        x = np.concatenate(directions, -1)
    return x, np.stack(last)
