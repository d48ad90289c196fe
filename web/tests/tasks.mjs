/**
 * Starts tracing the tasks on the main threads of all pages.
 *
 * The returned function stops the trace. It returns the number of tasks and the duration of the longest one in
 * milliseconds: `own` is the thread's CPU time, and `clock` is wall-clock time, which on a busy machine includes
 * waiting for a core.
 */
export async function tasks(page) {
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
