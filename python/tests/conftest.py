"""What the tests share."""

import os
import pathlib

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.fixture
def golden():
    """Folder of files that PyTorch, Keras and ONNX tools wrote."""
    return ROOT / "tests"


def pytest_report_header():
    try:
        import torch

        return f"PyTorch {torch.__version__}"
    except ImportError:
        return "PyTorch is not installed: its tests are skipped"


def pytest_collection_modifyitems(items):
    # A missing adapter is a failure where the environment says that there is one.
    if os.environ.get("WGRU_REQUIRE_GPU") == "1":
        return
    import wgru

    if not wgru.devices():
        for item in items:
            if "gpu" in item.name:
                item.add_marker(pytest.mark.skip(reason="no adapter"))
