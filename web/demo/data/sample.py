"""Writes sample.safetensors: a PyTorch GRU, with a verification run, which loading repeats.

    python sample.py        needs torch and safetensors
"""

from pathlib import Path

import safetensors.torch
import torch

torch.manual_seed(1)
gru = torch.nn.GRU(input_size=6, hidden_size=24, num_layers=2, bidirectional=True)
x = torch.randn(12, 2, 6)
with torch.no_grad():
    output, h_n = gru(x)
run = {"verify.x": x, "verify.output": output.contiguous(), "verify.h_n": h_n.contiguous()}
metadata = {"format": "pt", "verify.tolerance": "1e-5"}
path = Path(__file__).with_name("sample.safetensors")
safetensors.torch.save_file({**gru.state_dict(), **run}, path, metadata=metadata)
