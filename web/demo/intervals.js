// Split-conformal prediction intervals, as `SplitConformal` of the Rust library: every horizon has its own radius, from
// the errors of held-out forecasts. Vovk, Gammerman, Shafer: Algorithmic learning in a random world (2005).

/**
 * Returns the errors `actual − forecast` by horizon. `forecasts` is `[origins, horizon]`: origin `i` forecasts the rows
 * `first + i`, `first + i + 1`, …. Rows from `end` on are left out.
 */
export function errors(forecasts, horizon, values, first, end) {
  const origins = forecasts.length / horizon;
  return Array.from({ length: horizon }, (_, h) => {
    const count = Math.max(0, Math.min(origins, end - first - h));
    return Array.from({ length: count }, (_, i) => values[first + i + h] - forecasts[i * horizon + h]);
  });
}

/**
 * Returns the k-th smallest absolute error, k = ⌈(n + 1)·share⌉: an interval of this radius covers a new value with
 * the probability `share` or more, if old and new values are exchangeable. Infinite if there are too few errors.
 */
export function radius(errors, share) {
  const sorted = errors.map(Math.abs).sort((a, b) => a - b);
  // Rounding may lift a whole number slightly, and `ceil` would then return the next one.
  const rank = Math.max(1, Math.ceil((sorted.length + 1) * share - 1e-9));
  return rank <= sorted.length ? sorted[rank - 1] : Infinity;
}

/** Returns a radius for each horizon. A horizon with too few errors of its own uses those of all horizons. */
export function radii(errors, share) {
  const least = 2 / (1 - share);
  let pooled;
  return errors.map((own) => (own.length >= least ? radius(own, share) : (pooled ??= radius(errors.flat(), share))));
}

/** Returns the share of the errors that lie within the radius of their horizon; `null` without errors. */
export function coverage(errors, radii) {
  const all = errors.flatMap((own, h) => own.map((error) => Math.abs(error) <= radii[h]));
  return all.length ? all.filter(Boolean).length / all.length : null;
}
