// The cells that race on the adding problem, without the page.
import { LEARNED, adding } from './adding.js';
import { persist, train } from './device.js';

/** The cells: the number of blocks in their weights, and the gates to show. */
export const CELLS = {
  gru: { name: 'GRU', blocks: 3, gates: ['update', 'reset'], color: 'accent' },
  lstm: { name: 'LSTM', blocks: 4, gates: ['input', 'forget', 'output'], color: 'amber' },
  rnn: { name: 'RNN', blocks: 1, gates: ['state'], color: 'violet' },
};
/** Units of each cell, or of the GRU if all have about as many weights as the GRU. */
const UNITS = 32;
const INPUTS = 2;
/** Updates of each cell before the next one continues, and examples of an update. */
export const ROUND = 20;
const BATCH = 32;
/** Rounds of a race. */
export const ROUNDS = 75;
const HELD_OUT = 256;

const weights = (blocks, units) => blocks * units * (units + INPUTS + 2) + units + 1;

/** Returns the units of a cell, for races with equal `units` or equal `weights`. */
export function unitsOf(cell, equal) {
  if (equal === 'units') return UNITS;
  const goal = weights(CELLS.gru.blocks, UNITS);
  const miss = (units) => Math.abs(weights(CELLS[cell].blocks, units) - goal);
  let units = 1;
  while (miss(units + 1) < miss(units)) units++;
  return units;
}

/** A network, and its results so far. */
class Racer {
  /** Squared error on held-out sequences after each round. */
  curve = [];
  /** Round in which the task was learned, counted from 1. */
  reached = null;
  /** Time of training so far, and when the task was learned, in milliseconds. */
  time = 0;
  reachedTime = null;

  constructor(cell, network) {
    [this.cell, this.network] = [cell, network];
  }
}

/**
 * A race over sequences of `steps` steps. All cells learn from the same sequences in the same order, in turns, so that
 * they have the same number of updates after each round. The same `seed` gives the same race.
 */
export class Race {
  rounds = 0;

  static async open(device, { steps, equal, seed }) {
    const race = new Race();
    Object.assign(race, { device, steps, seed, validation: adding(HELD_OUT, steps, 1e6 + seed) });
    race.racers = await Promise.all(
      Object.keys(CELLS).map(async (cell) => {
        const network = await device.create({ cell, input: INPUTS, hidden: unitsOf(cell, equal), outputs: 1, seed });
        return new Racer(cell, network);
      }),
    );
    return race;
  }

  get isOver() {
    return this.rounds >= ROUNDS;
  }

  /** Trains every cell for one round. Returns whether one of them has learned the task in it. */
  async round() {
    const examples = adding(ROUND * BATCH, this.steps, this.seed * ROUNDS + this.rounds);
    const options = { epochs: 1, batch: BATCH, rate: 0.01, clipNorm: 1, inOrder: true, validation: this.validation };
    const before = this.learned.length;
    for (const racer of this.racers) {
      const began = performance.now();
      const { validation } = await train(racer.network, examples, options);
      racer.time += performance.now() - began;
      racer.curve.push(validation[0]);
      if (racer.reached || validation[0] > LEARNED) continue;
      [racer.reached, racer.reachedTime] = [this.rounds + 1, racer.time];
    }
    this.rounds++;
    return this.learned.length > before;
  }

  /** The racers that have learned the task, the first one first. */
  get learned() {
    return this.racers.filter(({ reached }) => reached).sort((a, b) => a.reached - b.reached);
  }

  /** Runs every cell on `example`, with its gates. */
  look(example) {
    return Promise.all(this.racers.map(({ network }) => persist(() => network.run(example.x, example.dims, { gates: true }))));
  }

  free() {
    for (const { network } of this.racers) network.free();
  }
}
