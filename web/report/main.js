// The page: starts a run in a worker, shows its progress and results, and offers the report as a file.

const $ = (name) => document.querySelector(`[data-part="${name}"]`);
const query = new URLSearchParams(location.search);

/** Milliseconds without a sign of life after which the device counts as hung. */
const HUNG = 120_000;

let worker;
let alarm;
let report;
let picture;

/** Shows why there is nothing to see. */
const complain = (text) => ($('error').textContent = text);

/** A table of `rows`, the first of which has the names of the columns. */
function fill(table, rows) {
  table.replaceChildren(
    ...rows.map((cells, i) => {
      const row = document.createElement('tr');
      row.append(
        ...cells.map((cell) => {
          const element = document.createElement(i ? 'td' : 'th');
          if (!i) element.scope = 'col';
          element.textContent = cell;
          return element;
        }),
      );
      return row;
    }),
  );
  table.hidden = rows.length < 2;
}

const brief = (error) => (error === null ? 'no number' : error === 0 ? '0' : error.toExponential(1));
const micros = (us) => (us < 1000 ? `${us.toPrecision(3)} µs` : `${(us / 1000).toPrecision(3)} ms`);

/** Shows the adapter, the checks by group, those that are wrong, and the times. */
function show() {
  const { adapter, checks, timings, skipped } = report;
  if (adapter) {
    const known = [adapter.name, adapter.vendor, adapter.architecture, adapter.class, adapter.backend, adapter.driver];
    $('adapter').textContent = known.filter(Boolean).join(', ');
  }
  const groups = Map.groupBy?.(checks, (check) => check.group) ?? grouped(checks);
  fill($('checks'), [
    ['Part', 'Right', 'Largest error'],
    ...[...groups].map(([name, all]) => {
      const right = all.filter((check) => check.ok).length;
      const worst = all.some((check) => check.worst === null) ? null : Math.max(...all.map((check) => check.worst));
      return [name, `${right} of ${all.length}`, brief(worst)];
    }),
  ]);
  const wrong = checks.filter((check) => !check.ok);
  fill($('wrong'), [
    ['Wrong', 'Error', 'Tolerance'],
    ...wrong.map((check) => [`${check.group}: ${check.name}`, check.error ?? brief(check.worst), brief(check.tolerance)]),
  ]);
  fill($('timings'), [
    ['Work', 'Size', 'Choice', 'Median', '10th to 90th percentile'],
    ...timings.map((t) => [
      `${t.kind} ${t.of}`,
      t.dims.join('×'),
      t.choice,
      micros(t.median_us),
      `${micros(t.p10_us)} to ${micros(t.p90_us)}`,
    ]),
  ]);
  fill($('skipped'), [['Left out', 'Reason'], ...skipped.map((s) => [s.name, s.why])]);
  const state = wrong.length ? `${wrong.length} of ${checks.length} checks are wrong` : `all ${checks.length} checks are right`;
  $('summary').textContent = checks.length ? `${report.ended}: ${state}, ${timings.length} times, ${report.seconds.toFixed(0)} s` : report.ended;
}

function grouped(checks) {
  const groups = new Map();
  for (const check of checks) groups.set(check.group, [...(groups.get(check.group) ?? []), check]);
  return groups;
}

/** The report as text, one line per check and time. */
function written() {
  const line = (value) => `    ${JSON.stringify(value)}`;
  const parts = Object.entries(report).map(([name, value]) => {
    const list = Array.isArray(value) && value.length;
    return `  "${name}": ${list ? `[\n${value.map(line).join(',\n')}\n  ]` : JSON.stringify(value)}`;
  });
  return `{\n${parts.join(',\n')}\n}\n`;
}

/** Ends the worker. `ended` labels a partial report. */
function finish(ended) {
  clearTimeout(alarm);
  worker?.terminate();
  worker = undefined;
  if (report && ended) report.ended = ended;
  if (report) show();
  if (report && !picture && ended) draw();
  $('start').disabled = false;
  $('stop').disabled = true;
  $('progress').hidden = true;
  for (const name of ['copy', 'save']) $(name).disabled = !report;
  $('svg').disabled = !picture;
  document.documentElement.dataset.state = 'done';
}

/** Draws a partial report in a worker of its own. */
function draw() {
  const artist = new Worker('worker.js', { type: 'module' });
  artist.onmessage = ({ data }) => {
    artist.terminate();
    if (data.kind === 'drawn') present(data.svg);
  };
  artist.postMessage({ draw: written() });
}

function present(svg) {
  picture = svg;
  $('picture').src = `data:image/svg+xml,${encodeURIComponent(svg)}`;
  $('picture').hidden = false;
  $('svg').disabled = false;
}

function watch(name) {
  clearTimeout(alarm);
  alarm = setTimeout(() => finish(`device hung: no answer for ${HUNG / 1000} s at ${name}`), HUNG);
}

function start() {
  report = picture = undefined;
  $('picture').hidden = true;
  complain('');
  $('start').disabled = true;
  $('stop').disabled = false;
  $('progress').hidden = false;
  document.documentElement.dataset.state = 'running';
  worker = new Worker('worker.js', { type: 'module' });
  worker.onerror = (event) => {
    complain(`The module did not start: ${event.message ?? 'run scripts/build-report.sh, then reload'}`);
    finish('failed');
  };
  worker.onmessage = ({ data }) => {
    if (data.kind === 'step') {
      report = JSON.parse(data.json);
      $('progress').value = data.done;
      $('step').textContent = data.name;
      watch(data.name);
    } else if (data.kind === 'done') {
      report = JSON.parse(data.json);
      present(data.svg);
      if (!report.adapter) complain(report.ended);
      $('step').textContent = '';
      finish();
    } else {
      complain(data.why);
      finish(`failed: ${data.why}`);
    }
  };
  watch('the start');
  worker.postMessage({
    time: `${new Date().toISOString().slice(0, 19)}Z`,
    system: navigator.userAgent,
    quick: query.has('quick'),
    seconds: Number(query.get('seconds')) || undefined,
    spoil: Number(query.get('spoil')) || undefined,
  });
}

/** Offers a file. */
function offer(name, type, text) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** A name for files, from the adapter's. */
function title() {
  const { name, vendor, architecture } = report.adapter ?? {};
  const words = (name || [vendor, architecture].filter(Boolean).join('-') || 'unknown').toLowerCase();
  return `wgru-${words.replace(/[^a-z0-9]+/g, '-').replace(/^-|-$/g, '')}-browser`;
}

$('start').addEventListener('click', start);
$('stop').addEventListener('click', () => {
  $('step').textContent = '';
  finish('stopped by the user');
});
$('copy').addEventListener('click', async () => {
  try {
    await navigator.clipboard.writeText(written());
    $('copied').textContent = 'Copied.';
  } catch (error) {
    complain(`The browser did not allow it (${error.message}). Save the report instead.`);
  }
});
$('save').addEventListener('click', () => offer(`${title()}.json`, 'application/json', written()));
$('svg').addEventListener('click', () => offer(`${title()}.svg`, 'image/svg+xml', picture));

if (!navigator.gpu) {
  const secure = isSecureContext ? '' : ' WebGPU needs https, or a page on localhost.';
  complain(`This browser has no WebGPU, so there is no GPU to report on.${secure} Chrome, Edge, Safari 26 and Firefox 141 have it on most systems.`);
  $('start').disabled = true;
}
document.documentElement.dataset.ready = '';
