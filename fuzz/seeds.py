"""Writes the seed corpora of the fuzz targets to fuzz/corpus/<target>/.

    python fuzz/seeds.py
    cargo +nightly fuzz run pickle -- -rss_limit_mb=512 -timeout=5 -max_total_time=600

Needs no packages: the seeds are test fixtures, and the pickles inside them.
"""

import json
import shutil
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
READERS = ROOT / "tests" / "readers"
SEEDS = {
    "safetensors": [ROOT / "tests" / "golden" / "torch_gru.safetensors"],
    "npz": [READERS / n for n in ["arrays.npz", "compressed.npz", "fortran.npy"]],
    "keras": [READERS / n for n in ["model.weights.h5", "model.keras", "arrays.h5", "chunks.h5"]],
    "torch": [READERS / n for n in ["state.pt", "legacy.pt", "tensor.pt"]],
    "import": [
        *sorted((READERS / "import").iterdir()),
        *sorted((READERS / "hdf5").iterdir()),
        READERS / "chunks.h5",
        READERS / "legacy.pt",
    ],
}

for target, files in SEEDS.items():
    folder = ROOT / "fuzz" / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        shutil.copy(file, folder / file.name)

folder = ROOT / "fuzz" / "corpus" / "pickle"
folder.mkdir(parents=True, exist_ok=True)
for name in ["state.pt", "tensor.pt", "import/module.pt", "import/lightning.ckpt", "import/odd.pt"]:
    with zipfile.ZipFile(READERS / name) as archive:
        member = next(n for n in archive.namelist() if n.endswith("/data.pkl"))
        (folder / f"{Path(name).name}.pkl").write_bytes(archive.read(member))

folder = ROOT / "fuzz" / "corpus" / "npz"
with zipfile.ZipFile(READERS / "arrays.npz") as archive:
    for name in ["f4.npy", "scalar.npy", "b1.npy", "big_i8.npy"]:
        (folder / name).write_bytes(archive.read(name))
# A small safetensors file, in addition to the real one.
header = b'{"__metadata__":{"format":"pt"},"a":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}}'
small = len(header).to_bytes(8, "little") + header + b"\0\x3c\0\xc1"
(ROOT / "fuzz" / "corpus" / "safetensors" / "small.safetensors").write_bytes(small)

# ONNX: exported models, and the small models of the operator tests.
folder = ROOT / "fuzz" / "corpus" / "onnx"
folder.mkdir(parents=True, exist_ok=True)
for source in ["exported", "loops"]:
    for file in (ROOT / "tests" / "onnx" / source).glob("*.onnx"):
        shutil.copy(file, folder / file.name)
operators = (ROOT / "tests" / "onnx" / "operators.safetensors").read_bytes()
end = 8 + int.from_bytes(operators[:8], "little")
for name, entry in json.loads(operators[8:end]).items():
    if name.endswith(".model"):
        first, last = (end + offset for offset in entry["data_offsets"])
        (folder / name).write_bytes(operators[first:last])
