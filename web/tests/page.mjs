// Opens the page in `demo/` for its tests.
import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { serve } from './serve.mjs';

const web = fileURLToPath(new URL('..', import.meta.url));
/** Folder of the screenshots. */
export const out = `${web}out`;
mkdirSync(out, { recursive: true });
export const server = await serve({ '/demo/': `${web}demo`, '/dist/': `${web}dist` });

export const assert = (holds, what) => {
  if (!holds) throw new Error(`failed: ${what}`);
};
export const MINUTES = 60_000;

/** Opens the page on `device`. `errors` collects the errors of its console, and requests to other servers. */
export async function visit(context, device, { colorScheme = 'light', reducedMotion = 'no-preference', width = 1280, height = 900 } = {}) {
  const page = await context.newPage();
  page.setDefaultTimeout(2 * MINUTES);
  const errors = [];
  page.on('console', (message) => message.type() === 'error' && errors.push(message.text()));
  page.on('pageerror', (error) => errors.push(String(error)));
  page.on('request', (request) => /^(blob:|data:)/.test(request.url()) || request.url().startsWith(server.url) || errors.push(`request to ${request.url()}`));
  await page.setViewportSize({ width, height });
  await page.emulateMedia({ colorScheme, reducedMotion });
  await page.goto(`${server.url}demo/?device=${device}`);
  await page.waitForSelector('html[data-ready]');
  // From here on, long tasks are recorded.
  await page.evaluate(() => {
    window.tasks = [];
    new PerformanceObserver((list) => window.tasks.push(...list.getEntries().map((e) => e.duration))).observe({ type: 'longtask' });
  });
  const has = (selector) => page.waitForFunction((s) => document.querySelector(s), selector);
  const text = (selector) => page.textContent(selector);
  const number = async (panel, name) => {
    const found = await page.getAttribute(`#${panel} [data-value="${name}"]`, 'data-number');
    return found ? Number(found) : NaN;
  };
  const press = (panel, name) => page.click(`#${panel} [data-control="${name}"]`);
  const said = (panel, what) =>
    page.waitForFunction(([id, t]) => document.querySelector(`#${id} [data-say="progress"]`).textContent.includes(t), [panel, what]);
  /** Counts the colors on a canvas; an empty one has one. Charts are drawn in the next frame. */
  const drawn = (panel, chart) =>
    page.$eval(`#${panel} [data-chart="${chart}"]`, async (canvas) => {
      for (let frame = 0; frame < 2; frame++) await new Promise(requestAnimationFrame);
      const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
      return new Set(new Uint32Array(data.buffer)).size;
    });
  const calm = async (what) => {
    assert(!errors.length, `${what}: no errors and no foreign requests, not ${errors.join('; ')}`);
    const shown = await page.$$eval('[data-error]', (all) => all.map((e) => e.textContent).filter(Boolean));
    assert(!shown.length, `${what}: no errors shown, not ${shown}`);
  };
  const longest = () => page.evaluate(() => (PerformanceObserver.supportedEntryTypes.includes('longtask') ? Math.max(0, ...window.tasks) : 'unmeasured'));
  return { page, errors, has, text, number, press, said, drawn, calm, longest };
}
