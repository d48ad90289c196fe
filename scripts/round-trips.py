"""Converts models of Keras with `wgru convert`, and compares what each target computes with Keras. Not part of CI.

    python -m venv .venv && .venv/bin/pip install keras jax onnxruntime h5py numpy     # torch and safetensors for the last check
    cargo build --release --manifest-path cli/Cargo.toml
    KERAS_BACKEND=jax .venv/bin/python scripts/round-trips.py cli/target/release/wgru

Keras 3, `.keras` and `.h5`, goes to ONNX (run by ONNX Runtime), to the JSON of RTNeural (whose weights Keras takes
back), to `.nam` (run by the equations of NeuralAmpModelerCore), to arrays in Keras' layout, and to PyTorch's names.
Outputs must agree within 1e-6, and the weights that come back must have the same bits.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras  # noqa: E402
import numpy as np  # noqa: E402
import onnxruntime  # noqa: E402

WGRU = sys.argv[1]
STEPS, INPUT, UNITS = 20, 1, 5
rng = np.random.default_rng(0)
worst = 0.0


def wgru(*arguments):
    return subprocess.run([WGRU, *map(str, arguments), "--json"], capture_output=True, text=True)


def convert(source, target, *options):
    done = wgru("convert", source, target, *options)
    return None if done.returncode == 0 else json.loads(done.stdout)["error"]


def agree(what, got, want):
    global worst
    error = float(np.max(np.abs(np.asarray(got) - np.asarray(want))))
    worst = max(worst, error)
    assert error <= 1e-6, f"{what}: {error}"
    print(f"  {what}: {error:.1e}")


def same_bits(what, got, want):
    assert len(got) == len(want)
    for a, b in zip(got, want):
        a = np.asarray(a, np.float32)
        assert a.shape == b.shape and a.tobytes() == np.ascontiguousarray(b, np.float32).tobytes(), what


def model(cell):
    options = {"reset_after": False} if cell == "GRU before" else {}
    layer = getattr(keras.layers, cell.split()[0])(UNITS, return_sequences=True, **options)
    out = keras.Sequential([keras.Input((None, INPUT)), layer, keras.layers.Dense(1)])
    out.set_weights([rng.uniform(-0.8, 0.8, w.shape).astype(np.float32) for w in out.get_weights()])
    return out


def nam(file, x):
    """NeuralAmpModelerCore's LSTM."""
    data = json.loads(Path(file).read_text())
    config, weights = data["config"], np.array(data["weights"], np.float32)
    size, hidden = config["input_size"], config["hidden_size"]
    rows = 4 * hidden
    take = lambda n: (weights[:n], weights[n:])  # noqa: E731
    matrix, weights = take(rows * (size + hidden))
    bias, weights = take(rows)
    h, weights = take(hidden)
    c, weights = take(hidden)
    head, weights = take(hidden)
    assert config["num_layers"] == 1 and len(weights) == 1
    sigmoid = lambda v: 1 / (1 + np.exp(-v))  # noqa: E731
    out = []
    for step in x:
        gates = matrix.reshape(rows, -1) @ np.concatenate([step, h]) + bias
        i, f, g, o = np.split(gates, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        out.append(head @ h + weights[0])
    return np.array(out)[:, None]


def check(cell, folder):
    print(cell)
    source = model(cell)
    x = rng.uniform(-1, 1, (1, STEPS, INPUT)).astype(np.float32)
    want = source.predict(x, verbose=0)
    np.save(folder / "x.npy", x)
    for end in ["keras", "h5"]:
        path = folder / f"model.{end}"
        source.save(path)
        done = wgru("run", path, "--input", f"x={folder / 'x.npy'}", "--output", folder / "out")
        assert done.returncode == 0, done.stdout
        agree(f".{end} in wgru", np.load(json.loads(done.stdout)["outputs"][0]["file"]), want)
        assert convert(path, folder / "model.onnx") is None
        session = onnxruntime.InferenceSession(str(folder / "model.onnx"))
        agree(f".{end} to ONNX", session.run(None, {"x": x})[0], want)
        error = convert(path, folder / "model.json")
        if cell in ["GRU", "LSTM"]:
            layers = json.loads((folder / "model.json").read_text())["layers"]
            weights = [np.array(w, np.float32) for layer in layers for w in layer["weights"]]
            same_bits(f".{end} to RTNeural", weights, source.get_weights())
            back = model(cell)
            back.set_weights(weights)
            agree(f".{end} to RTNeural", back.predict(x, verbose=0), want)
        else:
            assert error is not None and "expected" in error, error
        error = convert(path, folder / "model.nam")
        if cell == "LSTM":
            agree(f".{end} to .nam", nam(folder / "model.nam", x[0])[None], want)
        else:
            assert error is not None and "LSTM" in error, error
        found = json.loads(wgru("info", path).stdout)["layers"]
        layer = found[0]["name"]
        assert convert(path, folder / "layer.npz", "--keras", "--layer", layer) is None
        arrays = np.load(folder / "layer.npz")
        kept = [arrays[name] for name in ["kernel", "recurrent_kernel", "bias"]]
        same_bits(f".{end} to Keras", kept, source.layers[0].get_weights())
    try:
        import safetensors.numpy
        import torch
    except ImportError:
        print("  SKIPPED: PyTorch is not installed")
        return
    if cell != "GRU before":
        assert convert(path, folder / "layer.safetensors", "--layer", layer) is None
        tensors = safetensors.numpy.load_file(folder / "layer.safetensors")
        kind = {"SimpleRNN": "RNN"}.get(cell, cell)
        module = getattr(torch.nn, kind)(INPUT, UNITS, batch_first=True)
        module.load_state_dict({name: torch.from_numpy(value) for name, value in tensors.items()})
        kernel, bias = source.layers[1].get_weights()
        agree("PyTorch", module(torch.from_numpy(x))[0].detach().numpy() @ kernel + bias, want)


with tempfile.TemporaryDirectory() as folder:
    for cell in ["GRU", "GRU before", "LSTM", "SimpleRNN"]:
        check(cell, Path(folder))
print(f"all agree; the largest difference is {worst:.1e}")
