import { fail, WgruError } from './errors.js';
import type { Link, Options } from './link.js';
import type { Args, Call, Origin, Result } from './protocol.js';

/** What a model needs of its device. None of it is for users: their types have it empty. */
export interface Owner {
  /** @internal */
  call<C extends Call>(name: C, args: Args<C>, options?: Options): Promise<Result<C>>;
  /** @internal */
  id(): number;
  /** @internal */
  forget(id: number): void;
  /** @internal A reference that does not keep it. */
  readonly self: WeakRef<Owner>;
}

/** A model as its device keeps it, which makes it again after a fault. The handle is not kept: it may be collected. */
export interface Held {
  readonly id: number;
  origin: Origin;
}

/** Frees what the page dropped without `free`. */
const dropped = new FinalizationRegistry<[owner: WeakRef<Owner>, id: number]>(([owner, id]) => owner.deref()?.forget(id));

/** What a device owns. */
export abstract class Owned<D extends Owner = Owner> implements Disposable {
  #freed = false;

  /** @internal */
  constructor(
    protected readonly device: D,
    private readonly held: Held,
  ) {
    dropped.register(this, [device.self, held.id], this);
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
    if (this.#freed) return Promise.reject(new WgruError('freed', 'the object was freed'));
    return this.device.call(name, args, options);
  }

  protected check(): void {
    if (this.#freed) fail('freed', 'the object was freed');
  }

  /** Gives its memory back. A training of it ends. */
  free(): void {
    if (this.#freed) return;
    this.#freed = true;
    dropped.unregister(this);
    this.device.forget(this.id);
  }

  [Symbol.dispose](): void {
    this.free();
  }
}
