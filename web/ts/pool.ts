import type { WgruError } from './errors.js';
import type { Link } from './link.js';
import type { Origin } from './protocol.js';
import type { Numbers, Run } from './types.js';

/** Number of multiplications, a few milliseconds on one core, below which splitting a run costs more than it saves. */
const WORTH = 1e8;
/** Rows that the kernels process together. Parts made of whole groups give the same bits as the whole batch. */
const GROUP = 8;

/** A batch to run: `[batch, steps, features]`. */
export interface Batch {
  x: Float32Array;
  dims: [batch: number, steps: number, features: number];
  h0?: Float32Array;
  lengths?: number[];
  /** The remaining `RunOptions`. */
  options: object;
}

/** Returns the number of parts to split a batch into, including the first worker's; 1 if it should not be split. */
export function parts({ x, dims, h0, lengths, options }: Batch, parameters: number, workers: number): number {
  const [batch, steps] = dims;
  // An argument that does not fit is left to the unsplit run, which reports the error.
  const fits = dims.length === 3 && dims.reduce((n, d) => n * d, 1) === x.length;
  const rows = (!lengths || lengths.length === batch) && (!h0 || h0.length % batch === 0);
  if (!fits || !rows || 'gates' in options || batch * steps * parameters < WORTH) return 1;
  return Math.max(1, Math.min(workers, Math.floor(batch / GROUP)));
}

/** Returns rows `from..to` along the second of three axes. */
function columns(values: Float32Array, batch: number, outer: number, from: number, to: number): Float32Array {
  const width = values.length / (outer * batch);
  const part = new Float32Array(outer * (to - from) * width);
  for (let i = 0; i < outer; i++)
    part.set(values.subarray((i * batch + from) * width, (i * batch + to) * width), i * (to - from) * width);
  return part;
}

/**
 * Splits a batch into `count` batches of whole groups of rows; the last one also gets the remaining rows. `states` is
 * the first extent of `h0`.
 */
export function cut({ x, dims, h0, lengths, options }: Batch, count: number, states: number): Batch[] {
  const [batch, steps, features] = dims;
  const groups = Math.floor(batch / GROUP);
  return Array.from({ length: count }, (_, i) => {
    const [from, to] = [i, i + 1].map((k) => (k === count ? batch : Math.ceil((k * groups) / count) * GROUP)) as [number, number];
    return {
      x: x.slice(from * steps * features, to * steps * features),
      dims: [to - from, steps, features],
      options,
      ...(h0 ? { h0: columns(h0, batch, states, from, to) } : {}),
      ...(lengths ? { lengths: lengths.slice(from, to) } : {}),
    };
  });
}

/** Concatenates parts of a batch along `axis`, 0 or 1. */
function join(parts: Numbers[], axis: number): Numbers {
  const dims = [...(parts[0] as Numbers).dims];
  dims[axis] = parts.reduce((n, part) => n + (part.dims[axis] ?? 0), 0);
  const data = new Float32Array(dims.reduce((n, d) => n * d, 1));
  const outer = axis === 0 ? 1 : (dims[0] ?? 1);
  let at = 0;
  for (let i = 0; i < outer; i++)
    for (const part of parts) {
      const row = part.data.length / outer;
      data.set(part.data.subarray(i * row, (i + 1) * row), at);
      at += row;
    }
  return { data, dims };
}

/** Joins the results of the parts into the result of the whole batch. */
export const joined = (runs: Run[]): Run => ({
  output: join(runs.map((run) => run.output), 0),
  state: join(runs.map((run) => run.state), 1),
  gates: [],
});

interface Helper {
  link: Link;
  /** Models of this worker by id, and whether each has finished loading. */
  held: Map<number, { origin: Origin; ready: boolean }>;
}

/**
 * Pool of additional workers. Each has its own module and its own copies of the models. No memory is shared, so pages
 * need no cross-origin isolation.
 */
export class WorkerPool {
  private helpers: Helper[] = [];
  private started = false;
  private ended: WgruError | undefined;

  /** @param connect Starts one worker, which calls `onFatal` when it becomes unusable. */
  constructor(
    readonly size: number,
    private readonly connect: (onFatal: () => void) => Promise<Link>,
  ) {}

  /**
   * Returns the helpers that hold `origin` as `id`. The others start, or load the model, in the background; no call
   * waits for them.
   */
  ready(id: number, origin: Origin): Link[] {
    if (!this.started) {
      this.started = true;
      for (let i = 1; i < this.size; i++) void this.start();
    }
    return this.helpers.filter((helper) => this.holds(helper, id, origin)).map(({ link }) => link);
  }

  private async start(): Promise<void> {
    const helper: Partial<Helper> = { held: new Map() };
    const gone = () => (this.helpers = this.helpers.filter((other) => other !== helper));
    try {
      helper.link = await this.connect(gone);
      this.helpers.push(helper as Helper);
      if (this.ended) helper.link.end(this.ended);
    } catch {
      // The remaining workers take over its work.
    }
  }

  private holds({ link, held }: Helper, id: number, origin: Origin): boolean {
    const has = held.get(id);
    if (has?.origin === origin) return has.ready;
    if (has) link.call('free', { id }).catch(() => {});
    const now = { origin, ready: false };
    held.set(id, now);
    link.call('load', { id, origin }).then(
      () => (now.ready = true),
      () => {},
    );
    return false;
  }

  /** Frees all copies of model `id`. */
  forget(id: number): void {
    for (const { link, held } of this.helpers) if (held.delete(id)) link.call('free', { id }).catch(() => {});
  }

  /** Ends all helpers. */
  end(error: WgruError): void {
    this.started = true;
    this.ended = error;
    for (const { link } of [...this.helpers]) link.end(error);
  }
}
