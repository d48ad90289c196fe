import { LACKS } from './engines.mjs';

/**
 * Starts tracing the tasks on the main threads of all pages.
 *
 * The returned function stops the trace. It returns the number of tasks and the duration of the longest one in
 * milliseconds: `own` is the thread's CPU time, and `clock` is wall-clock time, which on a busy machine includes
 * waiting for a core. Engines that do not trace return nothing.
 */
export async function tasks(page) {
  if ('tracing' in LACKS) return async () => undefined;
  const session = await page.context().newCDPSession(page);
  const events = [];
  session.on('Tracing.dataCollected', ({ value }) => events.push(...value));
  await session.send('Tracing.start', { transferMode: 'ReportEvents', traceConfig: { includedCategories: ['toplevel'] } });
  return async () => {
    const complete = new Promise((done) => session.once('Tracing.tracingComplete', done));
    await session.send('Tracing.end');
    await complete;
    const thread = ({ pid, tid }) => `${pid}/${tid}`;
    const mains = new Set(events.filter((e) => e.name === 'thread_name' && e.args.name === 'CrRendererMain').map(thread));
    const tasks = events.filter((e) => e.name === 'ThreadControllerImpl::RunTask' && e.tdur !== undefined && mains.has(thread(e)));
    const longest = (key) => tasks.reduce((max, e) => Math.max(max, e[key]), 0) / 1000;
    return { count: tasks.length, own: longest('tdur'), clock: longest('dur') };
  };
}

/** Asserts that no task took more than 50 ms of its own, of at least `least` tasks. Returns a note. */
export function responsive(task, least = 0) {
  if (!task) return `lengths of tasks not measured: ${LACKS.tracing}`;
  const { count, own, clock } = task;
  if (!(count > least && own <= 50)) throw new Error(`failed: never unresponsive over 50 ms: ${own} of ${count} tasks`);
  return `longest of ${count} tasks ${own.toFixed(0)} ms of its own, ${clock.toFixed(0)} by the clock`;
}
