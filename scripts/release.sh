#!/usr/bin/env bash
# Checks that the packages can be released and tags the version; pushes and publishes nothing.
#
#   ./scripts/release.sh            all checks, with scripts/test.sh
#   ./scripts/release.sh --quick    without scripts/test.sh
#   ./scripts/release.sh --tag      all checks, then the tag
#
# cargo-deny, cargo-semver-checks (against the last tag) and the oldest supported Rust (rustup toolchain install, of the
# version in Cargo.toml) are used where they are installed; each that is not is named at the end.
set -euo pipefail
cd "$(dirname "$0")/.."
mode=${1:-}
case $mode in '' | --quick | --tag) ;; *) echo "unknown option $mode; usage: release.sh [--quick | --tag]"; exit 1 ;; esac
skipped=()
step() { printf '\n== %s\n' "$*"; }
fail() { echo "$*" >&2; exit 1; }

field() { sed -nE "s/^$1 = \"(.*)\"/\1/p" Cargo.toml | head -n 1; }
version=$(field version)
oldest=$(field rust-version)

step "version $version everywhere"
for manifest in cli/Cargo.toml report/Cargo.toml capi/Cargo.toml web/Cargo.toml apps/plugin/Cargo.toml \
    python/Cargo.toml integrations/datafusion/Cargo.toml; do
    [ ! -e "$manifest" ] || grep -q "^version = \"$version\"" "$manifest" || fail "$manifest has another version"
done
grep -q "\"version\": \"$version\"" web/package.json || fail 'web/package.json has another version'
grep -q "^## \[$version\]" CHANGELOG.md || fail "CHANGELOG.md has no section [$version]"
if [ "$mode" = --tag ] && sed -n '/^## \[Unreleased\]/,/^## \[[0-9]/p' CHANGELOG.md | grep '^- ' >/dev/null; then
    fail 'CHANGELOG.md has entries under [Unreleased]; move them to the section of the version'
fi
[ -z "$(git status --porcelain)" ] || fail 'the work tree has changes; commit them first'
! git rev-parse -q --verify "refs/tags/v$version" >/dev/null || fail "the tag v$version exists"

step 'licences and advisories of dependencies'
deny() { # folder, checks
    cargo deny --locked --manifest-path "$1/Cargo.toml" --config deny.toml --log-level error check \
        --hide-inclusion-graph "${@:2}"
}
if cargo deny --version >/dev/null 2>&1; then
    published=(. cli capi report web python apps/plugin)
    internal=(apps/desktop integrations/datafusion) # Not distributed, so their licences do not matter.
    for folder in "${published[@]}"; do deny "$folder" bans licenses sources; done
    for folder in "${internal[@]}"; do deny "$folder" bans sources; done
    if cargo deny --log-level error fetch db; then
        for folder in "${published[@]}" "${internal[@]}"; do deny "$folder" advisories; done
    else
        skipped+=('advisories: their database cannot be fetched')
    fi
else
    skipped+=('cargo-deny is not installed')
fi

step 'changes of the public interface since the last tag'
last=$(git describe --tags --abbrev=0 --match 'v*' 2>/dev/null || true)
if [ -z "$last" ]; then
    skipped+=('cargo-semver-checks: there is no earlier tag')
elif cargo semver-checks --version >/dev/null 2>&1; then
    cargo semver-checks --baseline-rev "$last"
else
    skipped+=('cargo-semver-checks is not installed')
fi

step "Rust $oldest"
if cargo "+$oldest" --version >/dev/null 2>&1; then
    cargo "+$oldest" check --locked --lib
    cargo "+$oldest" check --locked --lib --no-default-features
else
    skipped+=("Rust $oldest is not installed")
fi

step 'oldest versions of direct dependencies'
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
git archive HEAD Cargo.toml Cargo.lock src shaders docs/guide README.md | tar -x -C "$work"
# Without the targets and dependencies of tests, whose own requirements would raise the versions.
awk '/^\[/ { drop = /dev-dependencies|\[bench\]|\[example\]/ } !drop' "$work/Cargo.toml" >"$work/minimal.toml"
mv "$work/minimal.toml" "$work/Cargo.toml"
(
    cd "$work"
    # The option is unstable; it only resolves versions.
    RUSTC_BOOTSTRAP=1 cargo update --quiet -Z direct-minimal-versions
    cargo check --lib --target-dir "$work/target"
)

step 'the crate'
cargo publish --dry-run --locked
cargo package --locked --no-verify --quiet # The dry run leaves no file in this folder.
size=$(stat -c %s "${CARGO_TARGET_DIR:-target}/package/wgru-$version.crate")
echo "wgru-$version.crate: $((size / 1024)) KiB (budget 1024)"
[ "$size" -le $((1024 * 1024)) ] || fail 'over budget'

step 'the npm package'
if command -v npm >/dev/null && [ -e web/dist/js/index.js ]; then
    (cd web && npm pack --dry-run)
else
    skipped+=('npm pack: build the package with scripts/build-web.sh first')
fi

if [ "$mode" != --quick ]; then
    step 'tests'
    scripts/test.sh
fi
if [ "$mode" = --tag ]; then
    git tag -a "v$version" -m "wgru $version"
    echo "tagged v$version; to publish: git push --tags, cargo publish, and npm publish in web/"
fi

step 'ready'
[ ${#skipped[@]} = 0 ] || printf 'SKIPPED: %s\n' "${skipped[@]}"
