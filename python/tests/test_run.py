"""Runs of recurrent layers and networks."""

import numpy as np
import pytest
import reference

import wgru

CELLS = {
    "GRU": wgru.GRU,
    "LSTM": wgru.LSTM,
    "RNN": wgru.RNN,
    "RELU": lambda *sizes, **options: wgru.RNN(*sizes, nonlinearity="relu", **options),
}


def hidden_state(state):
    return state[0] if isinstance(state, tuple) else state


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("layers, bidirectional, bias", [(1, False, True), (2, True, True), (3, False, False)])
def test_layers_match_float64_equations(cell, layers, bidirectional, bias, rng):
    model = CELLS[cell](3, 5, layers, bidirectional=bidirectional, bias=bias, seed=4)
    x = rng.normal(size=(2, 7, 3)).astype(np.float32)
    y, state = model(x)
    want, h_n = reference.run(cell, model.state_dict(), x.astype(np.float64), layers, bidirectional, 5)
    np.testing.assert_allclose(y, want, atol=1e-6)
    np.testing.assert_allclose(hidden_state(state), h_n, atol=1e-6)


@pytest.mark.parametrize("cell", CELLS)
def test_a_state_continues_a_run(cell, rng):
    model = CELLS[cell](3, 5, 2)
    x = rng.normal(size=(2, 8, 3)).astype(np.float32)
    whole, end = model(x)
    first, state = model(x[:, :5])
    second, last = model(x[:, 5:], state)
    np.testing.assert_allclose(np.concatenate([first, second], 1), whole, atol=1e-6)
    np.testing.assert_allclose(hidden_state(last), hidden_state(end), atol=1e-6)


def test_lengths_give_the_state_of_the_last_valid_step(rng):
    gru = wgru.GRU(3, 5, bidirectional=True)
    x = rng.normal(size=(2, 6, 3)).astype(np.float32)
    x[1, 4:] = np.nan
    y, h_n = gru(x, lengths=[6, 4])
    alone, alone_h = gru(x[1:, :4])
    np.testing.assert_allclose(y[1:, :4], alone, atol=1e-6)
    np.testing.assert_allclose(h_n[:, 1:], alone_h, atol=1e-6)
    assert not y[1, 4:].any()


def test_one_sequence_needs_no_batch(rng):
    lstm = wgru.LSTM(3, 5, batch_first=False)
    x = rng.normal(size=(6, 3)).astype(np.float32)
    y, (h, c) = lstm(x)
    batched, (hb, cb) = lstm(x[:, None])
    assert (y.shape, h.shape, c.shape) == ((6, 5), (1, 5), (1, 5))
    np.testing.assert_array_equal(y, batched[:, 0])
    np.testing.assert_array_equal(h, hb[:, 0])
    again, _ = lstm(x, (h, c))
    np.testing.assert_array_equal(again, lstm(x[:, None], (hb, cb))[0][:, 0])


def test_networks_run_their_layers(rng):
    gru, head = wgru.GRU(3, 5, bidirectional=True), wgru.Linear(10, 2)
    net = wgru.Sequential(gru=gru, last=wgru.LastState(), relu=wgru.ReLU(), head=head)
    x = rng.normal(size=(4, 6, 3)).astype(np.float32)
    _, h_n = gru(x)
    state = net.state_dict()
    want = np.maximum(np.concatenate(list(h_n), -1), 0) @ state["head.weight"].T + state["head.bias"]
    np.testing.assert_allclose(net(x), want, atol=1e-6)
    assert list(state)[0] == "gru.weight_ih_l0"
    assert net.info == {"kind": "sequential", "input_size": 3, "output_size": 2, "parameters": 322}


def test_embeddings_take_integers():
    net = wgru.Sequential(wgru.Embedding(10, 4, padding_idx=0), wgru.GRU(4, 3))
    y = net(np.array([[1, 2, 9], [3, 0, 0]]))
    assert y.shape == (2, 3, 3)
    assert not net.state_dict()["0.weight"][0].any()
    with pytest.raises(wgru.DTypeError):
        net(np.zeros((2, 3), np.float32))


def test_gpu_computes_the_same(rng):
    x = rng.normal(size=(4, 9, 3)).astype(np.float32)
    cpu = wgru.Sequential(wgru.GRU(3, 8, 2, bidirectional=True), wgru.Linear(16, 2))
    gpu = cpu.to("gpu")
    assert gpu.device.is_gpu and not cpu.device.is_gpu
    np.testing.assert_allclose(gpu(x), cpu(x), atol=1e-5)
