/** The machine that runs: drawn with live counts, and the same as a table. Also the path of one order on it. */

import { get } from './api.js';
import { store, useDesk } from './desk.js';
import { NotAvailable, State, usePolled } from './parts.js';
import { STATES } from './store.js';
import { html } from './ui.js';

const CORNER = 9;
const HEAD = 5;
const COUNTS_MS = 2000;

/** @typedef {[number, number]} Point */

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

/** @param {any} diagram @returns {Map<string, number>} how often each step was taken, by `source trigger` */
export function stepCounts(diagram) {
  return new Map((diagram?.steps ?? []).map((/** @type {any} */ one) => [`${one.from} ${one.trigger}`, one.count ?? 0]));
}

/**
 * The machine as SVG, at the places that the service gives.
 *
 * @param {{ diagram: any, label: string, states: Record<string, number>, taken: Map<string, number>, dim: boolean, opens?: boolean }} props
 *   `dim`: states and steps without a count are pale; `opens`: a state is a link to its orders
 */
export function Machine({ diagram, label, states, taken, dim, opens = false }) {
  // The links lie beside the image, not in it: what is inside an image has no names for a screen reader.
  return html`<svg class="machine" role="group" aria-label=${`${label}, drawn`} viewBox=${`0 0 ${diagram.width} ${diagram.height}`}><g role="img" aria-label=${label}>
    ${diagram.frames.map((/** @type {any} */ one) => html`<g><rect class="frame" x=${one.x} y=${one.y} width=${one.w} height=${one.h} rx="16" /><text class="frame-name" x=${one.x + 16} y=${one.y + 14}>${one.label}</text></g>`)}
    ${diagram.lines.map((/** @type {any} */ line) => html`<${Line} line=${line} taken=${taken} dim=${dim} height=${diagram.line_height} />`)}
    <g class="line" data-kind="request" data-taken="yes"><path d=${arrow(diagram.start.points).path} /><polygon points=${arrow(diagram.start.points).head} /></g>
    ${diagram.boxes.map((/** @type {any} */ box) => html`<${Box} box=${box} count=${Number(states[box.state] ?? 0)} taken=${taken} dim=${dim} height=${diagram.line_height} />`)}</g>
    ${opens ? diagram.boxes.map((/** @type {any} */ box) => html`<${BoxLink} box=${box} count=${Number(states[box.state] ?? 0)} />`) : null}
  </svg>`;
}

/** @param {{ box: any, count: number }} props */
const BoxLink = ({ box, count }) => html`<a class="box-link" href=${`#trade?state=${box.state}`} aria-label=${`${box.state}: ${count} ${count === 1 ? 'order' : 'orders'}, show`}>
  <title>${`${count} ${box.state}: show`}</title><rect x=${box.x} y=${box.y} width=${box.w} height=${box.h} rx="10" /></a>`;

/** @param {{ box: any, count: number, taken: Map<string, number>, dim: boolean, height: number }} props */
function Box({ box, count, taken, dim, height }) {
  const top = box.y + box.h / 2 - (height * box.stays.length) / 2 + 5;
  const middle = box.x + box.w / 2;
  return html`<g data-quiet=${dim && !count ? 'yes' : null}>
    <rect class="box" data-state=${box.state} data-here=${dim && count ? 'yes' : null} x=${box.x} y=${box.y} width=${box.w} height=${box.h} rx="10" />
    <text class="box-name" x=${middle} y=${top} text-anchor="middle">${box.state}</text>
    ${box.stays.map((/** @type {string} */ trigger, /** @type {number} */ n) => {
      const times = taken.get(`${box.state} ${trigger}`);
      return html`<text class="stay" data-taken=${times ? 'yes' : 'no'} x=${middle} y=${top + 3 + height * (n + 1)} text-anchor="middle">↻ ${trigger}${times ? ` ${times}` : ''}</text>`;
    })}
    ${count && !dim ? html`<${Badge} kind="state" x=${box.x + box.w - 4} y=${box.y + 2} text=${String(count)} />` : null}
  </g>`;
}

/** @param {{ line: any, taken: Map<string, number>, dim: boolean, height: number }} props */
function Line({ line, taken, dim, height }) {
  const { path, head } = arrow(line.points);
  let count = 0;
  for (const source of line.from) for (const trigger of line.triggers) count += taken.get(`${source} ${trigger}`) ?? 0;
  const { label, badge } = line;
  return html`<g class="line" data-kind=${line.kind} data-quiet=${dim && !count ? 'yes' : null} data-taken=${count ? 'yes' : 'no'}>
    <path d=${path} /><polygon points=${head} />
    ${[...line.triggers].reverse().map((trigger, n) => html`<text x=${label.x} y=${label.y - height * n} text-anchor=${label.anchor}>${trigger}</text>`)}
    ${count > (dim ? 1 : 0) ? html`<${Badge} kind="step" x=${badge.x} y=${badge.y} text=${String(count)} />` : null}
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
  const taken = stepCounts(answer?.data);
  const states = store.states;
  return html`<div class="screen lifecycle">
    <div class="panel">
      <h1>Life of an order</h1>
      <${NotAvailable} answer=${answer} what="The drawing of the machine" />
      ${answer?.data?.boxes
        ? html`<div class="machine-holder" tabindex="0" role="region" aria-label="Drawing, scrolls"><${Machine} diagram=${answer.data} label="Life of an order" states=${states} taken=${taken} dim=${false} opens=${true} /></div>
            <ul class="legend">${Object.entries(answer.data.kinds).map(([kind, meaning]) => html`<li data-kind=${kind}>${meaning}</li>`)}<li class="quiet">↻ stays in its state; an arrow that leaves a dashed frame starts in every state inside it; a state opens its orders</li></ul>`
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
      <${Steps} diagram=${answer?.data} />
    </div>
  </div>`;
}

/** @param {{ diagram: any }} props */
function Steps({ diagram }) {
  if (!diagram?.steps) return null;
  const rows = diagram.steps.filter((/** @type {any} */ one) => one.count);
  rows.sort((/** @type {any} */ a, /** @type {any} */ b) => b.count - a.count);
  return html`<div class="panel">
    <h2>Steps taken</h2>
    ${rows.length
      ? html`<table class="table" aria-label="Steps taken">
          <thead><tr><th scope="col">From</th><th scope="col">Step</th><th scope="col">To</th><th scope="col" class="numeric">Times</th></tr></thead>
          <tbody>${rows.map((/** @type {any} */ one) => html`<tr><td>${one.from}</td><td>${one.trigger}</td><td>${one.to}</td><td class="numeric"><span class="num">${one.count}</span></td></tr>`)}</tbody>
        </table>`
      : html`<p class="quiet hint">No step was counted yet.</p>`}
  </div>`;
}
