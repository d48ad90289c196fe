/**
 * Traces the tasks on the main threads of all pages.
 *
 * The returned function ends the trace. It gives the number of tasks and the longest one in milliseconds: `own` is CPU
 * time of its thread, `clock` is wall-clock time, which on a busy machine includes waiting for a core.
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
    const most = (key) => tasks.reduce((longest, e) => Math.max(longest, e[key]), 0) / 1000;
    return { count: tasks.length, own: most('tdur'), clock: most('dur') };
  };
}
