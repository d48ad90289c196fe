import { fail, WgruError } from './errors.js';
import { Freeable } from './freeable.js';
import type { Link, Options } from './link.js';
import type { Args, Call, Origin, Result } from './protocol.js';
import type { Instance } from './stream.js';

/** The part of a device that its models use. All members are internal, so the published type is empty. */
export interface Owner {
  /** @internal */
  call<C extends Call>(name: C, args: Args<C>, options?: Options): Promise<Result<C>>;
  /** @internal */
  id(): number;
  /** @internal */
  forget(id: number): void;
  /** @internal The additional workers that hold a model. */
  helpers(id: number, origin: Origin): Link[];
  /** @internal Returns the module for worklets. */
  streamModule(): Promise<WebAssembly.Module>;
  /** @internal Number of workers, started or not. */
  readonly workers: number;
  /** @internal The module instance of this thread. */
  readonly instance: Instance;
  /** @internal A weak reference to this object. */
  readonly self: WeakRef<Owner>;
}

/**
 * Record from which a device restores a model after a fault. It does not refer to the handle, so that the handle can be
 * garbage-collected.
 */
export interface Held {
  readonly id: number;
  origin: Origin;
}

/** Frees models whose handle was garbage-collected without `free`. */
const dropped = new FinalizationRegistry<[owner: WeakRef<Owner>, id: number]>(([owner, id]) => owner.deref()?.forget(id));

/**
 * Handle of an object on a device.
 *
 * Like all handles, it has no `#private` members: they cannot be read through a `Proxy`, in which user interface
 * frameworks wrap objects.
 */
export abstract class Owned extends Freeable {
  private freed = false;

  /** @internal */
  constructor(
    protected readonly device: Owner,
    private readonly held: Held,
  ) {
    super();
    dropped.register(this, [device.self, held.id], held);
  }

  protected get id(): number {
    return this.held.id;
  }

  /** @internal */
  get origin(): Origin {
    return this.held.origin;
  }

  protected set origin(origin: Origin) {
    this.held.origin = origin;
  }

  protected call<C extends Call>(name: C, args: Args<C>, options?: Options): Promise<Result<C>> {
    if (this.freed) return Promise.reject(new WgruError('freed', 'the object was freed'));
    return this.device.call(name, args, options);
  }

  protected check(): void {
    if (this.freed) fail('freed', 'the object was freed');
  }

  /** Frees the object's memory. A training in progress ends with the code `freed`. */
  free(): void {
    if (this.freed) return;
    this.freed = true;
    dropped.unregister(this.held);
    this.device.forget(this.id);
  }
}
