"""Training."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest

import wgru


def means(rng, count=128):
    x = rng.normal(size=(count, 12, 1)).astype(np.float32)
    return x, x.mean(axis=1)


def regressor(**options):
    return wgru.Sequential(gru=wgru.GRU(1, 12, **options), last=wgru.LastState(), head=wgru.Linear(12, 1))


def test_a_regressor_learns(rng):
    x, y = means(rng)
    net = regressor()
    epochs = []
    history = net.fit(x[:96], y[:96], epochs=15, rate=1e-2, validation=(x[96:], y[96:]), callback=epochs.append)
    assert len(history["loss"]) == len(history["validation"]) == len(epochs) == 15
    assert history["validation"][-1] < 0.1 * history["validation"][0]
    assert epochs[3]["loss"] == history["loss"][3] and epochs[3]["epoch"] == 3
    error = np.mean((net(x[96:]) - y[96:]) ** 2)
    assert error == pytest.approx(history["validation"][-1], rel=1e-4)


def test_a_classifier_learns(rng):
    x, y = means(rng)
    net = wgru.Sequential(wgru.LSTM(1, 12), wgru.LastState(), wgru.Linear(12, 2))
    net.fit(x, (y[:, 0] > 0).astype(int), epochs=25, rate=2e-2, loss="cross_entropy")
    assert np.mean(net(x).argmax(-1) == (y[:, 0] > 0)) > 0.9


def test_equal_seeds_give_equal_bits(rng):
    x, y = means(rng)
    results = []
    for seed in (1, 1, 2):
        net = regressor(dropout=0.0)
        results.append(net.fit(x, y[:, 0], epochs=2, seed=seed)["loss"])
    assert results[0] == results[1] != results[2]


def test_false_stops_and_patience_restores(rng):
    x, y = means(rng)
    history = regressor().fit(x, y, epochs=50, callback=lambda progress: progress["epoch"] < 3)
    assert len(history["loss"]) == 4 and history["stopped_early"]
    net = regressor()
    history = net.fit(x[:96], y[:96], epochs=40, rate=0.2, patience=3, validation=(x[96:], y[96:]))
    best = np.mean((net(x[96:]) - y[96:]) ** 2)
    assert best == pytest.approx(min(history["validation"]), rel=1e-3)
    assert history["best_epoch"] == int(np.argmin(history["validation"]))


def test_exceptions_of_a_callback_arrive(rng):
    x, y = means(rng)

    def fail(progress):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        regressor().fit(x, y, callback=fail)


def test_wrong_data_is_refused(rng):
    x, y = means(rng)
    net = regressor()
    bad = x.copy()
    bad[5, 3] = np.nan
    for arguments, options, error in [
        ((x, y[:5]), {}, wgru.ShapeError),
        ((x[:, :, [0, 0]], y), {}, wgru.ShapeError),
        ((x, np.zeros((128, 3))), {}, wgru.ShapeError),
        ((x, y), {"loss": "mean"}, wgru.ArgumentError),
        ((x, y), {"optimizer": "lion"}, wgru.ArgumentError),
        ((x, y), {"patience": 3}, wgru.ArgumentError),
        ((x, y), {"rate": -1.0}, wgru.ArgumentError),
        ((x, y), {"batch": 0}, wgru.ArgumentError),
        ((x[:0], y[:0]), {}, ValueError),
        ((x, y), {"loss": "cross_entropy"}, wgru.DTypeError),
        ((bad, y), {}, wgru.DivergedError),
        ((x, y), {"momentum": 1}, TypeError),
    ]:
        with pytest.raises(error):
            net.fit(*arguments, **options)
    for value in net.state_dict().values():
        assert np.isfinite(value).all()
    with pytest.raises(wgru.ArgumentError, match="batch_first"):
        wgru.GRU(1, 3, batch_first=False).fit(x, y)


def test_training_releases_the_lock(rng):
    x, y = means(rng, 512)
    beats, is_done = [0], threading.Event()

    def beat():
        while not is_done.is_set():
            beats[0] += 1
            time.sleep(0.0005)

    thread = threading.Thread(target=beat)
    thread.start()
    net = wgru.Sequential(wgru.GRU(1, 128), wgru.LastState(), wgru.Linear(128, 1))
    net.fit(x, y, epochs=2, batch=512)
    is_done.set()
    thread.join()
    assert beats[0] > 3


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_an_interrupt_stops_training():
    program = """
        import numpy as np, wgru
        net = wgru.Sequential(wgru.GRU(1, 16), wgru.LastState(), wgru.Linear(16, 1))
        x = np.random.default_rng(0).normal(size=(256, 10, 1))
        def told(progress):
            if progress["epoch"] == 0: print("started", flush=True)
        try:
            net.fit(x, x.mean(1), epochs=10**9, callback=told)
        except KeyboardInterrupt:
            print("interrupted", np.isfinite(net(x)).all(), flush=True)
    """
    child = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "started\n"
    start = time.perf_counter()
    child.send_signal(signal.SIGINT)
    rest, _ = child.communicate(timeout=60)
    assert rest == "interrupted True\n" and child.returncode == 0
    assert time.perf_counter() - start < 30


def test_gpu_trains_like_the_cpu(rng):
    x, y = means(rng, 32)
    cpu = regressor()
    gpu = cpu.to("gpu")
    losses = [net.fit(x, y, epochs=2, seed=3)["loss"] for net in (cpu, gpu)]
    np.testing.assert_allclose(*losses, rtol=1e-4)
