// Continues the dates of a table beyond its last row.

const DAY = 86_400_000;
/** A date or month, optionally with a time of day. */
const ISO = /^(\d{4})-(\d\d)(?:-(\d\d))?(?:([ T])(\d\d):(\d\d)(?::(\d\d))?)?$/;

/** Reads a date as UTC, so that daylight saving time does not shift it; `null` if it is none. */
function parse(label) {
  const found = ISO.exec(label.trim());
  if (!found) return null;
  const [, year, month, day = 1, gap, hours = 0, minutes = 0, seconds = 0] = found;
  const at = Date.UTC(year, month - 1, day, hours, minutes, seconds);
  const format = { day: found[3] !== undefined, gap, seconds: found[7] !== undefined };
  // `Date.UTC` takes a 13th month for the first one of the next year.
  return print(at, format) === label.trim() ? { at, format } : null;
}

function print(at, { day, gap, seconds }) {
  const [date, time] = new Date(at).toISOString().split('T');
  if (!day) return date.slice(0, 7);
  return gap ? date + gap + time.slice(0, seconds ? 8 : 5) : date;
}

const dayOf = (at) => new Date(at).getUTCDate();
const isLast = (at) => dayOf(at + DAY) === 1;

/** Adds calendar months; `day` is the day of the month, or the last one of a shorter month. */
function later(at, months, day) {
  const date = new Date(at);
  const [year, month] = [date.getUTCFullYear(), date.getUTCMonth() + months];
  const last = dayOf(Date.UTC(year, month + 1, 0));
  return Date.UTC(year, month, Math.min(day, last)) + (((at % DAY) + DAY) % DAY);
}

/**
 * Returns the `count` dates that follow `labels`, in the format of the last one; `null` if the labels are not dates in
 * ascending order. The step is the median of the last ones. If all dates have the same day of the month, or are the
 * last of it, the step is a number of calendar months.
 */
export function continued(labels, count) {
  const dates = labels.slice(-40).map(parse);
  if (dates.length < 2 || dates.includes(null)) return null;
  const { format } = dates.at(-1);
  const at = dates.map((date) => date.at);
  const steps = at.slice(1).map((end, i) => end - at[i]);
  const step = steps.toSorted((a, b) => a - b)[steps.length >> 1];
  if (step <= 0) return null;
  const day = Math.max(...at.map(dayOf));
  const monthly = step >= 28 * DAY && at.every((date) => dayOf(date) === day || isLast(date));
  const months = Math.round(step / (30.44 * DAY));
  // Where every date is the last of its month, the next ones are too.
  const wanted = format.day && at.every(isLast) ? 31 : day;
  return Array.from({ length: count }, (_, i) => print(monthly ? later(at.at(-1), (i + 1) * months, wanted) : at.at(-1) + (i + 1) * step, format));
}

/** Shortens the labels of an axis: without seconds, and without the time if there is only one row a day. */
export function short(label, previous) {
  const daily = label.slice(0, 10) !== previous?.slice(0, 10);
  return daily ? label.slice(0, 10) : label.slice(5, 16);
}
