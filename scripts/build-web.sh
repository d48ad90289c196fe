#!/usr/bin/env bash
# Builds the npm package into web/dist, and prints its sizes. Needs Rust (rustup) and npm.
#
#   ./scripts/build-web.sh                  all builds
#   ./scripts/build-web.sh full/simd …      only these builds of the wasm module
#   ./scripts/build-web.sh --test           all builds, but makes only the modules with relaxed SIMD as small as possible
#   ./scripts/build-web.sh --js             only the JavaScript, beside wasm modules that were built before
set -euo pipefail
cd "$(dirname "$0")/../web"

[ -d node_modules ] || npm ci --no-audit --no-fund --silent

javascript() {
    node_modules/.bin/tsc
    # Pages download the scripts, so they are minified. Only the types keep their comments and names; source maps lead
    # from errors and breakpoints back to the sources.
    node_modules/.bin/esbuild dist/js/*.js --minify --sourcemap --outdir=dist/js --outbase=dist/js --allow-overwrite --log-level=warning
    # `export *` leaves out the default export, which would fetch the module: the package loads modules itself.
    local glue esbuild=$PWD/node_modules/.bin/esbuild
    for glue in dist/wasm/*/glue.js; do
        (cd "${glue%/*}" && echo "export * from './glue.js'" | "$esbuild" --bundle --format=esm --minify \
            --outfile=glue.js --allow-overwrite --log-level=warning)
    done
}
if [ "${1:-}" = --js ]; then
    javascript
    exit
fi

rustup target add wasm32-unknown-unknown 2>/dev/null
target=${CARGO_TARGET_DIR:-$PWD/target}

# The target features of each build.
declare -A instructions=([relaxed]=+simd128,+relaxed-simd [simd]=+simd128 [plain]=)
# Kernels are vectorized and inlined by hand; automatic vectorization and inlining of the rest would only add size.
# Paths in messages are relative to the sources, not to the folders of the build machine.
lean=(-C no-vectorize-loops -C no-vectorize-slp -C llvm-args=-inline-threshold=5 -C llvm-args=-inlinehint-threshold=5
    --remap-path-prefix "${PWD%/*}=" --remap-path-prefix "${CARGO_HOME:-$HOME/.cargo}/registry/src/=")
# Features that binaryen must accept: those that rustc enables for every module, and SIMD.
allowed=(--enable-bulk-memory --enable-nontrapping-float-to-int --enable-sign-ext --enable-mutable-globals
    --enable-reference-types --enable-multivalue --enable-simd --enable-relaxed-simd)

small=(-Os -Os --converge --strip-producers --strip-target-features --low-memory-unused --optimize-added-constants-propagate
    # Similar functions beside each other compress better.
    --reorder-functions-by-name)
# Modules whose size is not reported.
quick=("${small[@]}")
if [ "${1:-}" = --test ]; then
    quick=(-O1)
    shift
fi

cargo build --release --locked --quiet -p bindgen

# code FILE: prints the file without comment lines.
code() { grep -v '^ *//' "$1"; }

# modules BUILD WANTED…: builds the modules of all kinds for one set of instructions, in a target folder of its own, so
# that the kinds share their dependencies and the sets can be built in parallel. Each build mostly uses one core.
modules() {
    local build=$1 kind made passes features flags=("${lean[@]}" -C "target-feature=${instructions[$1]}")
    shift
    for kind in full inference onnx import; do
        # Reading files needs no SIMD.
        [ "$kind" != import ] || [ "$build" = plain ] || continue
        [ $# -eq 0 ] || [[ " $* " == *" $kind/$build "* ]] || continue
        case $kind in
        full) features=() ;;
        inference) features=(--no-default-features --features networks) ;;
        onnx) features=(--no-default-features --features onnx) ;;
        import) features=(--no-default-features --features import) ;;
        esac
        # Paths may contain spaces.
        CARGO_TARGET_DIR=$target/$build CARGO_ENCODED_RUSTFLAGS=$(IFS=$'\x1f' && echo "${flags[*]}") \
            cargo build --profile wasm --locked --quiet --lib --target wasm32-unknown-unknown "${features[@]}"
        made=dist/made/$kind/$build
        mkdir -p "$made" "dist/wasm/$kind"
        "$target/release/bindgen" "$target/$build/wasm32-unknown-unknown/wasm/wgru_web.wasm" "$made" glue
        passes=("${quick[@]}")
        [ "$build" != relaxed ] && [ "$kind" != import ] || passes=("${small[@]}")
        node_modules/.bin/wasm-opt "${passes[@]}" "${allowed[@]}" "$made/glue_bg.wasm" -o "dist/wasm/$kind/$build.wasm"
    done
}
rm -rf dist/made
jobs=()
for build in relaxed simd plain; do
    modules "$build" "$@" &
    jobs+=($!)
done
# After an error, the others still end first, so that none writes into dist/made later.
failed=0
for job in "${jobs[@]}"; do wait "$job" || failed=1; done
[ "$failed" = 0 ] || exit 1
# All builds share one glue file, because they differ in instructions, not in imports. Comments are ignored, because they
# contain function indices.
for kind in full inference onnx import; do
    glues=(dist/made/"$kind"/*/glue.js)
    [ -e "${glues[0]}" ] || continue
    for glue in "${glues[@]}"; do diff <(code "${glues[0]}") <(code "$glue"); done
    cp "${glues[0]}" "dist/wasm/$kind/glue.js"
done
rm -r dist/made
javascript

# Gzipped size of the files that a page downloads: the module, its glue and the package's own modules, without those of
# the other kinds.
zipped() { cat "$@" | gzip -9 | wc -c; }
over=0
report() { # KIND BUDGET OTHERS
    local kind=$1 budget=$2 wasm
    for wasm in "dist/wasm/$kind"/*.wasm; do
        [ -e "$wasm" ] || continue
        [ "${quick[0]}" = -Os ] || [ "$wasm" = "dist/wasm/$kind/relaxed.wasm" ] || [ "$kind" = import ] || continue
        local bytes
        bytes=$(($(zipped "$wasm") + $(zipped "dist/wasm/$kind/glue.js" $(ls dist/js/*.js | grep -vE "/($3)\.js"))))
        echo "$wasm with its JavaScript: $((bytes / 1000)) KB gzipped (budget $budget)"
        [ $((bytes / 1000)) -le "$budget" ] || over=1
    done
}
report full 450 'inference|.*-inference|.*-kit|node-worker|.*-onnx|.*-import'
report inference 250 'index|open-full|training|worker|.*-kit|node-worker|.*-onnx|.*-import'
report onnx 450 'index|open-.*|inference|training|worker|node-worker|.*-inference|.*import.*'
report import 450 'index|open-.*|inference|training|worker|node-worker|.*-inference|.*onnx.*'
[ "$over" = 0 ] || echo 'over budget'
