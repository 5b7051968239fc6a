/** Small pieces that several screens show. */

import { percent, share, sign } from './format.js';
import { html, useEffect, useLayoutEffect, useRef, useState } from './ui.js';

/**
 * A number as its exact text. Thousands are set apart by the style sheet, so that the text stays exact when it is read or copied.
 *
 * @param {{ value: any, unit?: string, signed?: boolean }} props
 */
export function Num({ value, unit, signed }) {
  if (value === null || value === undefined || value === '') return html`<span class="num absent">–</span>`;
  const exact = String(value);
  const parts = /^(-?)(\d+)(.*)$/.exec(exact);
  const tone = signed && parts ? ['negative', 'zero', 'positive'][sign(exact) + 1] : '';
  if (!parts) return html`<span class="num">${exact}</span>`;
  const [, minus, whole, fraction] = parts;
  const groups = whole.replace(/\B(?=(\d{3})+$)/g, ' ').split(' ');
  return html`<span class=${`num ${tone}`}
    >${minus}${groups.map((group, n) => (n ? html`<span class="thousand">${group}</span>` : group))}${fraction}${unit
      ? html`<span class="unit"> ${unit}</span>`
      : null}</span
  >`;
}

/** @param {{ side: string }} props */
export const Side = ({ side }) => html`<span class="side" data-state=${side}>${side}</span>`;

/** @param {{ state: string }} props */
export const State = ({ state }) => html`<span class="state" data-state=${state}>${state}</span>`;

/** A box for a wide table. It can be reached by the keyboard only while it scrolls. @param {{ label: string, css?: string, children?: any }} props */
export function Scroll({ label, css = '', children }) {
  const ref = useRef(/** @type {any} */ (null));
  useLayoutEffect(() => {
    const box = ref.current;
    const check = () => {
      const scrolls = box.scrollWidth > box.clientWidth + 1 || box.scrollHeight > box.clientHeight + 1;
      if (scrolls) box.setAttribute('tabindex', '0');
      else box.removeAttribute('tabindex');
    };
    const watcher = new ResizeObserver(check);
    watcher.observe(box);
    if (box.firstElementChild) watcher.observe(box.firstElementChild);
    return () => watcher.disconnect();
  }, []);
  return html`<div ref=${ref} class=${`table-scroll ${css}`} role="group" aria-label=${label}>${children}</div>`;
}

/** @param {number} used @returns {string} */
const level = (used) => (used >= 0.95 ? 'red' : used >= 0.8 ? 'amber' : 'calm');

/** A bar of how much of a limit is used; the numbers stand beside it. @param {{ found: any, limit: any, failed?: boolean }} props */
export function Bar({ found, limit, failed }) {
  const used = share(found, limit);
  const ref = useRef(/** @type {any} */ (null));
  useLayoutEffect(() => {
    ref.current.style.width = `${Math.max(used * 100, used > 0 ? 1 : 0)}%`;
  }, [used]);
  return html`<span class="bar" data-level=${failed ? 'red' : level(used)} aria-hidden="true"><span ref=${ref}></span></span>`;
}

/** @param {{ label: string, found: any, limit: any, unit?: string, note?: string }} props */
export function Meter({ label, found, limit, unit = '', note }) {
  const used = share(found, limit);
  const known = limit !== null && limit !== undefined;
  const words = known ? `${found} of ${limit} ${unit}, ${percent(found, limit)}` : `${found} ${unit}, no limit`;
  return html`<div class="meter" data-level=${level(used)}>
    <div class="meter-head"><span class="meter-label">${label}</span><span class="num">${known ? percent(found, limit) : ''}</span></div>
    <div role="meter" aria-label=${label} aria-valuemin="0" aria-valuemax="100" aria-valuenow=${Math.round(used * 100)} aria-valuetext=${words}>
      <${Bar} found=${found} limit=${limit} />
    </div>
    <div class="meter-foot">
      <span><${Num} value=${found} unit=${unit} /></span>
      <span class="quiet">of <${Num} value=${limit} unit=${unit} /></span>
    </div>
    ${note ? html`<p class="quiet note">${note}</p>` : null}
  </div>`;
}

/**
 * The checks of risk with what was found, the limit and the room between.
 *
 * @param {{ label: string, checks: any[], titleOf: (name: string) => string }} props
 */
export function Checks({ label, checks, titleOf }) {
  // The roles are said although they are those of a table: the narrow form is laid out as a grid, which would take them away.
  return html`<table class="table checks" role="table" aria-label=${label}>
    <thead role="rowgroup">
      <tr role="row"><th role="columnheader" scope="col">Check</th><th role="columnheader" scope="col" class="numeric">Found</th><th role="columnheader" scope="col" class="numeric">Limit</th><th role="columnheader" scope="col" class="numeric">Headroom</th></tr>
    </thead>
    <tbody role="rowgroup">
      ${checks.map((check) => {
        const failed = check.headroom !== null && check.headroom !== undefined && sign(check.headroom) < 0;
        // A check that only says yes or no has no bar, and needs one line only.
        const isFlag = !Number(check.limit ?? 0) && !Number(check.found ?? 0);
        return html`<tr role="row" data-failed=${failed ? 'yes' : null} data-flag=${isFlag ? 'yes' : null}>
          <td role="cell"><span class="check-name" data-failed=${failed ? 'yes' : 'no'} title=${check.name}>${titleOf(check.name)}</span>${isFlag ? null : html`<${Bar} found=${check.found} limit=${check.limit} failed=${failed} />`}</td>
          <td role="cell" class="numeric"><${Num} value=${check.found} /></td>
          <td role="cell" class="numeric"><${Num} value=${check.limit} /></td>
          <td role="cell" class="numeric"><${Num} value=${check.headroom} signed=${failed} /></td>
        </tr>`;
      })}
    </tbody>
  </table>`;
}

/**
 * A modal dialog. Escape and its last button close it, and the focus goes back to where it was.
 *
 * @param {{ label: string, role?: string, close: () => void, children?: any }} props
 */
export function Dialog({ label, role = 'dialog', close, children }) {
  const ref = useRef(/** @type {any} */ (null));
  useLayoutEffect(() => {
    const before = /** @type {HTMLElement | null} */ (document.activeElement);
    ref.current.showModal();
    ref.current.querySelector('[data-first]')?.focus();
    return () => {
      if (before?.isConnected) before.focus({ preventScroll: true });
    };
  }, []);
  const cancelled = (/** @type {Event} */ event) => {
    event.preventDefault();
    close();
  };
  return html`<dialog ref=${ref} role=${role} aria-label=${label} aria-modal="true" onCancel=${cancelled}>${children}</dialog>`;
}

/** A form field with its error below it. @param {{ label: string, error?: string, hint?: string, id: string, children?: any }} props */
export function Field({ label, error, hint, id, children }) {
  return html`<div class="field" data-wrong=${error ? 'yes' : null}>
    <label for=${id}>${label}</label>
    ${children}
    ${error ? html`<p class="error" id=${`${id}-error`}>${error}</p>` : hint ? html`<p class="hint">${hint}</p>` : null}
  </div>`;
}

/** What a screen says when the service has no such route, or cannot be reached. @param {{ answer: any, what: string }} props */
export function NotAvailable({ answer, what }) {
  if (!answer || answer.ok) return null;
  const missing = answer.absent || answer.status === 404 || answer.status === 400;
  const words = missing ? `${what} is not available from this version of the service.` : `${what} cannot be read now: ${answer.problem?.detail}`;
  return html`<p class="notice">${words}</p>`;
}

const FORBIDDEN_FACTOR = 30;

/**
 * Ask again and again while the screen is shown.
 *
 * @param {() => Promise<any>} ask @param {number} everyMs 0: only when the inputs change @param {readonly unknown[]} inputs
 * @param {string} [about] one of the inputs: an answer about another one is not returned
 * @returns {[any, () => void]} the last answer, null before it, and a function that asks at once
 */
export function usePolled(ask, everyMs, inputs, about = '') {
  const [found, setFound] = useState(/** @type {{ about: string, answer: any }} */ ({ about, answer: null }));
  const again = useRef(() => undefined);
  useEffect(() => {
    let stopped = false;
    let timer = 0;
    let turn = 0;
    const run = async () => {
      clearTimeout(timer);
      const mine = ++turn;
      const next = document.hidden ? undefined : await ask();
      if (stopped || mine !== turn) return;
      if (next !== undefined) setFound({ about, answer: next });
      // What a key may not see it will not see a second later either.
      if (everyMs) timer = window.setTimeout(run, next?.status === 403 ? everyMs * FORBIDDEN_FACTOR : everyMs);
    };
    again.current = /** @type {any} */ (run);
    void run();
    return () => {
      stopped = true;
      clearTimeout(timer);
    };
  }, inputs);
  return [found.about === about ? found.answer : null, () => again.current()];
}

const NAME_KEY = 'desk.name';

/** The owner of the key that signed in. No other name can be given then. */
let owner = '';

/** @type {Set<() => void>} */
const ownerWatchers = new Set();

/** @param {string} name */
export function setOwner(name) {
  owner = name;
  for (const watch of ownerWatchers) watch();
}

/** @returns {boolean} whether the person's name comes from a key */
export const isSignedIn = () => owner !== '';

/** @returns {[string, (name: string) => void]} the person's name, kept in this browser until people sign in */
export function useName() {
  const [, redraw] = useState(0);
  useEffect(() => {
    const watch = () => redraw((n) => n + 1);
    ownerWatchers.add(watch);
    return () => void ownerWatchers.delete(watch);
  }, []);
  const [name, setName] = useState(() => {
    try {
      return localStorage.getItem(NAME_KEY) ?? '';
    } catch {
      return '';
    }
  });
  const keep = (/** @type {string} */ next) => {
    setName(next);
    try {
      localStorage.setItem(NAME_KEY, next);
    } catch {
      // Storage may be forbidden; the name is then asked for again.
    }
  };
  return [owner || name, keep];
}
