/** What changed between two sequences of the journal: orders with each field before and after, positions with what they moved by. */

import { query } from './api.js';
import { number, word } from './columns.js';
import { sign, subtract, text } from './format.js';
import { NotAvailable, State } from './parts.js';
import { StaticGrid, usePast } from './past.js';
import { STATES } from './store.js';
import { html, useMemo, useState } from './ui.js';

const LIST_MAX = 1000;
/** In the words of the columns. */
const NAMES = /** @type {Record<string, string>} */ ({ cum_quantity: 'filled', leaves_quantity: 'leaves', average_price: 'average', stop_price: 'stop price' });
/** What follows from the others, and would only make the sentence longer. */
const FOLLOWS = new Set(['leaves_quantity']);

const ORDER_CHANGES = [
  number('seq', 'Seq', 'minmax(60px, .5fr)'), word('account', 'Account', 'minmax(80px, .8fr)'), word('symbol', 'Symbol', 'minmax(80px, .8fr)'), word('side', 'Side', '58px'),
  number('quantity', 'Quantity', 'minmax(70px, .8fr)'), word('what', 'What changed', 'minmax(320px, 5fr)'),
];
const POSITION_CHANGES = [
  word('account', 'Account', 'minmax(80px, 1fr)'), word('symbol', 'Symbol', 'minmax(80px, 1fr)'), number('before', 'Before', 'minmax(80px, 1fr)'), number('after', 'After', 'minmax(80px, 1fr)'),
  number('change', 'Change', 'minmax(80px, 1fr)', true), number('realised', 'Realised', 'minmax(90px, 1fr)', true), number('fees', 'Fees', 'minmax(80px, 1fr)'), number('seq', 'Seq', 'minmax(60px, .6fr)'),
];

/** @param {any} change of an order @returns {any} a row of the grid */
function orderRow({ before, after, changed }) {
  const field = (/** @type {string} */ name) => `${NAMES[name] ?? name.replaceAll('_', ' ')} ${text(before[name]) || '–'} → ${text(after[name]) || '–'}`;
  const fresh = `new: ${after.type}${after.price ? ` @ ${after.price}` : ''}, ${after.status}${sign(after.cum_quantity) ? ` ${after.cum_quantity}` : ''}`;
  const told = before ? changed.filter((/** @type {string} */ name) => !FOLLOWS.has(name)).map(field).join('; ') || 'an event that changed no field' : fresh;
  return { ...after, what: told };
}

/** @param {any} change of a position @returns {any} a row of the grid */
function positionRow({ before, after }) {
  const moved = (/** @type {string} */ name) => subtract(after[name], before?.[name] ?? '0');
  const { account, symbol, seq } = after;
  return { account, symbol, seq, before: before?.quantity ?? '0', after: after.quantity, change: moved('quantity'), realised: moved('realised_pnl'), fees: moved('fees') };
}

const byId = (/** @type {any} */ row) => row.order_id ?? `${row.account}|${row.symbol}`;
const newest = (/** @type {any} */ a, /** @type {any} */ b) => Number(b.seq) - Number(a.seq) || (byId(a) < byId(b) ? -1 : 1);

/** @param {any} found @returns {string} */
function summary(found) {
  const shown = (/** @type {number} */ all, /** @type {any[]} */ rows) => (all > rows.length ? `, the newest ${rows.length} are shown` : '');
  const old = found.orders_changed - found.orders_new;
  const cut = found.complete ? '' : ` Too many commits lie between: this is up to seq ${found.to_seq}, not ${found.asked_to_seq}.`;
  return `From seq ${found.from_seq} to ${found.to_seq}: ${found.orders_new} new and ${old} changed orders${shown(found.orders_changed, found.orders)}; ${found.positions_changed} positions moved${shown(found.positions_changed, found.positions)}.${cut}`;
}

/** @param {{ from: string, to: number, isLive: boolean, head: number, choose: (from: string) => void, openOrder: (id: string) => void }} props */
export function Changes({ from, to, isLive, head, choose, openOrder }) {
  const [typed, setTyped] = useState(from);
  const [wrong, setWrong] = useState('');
  const isAsked = from !== '' && !isLive && Number(from) <= to;
  const [answer, isReading] = usePast(isAsked ? `changes${query({ from_seq: from, to_seq: to, limit: LIST_MAX, numbers: 'string' })}` : null);
  const found = answer?.ok ? answer.data : null;
  const orders = useMemo(() => (found?.orders ?? []).map(orderRow), [found]);
  const positions = useMemo(() => (found?.positions ?? []).map(positionRow), [found]);
  const submitted = (/** @type {Event} */ event) => {
    event.preventDefault();
    const seq = Number(typed);
    const isSeq = Number.isInteger(seq) && seq >= 1 && seq <= (isLive ? head : to);
    setWrong(isSeq ? '' : `A sequence from 1 to ${isLive ? head : to}.`);
    if (isSeq) choose(String(seq));
  };
  const status = isAsked ? `${found ? summary(found) : ''}${isReading ? ' Reading the journal…' : ''}` : from && Number(from) > to ? `Sequence ${from} is after ${to}.` : '';
  return html`<section class="panel" aria-label="What changed">
    <div class="toolbar"><h2>What changed</h2>
      <form class="toolbar" aria-label="Compare" onSubmit=${submitted}>
        <div class="field inline" data-wrong=${wrong ? 'yes' : null}><label for="since">Since sequence</label><input id="since" class="numeric" inputmode="numeric" autocomplete="off" value=${typed} onInput=${(/** @type {any} */ event) => setTyped(event.target.value)} /></div>
        <button type="submit">Compare</button>${from ? html`<button type="button" onClick=${() => { setTyped(''); choose(''); }}>Clear</button>` : null}
      </form></div>
    <p class=${wrong ? 'error' : 'hint'} role="status" aria-label="Difference">${wrong || status || 'Between an earlier sequence and the one above.'}</p>
    <${NotAvailable} answer=${answer} what="The difference" />
    ${found ? html`<ul class="chips" aria-label="Orders by state, before and after">${STATES.filter((state) => text(found.states_before[state]) !== text(found.states_after[state])).map((state) => html`<li class="chip"><${State} state=${state} /> <span class="num">${found.states_before[state] ?? 0} → ${found.states_after[state] ?? 0}</span></li>`)}</ul>
      <div class="changes"><${StaticGrid} label="Changed orders" columns=${ORDER_CHANGES} rows=${orders} rowId=${byId} tie=${newest} sort="seq" descending=${true} open=${(/** @type {any} */ row) => openOrder(row.order_id)} />
        <${StaticGrid} label="Changed positions" columns=${POSITION_CHANGES} rows=${positions} rowId=${byId} tie=${newest} sort="seq" descending=${true} /></div>` : null}
  </section>`;
}
