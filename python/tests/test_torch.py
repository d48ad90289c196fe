"""Modules of PyTorch, converted."""

import random

import numpy as np
import pytest

import wgru

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
nn = torch.nn

MODELS = 200
TOLERANCE = 1e-5


def flat(output):
    return [v for part in output for v in flat(part)] if isinstance(output, tuple) else [output]


class Last(nn.Module):
    """A module of a user, with its own way to take the last state."""

    def __init__(self, rnn, head, how):
        super().__init__()
        self.rnn, self.head, self.how = rnn, head, how

    def forward(self, x):
        y, state = self.rnn(x)
        h = state[0] if isinstance(state, tuple) else state
        if self.how == "state":
            d = 1 + self.rnn.bidirectional
            y = torch.cat(list(h[-d:]), -1)
        elif self.how == "step":
            y = y[:, -1] if self.rnn.batch_first else y[-1]
        return self.head(y)


def layer(draw):
    """Returns a random recurrent layer and the width of its output."""
    kind = draw.choice(["GRU", "LSTM", "RNN"])
    hidden, bidirectional = draw.randint(1, 48), draw.random() < 0.5
    options = {
        "num_layers": draw.randint(1, 3),
        "bias": draw.random() < 0.8,
        "batch_first": draw.random() < 0.5,
        "bidirectional": bidirectional,
    }
    if options["num_layers"] > 1:
        options["dropout"] = draw.choice([0.0, 0.3])
    width = hidden
    if kind == "RNN":
        options["nonlinearity"] = draw.choice(["tanh", "relu"])
    if kind == "LSTM" and hidden > 1 and draw.random() < 0.3:
        width = options["proj_size"] = draw.randint(1, hidden - 1)
    module = getattr(nn, kind)(draw.randint(1, 20), hidden, **options)
    return module, width * (1 + bidirectional)


def test_random_models_compute_the_same(capsys):
    """200 models: layers alone with states and lengths, and in modules of users with a head."""
    draw = random.Random(5)
    torch.manual_seed(5)
    worst, seen = 0.0, set()
    for k in range(MODELS):
        rnn, width = layer(draw)
        alone = k % 2 == 0
        how = draw.choice(["all", "state"] + ([] if rnn.bidirectional else ["step"]))
        module = rnn if alone else Last(rnn, nn.Linear(width, draw.randint(1, 5), bias=draw.random() < 0.8), how)
        model = wgru.from_torch(module)
        assert model.batch_first == rnn.batch_first
        batch, steps = draw.randint(1, 5), draw.randint(1, 30)
        x = torch.randn((batch, steps, rnn.input_size) if rnn.batch_first else (steps, batch, rnn.input_size))
        module.eval()
        arguments, own = (), ()
        if alone and draw.random() < 0.5:
            rows = rnn.num_layers * (1 + rnn.bidirectional)
            out = getattr(rnn, "proj_size", 0) or rnn.hidden_size
            h0 = torch.randn(rows, batch, out)
            state = (h0, torch.randn(rows, batch, rnn.hidden_size)) if rnn.mode == "LSTM" else h0
            arguments, own = (state,), (tuple(s.numpy() for s in state) if rnn.mode == "LSTM" else h0.numpy(),)
        with torch.no_grad():
            want = flat(module(x, *arguments))
        got = flat(model(x.numpy(), *own))
        assert len(got) == len(want)
        for g, w in zip(got, want):
            w = w.numpy()
            assert g.shape == w.shape, (k, module)
            error = np.max(np.abs(g - w) / np.maximum(1.0, np.abs(w)))
            assert error <= TOLERANCE, (k, error, module)
            worst = max(worst, float(error))
        seen.add((rnn.mode, rnn.bidirectional, rnn.bias, rnn.batch_first, alone, getattr(rnn, "proj_size", 0) > 0))
    assert len(seen) > 40
    with capsys.disabled():
        print(f" {MODELS} models of PyTorch, {len(seen)} kinds: worst error {worst:.1e}", end=" ")


def test_lengths_are_those_of_packed_sequences():
    torch.manual_seed(1)
    lstm = nn.LSTM(3, 5, 2, bidirectional=True, batch_first=True)
    x, lengths = torch.randn(4, 9, 3), [9, 2, 7, 1]
    packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    with torch.no_grad():
        y, (h, c) = lstm(packed)
    want, _ = nn.utils.rnn.pad_packed_sequence(y, batch_first=True)
    got, (gh, gc) = wgru.from_torch(lstm)(x.numpy(), lengths=lengths)
    for g, w in zip((got, gh, gc), (want, h, c)):
        np.testing.assert_allclose(g, w.numpy(), atol=1e-6)


def test_sequences_of_layers_convert():
    torch.manual_seed(2)
    for module in (
        nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.LayerNorm(8, 1e-4), nn.Dropout(0.5), nn.Linear(8, 2), nn.Tanh()),
        nn.Sequential(nn.Embedding(9, 4, padding_idx=2), nn.Linear(4, 2, bias=False), nn.Identity()),
        nn.Linear(4, 3),
        nn.Embedding(9, 4),
    ):
        module.train()
        model = wgru.from_torch(module)
        assert all(part.training for part in module.modules())
        is_index = isinstance(next(m for m in module.modules() if not list(m.children())), nn.Embedding)
        x = torch.randint(9, (2, 5)) if is_index else torch.randn(2, 5, 3 if len(list(module.children())) else 4)
        with torch.no_grad():
            want = module.eval()(x).numpy()
        np.testing.assert_allclose(model(x.numpy()), want, atol=1e-6)


def test_what_does_not_convert_is_refused():
    class Doubled(nn.Module):
        def __init__(self):
            super().__init__()
            self.gru, self.head = nn.GRU(3, 5), nn.Linear(5, 2)

        def forward(self, x):
            return 2 * self.head(self.gru(x)[0])

    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            self.gru, self.scale = nn.GRU(3, 5), nn.Parameter(torch.ones(5))

        def forward(self, x):
            return self.gru(x)[0] * self.scale

    class Strange(nn.Module):
        def __init__(self):
            super().__init__()
            self.gru, self.head = nn.GRU(3, 5), nn.Linear(5, 2)

        def forward(self, x, y):
            return self.head(self.gru(x)[0]) + y

    for module, error in [
        (Doubled(), wgru.ConversionError),
        (Strange(), wgru.ConversionError),
        (Gated(), wgru.UnsupportedError),
        (nn.Conv1d(3, 4, 2), wgru.UnsupportedError),
        (nn.Sequential(nn.Linear(3, 3), nn.GELU()), wgru.UnsupportedError),
        (nn.MultiheadAttention(4, 2), wgru.UnsupportedError),
        (nn.Sequential(), wgru.UnsupportedError),
        ("module", wgru.UnsupportedError),
        (nn.Embedding(5, 3, max_norm=1.0), wgru.UnsupportedError),
    ]:
        with pytest.raises(error) as caught:
            wgru.from_torch(module)
        assert caught.value.code == "unsupported" and isinstance(caught.value, NotImplementedError)


def test_the_check_fails_for_wrong_numbers(monkeypatch):
    from wgru import _torch

    def swapped(torch_, name, module, device, convert=_torch._convert):
        model = convert(torch_, name, module, device)
        if isinstance(module, nn.RNNBase):
            state = model.state_dict()
            model.load_state_dict(dict(state, weight_hh_l0=state["weight_hh_l0"][::-1]))
        return model

    monkeypatch.setattr(_torch, "_convert", swapped)
    with pytest.raises(wgru.ConversionError, match="differs by"):
        wgru.from_torch(nn.GRU(3, 5))


def test_state_dicts_go_both_ways():
    gru = wgru.GRU(3, 5, 2, bidirectional=True)
    module = nn.GRU(3, 5, 2, bidirectional=True, batch_first=True)
    module.load_state_dict({name: torch.from_numpy(value) for name, value in gru.state_dict().items()})
    x = torch.randn(2, 7, 3)
    with torch.no_grad():
        want, _ = module(x)
    np.testing.assert_allclose(gru(x.numpy())[0], want.numpy(), atol=1e-6)


def test_tensors_are_accepted_as_arrays():
    gru = wgru.GRU(3, 5)
    x = torch.randn(2, 4, 3)
    np.testing.assert_array_equal(gru(x)[0], gru(x.numpy())[0])


def test_training_follows_pytorch():
    """Ten updates of Adam with the same weights and batches: the same losses."""
    torch.manual_seed(3)
    x, y = torch.randn(10, 6, 3), torch.randn(10, 6, 2)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.gru, self.head = nn.GRU(3, 8, batch_first=True), nn.Linear(8, 2)

        def forward(self, x):
            return self.head(self.gru(x)[0])

    module = Net()
    model = wgru.from_torch(module)
    history = model.fit(x.numpy(), y.numpy(), epochs=10, batch=10, rate=1e-2, shuffle=False)
    optimizer, losses = torch.optim.Adam(module.parameters(), 1e-2), []
    for _ in range(10):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(module(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    np.testing.assert_allclose(history["loss"], losses, rtol=1e-5)
