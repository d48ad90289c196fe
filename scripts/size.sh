#!/usr/bin/env bash
# Measures crates in the default dependency tree, size of a minimal program, and time of a clean build.
#
#   ./scripts/size.sh            all three, in a temporary folder (a clean release build takes minutes)
#   ./scripts/size.sh --crates   only the number of crates
#
# Budget: 95 crates, 6.6 MB, 110 s on two cores. wgpu alone: 59 crates, 5.1 MB, 59 s.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD

crates=$(cargo tree --locked --edges normal,build --prefix none --target x86_64-unknown-linux-gnu |
    awk '{print $1, $2}' | sort -u | grep -vc '^wgru ')
echo "crates in the default tree, without wgru itself: $crates (budget 95)"
[ "$crates" -le 95 ] || { echo 'over budget'; exit 1; }
[ "${1:-}" = --crates ] && exit 0

# A program that loads a GRU and runs it.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/src"
cat >"$work/Cargo.toml" <<EOF
[package]
name = "minimal"
version = "0.0.0"
edition = "2024"
[workspace]
[dependencies]
wgru = { path = "$root" }
[profile.release]
strip = true
EOF
cat >"$work/src/main.rs" <<'EOF'
use wgru::{Device, Tensor, io, nn::{Mode, RunOptions}};
fn main() -> wgru::Result<()> {
    let device = Device::auto_blocking()?;
    let path = std::env::args().nth(1).unwrap_or_else(|| "gru.safetensors".into());
    let gru = io::load_recurrent_blocking(&device, &io::TensorFile::open(path)?)?;
    let x = Tensor::zeros(&device, &[10, 1, gru.config().input])?;
    println!("{:?}", gru.run(&x, RunOptions::default(), &mut Mode::Eval)?.h_n.read_blocking()?);
    Ok(())
}
EOF
cp Cargo.lock "$work/" 2>/dev/null || true
(cd "$work" && cargo fetch --quiet)
TIMEFORMAT='clean release build: %R s, %U s of processor time, on '"$(nproc)"' cores (budget 110 s)'
time (cd "$work" && CARGO_TARGET_DIR="$work/target" cargo build --release --quiet)
bytes=$(stat -c %s "$work/target/release/minimal")
echo "stripped minimal program: $(awk "BEGIN { printf \"%.2f\", $bytes / 1e6 }") MB (budget 6.6 MB)"
"$work/target/release/minimal" tests/golden/torch_gru.safetensors >/dev/null && echo 'it runs'
[ "$bytes" -le 6600000 ] || { echo 'over budget'; exit 1; }
