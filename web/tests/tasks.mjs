/**
 * Traces the main threads of pages. The function that comes back ends it, and gives the longest task: in milliseconds of its
 * own (of its thread on a core), and by the clock, which on a busy machine also runs while others have the core.
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
