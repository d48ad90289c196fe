#!/usr/bin/env bash
# Tests the desktop application: its unit tests, then the application itself in a virtual X server on Mesa's software
# adapter. Needs Rust and a C linker; installs the rest if it has permission.
#
#   ./scripts/test-desktop.sh
#   WGRU_SCREENSHOTS=FOLDER …   keeps the screenshots in FOLDER
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n== %s\n' "$*"; }

step 'X server and software Vulkan adapter'
has_driver() { compgen -G '/usr/share/vulkan/icd.d/lvp_icd*.json' >/dev/null; }
has_program() { command -v "$1" >/dev/null; }
has_library() { ldconfig -p | grep -q "$1"; }
if ! has_program xvfb-run || ! has_program xauth || ! has_driver || ! has_library libxkbcommon-x11.so.0 ||
    ! has_library libXcursor.so.1 || ! has_library libXi.so.6 || ! has_library libX11-xcb.so.1; then
    packages='xvfb xauth libxkbcommon-x11-0 libxcursor1 libxi6 libxrandr2 libx11-xcb1 mesa-vulkan-drivers libvulkan1'
    if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
        # shellcheck disable=SC2086
        apt-get update -qq && apt-get install -y -qq $packages
    else
        echo "something is missing; on Debian: sudo apt-get install $packages"
        exit 1
    fi
fi
# Mesa requires this directory, and otherwise prints a warning for each device.
XDG_RUNTIME_DIR="${XDG_RUNTIME_DIR:-$(mktemp -d)}"
chmod 700 "$XDG_RUNTIME_DIR"
export XDG_RUNTIME_DIR WGPU_BACKEND=vulkan
unset WAYLAND_DISPLAY
# Select lavapipe: the virtual server cannot present with another driver that may be installed.
VK_ICD_FILENAMES="$(compgen -G '/usr/share/vulkan/icd.d/lvp_icd*.json' | head -n 1)"
export VK_ICD_FILENAMES

manifest=apps/desktop/Cargo.toml
step 'formatting and lints'
cargo fmt --manifest-path "$manifest" --check
cargo clippy --manifest-path "$manifest" --release --all-targets --locked -- -D warnings

step 'unit tests'
cargo test --manifest-path "$manifest" --release --locked

step 'build'
cargo build --manifest-path "$manifest" --release --locked --bins --examples
app="${CARGO_TARGET_DIR:-apps/desktop/target}/release/wgru-desktop"
check="${CARGO_TARGET_DIR:-apps/desktop/target}/release/examples/check_run"

out=$(mktemp -d)
shots="${WGRU_SCREENSHOTS:-$out}"
mkdir -p "$shots"
# run NAME OPTION…: runs the application, with a screenshot and a report.
run() {
    local name=$1
    shift
    step "$name"
    timeout 240 xvfb-run -a -s '-screen 0 1600x1000x24' "$app" --screenshot "$shots/$name.png" \
        --report "$out/$name.json" --state "$out/state" "$@"
}

# Trains, draws and streams; the curve falls.
run trains --train --until-updates 36 --seconds 10 --theme dark
"$check" "$out/trains.json" "$shots/trains.png" --updates 36 --epochs 2 --learns --sensor

# A second start finds the model, and does not train.
run finds-its-model --no-train --seconds 6 --theme light
"$check" "$out/finds-its-model.json" "$shots/finds-its-model.png" --found --epochs 2 --idle --sensor

# The training device is lost: first a second device, then the window's, which is reopened.
run loses-its-own-device --train --device own --until-updates 20 --seconds 15 --lose-at 40
"$check" "$out/loses-its-own-device.json" "$shots/loses-its-own-device.png" --found --updates 10 --recovered
run loses-the-windows-device --train --device window --until-updates 20 --seconds 15 --lose-at 40
"$check" "$out/loses-the-windows-device.json" "$shots/loses-the-windows-device.png" --found --updates 10 --recovered --reopened

# Inference in the frames, without and with training.
run infers --no-train --device window --seconds 20 --infer-every 2
"$check" "$out/infers.json" "$shots/infers.png" --found --inferences 1
run infers-in-training --train --seconds 25 --infer-every 2
"$check" "$out/infers-in-training.json" "$shots/infers-in-training.png" --found --inferences 1 --updates 3

# The device is lost in the middle of a frame. The program restarts, and exits after the updates of the new process.
# Drivers may hang when a device is destroyed in use, so this is tried twice.
RUST_BACKTRACE=0 run starts-again --train --device window --until-updates 8 --seconds 5 --lose-at 30 --while-painting ||
    RUST_BACKTRACE=0 run starts-again --train --device window --until-updates 8 --seconds 5 --lose-at 30 --while-painting
"$check" "$out/starts-again.json" "$shots/starts-again.png" --found --updates 8 --restarted

step 'winit and wgpu alone'
timeout 120 xvfb-run -a "$(dirname "$check")/raw_wgpu" 60

# An unusable state folder is an error that names it.
step 'a state folder that is a file'
touch "$out/file"
if xvfb-run -a "$app" --state "$out/file/state" --seconds 1 2>"$out/error.txt"; then
    echo 'did not fail'
    exit 1
fi
grep -q "$out/file" "$out/error.txt"

printf '\nAll checks of the desktop application passed. Screenshots: %s\n' "$shots"
