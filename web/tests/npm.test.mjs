// Packs the package, installs it into an empty TypeScript project, checks its types, and builds and runs it with Vite,
// with Vite for files on another origin, and with webpack.
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { browser } from './engines.mjs';
import { serve } from './serve.mjs';

const web = fileURLToPath(new URL('..', import.meta.url));
const project = mkdtempSync(join(tmpdir(), 'wgru-vite-'));
const run = (command, ...args) => execFileSync(command, args, { cwd: project, stdio: ['ignore', 'pipe', 'inherit'] }).toString();

const MAIN = `
import { type Network, type Run, WgruError, open } from 'wgru';
import { WgruError as OnlyError } from 'wgru/errors';
import { type Network as InferenceNetwork, open as openInference } from 'wgru/inference';
import { streamOf } from 'wgru/worklet';
import { boundStreamOf } from 'wgru/worklet-onnx';

export { boundStreamOf, streamOf };

/** Types of results, and what only one of the two packages has. */
export async function types(): Promise<void> {
  using device = await openInference({ signal: AbortSignal.timeout(1000), wasmUrl: '/wgru/wasm/', workerUrl: (file) => new URL(file, location.href) });
  const network: InferenceNetwork = await device.load(await fetch('/model.safetensors'), { transfer: true });
  // @ts-expect-error networks for inference cannot be trained
  network.train;
  // @ts-expect-error a device for inference does not create networks
  device.create;
  using trained: Network = await (await open()).load(new Blob([await network.save()]));
  await trained.train({ x: new Float32Array(1), dims: [1, 1, 1], y: new Float32Array(1) }, { transfer: true });
  const { output } = await trained.run(new Float32Array(1), [1, 1, 1], { signal: AbortSignal.timeout(1000) });
  new AudioBuffer({ length: 1, sampleRate: 44100 }).copyToChannel(output.data, 0);
  const { buffer }: { buffer: ArrayBuffer } = (await trained.stream()).output;
  if (new OnlyError('value', String(buffer.byteLength)) instanceof WgruError) return;
}

async function main(): Promise<string> {
  const device = await open({ device: 'cpu' });
  const network = await device.create({ input: 1, hidden: 8, outputs: 1 });
  const x = Float32Array.from({ length: 64 * 5 }, (_, i) => Math.sin(i));
  const y = Float32Array.from({ length: 64 }, (_, i) => x[5 * i + 4]! / 2);
  const history = await network.train({ x, dims: [64, 5, 1], y }, { epochs: 5, rate: 0.02 });
  const run: Run = await network.run(x, [64, 5, 1]);
  const other = await (await openInference({ device: 'cpu' })).load(await network.save());
  const again = await other.run(x, [64, 5, 1]);
  const off = Math.max(...run.output.data.map((v, i) => Math.abs(v - again.output.data[i]!)));
  const stream = await network.stream();
  stream.step([0.5]);
  // @ts-expect-error a misspelled option is also a type error
  const refused = await open({ devise: 'cpu' }).catch((error: unknown) => (error instanceof WgruError ? error.code : '?'));
  const model = await device.loadOnnx('/rnn.onnx');
  const [onnx] = Object.values(await model.run({ x: { data: new Float32Array(4), dims: [1, 1, 4] } }));
  const falls = history.loss.at(-1)! < history.loss[0]!;
  return JSON.stringify({ falls, off, refused, onnx: onnx!.dims.length, worker: device.info.worker });
}
main().then((text) => (document.body.textContent = text), (error) => (document.body.textContent = 'failed ' + error.stack));
`;

/** An application whose files, except for the page, are on another origin. */
const CDN = `
import { open } from 'wgru';
import worker from 'wgru/worker.js?worker&url';
const show = (text: unknown) => (document.body.textContent = String(text));
open({ device: 'cpu', workerUrl: () => worker }).then((device) => show(device.info.worker), show);
`;
/** The same calls in JavaScript, for webpack. */
const PACKED = `
import { open } from 'wgru';
async function main() {
  const device = await open({ device: 'cpu' });
  const network = await device.create({ input: 2, hidden: 4, outputs: 1 });
  await network.train({ x: new Float32Array(16), dims: [2, 4, 2], y: new Float32Array(2) }, { epochs: 2 });
  (await network.stream()).step();
  await device.loadOnnx('/rnn.onnx');
  return device.info.worker;
}
main().then((text) => (document.body.textContent = text), (error) => (document.body.textContent = 'failed ' + error.stack));
`;
const HTML = (script) => `<!doctype html><link rel="icon" href="data:,"><body><script type="module" src="${script}"></script></body>`;
const CDN_ONLY = "export default { build: { rollupOptions: { input: 'cdn.html' } } };\n";
const ERRORS_ONLY = "export default { build: { rollupOptions: { input: 'src/errors.ts' } } };\n";

try {
  const packed = JSON.parse(execFileSync('npm', ['pack', '--json', '--pack-destination', project], { cwd: web, stdio: ['ignore', 'pipe', 'ignore'] }).toString());
  const { filename, size, files } = Array.isArray(packed) ? packed[0] : Object.values(packed)[0];
  console.log(`${filename}: ${(size / 1e6).toFixed(2)} MB with all builds, ${files.length} files`);
  writeFileSync(join(project, 'package.json'), JSON.stringify({ name: 'app', private: true, type: 'module' }));
  writeFileSync(join(project, 'index.html'), HTML('/src/main.ts'));
  writeFileSync(join(project, 'cdn.html'), HTML('/src/cdn.ts'));
  mkdirSync(join(project, 'src'));
  mkdirSync(join(project, 'public'));
  copyFileSync(join(web, '..', 'tests', 'onnx', 'pytorch', 'rnn.onnx'), join(project, 'public', 'rnn.onnx'));
  writeFileSync(join(project, 'src', 'main.ts'), MAIN);
  writeFileSync(join(project, 'src', 'cdn.ts'), CDN);
  writeFileSync(join(project, 'src', 'vite.d.ts'), "declare module '*?worker&url' {\n  const url: string;\n  export default url;\n}\n");
  writeFileSync(join(project, 'src', 'packed.js'), PACKED);
  writeFileSync(join(project, 'src', 'errors.ts'), "import { WgruError } from 'wgru/errors';\ndocument.title = new WgruError('value', 'x').code;\n");
  // The package's own types are checked too, and bring the libraries that they need.
  const compilerOptions = { strict: true, target: 'es2022', module: 'esnext', moduleResolution: 'bundler', lib: ['es2023', 'dom'], types: [], noEmit: true, skipLibCheck: false };
  writeFileSync(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['src'] }));
  run('npm', 'install', '--no-audit', '--no-fund', '--silent', `./${filename}`, 'vite@8', 'typescript@7', 'webpack@5', 'webpack-cli@6');
  run('node_modules/.bin/tsc');
  writeFileSync(join(project, 'vite.config.js'), ERRORS_ONLY);
  run('node_modules/.bin/vite', 'build', '--logLevel', 'error');
  const emitted = readdirSync(join(project, 'dist'), { recursive: true });
  if (emitted.some((file) => /wasm|worker/.test(file))) throw new Error(`only the errors were imported, but Vite emitted ${emitted}`);
  rmSync(join(project, 'vite.config.js'));
  run('node_modules/.bin/vite', 'build', '--logLevel', 'error');

  run('node_modules/.bin/webpack', '--mode', 'production', '--entry', './src/packed.js', '--output-path', './packed');
  writeFileSync(join(project, 'packed', 'index.html'), HTML('main.js'));
  copyFileSync(join(project, 'public', 'rnn.onnx'), join(project, 'packed', 'rnn.onnx'));

  const server = await serve({ '/': join(project, 'dist') });
  const packedServer = await serve({ '/': join(project, 'packed') });
  const cdn = await serve({ '/': join(project, 'cdn') }, 0, async (_, response) => void response.setHeader('access-control-allow-origin', '*'));
  const { context, close } = await browser();
  /** Returns what a page shows. */
  const shown = async (url) => {
    const page = await context.newPage();
    page.on('console', (message) => console.log('   ', message.type(), message.text()));
    await page.goto(url);
    await page.waitForFunction(() => document.body.textContent.trim() !== '', undefined, { timeout: 60_000 });
    return page.textContent('body');
  };
  try {
    const packed = await shown(packedServer.url);
    if (packed !== 'true') throw new Error(`built by webpack: ${packed}`);
    console.log('ok     webpack');
    writeFileSync(join(project, 'vite.config.js'), CDN_ONLY);
    run('node_modules/.bin/vite', 'build', '--logLevel', 'error', '--base', cdn.url, '--outDir', 'cdn');
    copyFileSync(join(project, 'cdn', 'cdn.html'), join(project, 'dist', 'cdn.html'));
    const text = await shown(server.url);
    const { falls, off, refused, onnx, worker } = JSON.parse(text.startsWith('{') ? text : '{}');
    if (!falls || off !== 0 || refused !== 'value' || !(onnx > 0) || !worker) throw new Error(`the built project: ${text}`);
    console.log(`ok     installed, checked, built and run: ${text}`);
    const other = await shown(`${server.url}cdn.html`);
    if (other !== 'true') throw new Error(`files on another origin: ${other}`);
    console.log('ok     files on another origin');
  } finally {
    await close();
    for (const { close } of [server, packedServer, cdn]) close();
  }
} finally {
  rmSync(project, { recursive: true, force: true });
}
