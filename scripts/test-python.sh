#!/usr/bin/env bash
# Tests the Python package: lints, and the wheel in a new virtual environment. Needs Rust and Python 3.9 or newer with
# venv. With PyTorch, or with WGRU_TORCH=1, which installs it, also compares converted modules with PyTorch.
#
#   ./scripts/test-python.sh            builds the wheel with `pip install ./python`'s backend, and runs the tests
#   WGRU_SYSTEM_SITE=1 …                uses the packages of the Python that is installed, such as PyTorch
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n== %s\n' "$*"; }

# An absolute folder, because the backend runs in another one.
CARGO_TARGET_DIR=$(realpath -m "${CARGO_TARGET_DIR:-python/target}")
export CARGO_TARGET_DIR
manifest=python/Cargo.toml
most=8 # MB of the wheel

step 'formatting and lints'
cargo fmt --manifest-path "$manifest" --check
# With the profile of the wheel, whose build scripts and macros are then compiled already.
cargo clippy --manifest-path "$manifest" --release --locked -- -D warnings
[ "$(sed -n 's/^version = "\(.*\)"/\1/p' "$manifest" | head -n 1)" = "$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)" ] ||
    { echo "the versions of Cargo.toml and $manifest differ"; exit 1; }

step 'the wheel'
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
python3 -m venv ${WGRU_SYSTEM_SITE:+--system-site-packages} "$out/venv"
python=$out/venv/bin/python
"$python" -m pip --disable-pip-version-check wheel --quiet --no-deps --wheel-dir "$out/wheel" ./python
wheel=$(find "$out/wheel" -name 'wgru-*-abi3-*.whl')
[ -n "$wheel" ] || { echo 'no wheel for all versions of Python (abi3)'; exit 1; }
size=$(wc -c <"$wheel")
printf '%s: %d.%02d MB\n' "${wheel##*/}" $((size / 1000000)) $((size / 10000 % 100))
[ "$size" -lt $((most * 1000000)) ] || { echo "larger than $most MB"; exit 1; }

step 'tests'
"$python" -m pip --disable-pip-version-check install --quiet "$wheel" pytest
[ -z "${WGRU_TORCH:-}" ] || "$python" -m pip --disable-pip-version-check install --quiet torch
"$python" -c 'import torch' 2>/dev/null || echo 'SKIPPED: comparisons with PyTorch, which is not installed; WGRU_TORCH=1 installs it'
# The source of the package is not on Python's path, so the tests import the package that is installed.
"$out/venv/bin/pytest" -q -rs -p no:cacheprovider python/tests

printf '\nAll checks of the Python package passed.\n'
