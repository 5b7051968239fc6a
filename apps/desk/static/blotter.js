/** All orders, live: filters, counts by state, the grid, cancel and export. */

import { call } from './api.js';
import { keepInAddress, knownAccounts, onChanges, place, store, useDesk } from './desk.js';
import { longTime, micros, shortTime, text } from './format.js';
import { Grid, numberKey, textKey } from './grid.js';
import { needsLook, reasonCell, roleCell, roleKey } from './lists.js';
import { Dialog } from './parts.js';
import { may } from './session.js';
import { isOpen, STATES } from './store.js';
import { html, useEffect, useLayoutEffect, useRef, useState } from './ui.js';

/** @typedef {import('./grid.js').Column} Column */

const CANCELS_AT_ONCE = 4;
const TYPING_MS = 120;

/** @param {string} key @param {string} name @param {string} width @param {boolean} [flash] @returns {Column} */
const number = (key, name, width, flash = false) => ({
  key, name, width, flash, numeric: true, cell: (row) => text(row[key]), sortKey: (row) => numberKey(row[key]),
});

/** @param {string} key @param {string} name @param {string} width @param {boolean} [signed] @returns {Column} */
const word = (key, name, width, signed = false) => ({
  key,
  name,
  width,
  flash: key === 'status',
  cell: (row) => (signed ? { text: text(row[key]), state: row[key] } : text(row[key])),
  sortKey: (row) => textKey(row[key]),
});

/** @type {Column[]} */
export const ORDER_COLUMNS = [
  {
    key: 'created_at', name: 'Time', width: 'minmax(104px, 1.1fr)',
    cell: (row) => ({ text: shortTime(row.created_at), title: longTime(row.created_at) }), sortKey: (row) => createdAt(row),
  },
  word('account', 'Account', 'minmax(62px, 1fr)'),
  word('symbol', 'Symbol', 'minmax(74px, 1fr)'),
  word('side', 'Side', '56px', true),
  { key: 'type', name: 'Type', width: 'minmax(58px, .8fr)', cell: (row) => ({ text: row.type, title: row.type }), sortKey: (row) => textKey(row.type) },
  number('quantity', 'Quantity', 'minmax(68px, 1fr)'),
  {
    key: 'price', name: 'Price', width: 'minmax(74px, 1fr)', numeric: true, flash: true, sortKey: (row) => numberKey(row.price ?? row.stop_price),
    cell: (row) => (row.price || !row.stop_price ? text(row.price) : { text: text(row.stop_price), state: 'stop', title: 'Stop price' }),
  },
  word('status', 'Status', '112px', true),
  number('cum_quantity', 'Filled', 'minmax(60px, 1fr)', true),
  number('leaves_quantity', 'Leaves', 'minmax(60px, 1fr)', true),
  number('average_price', 'Average', 'minmax(78px, 1.1fr)', true),
  { key: 'reason', name: 'Reason', width: 'minmax(80px, 1.9fr)', cell: reasonCell, sortKey: (row) => textKey(row.reason) },
  { key: 'group_id', name: 'List', width: 'minmax(86px, .8fr)', cell: roleCell, sortKey: roleKey, opens: (row) => Boolean(row.group_id) },
  number('seq', 'Seq', 'minmax(56px, .7fr)'),
];

/** @param {any} row @returns {number} when it was created, parsed once: comparing a hundred thousand texts would take a quarter of a second */
const createdAt = (row) => (row.created_us ??= micros(row.created_at));

/** @param {any} a @param {any} b Newest first, and never equal for two orders. */
export const newestFirst = (a, b) => createdAt(b) - createdAt(a) || (a.order_id < b.order_id ? -1 : a.order_id > b.order_id ? 1 : 0);

/** @typedef {{ q: string, account: string, symbol: string, side: string, state: string, list: string }} Filter */

/** @param {Filter} filter @returns {(row: any) => boolean} */
export function matcher(filter) {
  const words = filter.q.toLowerCase().split(/\s+/).filter(Boolean);
  const { account, symbol, side, state, list } = filter;
  return (row) => {
    if (account && row.account !== account) return false;
    if (symbol && row.symbol !== symbol) return false;
    if (side && row.side !== side) return false;
    if (state && (state === 'open' ? !isOpen(row) : row.status !== state)) return false;
    if (list === 'alert' && !needsLook(row)) return false;
    if (!words.length) return true;
    const all = `${row.account} ${row.symbol} ${row.side} ${row.status} ${row.reason ?? ''} ${row.order_id} ${row.client_order_id} ${row.group_id ?? ''} ${row.role ?? ''}`.toLowerCase();
    return words.every((one) => all.includes(one));
  };
}

/** @returns {Filter} */
function filterOfAddress() {
  const { fields } = place();
  const of = (/** @type {string} */ name) => fields.get(name) ?? '';
  return { q: of('q'), account: of('account'), symbol: of('symbol'), side: of('side'), state: of('state'), list: of('list') };
}

/** @type {Grid | null} */
let shown = null;

/** Put the focus on the grid, on the order with this id if it is there. @param {string} [orderId] */
export const focusBlotter = (orderId) => shown?.focus(orderId);

/** @returns {any} the order that the grid has chosen */
export const chosenOrder = () => shown?.active();

/** @param {{ openOrder: (id: string) => void, openList: (id: string, orderId: string) => void, cancelOrders: (rows: any[]) => void }} props */
export function Blotter({ openOrder, openList, cancelOrders }) {
  useDesk(500);
  const [filter, setFilter] = useState(filterOfAddress);
  const frame = useRef(/** @type {any} */ (null));
  const grid = useRef(/** @type {Grid | null} */ (null));
  const open = useRef({ openOrder, openList });
  open.current = { openOrder, openList };

  useLayoutEffect(() => {
    const made = new Grid({
      label: 'Orders', columns: ORDER_COLUMNS, rowId: (row) => row.order_id, tie: newestFirst, sort: 'created_at', descending: true,
      empty: 'No order matches.', keepsPlace: true, open: (row, column) => {
        if (column.opens?.(row)) open.current.openList(row.group_id, row.order_id);
        else if (row.seq !== null) open.current.openOrder(row.order_id);
      },
    });
    grid.current = made;
    shown = made;
    frame.current.append(made.element);
    made.filter(matcher(filterOfAddress()), store.orders.values());
    const stop = onChanges((changes) => {
      if (changes.reset) made.reset(store.orders.values());
      else if (changes.orders.size) made.apply(new Map([...changes.orders.keys()].map((id) => [id, store.orders.get(id)])));
    });
    return () => {
      stop();
      made.destroy();
      shown = null;
    };
  }, []);

  const changeFilter = (/** @type {Partial<Filter>} */ part) => setFilter((before) => ({ ...before, ...part }));
  const isFirst = useRef(true);
  useEffect(() => {
    if (isFirst.current) {
      isFirst.current = false;
      return undefined;
    }
    const timer = setTimeout(() => {
      grid.current?.filter(matcher(filter), store.orders.values());
      keepInAddress(filter);
    }, TYPING_MS);
    return () => clearTimeout(timer);
  }, [filter]);
  useEffect(() => {
    const changed = () => place().screen === 'trade' && setFilter(filterOfAddress());
    addEventListener('hashchange', changed);
    return () => removeEventListener('hashchange', changed);
  }, []);

  const filtered = Object.values(filter).some(Boolean);
  const openShown = () => /** @type {any[]} */ (grid.current?.rows ?? []).filter(isOpen);
  return html`<section class="panel blotter" aria-label="Blotter">
    <div class="toolbar">
      <input type="search" class="filter" aria-label="Filter orders" placeholder="Filter: words, all must match" autocomplete="off" spellcheck=${false}
        value=${filter.q} onInput=${(/** @type {any} */ event) => changeFilter({ q: event.target.value })} />
      <select aria-label="Account filter" value=${filter.account} onChange=${(/** @type {any} */ event) => changeFilter({ account: event.target.value })}>
        <option value="">All accounts</option>
        ${withChosen(knownAccounts(), filter.account).map((account) => html`<option value=${account}>${account}</option>`)}
      </select>
      <select aria-label="Side filter" value=${filter.side} onChange=${(/** @type {any} */ event) => changeFilter({ side: event.target.value })}>
        <option value="">Both sides</option><option value="buy">buy</option><option value="sell">sell</option>
      </select>
      ${filtered ? html`<button type="button" onClick=${() => setFilter({ q: '', account: '', symbol: '', side: '', state: '', list: '' })}>Clear</button>` : null}
      <span class="spacer"></span>
      ${may('cancel') ? html`<button type="button" onClick=${() => cancelOrders(openShown())}>Cancel shown…</button>` : null}
      <button type="button" onClick=${() => download(grid.current?.rows ?? [])}>CSV</button>
    </div>
    <${StateCounts} chosen=${filter.state} choose=${(/** @type {string} */ state) => changeFilter({ state })}
      alerts=${filter.list === 'alert'} chooseAlerts=${() => changeFilter({ list: filter.list ? '' : 'alert' })} />
    <div class="grid-holder" ref=${frame}></div>
  </section>`;
}

/** @param {string[]} all @param {string} chosen */
const withChosen = (all, chosen) => (chosen && !all.includes(chosen) ? [...all, chosen] : all);

/** @param {{ chosen: string, choose: (state: string) => void, alerts: boolean, chooseAlerts: () => void }} props */
function StateCounts({ chosen, choose, alerts, chooseAlerts }) {
  const inAlert = [...store.lists.values()].reduce((count, list) => count + Number(list.status === 'alert'), 0);
  const open = STATES.slice(0, 8).reduce((sum, state) => sum + Number(store.states[state] ?? 0), 0);
  const present = STATES.filter((state) => store.states[state] || state === chosen);
  const chip = (/** @type {string} */ state, /** @type {number} */ count) => html`<button type="button" class="chip" data-state=${state}
    aria-pressed=${chosen === state ? 'true' : 'false'} onClick=${() => choose(chosen === state ? '' : state)}><span class="state" data-state=${state}>${state}</span> <span class="num">${count}</span></button>`;
  return html`<div class="chips" role="group" aria-label="Orders by state, press to filter">
    ${chip('open', open)}${present.map((state) => chip(state, store.states[state] ?? 0))}
    ${inAlert || alerts ? html`<button type="button" class="chip" data-state="alert" aria-pressed=${alerts ? 'true' : 'false'} onClick=${chooseAlerts}><span class="list-status" data-state="alert">lists in alert</span> <span class="num">${inAlert}</span></button>` : null}
  </div>`;
}

/** Save what the grid shows, in its order. @param {any[]} rows */
function download(rows) {
  const fields = ['order_id', 'client_order_id', ...ORDER_COLUMNS.map(({ key }) => key), 'stop_price', 'time_in_force', 'display_quantity', 'role', 'fees', 'updated_at'];
  const quoted = (/** @type {any} */ value) => {
    // A spreadsheet would run a text that begins like a formula; numbers may begin with a minus.
    const raw = text(value);
    const plain = /^[=+@\t]/.test(raw) || /^-\D/.test(raw) ? `'${raw}` : raw;
    return /[",\n]/.test(plain) ? `"${plain.replaceAll('"', '""')}"` : plain;
  };
  const lines = [fields.join(','), ...rows.map((row) => fields.map((field) => quoted(row[field])).join(','))];
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([`${lines.join('\r\n')}\r\n`], { type: 'text/csv' }));
  link.download = `orders-${text(store.seq)}.csv`;
  link.click();
  URL.revokeObjectURL(link.href);
}

/** Ask once, then cancel. @param {{ rows: any[], close: () => void }} props */
export function CancelDialog({ rows, close }) {
  const [progress, setProgress] = useState(/** @type {any} */ (null));
  const [one] = rows;
  const run = async () => {
    const result = { asked: 0, refused: /** @type {string[]} */ ([]) };
    setProgress({ ...result });
    const waiting = [...rows];
    const worker = async () => {
      for (let row = waiting.shift(); row; row = waiting.shift()) {
        const answer = await call('DELETE', `api/oms/orders/${encodeURIComponent(row.order_id)}`);
        if (answer.ok) result.asked += 1;
        else result.refused.push(`${row.symbol} ${row.side} ${row.quantity}: ${answer.problem?.detail} (${answer.problem?.code})`);
        setProgress({ ...result });
      }
    };
    await Promise.all(Array.from({ length: CANCELS_AT_ONCE }, worker));
    if (!result.refused.length) close();
  };
  const what = rows.length === 1 ? `${one.side} ${one.quantity} ${one.symbol}${one.price ? ` @ ${one.price}` : ''}, account ${one.account}` : `${rows.length} open orders`;
  return html`<${Dialog} label="Confirm cancel" role="alertdialog" close=${close}>
    <h2>Cancel ${what}?</h2>
    ${rows.length ? null : html`<p>No open order is shown.</p>`}
    ${progress ? html`<p role="status">${progress.asked} of ${rows.length} asked${progress.refused.length ? `, ${progress.refused.length} refused` : ''}</p>` : null}
    ${progress?.refused.slice(0, 5).map((/** @type {string} */ line) => html`<p class="error">${line}</p>`)}
    <div class="buttons">
      <button type="button" class="danger" data-first disabled=${!rows.length || progress} onClick=${run}>Confirm cancel</button>
      <button type="button" onClick=${close}>${progress ? 'Close' : 'Keep working'}</button>
    </div>
  </${Dialog}>`;
}
