/** Algos: a quantity that is worked over time with child orders. All of them, the one that is open, and pause, resume and cancel. */

import { call, get, problemText } from './api.js';
import { number, word } from './columns.js';
import { ConfirmCancel } from './confirm.js';
import { knownAccounts, keepInAddress, onChanges, place as placeNow, store, useDesk, useRead } from './desk.js';
import { longTime, shortTime, text } from './format.js';
import { Grid, numberKey, textKey } from './grid.js';
import { Flags } from './lists.js';
import { Num, Scroll, Side, State } from './parts.js';
import { may } from './session.js';
import { CLOSED_ALGOS, height, isOpen } from './store.js';
import { html, useEffect, useLayoutEffect, useRef, useState } from './ui.js';
import { flagMeaning, meaning } from './words.js';

/** Child orders that the details show: the newest ones. */
const CHILDREN_MAX = 50;

/** @param {any} row */
const isWorking = (row) => !CLOSED_ALGOS.has(row.status);

/** @param {any} row @returns {string} `3 of 10`; an iceberg has no number of slices */
const slices = (row) => (row.slices_total === null ? text(row.slices_done) : `${row.slices_done} of ${row.slices_total}`);

/** @param {any} row @returns {string} why it paused or ended, and what a person should look at */
const reasons = (row) => [row.reason, ...row.flags].filter(Boolean).join(', ');

/** @param {string} key @param {string} name @param {string} width @returns {import('./grid.js').Column} */
const time = (key, name, width) => ({
  key, name, width, sortKey: (row) => textKey(row[key]), cell: (row) => (row[key] ? { text: shortTime(row[key]), title: longTime(row[key]) } : { text: '' }),
});

/** @type {import('./grid.js').Column[]} */
const COLUMNS = [
  time('created_at', 'Created', 'minmax(102px, .8fr)'),
  word('account', 'Account', 'minmax(80px, 1fr)'),
  { ...word('client_algo_id', 'Algo', 'minmax(90px, 1.1fr)'), opens: () => true },
  word('side', 'Side', '62px'),
  word('symbol', 'Symbol', 'minmax(80px, .9fr)'),
  word('strategy', 'Strategy', 'minmax(72px, .7fr)'),
  number('quantity', 'Quantity', 'minmax(80px, 1fr)'),
  { ...number('cum_quantity', 'Filled', 'minmax(80px, 1fr)'), flash: true },
  number('working_quantity', 'Working', 'minmax(72px, .9fr)'),
  number('average_price', 'Average', 'minmax(110px, 1.2fr)'),
  { key: 'slices', name: 'Slices', width: 'minmax(78px, .8fr)', numeric: true, cell: (row) => ({ text: slices(row) }), sortKey: (row) => numberKey(row.slices_done) },
  time('next_at', 'Next', 'minmax(102px, .8fr)'),
  time('end_at', 'Ends', 'minmax(102px, .8fr)'),
  { key: 'status', name: 'Status', width: 'minmax(96px, .9fr)', cell: (row) => ({ text: row.status, state: row.status }), sortKey: (row) => row.status },
  {
    key: 'reason', name: 'Reason', width: 'minmax(90px, 1.1fr)', sortKey: reasons,
    cell: (row) => ({ text: reasons(row), state: row.alert ? 'flagged' : row.status === 'rejected' ? undefined : 'waiting', title: [meaning(row.reason), ...row.flags.map(flagMeaning)].filter(Boolean).join(' ') || reasons(row) }),
  },
];

/** @param {any} a @param {any} b the newest first */
const newestFirst = (a, b) => (a.created_at > b.created_at ? -1 : a.created_at < b.created_at ? 1 : a.algo_id < b.algo_id ? -1 : Number(a.algo_id > b.algo_id));

/** @param {string} id */
function openAlgo(id) {
  const { fields } = placeNow();
  location.hash = `algos${id ? `/${encodeURIComponent(id)}` : ''}${fields.size ? `?${fields}` : ''}`;
}

/** @param {{ place: import('./desk.js').Place, openOrder: (id: string) => void }} props */
export function Algos({ place, openOrder }) {
  useDesk(500);
  const account = place.fields.get('account') ?? '';
  const frame = useRef(/** @type {any} */ (null));
  const grid = useRef(/** @type {Grid | null} */ (null));
  const [cancelling, setCancelling] = useState(/** @type {any} */ (null));

  useLayoutEffect(() => {
    const made = new Grid({
      label: 'Algos', columns: COLUMNS, rowId: (row) => row.algo_id, tie: newestFirst, sort: 'created_at', descending: true, empty: 'No algo.', open: (row) => openAlgo(row.algo_id),
    });
    grid.current = made;
    frame.current.append(made.element);
    const stop = onChanges((changes) => {
      if (changes.reset) made.reset(store.algos.values());
      else if (changes.algos.size) made.apply(new Map([...changes.algos].map((id) => [id, store.algos.get(id)])));
    });
    return () => {
      stop();
      made.destroy();
    };
  }, []);
  useEffect(() => {
    grid.current?.filter((row) => !account || row.account === account, store.algos.values());
  }, [account]);

  const working = [...store.algos.values()].filter(isWorking).length;
  const row = store.algos.get(place.id);
  return html`<div class="screen algos">
    <section class="panel grow" aria-label="Algos list">
      <div class="toolbar">
        <h1>Algos</h1>
        <select aria-label="Account filter" value=${account} onChange=${(/** @type {any} */ event) => { keepInAddress({ account: event.target.value }); dispatchEvent(new Event('hashchange')); }}>
          <option value="">All accounts</option>${knownAccounts().map((one) => html`<option value=${one}>${one}</option>`)}
        </select>
        <span class="spacer"></span>
        <span class="quiet"><span class="num">${working}</span> open</span>
      </div>
      <div class="grid-holder" ref=${frame}></div>
    </section>
    ${place.id ? html`<${Details} id=${place.id} row=${row} openOrder=${openOrder} cancel=${setCancelling} key=${place.id} />` : html`<p class="hint">Enter, or a click on its name, opens an algo. <code>trade algo submit</code> starts one.</p>`}
    ${cancelling ? html`<${ConfirmCancel} label="Confirm cancel of algo" title=${`Cancel this ${cancelling.strategy} of account ${cancelling.account}?`}
      path=${`api/oms/algos/${encodeURIComponent(cancelling.algo_id)}`} close=${() => setCancelling(null)}><p>No slice follows, and its open order is cancelled. What has traded stays.</p></${ConfirmCancel}>` : null}
  </div>`;
}

/** Read an algo, and its report once it has ended. @param {string} id @returns {Promise<{ algo: any, report: any, problem: any }>} */
async function load(id) {
  const path = `api/oms/algos/${encodeURIComponent(id)}`;
  const algo = await get(path);
  const report = algo.data && !isWorking(algo.data) ? await get(`${path}/report`) : null;
  return { algo: algo.data, report: report?.data, problem: algo.problem ?? report?.problem };
}

/** @param {{ id: string, row: any, openOrder: (id: string) => void, cancel: (algo: any) => void }} props */
function Details({ id, row, openOrder, cancel }) {
  const heading = useRef(/** @type {any} */ (null));
  const [told, setTold] = useState('');
  // What changes with every slice is in the row of the stream: the rest is read again only when the state changes.
  const loaded = useRead(load, id, row ? `${row.status} ${reasons(row)}` : '');
  useLayoutEffect(() => heading.current?.focus({ preventScroll: true }), [id]);
  const algo = loaded?.algo || row ? { ...loaded?.algo, ...(row && height(row.seq) >= height(loaded?.algo?.seq) ? row : {}) } : null;
  const change = async (/** @type {'pause' | 'resume'} */ what) => {
    setTold('');
    const answer = await call('POST', `api/oms/algos/${encodeURIComponent(id)}/${what}`, {});
    if (!answer.ok) setTold(answer.unknown ? `It is not known whether the request arrived; it can be sent again. ${problemText(answer.problem)}` : problemText(answer.problem));
  };
  return html`<section class="panel order" aria-label="Algo details">
    <header class="order-head">
      <h2 tabindex="-1" ref=${heading}>${algo ? html`<${Side} side=${algo.side} /> <${Num} value=${algo.quantity} /> ${algo.symbol}, ${algo.strategy}, account ${algo.account}` : 'Algo'}</h2>
      ${algo ? html`<${State} state=${algo.status} />` : null}
      <span class="spacer"></span>
      ${algo && ['accepted', 'working'].includes(algo.status) && may('cancel') ? html`<button type="button" onClick=${() => change('pause')}>Pause</button>` : null}
      ${algo?.status === 'paused' && may('trade') ? html`<button type="button" onClick=${() => change('resume')}>Resume</button>` : null}
      ${algo && isWorking(algo) && algo.status !== 'ending' && may('cancel') ? html`<button type="button" class="danger-quiet" onClick=${() => cancel(algo)}>Cancel algo</button>` : null}
      <button type="button" onClick=${() => openAlgo('')}>Close</button>
    </header>
    <p class="error" role="alert">${told || (loaded?.problem ? problemText(loaded.problem) : '')}</p>
    ${algo ? html`<${Flags} flags=${algo.flags} /><${Facts} algo=${algo} report=${loaded?.report} /><${Children} id=${id} openOrder=${openOrder} />` : loaded?.problem ? null : html`<p class="quiet">Reading the algo…</p>`}
  </section>`;
}

/** @param {{ algo: any, report: any }} props */
function Facts({ algo, report }) {
  const against = (/** @type {any} */ one) => html`<${Num} value=${one.bps} /> bps, <${Num} value=${one.money} />`;
  const facts = [
    ['Filled', html`<${Num} value=${algo.cum_quantity} />`], ['Leaves', html`<${Num} value=${algo.leaves_quantity} />`],
    ['Working', html`<${Num} value=${algo.working_quantity} />`],
    ...(algo.doubtful_quantity && algo.doubtful_quantity !== '0' ? [['In doubt', html`<${Num} value=${algo.doubtful_quantity} />`]] : []),
    ['Average', html`<${Num} value=${algo.average_price} />`],
    ...(algo.limit_price ? [['Limit price', html`<${Num} value=${algo.limit_price} />`]] : []),
    ['Slices', slices(algo)],
    ...(algo.next_at ? [['Next slice', html`<span class="num">${longTime(algo.next_at)}</span>`]] : []),
    ...(algo.reason ? [['Reason', html`<span title=${meaning(algo.reason)}>${algo.reason}</span>`]] : []),
    ...(report?.to_arrival ? [['Worse than arrival by', against(report.to_arrival)]] : []),
    ...(report?.to_twap ? [['Worse than TWAP by', against(report.to_twap)]] : []),
    ['Starts', html`<span class="num">${longTime(algo.start_at)}</span>`],
    ...(algo.end_at ? [['Ends', html`<span class="num">${longTime(algo.end_at)}</span>`]] : []),
    ['client_algo_id', html`<span class="mono">${algo.client_algo_id}</span>`], ['algo_id', html`<span class="mono">${algo.algo_id}</span>`],
  ];
  return html`<dl class="facts">${facts.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

/** @param {{ id: string, openOrder: (id: string) => void }} props */
function Children({ id, openOrder }) {
  const all = [...(store.legs.get(id) ?? [])].map((child) => /** @type {any} */ (store.orders.get(child))).filter(Boolean);
  all.sort((a, b) => (a.created_at < b.created_at ? 1 : -1));
  const shown = all.slice(0, CHILDREN_MAX);
  return html`<h3>Orders of the algo${all.length > shown.length ? html` <span class="quiet">the newest <span class="num">${shown.length}</span> of <span class="num">${all.length}</span></span>` : ''}</h3>
    ${shown.length ? html`<${Scroll} label="Orders of the algo, scrolls"><table class="table legs" aria-label="Orders of the algo">
      <thead><tr><th scope="col">Created</th><th scope="col">Type</th><th scope="col" class="numeric">Quantity</th><th scope="col" class="numeric">Price</th><th scope="col">Status</th><th scope="col" class="numeric">Filled</th><th scope="col" class="numeric">Average</th><th scope="col">Reason</th><th scope="col" class="numeric">Order</th></tr></thead>
      <tbody>${shown.map((child) => html`<tr data-open=${isOpen(child) ? 'yes' : null}>
        <td><span class="num">${shortTime(child.created_at)}</span></td><td>${child.type} ${child.time_in_force}</td>
        <td class="numeric"><${Num} value=${child.quantity} /></td><td class="numeric"><${Num} value=${child.price} /></td>
        <td><${State} state=${child.status} /></td><td class="numeric"><${Num} value=${child.cum_quantity} /></td><td class="numeric"><${Num} value=${child.average_price} /></td>
        <td>${child.reason ? html`<span title=${meaning(child.reason)}>${child.reason}</span>` : null}</td>
        <td class="leg-buttons"><button type="button" onClick=${() => openOrder(child.order_id)}>Open</button></td></tr>`)}</tbody>
    </table></${Scroll}>` : html`<p class="quiet">No order yet.</p>`}`;
}
