/** The state of this tab: the store that the stream fills, the freshness of the connection, and the place in the address. */

import { Store } from './store.js';
import { Feed } from './stream.js';
import { useEffect, useState } from './ui.js';

export const store = new Store();

/** How long without a word before every number counts as stale. */
export const STALE_MS = 3000;
/** Messages that say where the journal is. Quotes and services arrive also while nothing is known of it. */
const OF_THE_JOURNAL = new Set(['hello', 'reset', 'snapshot', 'snapshot_end', 'frame', 'heartbeat']);
const TICK_MS = 250;
const REJOIN_MS = 20_000;
const PRESENT_MS = 10_000;

/** @typedef {import('./store.js').Changes} Changes */

/** @type {Set<(changes: Changes) => void>} */
const drawers = new Set();
/** @type {Set<() => void>} */
const watchers = new Set();

export const connection = {
  /** @type {number} */
  heardAt: performance.now(),
  /** @type {Date} */
  heardTime: new Date(),
  stale: false,
  /** @type {{ status: number, detail: string } | null} */
  trouble: null,
  gaps: 0,
  /** The last id of the stream: the sequence and the beginning of the journal's chain there. */
  id: '',
};

/** @type {(message: string) => void} */
let send = () => undefined;
let scheduled = false;
let rejoinedAt = performance.now();

/** @param {string} event @param {any} data @param {string} [id] @param {boolean} [again] a copy of what came before: it is no news */
function take(event, data, id, again) {
  if (id) connection.id = id;
  if (event === 'trouble') {
    connection.trouble = data;
    notify();
    return;
  }
  connection.trouble = null;
  if (event === 'gap') {
    connection.gaps += 1;
    return;
  }
  if (!again && OF_THE_JOURNAL.has(event)) {
    connection.heardAt = performance.now();
    connection.heardTime = new Date();
  }
  if (!store.apply(event, data)) {
    // The worker's copy is whole; this one missed a message.
    connection.gaps += 1;
    send('join');
    return;
  }
  if (connection.stale) freshen();
  schedule();
}

/** Draw once in the next animation frame, however many messages came. */
export function schedule() {
  if (scheduled) return;
  scheduled = true;
  requestAnimationFrame(() => {
    scheduled = false;
    const changes = store.take();
    for (const draw of drawers) draw(changes);
    notify();
  });
}

function notify() {
  for (const watch of watchers) watch();
}

function freshen() {
  const silent = performance.now() - connection.heardAt;
  const stale = silent > STALE_MS;
  if (stale !== connection.stale) {
    connection.stale = stale;
    document.body.dataset.connection = stale ? 'stale' : 'live';
  }
  if (stale && silent > REJOIN_MS && performance.now() - rejoinedAt > REJOIN_MS) {
    rejoinedAt = performance.now();
    send('join'); // The worker may have forgotten this tab while it slept.
  }
  if (stale) notify();
}

/** Start to listen, through the shared worker where there is one. */
export function listen() {
  const base = new URL('./', document.baseURI);
  const inPage = () => {
    const feed = new Feed(base, take);
    send = (message) => {
      if (message === 'join') for (const [event, data] of feed.store.messages()) take(event, data, undefined, true);
      if (message === 'restart') feed.restart();
      feed.start();
    };
    feed.start();
  };
  if ('SharedWorker' in globalThis) {
    const worker = new SharedWorker(new URL('./worker.js', import.meta.url), { type: 'module', name: 'desk stream' });
    worker.onerror = () => {
      if (store.hello === null) inPage();
    };
    worker.port.onmessage = ({ data: [event, data, id, again] }) => take(event, data, id, again);
    send = (message) => worker.port.postMessage(message);
    send('join');
    setInterval(() => send('present'), PRESENT_MS);
    addEventListener('pagehide', () => send('bye'));
    addEventListener('pageshow', (event) => event.persisted && send('join'));
  } else {
    inPage();
  }
  setInterval(freshen, TICK_MS);
}

/** Connect again, as another caller. */
export const reconnect = () => send('restart');

/** @param {(changes: Changes) => void} draw called with what changed, once an animation frame @returns {() => void} to stop */
export function onChanges(draw) {
  drawers.add(draw);
  return () => drawers.delete(draw);
}

/** Draw the component again when the stream or the connection changes, at most every `ms`. @param {number} [ms] */
export function useDesk(ms = 250) {
  const [, redraw] = useState(0);
  useEffect(() => {
    let timer = 0;
    const watch = () => {
      if (timer) return;
      timer = window.setTimeout(() => {
        timer = 0;
        redraw((n) => n + 1);
      }, ms);
    };
    watchers.add(watch);
    return () => {
      watchers.delete(watch);
      clearTimeout(timer);
    };
  }, [ms]);
  return store;
}

/**
 * Read what has an id, and again when its sequence moves on. Null until it is there: what was read of another id is never returned.
 *
 * @template T @param {(id: string) => Promise<T>} read @param {string} id @param {string} seq @returns {T | null}
 */
export function useRead(read, id, seq) {
  const [found, setFound] = useState(/** @type {{ id: string, answer: T } | null} */ (null));
  useEffect(() => {
    let stopped = false;
    void read(id).then((answer) => !stopped && setFound({ id, answer }));
    return () => {
      stopped = true;
    };
  }, [id, seq]);
  return found?.id === id ? found.answer : null;
}

/** @typedef {{ screen: string, id: string, fields: URLSearchParams }} Place */

/** @returns {Place} of an address such as `#order/9a…`, `#positions?account=A` */
export function place() {
  const [path, fields] = location.hash.replace(/^#/, '').split('?', 2);
  const [screen, ...rest] = path.split('/');
  return { screen: screen || 'trade', id: decodeURIComponent(rest.join('/')), fields: new URLSearchParams(fields ?? '') };
}

/** @returns {Place} the place in the address, followed as it changes */
export function usePlace() {
  const [now, setNow] = useState(place);
  useEffect(() => {
    const changed = () => setNow(place());
    addEventListener('hashchange', changed);
    return () => removeEventListener('hashchange', changed);
  }, []);
  return now;
}

/** Keep a filter in the address without a new entry in the history. @param {Record<string, string>} fields */
export function keepInAddress(fields) {
  const { screen, id } = place();
  const given = Object.entries(fields).filter(([, value]) => value);
  const path = id ? `${screen}/${encodeURIComponent(id)}` : screen;
  history.replaceState(null, '', `#${path}${given.length ? `?${new URLSearchParams(given)}` : ''}`);
}

/** @returns {string[]} the accounts in the stream so far, sorted */
export function knownAccounts() {
  const found = new Set();
  for (const position of store.positions.values()) found.add(position.account);
  let looked = 0;
  for (const row of store.orders.values()) {
    found.add(row.account);
    if (++looked > 5000) break; // Enough for suggestions; a hundred thousand rows would cost a frame.
  }
  for (const account of store.hello?.accounts ?? []) if (account !== '*') found.add(account);
  return [...found].sort();
}
