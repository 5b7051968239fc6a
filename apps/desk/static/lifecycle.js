/** The machine that runs: drawn with live counts, and the same as a table. Also the path of one order on it. */

import { get } from './api.js';
import { store, useDesk } from './desk.js';
import { NotAvailable, State, usePolled } from './parts.js';
import { STATES } from './store.js';
import { html } from './ui.js';

const CORNER = 9;
const HEAD = 5;
const LINE_HEIGHT = 15;
const COUNTS_MS = 2000;

/** @typedef {[number, number]} Point */

/** @param {any} box @returns {{ x: number, y: number, width: number, height: number }} */
const boxOf = (box) => (Array.isArray(box) ? { x: box[0], y: box[1], width: box[2], height: box[3] } : box);

/** @param {any} point @returns {Point} */
const pointOf = (point) => (Array.isArray(point) ? /** @type {Point} */ (point) : [point.x, point.y]);

/** @param {any} boxes by state, or a list with the state @returns {Map<string, ReturnType<typeof boxOf>>} */
function boxesOf(boxes) {
  if (Array.isArray(boxes)) return new Map(boxes.map((box) => [box.state ?? box.name, boxOf(box.box ?? box)]));
  return new Map(Object.entries(boxes ?? {}).map(([state, box]) => [state, boxOf(box)]));
}

/** @param {Point} here @param {Point} there @returns {Point} */
const towards = (here, there) => /** @type {Point} */ (here.map((a, n) => a + Math.max(-CORNER, Math.min(CORNER, there[n] - a))));

/** @param {Point[]} points @returns {{ path: string, head: string }} a line with round corners, and its head */
function arrow(points) {
  let path = `M${points[0].join(' ')}`;
  for (let n = 1; n < points.length - 1; n += 1) {
    path += ` L${towards(points[n], points[n - 1]).join(' ')} Q${points[n].join(' ')} ${towards(points[n], points[n + 1]).join(' ')}`;
  }
  const [x0, y0] = points[points.length - 2];
  const [x, y] = points[points.length - 1];
  const dx = Math.sign(x - x0);
  const dy = Math.sign(y - y0);
  const head = [HEAD, -HEAD].map((side) => `${x - 10 * dx + side * dy},${y - 10 * dy + side * dx}`).join(' ');
  return { path: `${path} L${x - 8 * dx} ${y - 8 * dy}`, head: `${x},${y} ${head}` };
}

/** @param {any} counts @returns {Map<string, number>} how often each step was taken, by `source trigger` */
export function stepCounts(counts) {
  const steps = counts?.steps ?? {};
  const found = new Map();
  if (Array.isArray(steps)) for (const one of steps) found.set(`${one.source} ${one.trigger}`, Number(one.count ?? one.taken ?? 0));
  else {
    for (const [source, taken] of Object.entries(steps)) {
      if (typeof taken === 'object') for (const [trigger, n] of Object.entries(/** @type {any} */ (taken))) found.set(`${source} ${trigger}`, Number(n));
      else found.set(source, Number(taken));
    }
  }
  return found;
}

/**
 * The machine as SVG.
 *
 * @param {{ diagram: any, label: string, states: Record<string, number>, taken: Map<string, number>, dim: boolean }} props
 *   `dim`: states and steps without a count are pale
 */
export function Machine({ diagram, label, states, taken, dim }) {
  const boxes = boxesOf(diagram.boxes);
  const width = diagram.width ?? Math.max(...[...boxes.values()].map((box) => box.x + box.width)) + 60;
  const height = diagram.height ?? Math.max(...[...boxes.values()].map((box) => box.y + box.height)) + 130;
  const stays = (/** @type {string} */ state) => (diagram.steps ?? []).filter((/** @type {any} */ one) => one.source === state && one.target === state);
  return html`<svg class="machine" role="img" aria-label=${label} viewBox=${`0 0 ${width} ${height}`}>
    ${framesOf(diagram.frames).map((/** @type {any} */ one) => html`<g><rect class="frame" x=${one.x} y=${one.y} width=${one.width} height=${one.height} rx="16" /><text class="frame-name" x=${one.x + 16} y=${one.y + 14}>${one.name}</text></g>`)}
    ${(diagram.lines ?? []).map((/** @type {any} */ line) => html`<${Line} line=${line} taken=${taken} dim=${dim} />`)}
    ${[...boxes].map(([state, box]) => {
      const count = Number(states[state] ?? 0);
      const lines = stays(state);
      const top = box.y + box.height / 2 - (LINE_HEIGHT * lines.length) / 2 + 5;
      const middle = box.x + box.width / 2;
      const content = html`<rect class="box" data-state=${state} x=${box.x} y=${box.y} width=${box.width} height=${box.height} rx="10" />
        <text class="box-name" x=${middle} y=${top} text-anchor="middle">${state}</text>
        ${lines.map((/** @type {any} */ one, /** @type {number} */ n) => {
          const times = taken.get(`${state} ${one.trigger}`);
          return html`<text class="stay" data-taken=${times ? 'yes' : 'no'} x=${middle} y=${top + 3 + LINE_HEIGHT * (n + 1)} text-anchor="middle">↻ ${one.trigger}${times ? ` ${times}` : ''}</text>`;
        })}
        ${count ? html`<${Badge} kind="state" x=${box.x + box.width - 4} y=${box.y + 2} text=${String(count)} />` : null}`;
      return html`<g class="machine-state" data-quiet=${dim && !count ? 'yes' : null}>${content}</g>`;
    })}
  </svg>`;
}

/** @param {any} frames */
const framesOf = (frames) => (frames ?? []).map((/** @type {any} */ one) => (Array.isArray(one) ? { name: one[0], ...boxOf(one[1]) } : { name: one.name ?? one.label, ...boxOf(one.box ?? one) }));

/** @param {{ line: any, taken: Map<string, number>, dim: boolean }} props */
function Line({ line, taken, dim }) {
  const points = line.points.map(pointOf);
  const { path, head } = arrow(points);
  const triggers = line.triggers ?? [line.trigger];
  const sources = line.sources ?? [line.source];
  let count = 0;
  for (const source of sources) for (const trigger of triggers) count += taken.get(`${source} ${trigger}`) ?? 0;
  const at = pointOf(line.at);
  const badge = pointOf(line.badge ?? line.at);
  return html`<g class="line" data-kind=${line.kind} data-quiet=${dim && !count ? 'yes' : null} data-taken=${count ? 'yes' : 'no'}>
    <path d=${path} /><polygon points=${head} />
    ${[...triggers].reverse().map((trigger, n) => html`<text x=${at[0]} y=${at[1] - LINE_HEIGHT * n} text-anchor=${line.anchor ?? 'middle'}>${trigger}</text>`)}
    ${count ? html`<${Badge} kind="step" x=${badge[0]} y=${badge[1]} text=${String(count)} />` : null}
  </g>`;
}

/** @param {{ kind: string, x: number, y: number, text: string }} props */
function Badge({ kind, x, y, text }) {
  const width = 8 * text.length + 14;
  return html`<g class="badge" data-kind=${kind}><rect x=${x - width / 2} y=${y - 10} width=${width} height="20" rx="10" /><text x=${x} y=${y + 4.5} text-anchor="middle">${text}</text></g>`;
}

/** @type {Promise<any> | null} */
let machine = null;

/** @returns {Promise<any>} the layout of the machine; it does not change while the service runs */
export function machineLayout() {
  machine ??= get('api/oms/diagram?format=json', { quiet: true }).then((answer) => {
    if (!answer.ok) machine = null; // Another try when it is wanted again: the service may be a newer one by then.
    return answer;
  });
  return machine;
}

export function Lifecycle() {
  useDesk(500);
  const [answer] = usePolled(() => get('api/oms/diagram?format=json&counts=1', { quiet: true }), COUNTS_MS, []);
  const counts = answer?.data?.counts;
  const taken = stepCounts(counts);
  const states = Object.keys(store.states).length ? store.states : (counts?.states ?? {});
  return html`<div class="screen lifecycle">
    <div class="panel">
      <h1>Life of an order</h1>
      <${NotAvailable} answer=${answer} what="The drawing of the machine" />
      ${answer?.data?.boxes
        ? html`<div class="machine-holder" tabindex="0" role="region" aria-label="Drawing, scrolls"><${Machine} diagram=${answer.data} label="Life of an order" states=${states} taken=${taken} dim=${false} /></div>
            <ul class="legend">${['request', 'service', 'venue', 'trade', 'bust'].map((kind) => html`<li data-kind=${kind}>${LEGEND[kind]}</li>`)}<li class="quiet">↻ stays in its state; an arrow that leaves a dashed frame starts in every state inside it</li></ul>`
        : null}
    </div>
    <div class="side-panels">
      <div class="panel">
        <h2>Orders by state</h2>
        <table class="table" aria-label="Orders by state">
          <thead><tr><th scope="col">State</th><th scope="col" class="numeric">Orders</th><th scope="col">Open them</th></tr></thead>
          <tbody>${STATES.map((state) => html`<tr><td><${State} state=${state} /></td><td class="numeric"><span class="num">${states[state] ?? 0}</span></td><td><a href=${`#trade?state=${state}`}>show</a></td></tr>`)}</tbody>
        </table>
      </div>
      <${Steps} diagram=${answer?.data} taken=${taken} />
    </div>
  </div>`;
}

/** @type {Record<string, string>} */
const LEGEND = {
  request: 'a request, which may be refused',
  service: 'a decision of risk, exeq or oms',
  venue: 'a report of the venue',
  trade: 'a trade, booked in every state',
  bust: 'a trade that was taken back',
};

/** @param {{ diagram: any, taken: Map<string, number> }} props */
function Steps({ diagram, taken }) {
  if (!diagram?.steps) return null;
  const steps = diagram.steps.flatMap((/** @type {any} */ one) => (one.sources ?? [one.source]).map((/** @type {string} */ source) => ({ ...one, source })));
  const rows = steps.map((/** @type {any} */ one) => ({ ...one, count: taken.get(`${one.source} ${one.trigger}`) ?? 0 })).filter((/** @type {any} */ one) => one.count);
  rows.sort((/** @type {any} */ a, /** @type {any} */ b) => b.count - a.count);
  return html`<div class="panel">
    <h2>Steps taken</h2>
    ${rows.length
      ? html`<table class="table" aria-label="Steps taken">
          <thead><tr><th scope="col">From</th><th scope="col">Step</th><th scope="col">To</th><th scope="col" class="numeric">Times</th></tr></thead>
          <tbody>${rows.map((/** @type {any} */ one) => html`<tr><td>${one.source}</td><td>${one.trigger}</td><td>${one.target}</td><td class="numeric"><span class="num">${one.count}</span></td></tr>`)}</tbody>
        </table>`
      : html`<p class="quiet hint">No step was counted yet.</p>`}
  </div>`;
}
