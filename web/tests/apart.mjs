// Opens the package named in the URL twice, and posts the outcome to the parent page. Used by `delivery.mjs`.
const given = new URLSearchParams(location.search);
if (given.has('bare')) delete globalThis.WebAssembly;
const { WgruError, open } = await import(given.get('from'));

async function attempt() {
  try {
    const device = await open(JSON.parse(given.get('options')));
    const { worker } = device.info;
    device.free();
    return { code: 'none', worker };
  } catch (error) {
    return { code: error.code ?? error.name, isTyped: error instanceof WgruError, message: error.message };
  }
}

/** Whether the policy forbids what `use` does. */
const forbids = async (use) => use().then(() => false, () => true);

const first = await attempt();
const forbidden = {
  eval: await forbids(async () => eval('1')),
  compile: await forbids(async () => WebAssembly.compile(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]))),
};
parent.postMessage({ ...first, again: (await attempt()).code, forbidden }, '*');
