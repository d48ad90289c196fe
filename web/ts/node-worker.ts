/** Workers of Node with the interface of web workers. Browsers never load this module. */
import { type Port, builtin } from './node.js';
import { asError } from './errors.js';
import type { Reply, Request } from './protocol.js';

/** The members of a web worker that the package uses. */
class NodeWorker {
  onmessage?: (event: { data: Reply }) => void;
  onerror?: (event: { message: string }) => void;
  onmessageerror?: () => void;
  /** Number of calls in flight. Only then does the worker keep the process alive. */
  private calls = 0;

  constructor(private readonly port: Port) {
    port.unref();
    port.on('message', (data: Reply) => {
      if ((data.type === 'done' || data.type === 'failed') && --this.calls === 0) port.unref();
      this.onmessage?.({ data });
    });
    port.on('error', (error) => this.onerror?.({ message: asError(error).message }));
    port.on('messageerror', () => this.onmessageerror?.());
  }

  postMessage(request: Request, transfer: Transferable[] = []): void {
    this.port.postMessage(request, transfer);
    if (request.type === 'call' && this.calls++ === 0) this.port.ref();
  }

  terminate(): void {
    void this.port.terminate();
  }
}

/**
 * Gives a thread of Node the global scope of a web worker, and imports the worker's script there. A text, because
 * bundlers would try to resolve the import. Node may run it as a script or as a module.
 */
const SCOPE = `
const { parentPort: port, workerData } = process.getBuiltinModule('node:worker_threads');
const define = (name, event) => Object.defineProperty(globalThis, name, { set: (hear) => port.on(event, (data) => hear({ data })) });
define('onmessage', 'message');
define('onmessageerror', 'messageerror');
globalThis.self = globalThis;
globalThis.postMessage = (message, transfer) => port.postMessage(message, transfer);
globalThis.addEventListener = (event, hear) =>
  process.on(event === 'error' ? 'uncaughtException' : 'unhandledRejection', (thrown) => hear({ error: thrown, reason: thrown }));
import(workerData);
`;

/** Starts a worker. */
export function start(script: URL): Worker {
  const { Worker } = builtin('node:worker_threads')!;
  return new NodeWorker(new Worker(SCOPE, { eval: true, workerData: script.href })) as unknown as Worker;
}
