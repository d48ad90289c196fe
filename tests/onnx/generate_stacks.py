"""Writes stacks/*.onnx and stacks/outputs.safetensors, for tests/onnx/networks.rs: stacks of layers from both exporters
of PyTorch, and PyTorch's results.

    .venv/bin/pip install numpy torch onnx onnxscript safetensors
    .venv/bin/python tests/onnx/generate_stacks.py

NAME_script.onnx is from `torch.onnx.export(dynamo=False)`, NAME_dynamo.onnx from `dynamo=True`. The models are exported
with 2 sequences of 5 steps, while the outputs are those of 3 sequences of 9 steps: batch and time are free. The inputs
are fill(7, [3, 9, I], 1). The weights are torch's own, from a fixed seed; `weights.safetensors` has them by name.
"""

import warnings
from pathlib import Path

import onnx
import safetensors.torch
import torch
from torch import nn

from generate_recurrent import fill

HERE = Path(__file__).resolve().parent / "stacks"
HERE.mkdir(exist_ok=True)


class Amp(nn.Module):
    """A GuitarML network: the input is added to the output."""

    def __init__(self, unit):
        super().__init__()
        self.rec, self.lin = unit(1, 4, batch_first=True), nn.Linear(4, 1)

    def forward(self, x):
        return self.lin(self.rec(x)[0]) + x


class Classifier(nn.Module):
    """The last state of both directions of two layers."""

    def __init__(self):
        super().__init__()
        self.gru, self.hidden, self.head = nn.GRU(3, 4, bidirectional=True), nn.Linear(8, 5), nn.Linear(5, 2)

    def forward(self, x):
        _, h = self.gru(x.transpose(0, 1))
        h = torch.cat([h[-2], h[-1]], 1)
        return torch.log_softmax(self.head(torch.relu(self.hidden(h))), 1)


class Steps(nn.Module):
    """Two layers in a stack, and their last step."""

    def __init__(self):
        super().__init__()
        self.lstm, self.head = nn.LSTM(3, 4, 2, batch_first=True), nn.Linear(4, 2)

    def forward(self, x):
        return torch.sigmoid(self.head(self.lstm(x)[0][:, -1]))


torch.manual_seed(0)
models = dict(lstm_amp=Amp(nn.LSTM), gru_amp=Amp(nn.GRU), classifier=Classifier(), steps=Steps())
outputs, weights = {}, {}
for name, model in models.items():
    model.eval()
    width = 1 if name.endswith("amp") else 3
    x = torch.from_numpy(fill(7, (3, 9, width), 1))
    for kind in ["script", "dynamo"]:
        path = HERE / f"{name}_{kind}.onnx"
        batch, time = torch.export.Dim("batch", min=2), torch.export.Dim("time", min=2)
        shapes = dict(dynamic_shapes=[{0: batch, 1: time}]) if kind == "dynamo" else dict(
            dynamic_axes=dict(x={0: "batch", 1: "time"}))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                torch.onnx.export(model, (x[:2, :5],), path, dynamo=kind == "dynamo", input_names=["x"],
                                  output_names=["y"], opset_version=18, external_data=False, **shapes)
            except Exception as error:
                print(f"{path.name}: {str(error)[:300]}")
                continue
        proto = onnx.load(path)
        for node in proto.graph.node:
            node.doc_string = ""
            del node.metadata_props[:]
        del proto.graph.value_info[:]
        onnx.save(proto, path)
        print(path.name, path.stat().st_size, [node.op_type for node in proto.graph.node])
    with torch.no_grad():
        outputs[name] = model(x).contiguous()
    weights.update({f"{name}.{key}": value for key, value in model.state_dict().items()})
safetensors.torch.save_file(outputs, HERE / "outputs.safetensors")
safetensors.torch.save_file(weights, HERE / "weights.safetensors")
