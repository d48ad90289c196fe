/** Workers of Node with the interface of web workers. Browsers never load this module. */
import { type Port, builtin, node } from './node.js';
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

/** Starts a worker. */
export function start(script: URL): Worker {
  const { Worker } = builtin('node:worker_threads')!;
  return new NodeWorker(new Worker(script)) as unknown as Worker;
}

/** Returns the global scope of this worker, as a web worker would see it. */
export function scope(): DedicatedWorkerGlobalScope {
  const port = builtin('node:worker_threads')!.parentPort!;
  const events: Record<string, string> = { error: 'uncaughtException', unhandledrejection: 'unhandledRejection' };
  return {
    postMessage: (message: unknown, transfer: Transferable[]) => port.postMessage(message, transfer),
    set onmessage(listener: (event: { data: unknown }) => void) {
      port.on('message', (data) => listener({ data }));
    },
    set onmessageerror(listener: () => void) {
      port.on('messageerror', listener);
    },
    addEventListener: (event: string, listener: (event: object) => void) =>
      node!.on(events[event]!, (thrown) => listener({ error: thrown, reason: thrown })),
  } as unknown as DedicatedWorkerGlobalScope;
}
