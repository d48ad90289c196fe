"""Files: loaded, saved and exported."""

import json

import numpy as np
import pytest
import reference

import wgru


def safetensors(path):
    """Reads a safetensors file of float32."""
    data = path.read_bytes()
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    header.pop("__metadata__", None)
    parts = {name: (about["shape"], slice(*about["data_offsets"])) for name, about in header.items()}
    return {name: np.frombuffer(data[end:][span], np.float32).reshape(shape) for name, (shape, span) in parts.items()}


def test_a_state_dict_of_pytorch_runs(golden, rng):
    path = golden / "golden/torch_gru.safetensors"
    model = wgru.load(path)
    x = rng.normal(size=(2, 5, model.info["input_size"])).astype(np.float32)
    want, h_n = reference.run("GRU", safetensors(path), x.astype(np.float64), 2, True, 16)
    y, state = model(x)
    np.testing.assert_allclose(y, want, atol=1e-6)
    np.testing.assert_allclose(state, h_n, atol=1e-6)
    time_first = wgru.load(path, batch_first=False)
    np.testing.assert_array_equal(time_first(x.swapaxes(0, 1))[0].swapaxes(0, 1), y)
    [layer] = model.layers()
    assert layer["cell"] == "Gru" and layer["bidirectional"] and layer["num_layers"] == 2
    named = model.run({"x": x})
    np.testing.assert_array_equal(named["y"], y)


@pytest.mark.parametrize("name", ["k3_graph", "k2_time"])
def test_models_of_keras_give_their_outputs(golden, name):
    folder = golden / "readers/keras"
    arrays = np.load(folder / f"{name}.npz")
    model = wgru.load(folder / f"{name}.keras")
    assert model.info["kind"] == "network"
    np.testing.assert_allclose(model(arrays["x"]), arrays["y"], atol=1e-5)


def test_models_of_onnx_give_their_outputs(golden):
    folder = golden / "onnx/pytorch"
    want = safetensors(folder / "outputs.safetensors")["words"]
    words = (3 * np.arange(27) + 1) % 11
    for source in (folder / "words.onnx", (folder / "words.onnx").read_bytes()):
        model = wgru.load(source)
        [port] = model.info["inputs"]
        assert port["name"] == "x" and port["dtype"] == "int64"
        [output] = model.run({"x": words.reshape(3, 9)}).values()
        np.testing.assert_allclose(output, want, atol=1e-5)
    with pytest.raises(wgru.ArgumentError):
        model.run({})
    with pytest.raises(wgru.ArgumentError):
        model(words)
    with pytest.raises(wgru.DTypeError):
        model.run({"x": np.zeros((3, 9), np.float32)})


def test_models_of_audio_programs_stream(golden, rng):
    model = wgru.load(golden / "readers/import/proteus.json")
    x = rng.normal(size=(50, 1)).astype(np.float32)
    np.testing.assert_allclose(model.stream().process(x), model(x[None])[0], atol=1e-5)


def test_onnx_streams_carry_the_state(tmp_path, rng):
    gru = wgru.GRU(3, 5)
    gru.export_onnx(tmp_path / "gru.onnx")
    model = wgru.load(tmp_path / "gru.onnx")
    x = rng.normal(size=(1, 8, 3)).astype(np.float32)
    want, _ = gru(x)
    stream = model.stream()
    got = [stream.run({"x": x[:, t : t + 1]})["output"] for t in range(4)]
    middle = stream.state
    got += [stream.run({"x": x[:, t : t + 1]})["output"] for t in range(4, 8)]
    np.testing.assert_allclose(np.concatenate(got, 1), want, atol=1e-6)
    stream.state = middle
    np.testing.assert_array_equal(stream.run({"x": x[:, 4:5]})["output"], got[4])
    stream.reset()
    np.testing.assert_array_equal(stream.run({"x": x[:, :1]})["output"], got[0])


def networks():
    yield wgru.GRU(3, 5, 2, bidirectional=True, reset_after=False), 3
    yield wgru.LSTM(3, 5, proj_size=2, batch_first=True), 3
    yield wgru.RNN(3, 5, nonlinearity="relu"), 3
    yield wgru.Linear(3, 2, bias=False), 3
    layers = [wgru.LayerNorm(3, 1e-3), wgru.LSTM(3, 4, bidirectional=True), wgru.Dropout(0.25)]
    yield wgru.Sequential(*layers, wgru.LastState(), wgru.ReLU(), wgru.Linear(8, 2), wgru.Tanh()), 3
    yield wgru.Sequential(words=wgru.Embedding(7, 4, 1), rnn=wgru.GRU(4, 3)), None


@pytest.mark.parametrize("model, width", list(networks()))
def test_saved_models_load_with_every_option(model, width, tmp_path, rng):
    shape = (2, 6) if width is None else (2, 6, width)
    x = rng.integers(0, 7, shape) if width is None else rng.normal(size=shape).astype(np.float32)
    path = tmp_path / "model.safetensors"
    model.save(path)
    for copy in (wgru.load(path), wgru.load(path.read_bytes()), wgru.load(model.to_bytes()), model.to("cpu")):
        want, got = model.run({"x": x}), copy.run({"x": x})
        np.testing.assert_array_equal(got["y"], want["y"])
    assert copy.layers() == model.layers()
    assert list(tmp_path.iterdir()) == [path]


def test_exported_models_give_the_same_outputs(tmp_path, rng):
    net = wgru.Sequential(wgru.GRU(3, 5, bidirectional=True), wgru.LastState(), wgru.Linear(10, 2))
    net.export_onnx(tmp_path / "net.onnx", input="sequence")
    x = rng.normal(size=(2, 6, 3)).astype(np.float32)
    got = wgru.load(tmp_path / "net.onnx").run({"sequence": x})["output"]
    np.testing.assert_allclose(got, net(x), atol=1e-6)


def test_parts_of_a_file_load_by_name(tmp_path, rng):
    net = wgru.Sequential(a=wgru.GRU(3, 5), b=wgru.LSTM(5, 4), head=wgru.Linear(4, 2))
    path = tmp_path / "net.safetensors"
    net.save(path)
    x = rng.normal(size=(2, 6, 5)).astype(np.float32)
    part = wgru.load(path, layer="b", head="head")
    state = net.state_dict()
    y, _ = wgru.load(path, layer="b")(x)
    np.testing.assert_allclose(part(x), y @ state["head.weight"].T + state["head.bias"], atol=1e-6)
    assert [layer["name"] for layer in net.layers()] == ["a", "b"]


def test_hostile_files_are_errors(tmp_path):
    path = tmp_path / "model"
    net = wgru.Sequential(gru=wgru.GRU(3, 5), head=wgru.Linear(5, 2)).to_bytes()
    renamed = [net.replace(b"recurrent", b"recurrenT"), net.replace(b"gru head", b"gru dead")]
    for data in (b"", b"junk", net[:-1], net[:100], *renamed):
        path.write_bytes(data)
        for source in (path, data):
            with pytest.raises(wgru.WgruError) as caught:
                wgru.load(source)
            assert caught.value.code in ("format", "unsupported"), caught.value
    generator = np.random.default_rng(1)
    for _ in range(300):
        data = bytearray(net)
        for place in generator.integers(0, len(data), 3):
            data[place] = generator.integers(256)
        try:
            wgru.load(bytes(data))
        except wgru.WgruError:
            pass
