// Bundles small applications with esbuild, and runs them in Chromium and in Node.
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { browser } from './engines.mjs';
import { serve } from './serve.mjs';
import { assert } from './support.mjs';

const web = fileURLToPath(new URL('..', import.meta.url));
const project = mkdtempSync(join(tmpdir(), 'wgru-esbuild-'));

/** Uses a device in all ways that need a file of the package. */
const USE = `
export async function use(device) {
  const network = await device.create({ input: 2, hidden: 4, outputs: 1 });
  await network.train({ x: new Float32Array(16), dims: [2, 4, 2], y: new Float32Array(2) }, { epochs: 2 });
  const { output } = await network.run(new Float32Array(8), [1, 4, 2]);
  (await network.stream()).step();
  return JSON.stringify([device.info.worker, output.dims.join()]);
}
export const show = (text) => (globalThis.document ? (document.body.textContent = text) : console.log(text));
`;
const APPS = {
  // The files of the package are copied beside the application.
  copied: `
    import { open } from 'wgru';
    import { show, use } from './use.js';
    open({ device: 'cpu', wasmUrl: '/wgru/wasm/', workerUrl: '/wgru/js/' }).then(use).then(show, (error) => show(String(error.stack)));
  `,
  // The bundler emits the module, and bundles the worker as a second entry point.
  imported: `
    import { open } from 'wgru';
    import simd from 'wgru/wasm/full/simd.wasm';
    import { show, use } from './use.js';
    open({ device: 'cpu', build: 'simd', wasmUrl: () => simd, workerUrl: () => 'worker.js' }).then(use).then(show, (error) => show(String(error.stack)));
  `,
  // A bundle for Node finds the copied files by paths.
  node: `
    import { open } from 'wgru';
    import { show, use } from './use.js';
    open({ wasmUrl: new URL('../wgru/wasm/', import.meta.url), workerUrl: new URL('../wgru/js/', import.meta.url) }).then(use).then(show);
  `,
  // Without them, the error says what to do.
  bare: `
    import { open } from 'wgru';
    import { show } from './use.js';
    open().then(() => show('opened'), (error) => show(error.code + ': ' + error.message));
  `,
  errors: `import { WgruError } from 'wgru'; console.log(new WgruError('value', 'x').code);`,
  onlyErrors: `import { WgruError } from 'wgru/errors'; console.log(new WgruError('value', 'x').code);`,
};
const WANT = '[true,"1,1"]';

try {
  mkdirSync(join(project, 'node_modules'));
  symlinkSync(web, join(project, 'node_modules', 'wgru'));
  writeFileSync(join(project, 'use.js'), USE);
  for (const [name, code] of Object.entries(APPS)) writeFileSync(join(project, `${name}.js`), code);
  // The README tells to copy the folder `dist`.
  cpSync(join(web, 'dist'), join(project, 'public', 'wgru'), { recursive: true });
  const bundled = async (entryPoints, more = {}) =>
    build({ absWorkingDir: project, entryPoints, bundle: true, format: 'esm', outdir: 'public/out', loader: { '.wasm': 'file' }, minify: true, metafile: true, logLevel: 'warning', ...more });

  for (const name of ['errors', 'onlyErrors']) {
    const { metafile } = await bundled({ [name]: `${name}.js` });
    const [[file, { bytes }], ...others] = Object.entries(metafile.outputs);
    assert(!others.length && bytes < 2000, `${name}: ${file} has ${bytes} bytes, beside ${others.length} other files`);
    console.log(`ok     ${name}: ${bytes} bytes and no WebAssembly`);
  }
  await bundled({ copied: 'copied.js', imported: 'imported.js', bare: 'bare.js', worker: 'wgru/worker.js' }, { publicPath: '/out/' });
  const modules = readdirSync(join(project, 'public', 'out')).filter((file) => file.endsWith('.wasm'));
  assert(modules.length === 1, `only the imported module is emitted: ${modules}`);
  await bundled({ node: 'node.js' }, { platform: 'node' });
  const printed = execFileSync(process.execPath, [join(project, 'public', 'out', 'node.js')], { timeout: 120_000 }).toString().trim();
  assert(printed === WANT, `the bundle for Node: ${printed}`);
  console.log('ok     node');

  const page = (name) => `<!doctype html><link rel="icon" href="data:,"><body><script type="module" src="/out/${name}.js"></script></body>`;
  const server = await serve({ '/': join(project, 'public') });
  const { context, close } = await browser();
  try {
    for (const name of ['copied', 'imported', 'bare']) {
      writeFileSync(join(project, 'public', 'out', `${name}.html`), page(name));
      const tab = await context.newPage();
      await tab.goto(`${server.url}out/${name}.html`);
      await tab.waitForFunction(() => document.body.textContent.trim() !== '', undefined, { timeout: 60_000 });
      const text = await tab.textContent('body');
      assert(name === 'bare' ? /^network: .*404.*wasmUrl/.test(text) : text === WANT, `${name}: ${text}`);
      console.log(`ok     ${name}: ${text}`);
    }
  } finally {
    await close();
    server.close();
  }
} finally {
  rmSync(project, { recursive: true, force: true });
}
