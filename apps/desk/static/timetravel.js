/** Orders and positions as they were at an earlier sequence of the journal, and what changed since. */

import { get } from './api.js';
import { keepInAddress, knownAccounts, store, useDesk } from './desk.js';
import { longTime, text } from './format.js';
import { newestFirst, ORDER_COLUMNS } from './blotter.js';
import { Grid } from './grid.js';
import { NotAvailable } from './parts.js';
import { POSITION_COLUMNS, positionId, positionTie, valued } from './positions.js';
import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from './ui.js';

const REST_MS = 250;
const LIST_MAX = 1000;
/** Without a list at a sequence, orders are read one by one: the newest of those that existed. */
const SINGLE_MAX = 300;
const AT_ONCE = 4;
const PAST_TIMEOUT_MS = 25_000;

/** @typedef {{ seq: number, orders: any[], total: number, partial: boolean, positions: any[], waiting: number, problem: any }} Past */

/**
 * Read orders, then the positions of one account after the other: the service reads the past one question at a time.
 *
 * @param {number} seq @param {(past: Past) => boolean} tell called with each part; returns whether it is still wanted
 */
async function readPast(seq, tell) {
  const list = await get(`orders?at_seq=${seq}&limit=${LIST_MAX}&numbers=string`, { quiet: true, timeoutMs: PAST_TIMEOUT_MS });
  const orders = list.ok ? list.data.orders : await readSingly(seq);
  const accounts = knownAccounts();
  /** @type {Past} */
  const past = { seq, orders, total: list.data?.total ?? orders.length, partial: !list.ok, positions: [], waiting: accounts.length, problem: null };
  if (!tell({ ...past })) return;
  for (const account of accounts) {
    const answer = await get(`api/oms/positions/${encodeURIComponent(account)}?at_seq=${seq}`, { quiet: true, timeoutMs: PAST_TIMEOUT_MS });
    if (!answer.ok) past.problem = answer;
    past.positions = past.positions.concat(Object.entries(answer.data ?? {}).map(([symbol, one]) => ({ account, symbol, .../** @type {any} */ (one) })));
    past.waiting -= 1;
    if (!tell({ ...past })) return;
  }
}

/** @param {number} seq @returns {Promise<any[]>} */
async function readSingly(seq) {
  const rows = [...store.orders.values()].filter((row) => row.status !== 'sending').sort(newestFirst);
  // Those whose last event is not later are as they are now; only the others have to be asked for.
  const found = rows.filter((row) => Number(row.seq) <= seq).slice(0, LIST_MAX);
  const waiting = rows.filter((row) => Number(row.seq) > seq).reverse().slice(0, SINGLE_MAX);
  const worker = async () => {
    for (let row = waiting.shift(); row; row = waiting.shift()) {
      const answer = await get(`api/oms/orders/${encodeURIComponent(row.order_id)}?at_seq=${seq}`, { quiet: true });
      if (answer.ok) found.push(answer.data);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return found;
}

/** @param {{ label: string, columns: any[], rows: any[], rowId: (row: any) => string, tie: (a: any, b: any) => number, sort: string, descending: boolean, open?: (row: any) => void }} props */
function StaticGrid({ label, columns, rows, rowId, tie, sort, descending, open }) {
  const frame = useRef(/** @type {any} */ (null));
  const grid = useRef(/** @type {Grid | null} */ (null));
  useLayoutEffect(() => {
    const made = new Grid({ label, columns, rowId, tie, sort, descending, empty: 'Nothing.', open });
    grid.current = made;
    frame.current.append(made.element);
    return () => made.destroy();
  }, []);
  useEffect(() => grid.current?.reset(rows), [rows]);
  return html`<div class="grid-holder past-grid" ref=${frame}></div>`;
}

/** @param {{ place: import('./desk.js').Place, openOrder: (id: string) => void }} props */
export function TimeTravel({ place, openOrder }) {
  useDesk(1000);
  const head = Number(typeof store.seq === 'object' ? 0 : (store.seq ?? 0));
  const asked = place.fields.get('seq');
  const [seq, setSeq] = useState(asked ? Number(asked) : head);
  const [past, setPast] = useState(/** @type {Past | null} */ (null));
  const [reading, setReading] = useState(false);
  const isLive = !place.fields.get('seq');
  const shown = isLive ? head : seq;
  const turn = useRef(0);
  const go = (/** @type {number} */ next) => {
    setSeq(next);
    keepInAddress({ seq: String(next) });
    dispatchEvent(new Event('hashchange'));
  };
  useEffect(() => {
    if (isLive || !head) return undefined;
    const mine = ++turn.current;
    const timer = setTimeout(async () => {
      setReading(true);
      await readPast(seq, (found) => {
        if (mine !== turn.current) return false;
        setPast(found);
        return true;
      });
      if (mine === turn.current) setReading(false);
    }, REST_MS);
    return () => clearTimeout(timer);
  }, [seq, isLive, head > 0]);
  const back = () => {
    keepInAddress({});
    dispatchEvent(new Event('hashchange'));
    turn.current += 1;
    setReading(false);
    setPast(null);
  };
  const rows = useMemo(() => (isLive ? [] : (past?.orders ?? [])), [past?.orders, isLive]);
  const held = useMemo(() => (isLive ? [] : positionsThen(past)), [past?.positions, isLive]);
  const changed = rows.filter((row) => text(store.orders.get(row.order_id)?.seq) !== text(row.seq)).length;
  const newest = rows.reduce((/** @type {string} */ at, row) => (row.updated_at > at ? row.updated_at : at), '');
  const found = past ? `${past.total} orders${past.partial ? ' (read one by one, the newest)' : past.total > rows.length ? `, the newest ${rows.length} are shown` : ''}, ${changed} of them have changed since. ` : '';
  const wait = reading ? (past?.waiting ? `Reading the positions of ${past.waiting} more accounts…` : 'Reading the journal…') : '';
  return html`<div class="screen time">
    <div class="panel"><div class="toolbar"><h1>Time travel</h1><span class="quiet">${isLive ? 'live' : html`as of seq <span class="num">${shown}</span> of <span class="num">${head}</span>${newest ? html`, last change of an order <span class="num">${longTime(newest)}</span>` : ''}`}</span>
        <span class="spacer"></span><button type="button" disabled=${isLive} onClick=${back}>Back to live</button></div>
      <div class="slider"><label for="as-of">As of sequence</label><input id="as-of" type="range" min="1" max=${Math.max(head, 1)} step="1" value=${shown} onInput=${(/** @type {any} */ event) => go(Number(event.target.value))} />
        <div class="replace-fields"><div class="field"><label for="as-of-number">Sequence number</label><input id="as-of-number" class="numeric" inputmode="numeric" value=${shown} onChange=${(/** @type {any} */ event) => { const next = Number(event.target.value); if (next >= 1 && next <= head) go(Math.floor(next)); }} /></div></div></div>
      <p class="hint" role="status">${isLive ? 'Move the slider: one arrow key is one sequence.' : found + wait}</p>
      <${NotAvailable} answer=${isLive ? null : past?.problem} what="The positions at that sequence" />
    </div>
    <section class="panel grow" aria-label="Orders then"><h2>Orders as of</h2><${StaticGrid} label="Orders as of" columns=${ORDER_COLUMNS} rows=${rows} rowId=${(/** @type {any} */ row) => row.order_id} tie=${newestFirst} sort="created_at" descending=${true} open=${(/** @type {any} */ row) => openOrder(row.order_id)} /></section>
    <section class="panel grow" aria-label="Positions then"><h2>Positions as of</h2><${StaticGrid} label="Positions as of" columns=${POSITION_COLUMNS} rows=${held} rowId=${positionId} tie=${positionTie} sort="account" descending=${false} /></section>
  </div>`;
}

/** @param {Past | null} past @returns {any[]} with the mark of that time: the last trade */
function positionsThen(past) {
  return (past?.positions ?? []).map((one) => ({ ...valued(one), mark: text(one.last_price), mark_at: null, realised: one.realised_pnl, unrealised: text(one.unrealised_pnl) }));
}
