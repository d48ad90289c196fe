"""Arrays: what is copied, and what is refused."""

import sys
import threading
import time

import numpy as np
import pytest

import wgru
from wgru import _wgru


def test_plain_arrays_are_read_where_they_are(rng):
    x = rng.normal(size=(4, 6, 3)).astype(np.float32)
    for plain in (x, x[1:3], x[2]):
        assert _wgru._address(plain) == plain.ctypes.data
    bytes_of = np.zeros(4 * 8 + 1, np.uint8)
    others = [x.astype(np.float64), x[:, ::2], x.T, bytes_of[1:].view(np.float32), x.astype(">f4"), [1.0, 2.0]]
    for other in others:
        assert _wgru._address(other) != np.asarray(other).ctypes.data


def test_results_are_moved_to_numpy():
    address, array = _wgru._moved(1000)
    assert array.ctypes.data == address
    y, h_n = wgru.GRU(3, 5)(np.zeros((2, 4, 3), np.float32))
    # The memory belongs to Rust.
    for result in (y, h_n):
        assert not result.flags.owndata and result.flags.writeable and result.dtype == np.float32
    del h_n
    y += 1
    assert y.min() > 0


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int32, np.bool_])
def test_other_types_are_converted(dtype):
    gru = wgru.GRU(2, 3)
    x = np.array([[[0, 1], [1, 1]]])
    np.testing.assert_array_equal(gru(x.astype(dtype))[0], gru(x.astype(np.float32))[0])
    np.testing.assert_array_equal(gru(x.tolist())[0], gru(x.astype(np.float32))[0])


def test_strided_arrays_give_the_same(rng):
    gru = wgru.GRU(3, 5)
    x = rng.normal(size=(3, 12, 6)).astype(np.float32)
    for view in (x[:, ::2, ::2], x[::-1, :, 3:], np.asfortranarray(x)[:, :, :3], x.astype(">f4")[:, :, :3]):
        np.testing.assert_array_equal(gru(view)[0], gru(np.ascontiguousarray(view, np.float32))[0])


@pytest.mark.parametrize("x", [np.zeros((1, 2, 3), complex), [["a"]], [[object()]], None])
def test_wrong_types_are_refused(x):
    with pytest.raises(TypeError) as caught:
        wgru.GRU(3, 5)(x)
    assert caught.value.code == "dtype" and "x" in str(caught.value)


def test_runs_release_the_lock(rng):
    gru = wgru.GRU(64, 256, 2)
    x = rng.normal(size=(16, 400, 64)).astype(np.float32)
    beats, is_done = [], threading.Event()

    def beat():
        while not is_done.is_set():
            beats.append(time.perf_counter())
            time.sleep(0.0005)

    thread = threading.Thread(target=beat)
    thread.start()
    start = time.perf_counter()
    gru(x)
    end = time.perf_counter()
    is_done.set()
    thread.join()
    # Only in a run that is long enough for the other thread to be scheduled.
    during = sum(start < at < end for at in beats)
    assert end - start < 0.02 or during > 3, (during, end - start)


def test_threads_share_a_model(rng):
    gru = wgru.GRU(3, 16)
    xs = [rng.normal(size=(2, 50, 3)).astype(np.float32) for _ in range(8)]
    want = [gru(x)[0] for x in xs]
    got = [None] * 8

    def run(i):
        for _ in range(20):
            got[i] = gru(xs[i])[0]

    threads = [threading.Thread(target=run, args=(i,)) for i in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    for g, w in zip(got, want):
        np.testing.assert_array_equal(g, w)


def test_results_are_freed():
    gru = wgru.GRU(1, 64)
    x = np.zeros((1, 4000, 1), np.float32)
    resource = pytest.importorskip("resource")
    for _ in range(20):
        gru(x)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(300):
        gru(x)
    # 300 results are 300 MB.
    unit = 1 if sys.platform == "darwin" else 1024
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit < 50e6
