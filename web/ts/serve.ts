import { WgruError, asError, isFatal } from './errors.js';
import type { Glue } from './glue.js';
import { Host } from './host.js';
import type { Reply, Request, Weights } from './protocol.js';
import type { Epoch } from './types.js';

/** Collects the buffers of a result, to transfer them instead of copying. */
function buffers(value: unknown, found: Transferable[] = []): Transferable[] {
  if (ArrayBuffer.isView(value)) found.push(value.buffer as ArrayBuffer);
  else if (value && typeof value === 'object') Object.values(value).forEach((part) => buffers(part, found));
  return found;
}

/** Answers calls in this worker. */
export function serve(glue: Glue): void {
  const scope = self as unknown as DedicatedWorkerGlobalScope;
  const reply = (message: Reply, transfer: Transferable[] = []) => scope.postMessage(message, transfer);
  const host = new Host(glue);
  const aborted = new Set<number>();
  const fatal = (error: unknown) => {
    const { code, message } = asError(error);
    reply({ type: 'fatal', code, message });
  };
  // A fault inside an asynchronous call of the module arrives here: its promise never settles.
  scope.addEventListener('error', (event) => fatal(event.error ?? event.message));
  scope.addEventListener('unhandledrejection', (event) => fatal(event.reason));
  scope.onmessageerror = () => fatal(new WgruError('internal', 'the worker could not read a message: its memory may be used up'));
  scope.onmessage = async ({ data }: MessageEvent<Request>) => {
    if (data.type === 'start') return void glue.initSync({ module: data.module });
    if (data.type === 'abort') return void aborted.add(data.call);
    const { call, name, args } = data;
    try {
      const watch = {
        aborted: () => aborted.has(call),
        onEpoch: (report: Epoch) => reply({ type: 'epoch', call, report }),
        onWeights: (weights: Weights) => reply({ type: 'weights', call, weights }, buffers(weights)),
      };
      const result = await host.do(name, args as never, watch);
      reply({ type: 'done', call, result }, buffers(result));
    } catch (thrown) {
      const error = asError(thrown);
      if (isFatal(error)) fatal(error);
      else reply({ type: 'failed', call, code: error.code, message: error.message });
    }
    aborted.delete(call);
  };
}
