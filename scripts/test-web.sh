#!/usr/bin/env bash
# Builds the npm package and tests it in Node and in Chromium: the package, the page, and projects that bundle it. Needs
# Rust and npm; Chromium is installed if missing (CHROMIUM=PATH names another browser).
set -euo pipefail
cd "$(dirname "$0")/.."

export CHROMIUM="${CHROMIUM:-$(command -v chromium || echo /usr/bin/chromium)}"
if [ ! -x "$CHROMIUM" ]; then
    if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
        apt-get update -qq && apt-get install -y -qq chromium
    else
        echo "no browser at $CHROMIUM; on Debian: sudo apt-get install chromium"
        exit 1
    fi
fi
rustup target add wasm32-unknown-unknown 2>/dev/null
(cd web && cargo fmt --all --check)
(cd web && cargo clippy --locked -p bindgen -p test-macro -- -D warnings)
for features in train networks onnx; do
    (cd web && cargo clippy --locked --lib --target wasm32-unknown-unknown --no-default-features --features $features -- -D warnings)
done
(cd web && cargo clippy --locked -p report --target wasm32-unknown-unknown -- -D warnings)
./scripts/build-web.sh --test
cd web
node tests/node.test.mjs
node tests/package.test.mjs
node tests/bundlers.test.mjs
node tests/demo-math.test.mjs
node tests/demo-sound.test.mjs
node tests/demo.test.mjs
node tests/npm.test.mjs
