// Programs that end with the tests, with all processes that they started.
import { spawn } from 'node:child_process';

for (const signal of ['SIGHUP', 'SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));

/** Starts a program. `end` stops it and its processes. */
export function start(program, options, how) {
  const child = spawn(program, options, { ...how, detached: true });
  const end = () => {
    process.off('exit', end);
    try {
      process.kill(-child.pid);
    } catch {
      // It has ended already, or it was never started.
    }
  };
  process.once('exit', end);
  return { child, end };
}
