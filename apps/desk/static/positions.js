/** Positions, live: quantity, average, mark and its age, profit and loss, fees; totals by account; reduce and close through the ticket. */

import { number } from './columns.js';
import { knownAccounts, keepInAddress, onChanges, store, useDesk } from './desk.js';
import { absolute, add, ago, half, longTime, multiply, rounded, sign, subtract, text } from './format.js';
import { Grid, numberKey } from './grid.js';
import { Num, Scroll } from './parts.js';
import { fillTicket } from './ticket.js';
import { html, useEffect, useLayoutEffect, useRef, useState } from './ui.js';

/** A mark that is older counts as old, and says so. */
const OLD_MARK_MS = 10_000;
const AGES_MS = 2000;
/** The average is itself rounded by the service, so more places would only show its rounding. */
const UNREALISED_PLACES = 6;

/** @param {any} position @returns {any} with its mark and what it is worth at it */
export function valued(position) {
  const quote = store.marks.get(position.symbol);
  const quoted = quote && quote.bid !== null && quote.ask !== null;
  return valuedAt(position, quoted ? half(add(quote.bid, quote.ask)) : text(position.last_price), quoted ? quote.at : null);
}

/** @param {any} position @param {string} mark @param {string | null} markAt null for the price of the last trade @returns {any} with what it is worth at the mark */
export function valuedAt(position, mark, markAt) {
  const { quantity, average_price: average, realised_pnl: realised } = position;
  const unrealised = mark && average && sign(quantity) ? rounded(multiply(subtract(mark, average), quantity), UNREALISED_PLACES) : '0';
  return { ...position, mark, mark_at: markAt, unrealised, realised };
}

/** @type {import('./grid.js').Column[]} */
export const POSITION_COLUMNS = [
  { key: 'account', name: 'Account', width: 'minmax(90px, 1fr)', cell: (row) => row.account, sortKey: (row) => `${row.account} ${row.symbol}` },
  { key: 'symbol', name: 'Symbol', width: 'minmax(84px, 1fr)', cell: (row) => row.symbol, sortKey: (row) => `${row.symbol} ${row.account}` },
  { ...number('quantity', 'Quantity', 'minmax(90px, 1fr)'), flash: true },
  number('average_price', 'Average', 'minmax(110px, 1.2fr)'),
  {
    key: 'mark', name: 'Mark', width: 'minmax(110px, 1.2fr)', numeric: true, sortKey: (row) => numberKey(row.mark),
    cell: (row) => {
      const age = row.mark_at ? Date.now() - new Date(row.mark_at).getTime() : Infinity;
      const source = row.mark_at ? `middle of the quotes of ${longTime(row.mark_at)}, ${ago(row.mark_at)} old` : 'no fresh quote: the price of the last trade';
      return { text: text(row.mark), state: age > OLD_MARK_MS ? 'old' : undefined, title: source };
    },
  },
  number('realised', 'Realised', 'minmax(100px, 1.1fr)', true),
  number('unrealised', 'Unrealised', 'minmax(110px, 1.1fr)', true),
  number('fees', 'Fees', 'minmax(90px, 1fr)'),
];

/** @param {any} row */
export const positionId = (row) => `${row.account}|${row.symbol}`;

/** @param {any} a @param {any} b */
export const positionTie = (a, b) => (positionId(a) < positionId(b) ? -1 : positionId(a) > positionId(b) ? 1 : 0);

/** @param {{ place: import('./desk.js').Place }} props */
export function Positions({ place }) {
  useDesk(500);
  const account = place.fields.get('account') ?? '';
  const [chosen, setChosen] = useState(/** @type {any} */ (null));
  const frame = useRef(/** @type {any} */ (null));
  const grid = useRef(/** @type {Grid | null} */ (null));

  useLayoutEffect(() => {
    const made = new Grid({
      label: 'Positions', columns: POSITION_COLUMNS, rowId: positionId, tie: positionTie, sort: 'account', descending: false,
      empty: 'No position.', open: (row) => reduce(row, true), chosen: setChosen,
    });
    grid.current = made;
    frame.current.append(made.element);
    const draw = () => made.apply(new Map([...store.positions.values()].map((one) => [positionId(one), valued(one)])));
    const stop = onChanges((changes) => {
      if (changes.reset) made.reset([]);
      if (changes.positions || changes.marks) draw();
    });
    const timer = setInterval(draw, AGES_MS); // A mark grows old without any message.
    return () => {
      stop();
      clearInterval(timer);
      made.destroy();
    };
  }, []);
  useEffect(() => {
    grid.current?.filter((row) => !account || row.account === account, [...store.positions.values()].map(valued));
    setChosen(grid.current?.active() ?? null);
  }, [account]);

  const rows = [...store.positions.values()].filter((one) => !account || one.account === account).map(valued);
  const active = grid.current?.active() ?? chosen;
  const current = active && store.positions.get(positionId(active));
  const isHeld = current && sign(current.quantity) !== 0;
  return html`<div class="screen positions">
    <section class="panel grow" aria-label="Positions list">
      <div class="toolbar">
        <h1>Positions</h1>
        <select aria-label="Account filter" value=${account} onChange=${(/** @type {any} */ event) => { keepInAddress({ account: event.target.value }); dispatchEvent(new Event('hashchange')); }}>
          <option value="">All accounts</option>${knownAccounts().map((one) => html`<option value=${one}>${one}</option>`)}
        </select>
        <span class="spacer"></span>
        <span class="quiet">${isHeld ? html`${current.account} ${current.symbol} <${Num} value=${current.quantity} />` : 'Choose a position'}</span>
        <button type="button" disabled=${!isHeld} onClick=${() => reduce(current, false)}>Reduce…</button>
        <button type="button" disabled=${!isHeld} onClick=${() => reduce(current, true)}>Close…</button>
      </div>
      <div class="grid-holder" ref=${frame}></div>
    </section>
    <${Totals} rows=${rows} />
  </div>`;
}

/** Fill the ticket with an order that can only reduce the position; the person still sends it. @param {any} position @param {boolean} whole */
function reduce(position, whole) {
  if (!position || sign(position.quantity) === 0) return;
  fillTicket({
    account: position.account, symbol: position.symbol, side: sign(position.quantity) > 0 ? 'sell' : 'buy', type: 'market',
    quantity: whole ? absolute(position.quantity) : '', price: '', stop_price: '', time_in_force: 'ioc', reduce_only: true, post_only: false,
  });
  location.hash = 'trade';
  requestAnimationFrame(() => requestAnimationFrame(() => /** @type {HTMLElement | null} */ (document.querySelector('.ticket [name=quantity]'))?.focus()));
}

/** @param {{ rows: any[] }} props */
function Totals({ rows }) {
  /** @type {Map<string, { realised: string, unrealised: string, fees: string, held: number }>} */
  const totals = new Map();
  for (const row of rows) {
    const before = totals.get(row.account) ?? { realised: '0', unrealised: '0', fees: '0', held: 0 };
    totals.set(row.account, {
      realised: add(before.realised, row.realised ?? '0'), unrealised: add(before.unrealised, row.unrealised), fees: add(before.fees, row.fees ?? '0'),
      held: before.held + (sign(row.quantity) ? 1 : 0),
    });
  }
  if (!totals.size) return null;
  const all = [...totals.values()];
  const sum = (/** @type {'realised' | 'unrealised' | 'fees'} */ field) => all.reduce((total, one) => add(total, one[field]), '0');
  const line = (/** @type {any} */ name, /** @type {any} */ one) => html`<tr><td>${name}</td><td class="numeric"><span class="num">${one.held}</span></td><td class="numeric"><${Num} value=${one.realised} signed=${true} /></td>
    <td class="numeric"><${Num} value=${one.unrealised} signed=${true} /></td><td class="numeric"><${Num} value=${one.fees} /></td>
    <td class="numeric"><${Num} value=${subtract(add(one.realised, one.unrealised), one.fees)} signed=${true} /></td></tr>`;
  return html`<section class="panel" aria-label="Totals"><h2>Totals by account</h2><${Scroll} label="Totals by account, scrolls">
    <table class="table narrow" aria-label="Totals by account">
      <thead><tr><th scope="col">Account</th><th scope="col" class="numeric">Symbols held</th><th scope="col" class="numeric">Realised</th><th scope="col" class="numeric">Unrealised</th><th scope="col" class="numeric">Fees</th><th scope="col" class="numeric">After fees</th></tr></thead>
      <tbody>${[...totals].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, one]) => line(html`<a href=${`#risk?account=${encodeURIComponent(name)}`}>${name}</a>`, one))}
        ${totals.size > 1 ? line(html`<strong>All</strong>`, { realised: sum('realised'), unrealised: sum('unrealised'), fees: sum('fees'), held: all.reduce((n, one) => n + one.held, 0) }) : null}</tbody>
    </table></${Scroll}>
    <p class="hint">In the currency of each symbol, without conversion. Fees are not part of realised.</p></section>`;
}
