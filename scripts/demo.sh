#!/usr/bin/env bash
# Serves the demo page and the report page on 127.0.0.1, and builds the package first if necessary. Needs Node.
#
#   ./scripts/demo.sh [PORT]   default: 8080
set -euo pipefail
cd "$(dirname "$0")/.."

[ -e web/dist/js/index.js ] || scripts/build-web.sh
[ -e web/dist/report/glue.js ] || scripts/build-report.sh
[ -d web/node_modules ] || (cd web && npm ci --no-audit --no-fund --silent)
exec node -e "
import('./web/tests/serve.mjs').then(async ({ serve }) => {
  const { url } = await serve({ '/demo/': 'web/demo', '/report/': 'web/report', '/dist/': 'web/dist' }, Number(process.argv[1]));
  console.log('The page: ' + url + 'demo/   The report: ' + url + 'report/   (Ctrl-C to stop)');
});" "${1:-8080}"
