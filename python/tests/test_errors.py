"""Errors: classes, codes and texts."""

import numpy as np
import pytest

import wgru


def test_classes_are_those_that_python_programs_expect(tmp_path):
    gru = wgru.GRU(3, 5)
    x = np.zeros((2, 4, 3), np.float32)
    cases = [
        (lambda: gru(x[:, :, :2]), wgru.ShapeError, ValueError, "shape"),
        (lambda: gru(x, np.zeros((1, 2, 4))), wgru.ShapeError, ValueError, "shape"),
        (lambda: gru(x, lengths=[9, 1]), wgru.ArgumentError, ValueError, "value"),
        (lambda: gru(x, lengths=[-1, 1]), wgru.ArgumentError, ValueError, "value"),
        (lambda: gru(np.array(["a"])), wgru.DTypeError, TypeError, "dtype"),
        (lambda: wgru.GRU(0, 5), wgru.ArgumentError, ValueError, "value"),
        (lambda: wgru.RNN(3, 5, nonlinearity="gru"), wgru.ArgumentError, ValueError, "value"),
        (lambda: wgru.LSTM(3, 5)(x, np.zeros((1, 2, 5))), wgru.ArgumentError, ValueError, "value"),
        (lambda: wgru.Device("tpu"), wgru.ArgumentError, ValueError, "value"),
        (lambda: wgru.load(tmp_path / "none"), wgru.MissingFileError, FileNotFoundError, "io"),
        (lambda: wgru.load(tmp_path), wgru.FileError, OSError, "io"),
        (lambda: gru.save(tmp_path / "no folder" / "x"), wgru.FileError, OSError, "io"),
        (lambda: wgru.load(b"junk"), wgru.FormatError, ValueError, "format"),
        (lambda: wgru.load(3), wgru.DTypeError, TypeError, "dtype"),
        (lambda: wgru.Sequential(), wgru.ArgumentError, ValueError, "value"),
        (lambda: wgru.Sequential(3), wgru.DTypeError, TypeError, "dtype"),
        (lambda: wgru.Sequential(wgru.LastState()), wgru.ArgumentError, ValueError, "value"),
        (lambda: wgru.Linear(3, 2).stream(), wgru.UnsupportedError, NotImplementedError, "unsupported"),
        (lambda: gru.load_state_dict({}), wgru.FormatError, ValueError, "format"),
        (lambda: wgru.GRU(1 << 40, 1 << 40), wgru.WgruError, Exception, None),
    ]
    for call, kind, usual, code in cases:
        with pytest.raises(kind) as caught:
            call()
        error = caught.value
        assert isinstance(error, usual) and isinstance(error, wgru.WgruError)
        assert code in (None, error.code) and str(error), error
    assert caught.value.code in ("limit", "shape", "out-of-memory", "value")


def test_missing_files_have_their_number():
    with pytest.raises(FileNotFoundError) as caught:
        wgru.load("no such file")
    assert caught.value.errno == 2 and "no such file" in str(caught.value)


def test_wrong_state_dicts_change_nothing():
    gru = wgru.GRU(2, 3)
    before = gru.state_dict()
    wrong = dict(before, weight_hh_l0=np.zeros((9, 4)))
    for state in (wrong, {**before, "extra": np.zeros(1)}, {"weight_ih_l0": before["weight_ih_l0"]}):
        with pytest.raises(wgru.WgruError):
            gru.load_state_dict(state)
    for name, value in gru.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    gru.load_state_dict({name: 2 * value for name, value in before.items()})
    np.testing.assert_array_equal(gru.state_dict()["bias_hh_l0"], 2 * before["bias_hh_l0"])


def test_objects_describe_themselves():
    assert "cpu" in repr(wgru.Device("cpu", threads=2)).lower()
    assert repr(wgru.GRU(3, 5)) == "<wgru.Model recurrent, 150 parameters>"
    assert "3 to 5" in repr(wgru.GRU(3, 5).stream())
    assert isinstance(wgru.devices(), list)
