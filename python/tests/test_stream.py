"""Streams: frame by frame, like the run of the whole sequence."""

import threading

import numpy as np
import pytest

import wgru


def network():
    return wgru.Sequential(
        gru=wgru.GRU(3, 8), last=wgru.LastState(), head=wgru.Linear(8, 4), act=wgru.Tanh(), out=wgru.Linear(4, 2)
    )


@pytest.mark.parametrize("make", [lambda: wgru.GRU(3, 8, 2), lambda: wgru.LSTM(3, 8), lambda: wgru.RNN(3, 8)])
def test_steps_equal_the_run(make, rng):
    model = make()
    x = rng.normal(size=(20, 3)).astype(np.float32)
    want, _ = model(x[None])
    stream = model.stream()
    assert (stream.input_size, stream.output_size, stream.batch) == (3, 8, 1)
    steps = np.stack([stream.step(frame) for frame in x])
    np.testing.assert_allclose(steps, want[0], atol=1e-6)
    stream.reset()
    np.testing.assert_array_equal(stream.process(x), steps)


def test_networks_stream_with_all_their_layers(rng):
    net = network()
    x = rng.normal(size=(10, 3)).astype(np.float32)
    stream = net.stream()
    got = stream.process(x)
    want = np.concatenate([net(x[None, : t + 1]) for t in range(10)])
    np.testing.assert_allclose(got, want, atol=1e-6)


def test_batches_are_sequences_side_by_side(rng):
    gru = wgru.GRU(3, 8)
    x = rng.normal(size=(10, 4, 3)).astype(np.float32)
    got = gru.stream(4).process(x)
    np.testing.assert_allclose(got, gru(x.swapaxes(0, 1))[0].swapaxes(0, 1), atol=1e-6)


def test_outputs_are_written_in_place(rng):
    stream = wgru.GRU(3, 8).stream()
    x = rng.normal(size=(10, 3)).astype(np.float32)
    want = stream.process(x)
    out = np.full((10, 8), np.nan, np.float32)
    stream.reset()
    assert stream.process(x, out=out) is out
    np.testing.assert_array_equal(out, want)
    frame = np.full(8, np.nan, np.float32)
    stream.reset()
    assert stream.step(x[0], frame) is frame
    np.testing.assert_array_equal(frame, want[0])


def test_a_state_moves_to_another_stream(rng):
    gru = wgru.GRU(3, 8)
    x = rng.normal(size=(10, 3)).astype(np.float32)
    a, b = gru.stream(), gru.stream()
    a.process(x[:5])
    b.state = a.state
    np.testing.assert_array_equal(a.process(x[5:]), b.process(x[5:]))
    with pytest.raises(wgru.ShapeError):
        b.state = np.zeros(3)


def test_wrong_arguments_change_nothing(rng):
    stream = wgru.GRU(3, 8).stream()
    x = rng.normal(size=(10, 3)).astype(np.float32)
    want = stream.process(x)
    stream.reset()
    read_only = np.zeros((10, 8), np.float32)
    read_only.flags.writeable = False
    for arguments, error in [
        ((x[:, :2],), wgru.ShapeError),
        ((x[0],), wgru.ShapeError),
        ((x, np.zeros((10, 7), np.float32)), wgru.ShapeError),
        ((x, np.zeros((10, 8))), wgru.DTypeError),
        ((x, read_only), wgru.ArgumentError),
        ((x, np.zeros((10, 16), np.float32)[:, ::2]), wgru.ArgumentError),
        ((x, "out"), wgru.DTypeError),
    ]:
        with pytest.raises(error):
            stream.process(*arguments)
    np.testing.assert_array_equal(stream.process(x), want)
    shared = np.zeros((10, 8), np.float32)
    with pytest.raises(wgru.ArgumentError):
        wgru.GRU(8, 8).stream().process(shared, shared)


def test_reduced_weights_are_close(rng):
    gru = wgru.GRU(3, 32)
    x = rng.normal(size=(20, 3)).astype(np.float32)
    want = gru.stream().process(x)
    for weights, bound in [("f16", 1e-3), ("bf16", 1e-2), ("int8", 3e-2)]:
        got = gru.stream(weights=weights).process(x)
        assert 0 < np.abs(got - want).max() < bound
    assert np.array_equal(gru.stream(weights="auto").process(x), want)


def test_models_that_look_ahead_do_not_stream():
    for model in (wgru.GRU(3, 8, bidirectional=True), wgru.Linear(3, 2)):
        with pytest.raises(NotImplementedError):
            model.stream()
    with pytest.raises(wgru.ArgumentError):
        wgru.GRU(3, 8).stream(0)
    with pytest.raises(wgru.ArgumentError):
        wgru.GRU(3, 8).stream(weights="f64")


def test_a_stream_in_use_is_busy(rng):
    stream = wgru.GRU(8, 256, 2).stream()
    x = rng.normal(size=(20000, 8)).astype(np.float32)
    started = threading.Event()

    def run():
        started.set()
        stream.process(x)

    thread = threading.Thread(target=run)
    thread.start()
    started.wait()
    refused = 0
    while thread.is_alive():
        try:
            stream.reset()
        except wgru.BusyError as error:
            assert error.code == "busy"
            refused += 1
    thread.join()
    assert refused > 0
