// Server failures and content security policies. Every rejected promise must hold a `WgruError` that says what to do.
// `package.test.mjs` runs these tests in a browser; its server simulates the failures (`odd.mjs`).
import { open } from '../dist/js/index.js';
import { assert, fixture, rejects } from './support.mjs';

const onnx = fixture('onnx/pytorch/gru.onnx');
const network = fixture('golden/torch_gru.safetensors');
const other = new URLSearchParams(location.search).get('other');

/** Calls `open` in an iframe, with the package at `from` and the policy `csp`. `bare` removes WebAssembly. */
async function apart({ from = '/web/dist/js/index.js', options = {}, ...how }) {
  const page = new URL('apart.html', import.meta.url);
  page.search = new URLSearchParams({ from, options: JSON.stringify({ device: 'cpu', ...options }), ...how });
  const frame = document.createElement('iframe');
  frame.src = page.href;
  const told = new Promise((done) => {
    const hear = ({ source, data }) => {
      if (source !== frame.contentWindow) return;
      removeEventListener('message', hear);
      done(data);
    };
    addEventListener('message', hear);
  });
  document.body.append(frame);
  const answer = await told;
  frame.remove();
  return answer;
}

async function opensOnlyAs(code, says, where) {
  const told = await apart(where);
  assert(told.isTyped && told.code === code && says.test(told.message), `${JSON.stringify(where)}: ${code}, ${says}: ${JSON.stringify(told)}`);
  assert(told.again === code, `the same code on a second try: ${told.again}`);
}

export async function aPackageThatIsWhereItShouldBeOpens() {
  for (const where of [{}, { csp: "script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'" }, { from: `${other}web/dist/js/index.js`, options: { worker: false } }]) {
    const told = await apart(where);
    assert(told.code === 'none', `opens: ${JSON.stringify(told)}`);
  }
}

export async function modulesThatAreNotThereAreNetworkErrors() {
  for (const options of [{}, { worker: false }]) {
    await opensOnlyAs('network', /\.wasm: .*404/, { from: '/without-wasm-404/web/dist/js/index.js', options });
    await opensOnlyAs('network', /\.wasm: .*dist\/wasm.*text\/html/, { from: '/without-wasm-html/web/dist/js/index.js', options });
  }
}

export async function workersThatAreNotThereAreNetworkErrors() {
  for (const how of ['404', 'html']) await opensOnlyAs('network', /worker.*dist\/js/, { from: `/without-worker-${how}/web/dist/js/index.js` });
}

export async function forbiddenWebAssemblyIsBlocked() {
  const csp = "script-src 'self'";
  await opensOnlyAs('blocked', /'wasm-unsafe-eval'/, { csp, options: { worker: false } });
  const { code, forbidden } = await apart({ csp });
  assert(forbidden.eval, 'the policy is in force');
  // WebKit lets pages compile modules. It applies the policy to instances, which the worker makes, under its own policy.
  if (forbidden.compile) await opensOnlyAs('blocked', /'wasm-unsafe-eval'/, { csp });
  else assert(code === 'none', `opens in a worker: ${code}`);
}

export async function browsersWithoutWebAssemblyAreUnsupported() {
  for (const options of [{}, { build: 'plain' }]) await opensOnlyAs('unsupported', /WebAssembly/, { bare: true, options });
}

export async function forbiddenWorkersAreBlocked() {
  await opensOnlyAs('blocked', /worker-src/, { csp: "script-src 'self' 'wasm-unsafe-eval'; worker-src 'none'" });
}

export async function aPackageOfAnotherOriginRunsInAWorker() {
  const csp = `script-src 'self' ${other} 'wasm-unsafe-eval'; worker-src blob: ${other}`;
  for (const how of [{}, { csp }]) {
    const told = await apart({ from: `${other}web/dist/js/index.js`, ...how });
    assert(told.code === 'none' && told.worker, `opens in a worker: ${JSON.stringify(told)}`);
  }
  await opensOnlyAs('blocked', /worker-src.*blob:/, { from: `${other}web/dist/js/index.js`, csp: `script-src 'self' ${other} 'wasm-unsafe-eval'; worker-src 'self'` });
}

export async function filesOfThePackageMayBeElsewhere() {
  const folders = { wasmUrl: `${other}web/dist/wasm/`, workerUrl: new URL('../dist/js/', import.meta.url).href };
  // The server fails for the files beside the script, so all must come from the given places.
  for (const from of ['/without-wasm-404/web/dist/js/index.js', '/without-worker-404/web/dist/js/index.js'])
    for (const workerUrl of [folders.workerUrl, `${other}web/dist/js/`, '/web/dist/js/']) {
      const told = await apart({ from, options: { ...folders, workerUrl } });
      assert(told.code === 'none' && told.worker, `${from}: ${JSON.stringify(told)}`);
    }
  const asked = [];
  const from = (folder) => (file) => (asked.push(file), new URL(file, folder));
  const device = await open({ device: 'cpu', build: 'simd', wasmUrl: from(folders.wasmUrl), workerUrl: from(folders.workerUrl) });
  const model = await device.loadOnnx(onnx);
  await (await device.create({ input: 1, hidden: 2 })).streamParts();
  assert(model.info.inputs.length && asked.join() === 'full/simd.wasm,worker.js,onnx/simd.wasm,worker-onnx.js,inference/simd.wasm', `files: ${asked}`);
  device.free();
  for (const [name, wrong] of [['wasmUrl', 'http://['], ['wasmUrl', '/web/dist/wasm'], ['workerUrl', '/web/dist/js/worker.js'], ['wasmUrl', 5], ['workerUrl', null], ['wasmUrl', () => undefined]]) {
    const { message } = await rejects('value', open({ device: 'cpu', [name]: wrong }), `${name}: ${wrong}`);
    assert(message.startsWith(name), message);
  }
}

export async function filesThatAreNotThereAreNetworkErrors() {
  const device = await open({ device: 'cpu' });
  const says = async (says, place) => {
    for (const how of ['load', 'loadOnnx']) {
      const { message } = await rejects('network', device[how](place), `${how} of ${place}`);
      assert(says.test(message) && message.includes(String(place)), `${says}: ${message}`);
    }
  };
  await says(/404/, '/does/not/exist.safetensors');
  await says(/web page.*check the path/, '/spa/model.safetensors');
  await says(/no bytes/, '/empty/model.safetensors');
  await says(/not reachable/, '/cut/tests/golden/torch_gru.safetensors');
  await says(/not reachable/, 'http://127.0.0.1:9/model.safetensors');
  device.free();
}

export async function progressNeverPassesTheTotal() {
  const device = await open({ device: 'cpu' });
  const size = (await (await fetch(network)).arrayBuffer()).byteLength;
  const file = 'tests/golden/torch_gru.safetensors';
  // A cross-origin response does not reveal that it was compressed.
  for (const [place, known] of [[network, true], [`/gzip/${file}`, false], [`${other}gzip/${file}`, undefined]]) {
    const seen = [];
    await device.load(place, { onProgress: (loaded, total) => seen.push([loaded, total]) });
    assert(seen.length > 0 && seen.at(-1)[0] === size, `${place}: progress ends at the size: ${seen}`);
    assert(seen.every(([loaded, total]) => total === 0 || loaded <= total), `${place}: ${seen}`);
    if (known !== undefined) assert(seen.every(([, total]) => total === (known ? size : 0)), `${place}: the total: ${seen}`);
  }
  const thrown = new Error('mine');
  for (const onProgress of [() => { throw thrown; }, () => Promise.reject(thrown)]) {
    const error = await rejects('callback', device.load(network, { onProgress }));
    assert(error.cause === thrown && /onProgress.*mine/.test(error.message), error.message);
  }
  device.free();
}
