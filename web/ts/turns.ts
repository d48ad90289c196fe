/** Orders the calls on each object. Read-only calls that follow a call of `train` run between its updates. */

type Act = () => Promise<unknown>;

/** A call of `train`, and the reads that wait for its next pause. */
export class Training {
  #guests: Act[] = [];
  #isOver = false;
  /** Whether the network was freed. */
  isStopped = false;

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Runs `act` at the next pause. */
  admit<T>(act: () => Promise<T>): Promise<T> {
    return new Promise((done, failed) => this.#guests.push(() => act().then(done, failed)));
  }

  /** Runs the reads that are waiting now. Later ones wait for the next pause, so they cannot starve training. */
  async pause(): Promise<void> {
    for (const act of this.#guests.splice(0)) await act();
  }

  /** Runs all reads that are still waiting. */
  async end(): Promise<void> {
    while (this.#guests.length) await this.pause();
    this.#isOver = true;
  }
}

/** The calls on one object. */
class Line {
  last: Promise<unknown> = Promise.resolve();
  /** Unfinished calls of `train`. */
  readonly trainings = new Set<Training>();
  /** The last call in the queue, if it is a call of `train`. */
  latest: Training | undefined;
}

/** The calls on all objects, by id. */
export class Turns {
  readonly #lines = new Map<number, Line>();

  /** Runs `act` after all earlier calls on the object. */
  next<T>(id: number, act: () => Promise<T>): Promise<T> {
    return this.#enter(id, act, undefined);
  }

  /**
   * Runs `act`, which only reads the object, after all earlier calls. If the last of them is a call of `train`, `act`
   * runs at its next pause.
   */
  read<T>(id: number, act: () => Promise<T>): Promise<T> {
    const training = this.#lines.get(id)?.latest;
    return training && !training.isOver ? training.admit(act) : this.next(id, act);
  }

  /** Runs `act`, a call of `train`, after all earlier calls on the object. */
  train<T>(id: number, act: (training: Training) => Promise<T>): Promise<T> {
    const training = new Training();
    return this.#enter(id, () => act(training), training);
  }

  /** Stops all training of the object early. */
  stop(id: number): void {
    for (const training of this.#lines.get(id)?.trainings ?? []) training.isStopped = true;
  }

  /** Resolves when no call is left. */
  async over(): Promise<void> {
    while (this.#lines.size) await Promise.all([...this.#lines.values()].map(({ last }) => last));
  }

  #enter<T>(id: number, act: () => Promise<T>, training: Training | undefined): Promise<T> {
    const line = this.#lines.get(id) ?? new Line();
    this.#lines.set(id, line);
    const now = line.last.then(act);
    if (training) line.trainings.add(training);
    line.latest = training;
    const over = now.catch(() => {}).then(async () => {
      await training?.end();
      if (training) line.trainings.delete(training);
      if (line.last === over) this.#lines.delete(id);
    });
    line.last = over;
    return now;
  }
}
