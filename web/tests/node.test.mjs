// Runs the tests of `calls.mjs`, and those of Node itself, in Node or in Deno.  node tests/node.test.mjs [name…]
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { open } from '../dist/js/index.js';
import * as inference from '../dist/js/inference.js';
import * as calls from './calls.mjs';
import * as documented from './documented.mjs';
import { assert, fixture, noise, rejects } from './support.mjs';

const inDeno = 'Deno' in globalThis;
/** Tests that Deno cannot pass, with the reason. */
const SKIPPED = inDeno ? { processesEndWithoutFree: 'in Deno, a worker keeps the process alive until the device is freed' } : {};
const gru = fixture('golden/torch_gru.safetensors');

async function pathsAndFileUrlsAreSources() {
  for (const from of [open, inference.open]) {
    const device = await from();
    // Deno has WebGPU, if the machine has an adapter.
    assert(device.info.worker && (inDeno || (device.info.kind === 'cpu' && /WebGPU/.test(device.info.reason))), `auto: ${JSON.stringify(device.info)}`);
    const path = fileURLToPath(gru);
    const folder = mkdtempSync(join(tmpdir(), 'wgru #1 %20 '));
    try {
      copyFileSync(path, join(folder, 'a b.safetensors'));
      for (const source of [gru, gru.href, path, relative(process.cwd(), path), join(folder, 'a b.safetensors')]) {
        const network = await device.load(source);
        const { input } = network.info;
        assert((await network.run(noise(4 * input), [1, 4, input])).output.data.length > 0, `loads ${source}`);
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
    for (const worker of inDeno ? [] : [true, false]) await rejects('no-adapter', from({ device: 'webgpu', worker }), 'no WebGPU');
    const { message } = await rejects('network', device.load('no/such/file.safetensors'));
    assert(/no\/such\/file\.safetensors/.test(message) && /ENOENT|no such/i.test(message), message);
    device.free();
  }
}

const evaluate = inDeno ? ['eval'] : ['--input-type=module', '-e'];
/** Runs `code` as a module in another process, and returns what it prints. */
const apart = (code) =>
  execFileSync(process.execPath, [...evaluate, code], { cwd: fileURLToPath(new URL('..', import.meta.url)), timeout: 120_000 }).toString();

async function processesEndWithoutFree() {
  const printed = apart(`
    import { open } from './dist/js/index.js';
    for (const worker of [true, false]) {
      const device = await open({ worker });
      const network = await device.create({ input: 2, hidden: 4 });
      const { output } = await network.run(new Float32Array(8), [1, 4, 2]);
      console.log(worker, output.dims.join());
    }
  `);
  assert(printed === 'true 1,4,4\nfalse 1,4,4\n', `the calls are awaited, then the process ends: ${printed}`);
}

async function noModuleIsReadOnImport() {
  const printed = apart(`
    import fs from 'node:fs/promises';
    let reads = 0;
    const { readFile } = fs;
    fs.readFile = (place, ...given) => (/wasm$/.test(place) && reads++, readFile(place, ...given));
    const { WgruError, open } = await import('./dist/js/index.js');
    console.log(reads, new WgruError('value', 'x').name);
    await open({ worker: false });
    console.log(reads);
  `);
  assert(printed === '0 WgruError\n1\n', printed);
}

async function everyScriptHasASourceMap() {
  const folder = new URL('../dist/js/', import.meta.url);
  const scripts = readdirSync(folder).filter((file) => file.endsWith('.js'));
  assert(scripts.length > 20, `scripts are found: ${scripts}`);
  for (const script of scripts) {
    const [, code, map] = /^([^]*)\/\/# sourceMappingURL=(\S+)\s*$/.exec(readFileSync(new URL(script, folder), 'utf8')) ?? [];
    // A module of types has no code.
    if (/^("use strict";)?export *{};\s*$/.test(code)) continue;
    const { sources, sourcesContent } = JSON.parse(readFileSync(new URL(map, folder), 'utf8'));
    assert(sources.join() === `../../ts/${script.replace('.js', '.ts')}` && sourcesContent[0].length > 0, `${script}: ${sources}`);
  }
}

const tests = { everyScriptHasASourceMap, pathsAndFileUrlsAreSources, processesEndWithoutFree, noModuleIsReadOnImport, ...documented, ...calls };
const wanted = process.argv.slice(2);
let failed = 0;
for (const [name, test] of Object.entries(tests)) {
  if (wanted.length && !wanted.includes(name)) continue;
  if (SKIPPED[name]) {
    console.log(`SKIPPED ${name}: ${SKIPPED[name]}`);
    continue;
  }
  const began = performance.now();
  const note = await test().then(() => undefined, (error) => `${error.code ?? ''} ${error.stack ?? error}`);
  failed += note === undefined ? 0 : 1;
  console.log(`${note === undefined ? 'ok    ' : 'FAILED'} ${name} (${((performance.now() - began) / 1000).toFixed(1)} s)${note === undefined ? '' : `: ${note}`}`);
}
process.exitCode = failed ? 1 : 0;
