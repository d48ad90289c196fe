// Every exported member has a comment, which editors show. Used by `node.test.mjs`.
import { readFileSync } from 'node:fs';
import { assert } from './support.mjs';

const FILES = ['api', 'bound', 'device', 'errors', 'freeable', 'network', 'onnx', 'open-full', 'open-inference', 'owned', 'source', 'stream', 'training', 'types', 'worklet', 'worklet-onnx'];
/** Declarations that are not exported from the package, and those that a comment cannot precede. */
const IGNORED = /^(import|export \{|export \*|export type \*|\/\/|export declare class Instance|export interface (Owner|Held))|^ {4}(private|protected|constructor|#|\[Symbol\.|')/;
const DECLARATION = /^(export (declare |abstract |interface |type |class |const |function )+\w+| {4}(readonly |get |set |abstract |static )*[\w$]+[?]?[(:<])/;

export async function everyExportedMemberIsDocumented() {
  let count = 0;
  const bare = [];
  for (const file of FILES) {
    const lines = readFileSync(new URL(`../dist/js/${file}.d.ts`, import.meta.url), 'utf8').split('\n');
    let isIgnored = false;
    lines.forEach((line, i) => {
      if (/^\S/.test(line)) isIgnored = IGNORED.test(line);
      if (isIgnored || IGNORED.test(line) || !DECLARATION.test(line)) return;
      count++;
      if (!lines[i - 1]?.trimEnd().endsWith('*/')) bare.push(`${file}: ${line.trim()}`);
    });
  }
  assert(count > 100, `members are found: ${count}`);
  assert(!bare.length, `members without a comment: ${bare.join('\n')}`);
}
