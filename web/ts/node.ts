/**
 * The few parts of Node that the package uses. They are not imported statically, because bundlers for browsers would
 * reject the import.
 */

/** The members of a `worker_threads` worker that the package uses. */
export interface Port {
  postMessage(message: unknown, transfer?: readonly Transferable[]): void;
  on(event: string, listener: (value: any) => void): void;
  ref(): void;
  unref(): void;
  terminate(): unknown;
}

interface Builtins {
  'node:fs/promises': { readFile(place: URL): Promise<Uint8Array<ArrayBuffer>> };
  'node:os': { availableParallelism(): number };
  'node:url': { pathToFileURL(path: string): URL };
  'node:worker_threads': { Worker: new (code: string, options: { eval: true; workerData: string }) => Port };
}

interface Process {
  getBuiltinModule?<N extends keyof Builtins>(name: N): Builtins[N] | undefined;
}

/** Returns a module of Node, or undefined in browsers. */
export const builtin = <N extends keyof Builtins>(name: N): Builtins[N] | undefined =>
  (globalThis as { process?: Process }).process?.getBuiltinModule?.(name);
