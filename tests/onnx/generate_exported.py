"""Writes exported/outputs.safetensors: results of ONNX Runtime on the files that this crate exported.

    WGRU_UPDATE=1 cargo test --test onnx export          writes exported/*.onnx
    .venv/bin/pip install numpy onnx onnxruntime safetensors
    .venv/bin/python tests/onnx/generate_exported.py

Inputs come from `fill`, stream 9000 + case number, or are the indices (3 j + 1) % 7. Every file must also pass ONNX's
own checker with shape inference.
"""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import safetensors.numpy

from generate_recurrent import fill

HERE = Path(__file__).resolve().parent / "exported"
CASES = ["classifier", "reset_before", "peepholes", "normalized", "words", "windows", "nothing", "last_step"]
BATCH, STEPS = 3, 5

outputs = {}
for k, name in enumerate(CASES):
    path = HERE / f"{name}.onnx"
    onnx.checker.check_model(onnx.load(path), full_check=True)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    dims = [dict(batch=BATCH, time=STEPS).get(d, d) for d in given.shape]
    if given.type == "tensor(int64)":
        x = ((3 * np.arange(np.prod(dims)) + 1) % 7).reshape(dims)
    else:
        x = fill(9000 + k, dims, 1)
    outputs[name] = session.run(None, {given.name: x})[0]
    print(name, [d.shape for d in session.get_outputs()], outputs[name].shape, f"{path.stat().st_size} bytes")
safetensors.numpy.save_file(outputs, HERE / "outputs.safetensors")
