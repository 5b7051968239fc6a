/** Orders that belong together: what their rows show, the list with its orders and story, and its cancel. */

import { get, problemText } from './api.js';
import { ConfirmCancel } from './confirm.js';
import { store, useDesk, useRead } from './desk.js';
import { longTime, shortTime, text } from './format.js';
import { Num, Scroll, Side, State } from './parts.js';
import { may } from './session.js';
import { height, isOpen } from './store.js';
import { flagMeaning, meaning } from './words.js';
import { html, useLayoutEffect, useRef, useState } from './ui.js';

/** Roles of orders that wait in `risk_checked` until their entry trades. */
const HELD_ROLES = new Set(['take_profit', 'stop_loss', 'held', 'closing']);
const ROLES = ['entry', 'take_profit', 'stop_loss', 'held', 'closing', 'leg', 'alternative'];
/** @type {Record<string, string>} */
const AT_SESSIONS = { opg: 'waits for the open', cls: 'waits for the close' };
const FOLLOWING = ['bracket', 'oto'];

/** @param {any} row @returns {boolean} whether it is an order that has to wait for its entry */
export const isHeld = (row) => row.status === 'risk_checked' && HELD_ROLES.has(row.role);

/** @param {any} row @returns {string[]} the flags of its list */
export const flagsOf = (row) => (row.group_id ? (store.lists.get(row.group_id)?.flags ?? []) : []);

/** @param {any} row @returns {boolean} */
export const needsLook = (row) => Boolean(row.group_id) && store.lists.get(row.group_id)?.status === 'alert';

/** @param {any} row @returns {import('./grid.js').Cell} the role of an order in its list */
export function roleCell(row) {
  if (!row.group_id) return { text: text(row.role) }; // It is being sent.
  const list = store.lists.get(row.group_id);
  const tone = list?.status === 'alert' ? 'alert' : list?.flags.length ? 'flagged' : 'listed';
  const flags = list?.flags.length ? `, ${list.flags.join(', ')}` : '';
  return { text: row.role, state: tone, title: `${list?.type ?? (row.role === 'child' ? 'algo' : 'list')} ${row.group_id}${list ? `, ${list.status}` : ''}${flags}` };
}

/** @param {any} row @returns {import('./grid.js').Cell} why it ended, what it waits for, or what its list should be looked at for */
export function reasonCell(row) {
  if (row.reason) return { text: text(row.reason), title: meaning(row.reason) || text(row.reason) };
  const flags = isOpen(row) ? flagsOf(row) : [];
  if (flags.length) return { text: flags.join(', '), state: needsLook(row) ? 'alert' : 'flagged', title: flags.map(flagMeaning).join(' ') };
  if (row.status === 'queued' && AT_SESSIONS[row.time_in_force]) return { text: AT_SESSIONS[row.time_in_force], state: 'waiting' };
  return isHeld(row) ? { text: 'waits for entry', state: 'waiting', title: 'It works once its entry trades.' } : { text: '' };
}

/** @param {any} row @returns {string} legs of one list are neighbours, the entry first, when the column is sorted downwards */
export const roleKey = (row) => (row.group_id ? `${row.group_id} ${ROLES.length - ROLES.indexOf(row.role)}` : '');

/** @typedef {{ list: any, events: any[], problem: any }} LoadedList */

/** @param {string} id @returns {Promise<LoadedList>} */
async function load(id) {
  const path = `api/oms/order-lists/${encodeURIComponent(id)}`;
  const [list, story] = await Promise.all([get(path), get(`${path}/events`)]);
  if (list.ok) store.putFetched(list.data.orders);
  return { list: list.data, events: story.data?.events ?? [], problem: list.problem ?? story.problem };
}

/** @param {{ id: string, close: () => void, openOrder: (id: string) => void, cancel: (rows: any[]) => void, cancelList: (list: any) => void }} props */
export function ListDetails({ id, close, openOrder, cancel, cancelList }) {
  useDesk(150);
  const heading = useRef(/** @type {any} */ (null));
  const loaded = useRead(load, id, text(store.lists.get(id)?.seq));
  useLayoutEffect(() => heading.current?.focus({ preventScroll: true }), [id]);

  const list = loaded?.list ? { ...loaded.list, ...newer(loaded.list, store.lists.get(id)) } : null;
  return html`<section class="panel order" aria-label="List details">
    <header class="order-head">
      <h2 tabindex="-1" ref=${heading}>${list ? `${NAMES[list.type] ?? list.type}, account ${list.account}` : 'List'}</h2>
      ${list ? html`<span class="list-status" data-state=${list.status}>${list.status}${list.reason ? `: ${list.reason}` : ''}</span>` : null}
      <span class="spacer"></span>
      ${list && isUnended(list) && may('cancel') ? html`<button type="button" class="danger-quiet" onClick=${() => cancelList(list)}>Cancel list</button>` : null}
      <button type="button" onClick=${close}>Close</button>
    </header>
    ${loaded?.problem ? html`<p class="error">${problemText(loaded.problem)}</p>` : null}
    ${list ? html`<${Flags} flags=${list.flags} /><${Facts} list=${list} />
      <${Legs} orders=${list.orders} openOrder=${openOrder} cancel=${cancel} />
      <${Story} events=${loaded?.events ?? []} orders=${list.orders} openOrder=${openOrder} />` : loaded?.problem ? null : html`<p class="quiet">Reading the list…</p>`}
  </section>`;
}

/** @type {Record<string, string>} */
const NAMES = { bracket: 'Bracket', oco: 'One cancels other', oto: 'One triggers other', none: 'Basket' };

/** @param {any} list */
const isUnended = (list) => !list.reason && list.status !== 'rejected';

/** @param {any} read @param {any} live @returns {any} the row of the stream if it is newer than what was read */
const newer = (read, live) => (live && height(live.seq) >= height(read.seq) ? live : {});

/** @param {{ flags: string[] }} props */
export const Flags = ({ flags }) => (flags.length
  ? html`<ul class="flags" aria-label="Flags">${flags.map((flag) => html`<li><span class="tag warn">${flag}</span> ${flagMeaning(flag)}</li>`)}</ul>`
  : null);

/** @param {{ list: any }} props */
function Facts({ list }) {
  const facts = [
    ...(FOLLOWING.includes(list.type) ? [['Entered', html`<${Num} value=${list.entry_quantity} />`], ['Released', list.trigger === 'full' ? 'once the entry has ended' : 'with each trade']] : []),
    ...(list.type === 'none' ? [] : [['Exited', html`<${Num} value=${list.exit_quantity} />`]]),
    ...(list.exclusive ? [['Exits', `${list.exclusive}: ${list.exclusive === 'strict' ? 'never both at work' : 'both rest at venues'}`]] : []),
    ...(list.type === 'oco' ? [['A trade', list.reduce ? 'takes its quantity off the others' : 'cancels the others']] : []),
    ['Seq', html`<${Num} value=${list.seq} />`], ['Created', html`<span class="num">${longTime(list.created_at)}</span>`],
    ['client_list_id', html`<span class="mono">${list.client_list_id}</span>`], ['list_id', html`<span class="mono">${list.list_id}</span>`],
  ];
  return html`<dl class="facts">${facts.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

/** @param {{ orders: any[], openOrder: (id: string) => void, cancel: (rows: any[]) => void }} props */
function Legs({ orders, openOrder, cancel }) {
  const legs = orders.map((read) => ({ ...read, ...newer(read, store.orders.get(read.order_id)) }));
  return html`<h3>Orders of the list</h3><${Scroll} label="Orders of the list, scrolls"><table class="table legs" aria-label="Orders of the list">
    <thead><tr><th scope="col">Role</th><th scope="col">Side</th><th scope="col">Symbol</th><th scope="col">Type</th><th scope="col" class="numeric">Quantity</th><th scope="col" class="numeric">Price</th><th scope="col" class="numeric">Stop price</th><th scope="col">Status</th><th scope="col" class="numeric">Filled</th><th scope="col">Reason</th><th scope="col" class="numeric">Order</th></tr></thead>
    <tbody>${legs.map((leg) => html`<tr>
      <td>${leg.role}</td><td><${Side} side=${leg.side} /></td><td>${leg.symbol}</td><td>${leg.type}</td>
      <td class="numeric"><${Num} value=${leg.quantity} /></td><td class="numeric"><${Num} value=${leg.price} /></td><td class="numeric"><${Num} value=${leg.stop_price} /></td>
      <td><${State} state=${leg.status} /></td><td class="numeric"><${Num} value=${leg.cum_quantity} /></td>
      <td>${leg.reason ? html`<span title=${meaning(leg.reason)}>${leg.reason}</span>` : isHeld(leg) ? html`<span class="quiet">waits for its entry</span>` : null}</td>
      <td class="leg-buttons"><button type="button" aria-label=${`Open ${leg.role}`} onClick=${() => openOrder(leg.order_id)}>Open</button>
        ${isOpen(leg) && may('cancel') ? html`<button type="button" class="danger-quiet" aria-label=${`Cancel ${leg.role}`} onClick=${() => cancel([leg])}>Cancel</button>` : null}</td></tr>`)}</tbody>
  </table></${Scroll}>`;
}

/** @param {{ events: any[], orders: any[], openOrder: (id: string) => void }} props */
function Story({ events, orders, openOrder }) {
  const roles = Object.fromEntries(orders.map((order) => [order.order_id, order.role]));
  return html`<h3>Story</h3>
    <ol class="timeline story" aria-label="Story">
      ${events.map((event) => html`<li>
        <span class="timeline-when"><span class="num">${shortTime(event.at)}</span><span class="quiet num">seq ${event.seq}</span></span>
        <span class="timeline-what">${event.description ?? event.told ?? event.type}</span>
        ${event.type.startsWith('List') ? html`<span class="quiet">list</span>` : html`<button type="button" class="seq" title="Open this order" onClick=${() => openOrder(event.order_id)}>${roles[event.order_id] ?? 'order'}</button>`}
      </li>`)}
    </ol>`;
}

/** Ask what becomes of the exits, then cancel. @param {{ list: any, close: () => void }} props */
export function CancelListDialog({ list, close }) {
  const [exits, setExits] = useState('keep');
  const follows = FOLLOWING.includes(list.type);
  const choice = (/** @type {string} */ value, /** @type {string} */ words) => html`<label class="check"><input type="radio" name="exits" value=${value} checked=${exits === value} onChange=${() => setExits(value)} />${words}</label>`;
  return html`<${ConfirmCancel} label="Confirm cancel of list" title=${`Cancel this ${(NAMES[list.type] ?? 'list').toLowerCase()} of account ${list.account}?`}
    path=${`api/oms/order-lists/${encodeURIComponent(list.list_id)}${follows ? `?exits=${exits}` : ''}`} close=${close}>
    <p>${follows ? 'The entry and the orders that wait for it are cancelled.' : 'All its open orders are cancelled.'}</p>
    ${follows ? html`<fieldset class="choices" role="radiogroup" aria-label="Exits that protect a position">
      ${choice('keep', 'Keep the exits of what has traded')}${choice('cancel', 'Cancel the exits too: the position stays without them')}</fieldset>` : null}
  </${ConfirmCancel}>`;
}
