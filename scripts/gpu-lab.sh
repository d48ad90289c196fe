#!/usr/bin/env bash
# Compiles every kernel with GPU drivers' compilers, without a GPU (ADR 0040). Needs Rust and a C linker.
#
#   ./scripts/gpu-lab.sh           validates every kernel and compares its statistics with docs/hardware/navi21.md
#   ./scripts/gpu-lab.sh --write   writes that table
#   WGRU_LAB=FOLDER …              keeps the SPIR-V, HLSL and MSL of every kernel in FOLDER
#   WGRU_DXC=LIBRARY …             also compiles the HLSL with DXC, for example with the library inside compushady:
#                                  pip download --no-deps --no-binary :all: compushady, then unpack libdxcompiler.so
#
# The parts and what they need (on Debian): spirv-val (spirv-tools), statistics (mesa-vulkan-drivers, libvulkan1), DXC
# (Python). A part whose tools are missing is skipped.
set -euo pipefail
cd "$(dirname "$0")/.."
case ${1:-} in '' | --write) ;; *) echo "unknown option $1; usage: gpu-lab.sh [--write]"; exit 1 ;; esac

table=docs/hardware/navi21.md
manifest=tools/gpu-lab/Cargo.toml

step() { printf '\n== %s\n' "$*"; }

# version LOCK: the version of naga in a lock file.
version() { grep -A1 '^name = "naga"$' "$1" | tail -n 1; }
[ "$(version Cargo.lock)" = "$(version tools/gpu-lab/Cargo.lock)" ] || {
    echo 'tools/gpu-lab/Cargo.lock has a different naga version from Cargo.lock'
    exit 1
}

step 'the lab: formatting, lints, tests'
cargo fmt --manifest-path "$manifest" --check
cargo clippy --quiet --manifest-path "$manifest" --all-targets --locked -- -D warnings
cargo test --quiet --manifest-path "$manifest" --locked

if [ -n "${WGRU_LAB:-}" ]; then
    out=$WGRU_LAB
else
    out=$(mktemp -d)
    trap 'rm -rf "$out"' EXIT
fi
lab() { cargo run --quiet --manifest-path "$manifest" --locked -- "$@"; }

step 'SPIR-V, HLSL and MSL of every kernel'
lab emit "$out"

step 'spirv-val'
if command -v spirv-val >/dev/null; then
    for environment in vulkan1.1 vulkan1.3; do
        count=0
        for module in "$out"/*."$environment".spv; do
            spirv-val --target-env "$environment" "$module" || { echo "invalid: $module"; exit 1; }
            count=$((count + 1))
        done
        echo "$count modules are valid for $environment"
    done
else
    echo 'SKIPPED: spirv-val is not installed'
fi

step 'DXC'
if [ -n "${WGRU_DXC:-}" ]; then
    python3 tools/gpu-lab/dxc.py "$WGRU_DXC" "$out"/*.hlsl
else
    echo 'SKIPPED: WGRU_DXC is not set'
fi

step "RADV's statistics of every kernel"
driver=$(compgen -G '/usr/share/vulkan/icd.d/radeon_icd*.json' | head -n 1) || true
if [ -n "$driver" ]; then
    export RADV_FORCE_FAMILY=navi21 VK_ICD_FILENAMES=$driver VK_DRIVER_FILES=$driver
    export MESA_SHADER_CACHE_DISABLE=true
    mkdir -p "$(dirname "$table")"
    lab table "$table" "$@"
else
    echo 'SKIPPED: RADV is not installed'
fi
