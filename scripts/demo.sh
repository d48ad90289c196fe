#!/usr/bin/env bash
# Serves the demo page on 127.0.0.1; builds the package first if it is not there. Needs node.
#
#   ./scripts/demo.sh [PORT]   8080 if not given
set -euo pipefail
cd "$(dirname "$0")/.."

[ -e web/dist/js/index.js ] || scripts/build-web.sh
[ -d web/node_modules ] || (cd web && npm ci --no-audit --no-fund --silent)
exec node -e "
import('./web/tests/serve.mjs').then(async ({ serve }) => {
  const { url } = await serve({ '/demo/': 'web/demo', '/dist/': 'web/dist' }, Number(process.argv[1]));
  console.log('The page: ' + url + 'demo/   (Ctrl-C ends it)');
});" "${1:-8080}"
