/** Orders in doubt, how to settle them, and the differences that the last comparison with the venues found. */

import { get, post, problemText } from './api.js';
import { number, word } from './columns.js';
import { onChanges, store, useDesk } from './desk.js';
import { ago, isDecimal, longTime, multiply, shortTime, text } from './format.js';
import { Grid, numberKey, textKey } from './grid.js';
import { Dialog, Field, isSignedIn, NotAvailable, Num, Scroll, useName, usePolled } from './parts.js';
import { fieldOf } from './words.js';
import { html, useEffect, useLayoutEffect, useRef, useState } from './ui.js';

const RECONCILIATION_MS = 5000;
const RUNNING_MS = 500;
const OUTCOMES = {
  never_arrived: 'never_arrived: the venue never had it',
  cancelled: 'cancelled: the venue cancelled it',
  working: 'working: the venue works it',
  filled: 'filled: it traded',
};

/** @type {import('./grid.js').Column[]} */
const COLUMNS = [
  { key: 'updated_at', name: 'Since', width: 'minmax(150px, 1.2fr)', cell: (row) => ({ text: shortTime(row.updated_at), title: `${longTime(row.updated_at)}, ${ago(row.updated_at)} ago` }), sortKey: (row) => textKey(row.updated_at) },
  word('account', 'Account', 'minmax(80px, 1fr)'), word('symbol', 'Symbol', 'minmax(80px, 1fr)'), word('side', 'Side', '64px'),
  number('quantity', 'Quantity', 'minmax(80px, 1fr)'), number('cum_quantity', 'Filled', 'minmax(80px, 1fr)'), number('leaves_quantity', 'Leaves', 'minmax(80px, 1fr)'), number('price', 'Price', 'minmax(90px, 1fr)'),
  { key: 'exposure', name: 'Exposure', width: 'minmax(100px, 1fr)', numeric: true, cell: exposure, sortKey: (row) => numberKey(exposure(row)) },
  word('reason', 'Reason', 'minmax(90px, 1fr)'), number('seq', 'Seq', 'minmax(60px, .6fr)'),
];

/** @param {any} row @returns {string} what may be bought or sold without our knowing, at the order's price or the mark */
function exposure(row) {
  const quote = store.marks.get(row.symbol);
  const price = row.price ?? (row.side === 'buy' ? quote?.ask : quote?.bid);
  return price && row.leaves_quantity ? multiply(price, row.leaves_quantity) : '';
}

const inDoubt = (/** @type {any} */ row) => row.status === 'in_doubt';

/** @param {{ openOrder: (id: string) => void }} props */
export function Doubt({ openOrder }) {
  useDesk(1000);
  const frame = useRef(/** @type {any} */ (null));
  const grid = useRef(/** @type {Grid | null} */ (null));
  const [chosen, setChosen] = useState(/** @type {any} */ (null));
  const [settling, setSettling] = useState(/** @type {any} */ (null));
  const [isRunning, setRunning] = useState(false);
  const [reconciliation, ask] = usePolled(() => get('api/exeq/reconciliation', { quiet: true }), isRunning ? RUNNING_MS : RECONCILIATION_MS, [isRunning]);
  useEffect(() => setRunning(Boolean(reconciliation?.data?.running)), [reconciliation]);
  useLayoutEffect(() => {
    const made = new Grid({
      label: 'Orders in doubt', columns: COLUMNS, rowId: (row) => row.order_id, tie: (a, b) => (a.order_id < b.order_id ? -1 : a.order_id > b.order_id ? 1 : 0),
      sort: 'updated_at', descending: false, empty: 'No order is in doubt.', open: (row) => openOrder(row.order_id), chosen: setChosen,
    });
    grid.current = made;
    frame.current.append(made.element);
    made.filter(inDoubt, store.orders.values());
    setChosen(made.active() ?? null);
    const stop = onChanges((changes) => {
      if (changes.reset) made.reset(store.orders.values());
      else made.apply(new Map([...changes.orders.keys()].map((id) => [id, store.orders.get(id)])));
      setChosen(made.active() ?? null);
    });
    return () => {
      stop();
      made.destroy();
    };
  }, []);
  const count = Number(store.states.in_doubt ?? 0);
  const target = grid.current?.active() ?? chosen ?? [...store.orders.values()].find(inDoubt);
  return html`<div class="screen">
    <section class="panel grow" aria-label="Doubt">
      <div class="toolbar"><h1>Orders in doubt</h1><span class="quiet"><span class="num">${count}</span> in doubt</span><span class="spacer"></span>
        <button type="button" disabled=${!target} onClick=${() => setSettling(target)}>Settle …</button></div>
      <p class="hint">An order is in doubt when the venue did not answer in time. Only the venue, or a person who asked it, can say what became of it; no timer does.</p>
      <div class="grid-holder" ref=${frame}></div>
    </section>
    <${Reconciliation} answer=${reconciliation} ask=${ask} />
    ${settling ? html`<${Settle} order=${settling} close=${() => setSettling(null)} />` : null}
  </div>`;
}

/** @param {{ answer: any, ask: () => void }} props */
function Reconciliation({ answer, ask }) {
  const [asked, setAsked] = useState(/** @type {{ passes: number, failed: number, problem: any } | null} */ (null));
  const { running, passes, failed } = answer?.data ?? {};
  const start = async () => {
    const started = await post('api/exeq/reconciliation', undefined);
    setAsked({ passes, failed, problem: started.problem });
    ask();
  };
  const pass = answer?.data?.last_pass;
  const rows = (pass?.venues ?? []).flatMap((/** @type {any} */ venue) => venue.differences.map((/** @type {any} */ one) => ({ ...one, venue: venue.venue })));
  return html`<section class="panel" aria-label="Reconciliation">
    <div class="toolbar"><h2>Last reconciliation</h2><span class="spacer"></span>${answer?.ok ? html`<button type="button" disabled=${running} onClick=${start}>Reconcile now</button>` : null}</div>
    <p class="hint" role="status" aria-label="Reconciliation result">${reconciled(answer?.data, asked)}</p>
    <${NotAvailable} answer=${answer} what="The last reconciliation" />
    ${answer?.ok ? html`<p class="quiet">${pass ? html`Compared <span class="num">${longTime(pass.at)}</span>: ${pass.venues.map((/** @type {any} */ one) => `${one.venue} ${one.orders} orders, ${one.trades} trades, ${one.repaired} repaired, ${one.left} left`).join('; ')}${pass.not_compared.length ? `; not compared: ${pass.not_compared.join(', ')}` : ''}` : 'No comparison since exeq started.'}</p>
      ${answer.data.last_failure ? html`<p class="notice">Last failure, ${longTime(answer.data.last_failure.at)}: ${answer.data.last_failure.reason}</p>` : null}
      <${Scroll} label="Reconciliation differences, scrolls"><table class="table" aria-label="Reconciliation differences">
        <thead><tr><th scope="col">Venue</th><th scope="col">Difference</th><th scope="col">Account</th><th scope="col">Symbol</th><th scope="col">Order</th><th scope="col">About</th><th scope="col">Ours</th><th scope="col">Theirs</th><th scope="col">Outcome</th></tr></thead>
        <tbody>${rows.length ? rows.map((/** @type {any} */ one) => html`<tr><td>${one.venue}</td><td>${one.what}</td><td>${one.account}</td><td>${one.symbol}</td><td>${one.order_id ? html`<a class="mono" href=${`#order/${one.order_id}`}>${text(one.order_id).slice(0, 8)}</a>` : ''}</td>
          <td>${one.about}</td><td class="num">${one.ours}</td><td class="num">${one.theirs}</td><td>${one.outcome}${one.repair ? ` by ${one.repair}` : ''}</td></tr>`) : html`<tr><td colspan="9" class="quiet">No difference.</td></tr>`}</tbody></table></${Scroll}>
      <p class="hint">It runs by itself every minute, and repairs what can be repaired. To look only: <code>trade reconcile --dry-run</code>.</p>` : null}
  </section>`;
}

/** @param {any} now @param {{ passes: number, failed: number, problem: any } | null} asked @returns {string} what became of a comparison that was asked for here */
function reconciled(now, asked) {
  if (now?.running) return now.began_at ? `Comparing the venues with the journal since ${shortTime(now.began_at)}…` : 'Comparing the venues with the journal…';
  if (asked?.problem) return problemText(asked.problem);
  if (!asked || !now) return '';
  if (now.passes === asked.passes) return now.failed > asked.failed ? `Could not be compared: ${now.last_failure?.reason ?? 'unknown'}` : '';
  const of = (/** @type {'repaired' | 'left'} */ name) => now.last_pass.venues.reduce((/** @type {number} */ sum, /** @type {any} */ one) => sum + one[name], 0);
  return `Compared: ${of('repaired')} repaired, ${of('left')} left.`;
}

/** @param {{ order: any, close: () => void }} props */
function Settle({ order, close }) {
  const [name, setName] = useName();
  const [outcome, setOutcome] = useState('never_arrived');
  const [reason, setReason] = useState('');
  const [trade, setTrade] = useState({ quantity: text(order.leaves_quantity), price: text(order.price) });
  const [asked, setAsked] = useState('');
  const [told, setTold] = useState(/** @type {any} */ (null));
  const [token, setToken] = useState('');
  // What was asked of the venue last: the person must ask it about just that.
  useEffect(() => {
    void get(`api/oms/orders/${encodeURIComponent(order.order_id)}/events`).then((answer) => setAsked((answer.data?.events ?? []).slice(-3).map((/** @type {any} */ one) => one.description ?? one.told).join(' ')));
  }, [order.order_id]);
  const submitted = async (/** @type {Event} */ event) => {
    event.preventDefault();
    if (!name.trim() || !reason.trim()) {
      setTold({ field: name.trim() ? 'reason' : 'who', text: name.trim() ? 'Why? It is recorded.' : 'Who are you?' });
      return;
    }
    const traded = outcome === 'filled' ? { quantity: trade.quantity.trim(), price: trade.price.trim() } : {};
    if (outcome === 'filled' && (!isDecimal(trade.quantity) || !isDecimal(trade.price))) {
      setTold({ field: 'quantity', text: 'Quantity and price of the trade are needed.' });
      return;
    }
    const answer = await post(`api/oms/orders/${encodeURIComponent(order.order_id)}/settle`, { outcome, who: name.trim(), reason: reason.trim(), ...traded, ...(token ? { token } : {}) });
    if (answer.ok && answer.status === 202) {
      setToken(answer.data.token);
      setTold({ text: `A second person must settle it with the same outcome until ${longTime(answer.data.expires_at)}.` });
    } else if (answer.ok) close();
    else setTold({ field: answer.problem ? fieldOf(answer.problem) : null, text: problemText(answer.problem) });
  };
  const typed = (/** @type {(value: string) => void} */ set) => (/** @type {any} */ event) => set(event.target.value);
  const wrong = (/** @type {string} */ field) => (told?.field === field ? told.text : undefined);
  return html`<${Dialog} label="Settle order" close=${close}>
    <form aria-label="Settlement" novalidate onSubmit=${submitted}>
      <h2>Settle ${order.side} <${Num} value=${order.quantity} /> ${order.symbol}</h2>
      <p class="quiet">Account ${order.account}, filled <${Num} value=${order.cum_quantity} />, leaves <${Num} value=${order.leaves_quantity} />, in doubt since ${longTime(order.updated_at)}.</p>
      ${asked ? html`<p class="hint">${asked}</p>` : null}
      <${Field} label="Outcome" id="settle-outcome" error=${wrong('outcome')}><select id="settle-outcome" data-first value=${outcome} onChange=${typed(setOutcome)}>${Object.entries(OUTCOMES).map(([value, words]) => html`<option value=${value}>${words}</option>`)}</select></${Field}>
      ${outcome === 'filled' ? html`<div class="fields"><${Field} label="Quantity traded" id="settle-quantity" error=${wrong('quantity')}><input id="settle-quantity" class="numeric" inputmode="decimal" value=${trade.quantity} onInput=${typed((quantity) => setTrade({ ...trade, quantity }))} /></${Field}>
        <${Field} label="Price traded" id="settle-price" error=${wrong('price')}><input id="settle-price" class="numeric" inputmode="decimal" value=${trade.price} onInput=${typed((price) => setTrade({ ...trade, price }))} /></${Field}></div>` : null}
      <${Field} label="Your name" id="settle-name" error=${wrong('who')}><input id="settle-name" autocomplete="off" value=${name} readonly=${isSignedIn()} onInput=${typed(setName)} /></${Field}>
      <${Field} label="Reason" id="settle-reason" error=${wrong('reason')}><input id="settle-reason" autocomplete="off" maxlength="200" value=${reason} onInput=${typed(setReason)} /></${Field}>
      <p class="error" role="status">${told?.text ?? ''}</p>
      <div class="buttons"><button type="submit" class="primary">Settle</button><button type="button" onClick=${close}>Close</button></div>
    </form></${Dialog}>`;
}
