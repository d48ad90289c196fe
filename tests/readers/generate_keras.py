"""Writes the fixtures in `keras/`, for tests/files/keras.rs: whole models of Keras, with an input x and the output y.

    python -m venv .venv && .venv/bin/pip install keras jax h5py numpy
    KERAS_BACKEND=jax .venv/bin/python tests/readers/generate_keras.py
    python -m venv .venv2 && .venv2/bin/pip install "tensorflow-cpu==2.15.*" "numpy<2"
    .venv2/bin/python tests/readers/generate_keras.py

The first writes the files of Keras 3, k3_*, the second those of Keras 2, k2_*. Weights are ramps; nothing is random.

    masked   embedding with mask, both directions merged by their sum, backward, cell in RNN, distributed dense
    graph    convolutions, normalizations, pooling, branches, reset before and hard sigmoid, activations, flatten

Only of Keras 2:

    cudnn    layers with the weights of cuDNN; Keras runs them as its other layers, because they need a GPU
    time     layers whose first axis is time
"""

from pathlib import Path

import numpy as np

try:
    import tensorflow

    keras, prefix = tensorflow.keras, "k2"
except ImportError:
    import keras

    prefix = "k3"

OUT = Path(__file__).resolve().parent / "keras"
OUT.mkdir(exist_ok=True)
L = keras.layers


def ramp(*dims):
    n = int(np.prod(dims))
    return ((7 * np.arange(n) % 11 - 5) / 8).reshape(dims).astype(np.float32)


def masked():
    x = keras.Input((6,), dtype="int32")
    y = L.Embedding(7, 3, mask_zero=True)(x)
    y = L.Bidirectional(L.LSTM(2, return_sequences=True), merge_mode="sum")(y)
    y = L.GRU(3, return_sequences=True, go_backwards=True, use_bias=False)(y)
    y = L.RNN(L.GRUCell(2, reset_after=False, use_bias=False), return_sequences=True)(y)
    y = L.TimeDistributed(L.Dense(2, activation="tanh"))(y)
    return keras.Model(x, y), np.array([[1, 2, 3, 4, 5, 6], [3, 1, 0, 2, 0, 0]])


def graph():
    x = keras.Input((9, 2))
    y = L.Conv1D(4, 3, strides=2, padding="same", activation="relu")(x)
    y = L.Conv1D(4, 2, dilation_rate=2, padding="causal")(y)
    y = L.BatchNormalization()(y)
    a = L.GRU(3, return_sequences=True, reset_after=False, recurrent_activation="hard_sigmoid")(y)
    b = L.SimpleRNN(3, return_sequences=True, activation="relu")(y)
    y = L.Concatenate()([L.Multiply()([a, b]), L.Add()([a, b])])
    y = L.LayerNormalization()(L.LeakyReLU()(y))
    y = L.MaxPooling1D(2, strides=1)(y)
    y = keras.Sequential([L.Dense(2, activation="sigmoid"), L.Dropout(0.5)])(y)
    return keras.Model(x, L.Softmax()(L.Dense(3)(L.Flatten()(y)))), ramp(2, 9, 2)


def cudnn(is_cudnn=True):
    if is_cudnn:
        from tensorflow.compat.v1.keras.layers import CuDNNGRU as GRU, CuDNNLSTM as LSTM
    else:
        GRU, LSTM = L.GRU, L.LSTM
    x = keras.Input((5, 2))
    y = GRU(3, return_sequences=True, name="gru")(x)
    y = L.Bidirectional(LSTM(2, return_sequences=True), name="both")(y)
    y = LSTM(4, return_sequences=True, go_backwards=True, name="lstm")(y)
    y = L.Bidirectional(GRU(2), merge_mode="mul", name="last")(y)
    return keras.Model(x, y), ramp(2, 5, 2)


def time():
    x = keras.Input((3, 2), batch_size=5)
    y = L.GRU(3, return_sequences=True, time_major=True)(x)
    y = L.LSTM(4, return_sequences=True, time_major=True, go_backwards=True)(y)
    y = L.Bidirectional(L.SimpleRNN(3, return_sequences=True, time_major=True))(y)
    y = L.RNN(L.GRUCell(2), time_major=True, return_sequences=True)(y)
    y = L.Bidirectional(L.GRU(2, time_major=True), merge_mode="sum")(y)
    return keras.Model(x, y), ramp(5, 3, 2)


for make in [masked, graph] + ([cudnn, time] if prefix == "k2" else []):
    model, x = make()
    weights = [ramp(*w.shape) for w in model.get_weights()]
    variables = [v.name for v in model.weights]
    model.set_weights([np.abs(w) + 0.5 if "variance" in n else w for w, n in zip(weights, variables)])
    path = OUT / f"{prefix}_{make.__name__}"
    model.save(f"{path}.keras")
    model.save(f"{path}.h5")
    if make is cudnn:
        # Converts the weights.
        model, _ = cudnn(False)
        model.load_weights(f"{path}.h5")
    y = model.predict(x, verbose=0, batch_size=len(x))
    np.savez(f"{path}.npz", x=x.astype(np.float32), y=np.asarray(y))
