#!/usr/bin/env bash
# Tests the npm package, its page and the library as wasm in Firefox and in WebKit (WebKitGTK), and the package in Deno.
# Needs Rust and npm; on Debian, the browsers are installed if missing. FIREFOX=PATH and WEBKIT=PATH (a MiniBrowser) name
# others.
#
#   ./scripts/test-engines.sh                      everything
#   ./scripts/test-engines.sh --built              the same, with the package that is in web/dist
#   ./scripts/test-engines.sh [--built] ENGINE…    only these: firefox, webkit, deno
#
# Chromium and Node are tested by test-web.sh and test-browser.sh. Tests that an engine cannot run are listed as SKIPPED
# with the reason; web/tests/engines.mjs names what each engine lacks, and a test fails where that is not so.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ "${1:-}" = --built ]; then shift; else ./scripts/build-web.sh --test; fi
engines=("$@")
[ $# -gt 0 ] || engines=(firefox webkit deno)
built=${CARGO_TARGET_DIR:-$PWD/web/target}/browser-tests

# The CPU tests of the library, with the target features that the package uses in the engine.
numeric() { # engine, target features
    ./scripts/build-browser-tests.sh "$built/$1" "$2" golden kernels layers stream
    ENGINE=$1 node web/browser-tests/run.mjs "$built/$1" --cpu
}
pages() { # engine
    local test
    for test in engines package bundlers npm demo; do
        printf '\n-- %s: %s\n' "$1" "$test"
        ENGINE=$1 node "web/tests/$test.test.mjs"
    done
}

for engine in "${engines[@]}"; do
    case $engine in
    firefox)
        ./scripts/require.sh "${FIREFOX:-firefox-esr}" firefox-esr
        pages firefox
        numeric firefox +simd128,+relaxed-simd
        ;;
    webkit)
        ./scripts/require.sh WebKitWebDriver webkit2gtk-driver
        ./scripts/require.sh Xvfb xvfb
        pages webkit
        numeric webkit +simd128
        ;;
    deno)
        printf '\n-- deno\n'
        deno=(deno)
        command -v deno >/dev/null || deno=(npx --yes deno@2)
        "${deno[@]}" run --allow-all web/tests/node.test.mjs
        ;;
    *) echo "no engine $engine: firefox, webkit or deno"; exit 1 ;;
    esac
done
