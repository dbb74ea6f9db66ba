'use strict';

// How far a key goes among so many things, or nothing.
const stepOf = (event, page) =>
  event.altKey || event.ctrlKey || event.metaKey ? undefined : ({ArrowLeft: -1, ArrowRight: 1, PageUp: -page, PageDown: page, Home: -Infinity, End: Infinity})[event.key];
const clamp = (k, count) => Math.max(0, Math.min(k, count - 1));

// Values of a chart, under the pointer and by the arrow keys.
for (const svg of document.querySelectorAll('svg[data-chart]')) {
  const chart = JSON.parse(svg.dataset.chart);
  const [left, top, width, height] = chart.plot;
  const [x0, x1] = chart.x, [y0, y1] = chart.y;
  const output = svg.closest('figure').querySelector('output');
  const at = (x, y) => [
    left + width * (x - x0) / (x1 - x0),
    top + height * (1 - (chart.log ? Math.log(y / y0) / Math.log(y1 / y0) : (y - y0) / (y1 - y0))),
  ];
  const points = chart.series.flatMap((series) =>
    series.x.map((x, k) => ({name: series.name, x, y: series.y[k]})).filter((point) => point.y !== null));
  // What is shown at once: all curves' values at one x, or one of the points.
  const stops = chart.kind === 'points'
    ? points.map((point) => [point])
    : [...new Set(points.map((point) => point.x))].sort((a, b) => a - b)
      .map((x) => points.filter((point) => point.x === x));
  const cursor = svg.appendChild(document.createElementNS(svg.namespaceURI, 'g'));
  cursor.setAttribute('class', 'cursor');
  let shown = -1;

  const draw = (name, attributes) => {
    const shape = cursor.appendChild(document.createElementNS(svg.namespaceURI, name));
    for (const [key, value] of Object.entries(attributes)) shape.setAttribute(key, value);
  };
  const text = (value) => String(Number(value.toPrecision(6)));
  const hide = () => {
    shown = -1;
    cursor.replaceChildren();
    output.textContent = '\u00a0';
  };
  const show = (stop) => {
    shown = clamp(stop, stops.length);
    cursor.replaceChildren();
    const here = stops[shown];
    if (chart.kind === 'lines') {
      const [x] = at(here[0].x, y0);
      draw('line', {x1: x, x2: x, y1: top, y2: top + height});
    }
    for (const point of here) {
      const [cx, cy] = at(point.x, point.y);
      draw('circle', {cx, cy, r: 3.5});
    }
    const named = chart.series.length > 1;
    output.textContent = `${chart.xlabel} ${text(here[0].x)}: ` + here.map((point) =>
      `${named ? point.name : chart.ylabel} ${text(point.y)}`).join(', ');
  };

  const point = (event) => {
    const box = svg.getBoundingClientRect();
    const scale = svg.viewBox.baseVal.width / box.width;
    const [px, py] = [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
    let best = 0, least = Infinity;
    stops.forEach((stop, k) => {
      const [x, y] = at(stop[0].x, stop[0].y);
      const distance = Math.abs(x - px) + (chart.kind === 'points' ? Math.abs(y - py) : 0);
      if (distance < least) [best, least] = [k, distance];
    });
    show(best);
  };
  svg.addEventListener('pointermove', point);
  svg.addEventListener('pointerdown', point);
  svg.addEventListener('pointerleave', () => document.activeElement === svg || hide());
  svg.addEventListener('blur', hide);
  svg.addEventListener('keydown', (event) => {
    const step = stepOf(event, 10);
    if (step === undefined || stops.length === 0) return;
    event.preventDefault();
    show(shown < 0 && Number.isFinite(step) ? 0 : shown + step);
  });
}

// Values of a coloured text, likewise.
for (const reading of document.querySelectorAll('.reading')) {
  const output = reading.parentElement.querySelector('output');
  const spans = [...reading.children];
  let shown = -1;
  const show = (k) => {
    if (shown >= 0) spans[shown].classList.remove('here');
    shown = k;
    if (k < 0) return void (output.textContent = '\u00a0');
    spans[k].classList.add('here');
    output.textContent = `token ${k + 1}, “${spans[k].textContent}”: ${spans[k].dataset.value}`;
  };
  for (const kind of ['pointerover', 'pointerdown']) {
    reading.addEventListener(kind, (event) => show(spans.indexOf(event.target)));
  }
  reading.addEventListener('pointerleave', () => document.activeElement === reading || show(-1));
  reading.addEventListener('blur', () => show(-1));
  reading.addEventListener('keydown', (event) => {
    const step = stepOf(event, 20);
    if (step === undefined || spans.length === 0) return;
    event.preventDefault();
    show(clamp(shown < 0 && Number.isFinite(step) ? 0 : shown + step, spans.length));
  });
}

// A page of a training that runs is written anew every few seconds. Nobody who reads a value is interrupted.
if (document.documentElement.dataset.refresh) {
  setInterval(() => {
    const busy = document.activeElement !== document.body || document.querySelector('details[open], .cursor > *, .here');
    if (!busy && !document.hidden) location.reload();
  }, 1000 * Number(document.documentElement.dataset.refresh));
}
