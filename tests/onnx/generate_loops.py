"""Writes the models in `loops/`, for tests/onnx/loops.rs: layers of Keras that tf2onnx exports as loops.

    python -m venv .venv && .venv/bin/pip install "tensorflow-cpu==2.15.*" tf2onnx "onnx<1.16" "numpy<2"
    .venv/bin/python tests/onnx/generate_loops.py

NAME.onnx is what tf2onnx writes, NAME_loop.onnx the same with a number of iterations that no run reaches, which is not
recognized as a recurrent node. arrays.npz has an input and Keras' output of each. `three` runs three iterations, whatever
the number of steps. Weights are ramps.
"""

from pathlib import Path

import numpy as np
import onnx
import tensorflow as tf
import tf2onnx

OUT = Path(__file__).resolve().parent / "loops"
OUT.mkdir(exist_ok=True)
L = tf.keras.layers


def ramp(*dims):
    n = int(np.prod(dims))
    return ((7 * np.arange(n) % 11 - 5) / 8).reshape(dims).astype(np.float32)


CASES = {
    "gru_before": (L.GRU(4, return_sequences=True, reset_after=False), None),
    "gru_relu": (L.GRU(4, return_sequences=True, activation="relu"), 5),
    "gru_hard": (L.GRU(4, return_sequences=True, recurrent_activation="hard_sigmoid"), None),
    "gru_no_bias": (L.GRU(4, use_bias=False), 5),
    "rnn": (L.SimpleRNN(4, return_sequences=True), None),
    "rnn_relu": (L.SimpleRNN(4, activation="relu", use_bias=False), 5),
    "masked": (tf.keras.Sequential([L.Masking(), L.GRU(4, return_sequences=True)]), None),
}
arrays = {}


def save(name, model):
    loop = next(node for node in model.graph.node if node.op_type == "Loop")
    for node in model.graph.node:
        node.doc_string = ""
    onnx.checker.check_model(model)
    onnx.save(model, OUT / f"{name}.onnx")
    model.graph.initializer.append(onnx.helper.make_tensor("most", onnx.TensorProto.INT64, [], [1 << 40]))
    loop.input[0] = "most"
    onnx.checker.check_model(model)
    onnx.save(model, OUT / f"{name}_loop.onnx")


for name, (layer, steps) in CASES.items():
    x = tf.keras.Input((steps, 3), batch_size=2 if steps else None, name="x")
    model = tf.keras.Model(x, layer(x))
    model.set_weights([ramp(*w.shape) for w in model.get_weights()])
    value = ramp(2, 5, 3)
    if name == "masked":
        value[1, 2] = 0
    arrays[f"{name}.x"] = value
    arrays[f"{name}.y"] = model.predict(value, verbose=0)
    exported, _ = tf2onnx.convert.from_keras(model, opset=13)
    save(name, exported)
    if name == "gru_before":
        loop = next(node for node in exported.graph.node if node.op_type == "Loop")
        loop.input[0] = ""
        limits = [i for i, name in enumerate(loop.input) if "strided_slice_1" in name]
        assert len(limits) == 1
        three = onnx.helper.make_tensor("three", onnx.TensorProto.INT32, [], [3])
        exported.graph.initializer.append(three)
        loop.input[limits[0]] = "three"
        del exported.graph.initializer[-2]
        arrays["three.x"], arrays["three.y"] = value, arrays[f"{name}.y"][:, :3]
        save("three", exported)
np.savez(OUT / "arrays.npz", **arrays)
