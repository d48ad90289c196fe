// The part of Playwright's interface that the tests use, for browsers that are driven by WebDriver.
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';

const KEYS = { Tab: '\uE004', Enter: '\uE007', Space: ' ', ArrowLeft: '\uE012', ArrowUp: '\uE013', ArrowRight: '\uE014', ArrowDown: '\uE015' };

/** Waits in the page until `test(given)` is true. */
async function poll([test, given, timeout]) {
  const holds = (0, eval)(`(${test})`);
  const end = performance.now() + timeout;
  while (!(await holds(given))) {
    if (performance.now() > end) throw new Error(`timed out after ${timeout} ms: ${test}, ${JSON.stringify(given)}`);
    await new Promise((done) => setTimeout(done, 20));
  }
}

/** Sets the files of an input, as if the user had chosen them. */
function choose([selector, name, type, base64]) {
  const transfer = new DataTransfer();
  transfer.items.add(new File([Uint8Array.from(atob(base64), (c) => c.charCodeAt(0))], name, { type }));
  const input = document.querySelector(selector);
  input.files = transfer.files;
  for (const event of ['input', 'change']) input.dispatchEvent(new Event(event, { bubbles: true }));
}

function select([selector, option]) {
  const element = document.querySelector(selector);
  const found = [...element.options].find(({ value, label }) => (option.label === undefined ? value === option : label === option.label));
  if (!found) throw new Error(`${selector} has no option ${JSON.stringify(option)}`);
  element.value = found.value;
  for (const event of ['input', 'change']) element.dispatchEvent(new Event(event, { bubbles: true }));
}

/** A page of a browser. `driver` sends commands to it; its `evaluate` takes an expression with the promise of a string. */
export class Page {
  #timeout = 30_000;
  #listeners = {};
  keyboard = { press: (key) => this.driver.press(KEYS[key] ?? key) };

  constructor(driver, onClose) {
    this.driver = driver;
    this.onClose = onClose;
    // `type` is `console`, `pageerror` or `request`.
    driver.onEvent = (type, event) => this.#listeners[type]?.forEach((listener) => listener(event));
  }

  on(type, listener) {
    (this.#listeners[type] ??= []).push(listener);
  }

  setDefaultTimeout(ms) {
    this.#timeout = ms;
  }

  /** Calls a function in the page, and returns its result, which must be JSON. */
  async evaluate(what, given) {
    const call = typeof what === 'function' ? `(${what})(${JSON.stringify(given) ?? ''})` : what;
    const guarded = `(async () => ({ value: await (${call}) }))().catch((e) => ({ error: \`\${e}\\n\${e?.stack}\` })).then(JSON.stringify)`;
    const { value, error } = JSON.parse(await this.driver.evaluate(guarded));
    if (error) throw new Error(error);
    return value;
  }

  goto = (url) => this.driver.goto(url);
  setViewportSize = (size) => this.driver.resize(size);
  emulateMedia = (look) => this.driver.emulate(look);
  screenshot = ({ path, fullPage }) => this.driver.screenshot(path, fullPage);
  waitForFunction = (test, given, { timeout = this.#timeout } = {}) => this.evaluate(poll, [String(test), given, timeout]);
  waitForSelector = (selector) => this.waitForFunction((s) => document.querySelector(s), selector);

  async $eval(selector, f, given) {
    await this.waitForSelector(selector);
    return this.evaluate(`(${f})(document.querySelector(${JSON.stringify(selector)}), ${JSON.stringify(given)})`);
  }

  $$eval = (selector, f, given) => this.evaluate(`(${f})([...document.querySelectorAll(${JSON.stringify(selector)})], ${JSON.stringify(given)})`);
  textContent = (selector) => this.$eval(selector, (element) => element.textContent);
  getAttribute = (selector, name) => this.$eval(selector, (element, n) => element.getAttribute(n), name);
  isVisible = (selector) => this.$eval(selector, (element) => element.checkVisibility({ visibilityProperty: true }));
  isHidden = async (selector) => !(await this.isVisible(selector));
  focus = (selector) => this.$eval(selector, (element) => element.focus());

  locator = (selector) => ({ getByRole: (role, { name } = {}) => ({ count: () => this.driver.count(selector, role, name) }) });

  /** Clicks with the mouse, once the element is visible and enabled. */
  async click(selector) {
    await this.waitForFunction((s) => document.querySelector(s)?.checkVisibility() && !document.querySelector(s).matches(':disabled'), selector);
    await this.evaluate((s) => document.querySelector(s).scrollIntoView({ block: 'center', behavior: 'instant' }), selector);
    await this.driver.click(selector);
  }

  /** Selects a radio button or a checkbox, which styles may hide. */
  check = (selector) => this.$eval(selector, (element) => element.checked || element.click());

  async fill(selector, text) {
    await this.$eval(selector, (element) => (element.focus(), element.select()));
    await this.evaluate((t) => document.execCommand('insertText', false, t), text);
  }

  async selectOption(selector, option) {
    await this.waitForFunction((s) => document.querySelector(s)?.matches(':enabled'), selector);
    await this.evaluate(select, [selector, option]);
  }

  /** @param given A path, or `{ name, mimeType, buffer }`. */
  async setInputFiles(selector, given) {
    await this.waitForSelector(selector);
    const { name, mimeType, buffer } = typeof given === 'string' ? { name: basename(given), mimeType: '', buffer: await readFile(given) } : given;
    await this.evaluate(choose, [selector, name, mimeType, buffer.toString('base64')]);
  }

  async close() {
    await this.driver.close();
    this.onClose(this);
  }
}

/** Keeps the pages of a browser. `open` starts the driver of one page. */
export function contextOf(open) {
  const pages = [];
  const forget = (page) => pages.splice(pages.indexOf(page), 1);
  const newPage = async () => {
    const page = new Page(await open(), forget);
    pages.push(page);
    return page;
  };
  return { newPage, pages: () => [...pages] };
}
