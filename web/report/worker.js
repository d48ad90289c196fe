// Runs the report. One run per worker: the page ends it to stop a run.
import init, { picture, run } from '../dist/report/glue.js';

addEventListener('message', async ({ data: request }) => {
  try {
    await init({ module_or_path: new URL('../dist/report/glue_bg.wasm', import.meta.url) });
    if (request.draw) {
      postMessage({ kind: 'drawn', svg: picture(request.draw) });
      return;
    }
    // An adapter only for its description, which the module does not see.
    const { vendor = '', architecture = '' } = (await navigator.gpu?.requestAdapter())?.info ?? {};
    const step = (json, done, name) => postMessage({ kind: 'step', json, done, name });
    const json = await run(JSON.stringify({ ...request, vendor, architecture }), step);
    postMessage({ kind: 'done', json, svg: picture(json) });
  } catch (error) {
    postMessage({ kind: 'failed', why: String(error?.message ?? error) });
  }
});
