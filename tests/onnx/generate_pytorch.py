"""Writes pytorch/*.onnx and pytorch/outputs.safetensors: models from torch.onnx.export, and PyTorch's results.

    .venv/bin/pip install numpy torch onnx safetensors
    .venv/bin/python tests/onnx/generate_pytorch.py

The models are exported with 2 sequences of 5 steps, while the outputs are those of 3 sequences of 9 steps: batch and
time are free. Inputs are fill(7, [3, 9, 4], 1), or for "words" the indices (3 j + 1) % 11. The weights are torch's own,
from a fixed seed.
"""

import warnings
from pathlib import Path

import safetensors.torch
import torch
from torch import nn

from generate_recurrent import fill

HERE = Path(__file__).resolve().parent / "pytorch"


class Classifier(nn.Module):
    def __init__(self, rnn, width):
        super().__init__()
        self.rnn, self.norm, self.head = rnn, nn.LayerNorm(width), nn.Linear(width, 3)

    def forward(self, x):
        y, _ = self.rnn(x)
        return torch.softmax(self.head(torch.relu(self.norm(y)))[:, -1], -1)


class Words(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.conv = nn.Embedding(11, 6), nn.Conv1d(6, 8, 3, padding=1)
        self.lstm, self.head = nn.LSTM(8, 5, 2, bidirectional=True, batch_first=True), nn.Linear(10, 2)

    def forward(self, words):
        x = torch.tanh(self.conv(self.embedding(words).transpose(1, 2))).transpose(1, 2)
        y, (h, _) = self.lstm(x)
        return self.head(y) + h.mean(0)[:, None, :2]


torch.manual_seed(0)
models = dict(
    gru=Classifier(nn.GRU(4, 7, 2, batch_first=True, bidirectional=True), 14),
    lstm=Classifier(nn.LSTM(4, 7, batch_first=True), 7),
    rnn=Classifier(nn.RNN(4, 7, batch_first=True, nonlinearity="relu"), 7),
    words=Words(),
)
HERE.mkdir(exist_ok=True)
outputs = {}
for name, model in models.items():
    model.eval()
    words = name == "words"
    x = ((3 * torch.arange(27) + 1) % 11).reshape(3, 9) if words else torch.from_numpy(fill(7, (3, 9, 4), 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(model, (x[:2, :5],), HERE / f"{name}.onnx", dynamo=False, input_names=["x"], output_names=["y"],
                          dynamic_axes=dict(x={0: "batch", 1: "time"}), opset_version=17)
    with torch.no_grad():
        outputs[name] = model(x).contiguous()
safetensors.torch.save_file(outputs, HERE / "outputs.safetensors")
