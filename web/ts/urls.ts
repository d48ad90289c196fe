import { fail } from './errors.js';
import { show } from './check.js';
import { builtin } from './node.js';
import type { AssetUrl } from './types.js';

/** Resolves a URL that is relative to the page or, in Node, a path that is relative to the working directory. */
export function urlOf(name: string, given: string | URL): URL {
  try {
    if (typeof given !== 'string' && !(given instanceof URL)) throw given;
    const { location } = globalThis;
    // A drive letter of Windows is not a scheme.
    const isPath = !location && !/^[a-z][a-z0-9+.-]+:/i.test(String(given));
    const url = isPath ? builtin('node:url')?.pathToFileURL(given as string) : undefined;
    return url ?? new URL(given, location?.href);
  } catch {
    return fail('value', `${name}: expected a URL, got ${show(given)}`);
  }
}

/** Returns the URL of `file` of the package, at the place that the option `name` gives. */
export function located(name: string, at: AssetUrl, file: string): URL {
  if (typeof at === 'function') return urlOf(`${name}(${show(file)})`, at(file));
  const folder = urlOf(name, at);
  if (!folder.pathname.endsWith('/')) fail('value', `${name}: expected a folder, which ends with /, or a function, got ${show(folder.href)}`);
  return new URL(file, folder);
}
