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
/** Examples to learn from, examples of an update, and examples to measure the error on. */
const [EXAMPLES, BATCH, HELD_OUT] = [1024, 32, 256];
/** Updates of an epoch, after which the error is measured, and epochs of a race. */
export const UPDATES = EXAMPLES / BATCH;
export const EPOCHS = 48;

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
  /** Squared error on held-out sequences after each epoch. */
  curve = [];
  /** Updates until the task was learned, and milliseconds since the start. */
  reached = null;
  time = null;

  constructor(cell, network) {
    [this.cell, this.network] = [cell, network];
  }

  get updates() {
    return this.curve.length * UPDATES;
  }
}

/**
 * A race over sequences of `steps` steps. The cells are trained at the same time, and take turns of equal time. All
 * learn from the same sequences in the same order, and `seed` decides all errors.
 */
export class Race {
  isStarted = false;
  /** The racers that have learned the task, the first one first. */
  learned = [];

  static async open(device, { steps, equal, seed }) {
    const race = new Race();
    Object.assign(race, { steps, seed });
    race.racers = await Promise.all(
      Object.keys(CELLS).map(async (cell) => {
        const network = await device.create({ cell, input: INPUTS, hidden: unitsOf(cell, equal), outputs: 1, seed });
        return new Racer(cell, network);
      }),
    );
    return race;
  }

  /** Trains all cells until `signal` is aborted or the race is over. Calls `heard(racer)` after each epoch of a cell. */
  async run(signal, heard) {
    this.isStarted = true;
    const { steps, seed } = this;
    const [examples, validation] = [adding(EXAMPLES, steps, 2 * seed), adding(HELD_OUT, steps, 2 * seed + 1)];
    const began = performance.now();
    const run = (racer) => {
      const onEpoch = ({ validation }) => {
        racer.curve.push(validation);
        if (!racer.reached && validation <= LEARNED) {
          [racer.reached, racer.time] = [racer.updates, performance.now() - began];
          this.learned.push(racer);
        }
        heard(racer);
      };
      return train(racer.network, examples, { epochs: EPOCHS, batch: BATCH, rate: 0.01, clipNorm: 1, seed, validation, onEpoch, signal });
    };
    await Promise.all(this.racers.map(run));
  }

  /** Runs a cell on `example`, with its gates. */
  look({ network }, example) {
    return persist(() => network.run(example.x, example.dims, { gates: true }));
  }

  free() {
    for (const { network } of this.racers) network.free();
  }
}
