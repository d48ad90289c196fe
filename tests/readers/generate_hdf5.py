"""Writes the fixtures in `hdf5/`: the newer formats of HDF5. tests/readers/mod.rs reads them.

    python -m venv .venv && .venv/bin/pip install h5py numpy
    .venv/bin/python tests/readers/generate_hdf5.py
    .venv/bin/python tests/readers/generate_hdf5.py --large FILE     # 17 MB, for WGRU_HDF5_LARGE

Array `a` of every dataset is a ramp, as in generate.py.

    latest.h5    a dataset per list of chunks that libver="latest" has, plain or compressed; links in header messages
    older.h5     the same as HDF5 1.8 writes it: object headers of version 2 with B-trees of the first version
    many.h5      a group of 100 datasets, whose links are in a heap, found by a B-tree of two levels
    ordered.h5   groups that keep the order of creation
    keras.h5     keras/k3_masked.h5, compressed, with more attributes than an object header holds
"""

import sys
from pathlib import Path

import h5py
import numpy as np

HERE = Path(__file__).resolve().parent
OUT = HERE / "hdf5"
OUT.mkdir(exist_ok=True)


def large(path):
    with h5py.File(path, "w", libver="latest") as file:
        for k in range(30000):
            file[f"group/{'n' * 20}{k:06}"] = np.float16(k % 100)
        count = lambda *dims: (np.arange(np.prod(dims)) % 97).astype("u1").reshape(dims)
        file.create_dataset("fixed", data=count(300000), chunks=(1,))
        file.create_dataset("rows", data=count(300000), chunks=(1,), maxshape=(None,))
        file.create_dataset("both", data=count(200, 200), chunks=(1, 1), maxshape=(None, None))
        limits = {"chunks": (1, 1), "maxshape": (300, None), "compression": "gzip"}
        file.create_dataset("columns_gzip", data=count(300, 100), **limits)


if sys.argv[1:2] == ["--large"]:
    large(sys.argv[2])
    sys.exit()


def ramp(*dims):
    n = int(np.prod(dims))
    return ((7 * np.arange(n) % 11 - 5) / 4).reshape(dims).astype(np.float32)


def datasets(file, lists):
    a = ramp(6, 10)
    file["plain"] = a
    file.create_dataset("single", data=a, chunks=a.shape, compression="gzip")
    for suffix, options in [("", {}), ("_gzip", {"compression": "gzip", "shuffle": True, "fletcher32": True})]:
        file.create_dataset(f"fixed{suffix}", data=a, chunks=(2, 4), **options)
        file.create_dataset(f"rows{suffix}", data=a, chunks=(2, 4), maxshape=(None, 10), **options)
        # Chunks are numbered as if the other axis were as long as its limit.
        file.create_dataset(f"columns{suffix}", data=a, chunks=(2, 4), maxshape=(9, None), **options)
        file.create_dataset(f"both{suffix}", data=a, chunks=(2, 4), maxshape=(None, None), **options)
    # All chunks at once: h5py has no option for it.
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_chunk((2, 4))
    plist.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    space = h5py.h5s.create_simple(a.shape)
    h5py.Dataset(h5py.h5d.create(file.id, b"implicit", h5py.h5t.IEEE_F32LE, space, plist))[:] = a
    # More chunks than a page of an array lists, and more than the index block of an array that grows.
    if lists == "arrays":
        file.create_dataset("pages", data=ramp(1100).astype(np.float16), chunks=(1,))
        file.create_dataset("blocks", data=ramp(400).astype(np.float16), chunks=(1,), maxshape=(None,))


with h5py.File(OUT / "latest.h5", "w", libver="latest") as file:
    datasets(file, "arrays")
with h5py.File(OUT / "older.h5", "w", libver=("v108", "v108")) as file:
    datasets(file, "trees")
with h5py.File(OUT / "many.h5", "w", libver="latest") as file:
    for k in range(100):
        file[f"group/{k:03}"] = np.float16(k)
with h5py.File(OUT / "ordered.h5", "w", track_order=True) as file:
    for name in ["b", "a"]:
        file.create_group(f"z/{name}", track_order=True)["value"] = ramp(2)
with h5py.File(HERE / "keras" / "k3_masked.h5") as model, h5py.File(OUT / "keras.h5", "w", libver="latest") as file:
    for key, value in model.attrs.items():
        # Bytes of a fixed length lie in the heap, if it is not too long for that.
        file.attrs[key] = np.bytes_(value)
    for k in range(8):
        file.attrs[f"other {k}"] = k

    def copy(name, item):
        if isinstance(item, h5py.Dataset):
            options = {"chunks": item.shape, "compression": "gzip"} if item.shape else {}
            file.create_dataset(name, data=item[()], **options)

    model.visititems(copy)
