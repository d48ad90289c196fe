import { WgruError, asError } from './errors.js';
import type { Kit } from './kit.js';
import type { AssetUrl } from './types.js';
import { located } from './urls.js';

/** URLs of scripts that import a script of another origin. */
const imports = new Map<string, string>();

function importing({ href }: URL): string {
  let url = imports.get(href);
  if (!url) {
    url = URL.createObjectURL(new Blob([`import ${JSON.stringify(href)};`], { type: 'text/javascript' }));
    imports.set(href, url);
  }
  return url;
}

/** Returns the URL of the worker's script if the package was not bundled. */
function beside({ kind, places, script }: Kit): URL | undefined {
  return places.simd.pathname.endsWith(`/wasm/${kind}/simd.wasm`) ? new URL(`../../js/${script}`, places.simd) : undefined;
}

/** Starts the worker of `kit`. `at` is the option `workerUrl`. */
export async function startWorker(kit: Kit, at: AssetUrl | undefined): Promise<Worker> {
  const given = at === undefined ? undefined : located('workerUrl', at, kit.script);
  const script = given ?? beside(kit);
  try {
    if (typeof Worker === 'undefined') return (await import('./node-worker.js')).start(script!);
    const options = { type: 'module', name: 'wgru' } as const;
    // Browsers only start workers from the page's own origin. A script of that origin may import any other.
    const isForeign = script && /^http/.test(script.protocol) && globalThis.location?.origin !== script.origin;
    if (isForeign) return new Worker(importing(script), options);
    return given ? new Worker(given, options) : kit.worker();
  } catch (cause) {
    const { message } = asError(cause);
    const policy = "let the Content-Security-Policy allow worker-src 'self' (blob:, if the package is on another origin)";
    const ways = `${policy}, give open({ workerUrl }), serve the package from the page's own origin, or call open({ worker: false })`;
    throw new WgruError('blocked', `the worker could not be started: ${ways}: ${message}`, { cause });
  }
}
