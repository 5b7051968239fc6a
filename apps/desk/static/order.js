/** One order: timeline, decision, routing, path, raw events, its state at an earlier step, replace and cancel. */

import { call, get, problemText } from './api.js';
import { store, useDesk, useRead } from './desk.js';
import { between, isDecimal, longTime, shortTime, text } from './format.js';
import { Machine, machineLayout } from './lifecycle.js';
import { flagsOf, isHeld } from './lists.js';
import { Checks, Num, Scroll, Side, State } from './parts.js';
import { chosenVenues } from './preview.js';
import { may } from './session.js';
import { height, isOpen } from './store.js';
import { checkName, fieldOf, meaning } from './words.js';
import { html, useEffect, useLayoutEffect, useRef, useState } from './ui.js';

/** @typedef {{ order: any, events: any[], routes: any, decision: any, problem: any }} Loaded */

/** @type {Record<string, string>} */
const REPLACEABLE = { quantity: 'New quantity', price: 'New price', stop_price: 'New stop price', trail_amount: 'New trail amount', trail_percent: 'New trail percent' };

/** @param {string} id @returns {Promise<Loaded>} */
async function load(id) {
  const name = encodeURIComponent(id);
  const [order, timeline, routes, decision] = await Promise.all([
    get(`api/oms/orders/${name}`), get(`api/oms/orders/${name}/events`),
    get(`api/exeq/routes/${name}`, { quiet: true }), get(`api/risk/risk/decisions/${name}`, { quiet: true }),
  ]);
  if (order.ok) store.putFetched([order.data]);
  return { order: order.data, events: timeline.data?.events ?? [], routes: routes.data, decision: decision.data, problem: order.problem };
}

/** @param {{ id: string, close: () => void, cancel: (rows: any[]) => void, openList: (id: string, orderId?: string) => void }} props */
export function OrderDetails({ id, close, cancel, openList }) {
  useDesk(150);
  const [past, setPast] = useState(/** @type {any} */ (null));
  const heading = useRef(/** @type {any} */ (null));
  const live = store.orders.get(id);
  const loaded = useRead(load, id, text(live?.seq));
  useEffect(() => setPast(null), [id]);
  useLayoutEffect(() => heading.current?.focus({ preventScroll: true }), [id]);

  const order = live && loaded?.order && height(live.seq) >= height(loaded.order.seq) ? { ...loaded.order, ...live } : (loaded?.order ?? live);
  const showPast = async (/** @type {any} */ at) => setPast({ id, seq: at, answer: await get(`api/oms/orders/${encodeURIComponent(id)}?at_seq=${at}`) });
  return html`<section class="panel order" aria-label="Order details">
    <header class="order-head">
      <h2 tabindex="-1" ref=${heading}>${order ? html`<${Side} side=${order.side} /> <${Num} value=${order.quantity} /> ${order.symbol}${order.price ? html` @ <${Num} value=${order.price} />` : ''}` : 'Order'}</h2>
      ${order ? html`<${State} state=${order.status} />` : null}
      <span class="spacer"></span>
      ${order?.group_id ? html`<button type="button" onClick=${() => openList(order.group_id, id)}>${order.role === 'child' ? 'Open algo' : 'Open list'}</button>` : null}
      ${order && isOpen(order) && may('cancel') ? html`<button type="button" class="danger-quiet" onClick=${() => cancel([order])}>Cancel order</button>` : null}
      <button type="button" onClick=${close}>Close</button>
    </header>
    ${loaded?.problem ? html`<p class="error">${problemText(loaded.problem)}</p>` : null}
    ${order ? html`<${Facts} order=${order} />` : html`<p class="quiet">Reading the order…</p>`}
    <div class="order-body">
      <div class="order-column">
        <${Timeline} events=${loaded?.events ?? []} showPast=${showPast} past=${past?.id === id ? past : null} back=${() => setPast(null)} />
        ${order && isOpen(order) && may('trade') ? html`<${Replace} order=${order} key=${id} />` : null}
        <${Copies} order=${loaded?.order} />
        ${loaded?.events.length ? html`<details><summary>Raw events</summary><pre tabindex="0" aria-label="Raw events">${loaded.events.map((event) => JSON.stringify(event)).join('\n')}</pre></details>` : null}
      </div>
      <div class="order-column">
        <${Decision} loaded=${loaded} />
        <${Routing} routes=${loaded?.routes} events=${loaded?.events ?? []} />
        <${Fills} events=${loaded?.events ?? []} />
      </div>
      <div class="order-path"><${Path} events=${loaded?.events ?? []} status=${order?.status} /></div>
    </div>
  </section>`;
}

/** @param {{ order: any }} props */
function Facts({ order }) {
  const facts = [
    ['Filled', html`<${Num} value=${order.cum_quantity} />`], ['Leaves', html`<${Num} value=${order.leaves_quantity} />`],
    ['Average', html`<${Num} value=${order.average_price} />`], ['Fees', html`<${Num} value=${order.fees} />`],
    ['Account', order.account], ['Type', `${order.type} ${order.time_in_force}`],
    ...(order.stop_price ? [['Stop price', html`<${Num} value=${order.stop_price} />`]] : []),
    ...(order.display_quantity ? [['Shown at a time', html`<${Num} value=${order.display_quantity} />`]] : []),
    ...trailFacts(order.trail),
    ...(order.release_at ? [[order.time_in_force === 'opg' ? 'At the open' : 'At the close', html`<span class="num">${longTime(order.release_at)}</span>${order.emulated ? html` <span class="quiet">held here: no venue has auctions</span>` : null}`]] : []),
    ...(order.group_id ? [['In its list', `${order.role}${isHeld(order) ? ', waits for its entry' : ''}${flagsOf(order).map((flag) => `, ${flag}`).join('')}`]] : []),
    ...(order.reason ? [['Reason', html`<span title=${meaning(order.reason)}>${order.reason}</span>`]] : []),
    ...(order.replacing ? [['Waits for', JSON.stringify(order.replacing)]] : []),
    ['Seq', html`<${Num} value=${order.seq} />`], ['Created', html`<span class="num">${longTime(order.created_at)}</span>`],
    ['client_order_id', html`<span class="mono">${order.client_order_id}</span>`], ['order_id', html`<span class="mono">${order.order_id}</span>`],
  ];
  return html`<dl class="facts">${facts.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

/** @param {any} trail @returns {any[]} how a stop follows the market, and how far it is */
function trailFacts(trail) {
  if (!trail) return [];
  const { trail_amount, trail_percent, trail_trigger, best, activation_price, limit_offset } = trail;
  return [
    ['Trails', html`<${Num} value=${trail_amount ?? trail_percent} unit=${trail_amount === null ? '%' : ''} /> behind the ${trail_trigger}`],
    ['Best seen', html`<${Num} value=${best} />`],
    ...(activation_price === null ? [] : [['Begins at', html`<${Num} value=${activation_price} />`]]),
    ...(limit_offset === null ? [] : [['Limit behind its stop', html`<${Num} value=${limit_offset} />`]]),
  ];
}

/** @param {{ events: any[], showPast: (seq: any) => void, past: any, back: () => void }} props */
function Timeline({ events, showPast, past, back }) {
  return html`<h3>Timeline</h3>
    <ol class="timeline" aria-label="Timeline">
      ${events.map((event, n) => html`<li>
        <span class="timeline-when"><span class="num">${shortTime(event.at)}</span>
          <span class="quiet num">${n ? `+${between(events[n - 1].at, event.at)}` : ''}</span></span>
        <span class="timeline-what"><${State} state=${event.status} /> ${event.description ?? event.told ?? event.type}</span>
        <button type="button" class="seq" title="The order as it was here" aria-pressed=${past?.seq === event.seq ? 'true' : 'false'}
          onClick=${() => (past?.seq === event.seq ? back() : showPast(event.seq))}>seq ${event.seq}</button>
      </li>`)}
    </ol>
    ${past ? html`<div class="past" role="status">${past.answer.ok
      ? html`As of seq ${past.seq}: <${State} state=${past.answer.data.status} />, filled <${Num} value=${past.answer.data.cum_quantity} />, leaves <${Num} value=${past.answer.data.leaves_quantity} />, average <${Num} value=${past.answer.data.average_price} />`
      : problemText(past.answer.problem)}</div>` : null}`;
}

/** @param {{ loaded: Loaded | null }} props */
function Decision({ loaded }) {
  if (!loaded) return null;
  const checked = loaded.events.find((event) => event.checks);
  const decision = loaded.decision ?? checked;
  if (!decision?.checks) return html`<h3>Decision</h3><p class="quiet hint">Risk has recorded no decision on it.</p>`;
  const reason = decision.reason ?? (loaded.order?.status === 'rejected' ? loaded.order.reason : null);
  const prices = (decision.prices ?? []).map((/** @type {any} */ one, /** @type {number} */ n) => html`<span>${n ? ', ' : ''}${one.name} <${Num} value=${one.price} />${one.age_ms === undefined ? '' : `, ${one.age_ms} ms old`}</span>`);
  return html`<h3>Decision</h3>
    <p class="verdict" data-approved=${decision.approved === false ? 'no' : 'yes'}><strong>${decision.approved === false ? `refused: ${reason}` : 'approved'}</strong>
      <span class="quiet">limits version ${decision.limits_version ?? checked?.limits_version}${decision.reference ? html`, valued at <${Num} value=${decision.reference} />` : ''}</span>
      ${decision.approved === false ? html`<span class="reason">${meaning(reason)}</span>` : null}</p>
    <${Checks} label="Decision record" checks=${decision.checks} titleOf=${checkName} />
    ${prices.length ? html`<p class="quiet hint">Measured with ${prices}.</p>` : null}`;
}

/** @param {{ routes: any, events: any[] }} props */
function Routing({ routes, events }) {
  const routed = routes?.candidates ? routes : [...events].reverse().find((event) => event.candidates);
  if (!routed) return html`<h3>Routing</h3><p class="quiet hint">It was not routed.</p>`;
  const chosen = chosenVenues(routed);
  return html`<h3>Routing</h3>
    <${Scroll} label="Routing comparison, scrolls"><table class="table" aria-label="Routing comparison">
      <thead><tr><th scope="col">Venue</th><th scope="col" class="numeric">Bid</th><th scope="col" class="numeric">Ask</th><th scope="col" class="numeric">Size</th><th scope="col" class="numeric">Cost</th><th scope="col" class="numeric">Penalty</th><th scope="col">Why</th></tr></thead>
      <tbody>${routed.candidates.map((/** @type {any} */ one) => html`<tr data-chosen=${chosen.has(one.venue) ? 'yes' : null}>
        <td>${one.venue}</td><td class="numeric"><${Num} value=${one.bid} /></td><td class="numeric"><${Num} value=${one.ask} /></td><td class="numeric"><${Num} value=${one.size} /></td>
        <td class="numeric"><${Num} value=${one.cost} /></td><td class="numeric"><${Num} value=${one.penalty_bps} /></td>
        <td>${chosen.has(one.venue) ? html`<span class="tag">chosen</span> ${routed.policy}` : (one.note ?? html`<span class="quiet">costs more</span>`)}</td></tr>`)}</tbody>
    </table></${Scroll}>`;
}

/** @param {{ events: any[] }} props */
function Fills({ events }) {
  const fills = events.filter((event) => event.exec_id && event.price !== undefined);
  if (!fills.length) return null;
  return html`<h3>Fills</h3><${Scroll} label="Fills, scrolls"><table class="table" aria-label="Fills">
    <thead><tr><th scope="col">Time</th><th scope="col">Venue</th><th scope="col" class="numeric">Quantity</th><th scope="col" class="numeric">Price</th><th scope="col" class="numeric">Fee</th><th scope="col">Trade</th></tr></thead>
    <tbody>${fills.map((one) => html`<tr><td class="num">${shortTime(one.at)}</td><td>${one.venue}</td><td class="numeric"><${Num} value=${one.quantity} /></td><td class="numeric"><${Num} value=${one.price} /></td>
      <td class="numeric"><${Num} value=${one.fee} /></td><td>${one.exec_id}${one.liquidity ? html` <span class="quiet">${one.liquidity}</span>` : null}${one.late ? html` <span class="tag warn">late</span>` : null}${one.overfill ? html` <span class="tag warn">overfill</span>` : null}</td></tr>`)}</tbody>
  </table></${Scroll}>`;
}

/** The states that the order went through, on the machine where its layout is known. @param {{ events: any[], status?: string }} props */
function Path({ events, status }) {
  const [answer, setAnswer] = useState(/** @type {any} */ (null));
  useEffect(() => {
    void machineLayout().then(setAnswer);
  }, []);
  if (!events.length) return null;
  const visited = events.map((event) => event.status).filter((state, n, all) => state && state !== all[n - 1]);
  if (!answer?.data?.boxes) return html`<h3>Path</h3><${Chain} events=${events} />`;
  const states = Object.fromEntries(visited.map((state) => [state, 1]));
  const taken = new Map();
  const steps = answer.data.steps ?? [];
  events.forEach((event, n) => {
    if (!n || !event.status) return;
    const source = events[n - 1].status;
    const known = steps.filter((/** @type {any} */ one) => one.from === source && one.to === event.status);
    const step = known.find((/** @type {any} */ one) => one.trigger === event.trigger) ?? known.find((/** @type {any} */ one) => (TRIGGERS[event.type] ?? []).includes(one.trigger)) ?? (source === event.status ? null : known[0]);
    if (step) taken.set(`${source} ${step.trigger}`, (taken.get(`${source} ${step.trigger}`) ?? 0) + 1);
  });
  return html`<h3>Path</h3><div class="machine-holder small" tabindex="0" role="region" aria-label="Path, scrolls"><${Machine} diagram=${answer.data} label="Path" states=${states} taken=${taken} dim=${true} /></div>
    <p class="quiet hint">${visited.join(' → ')}${status && visited[visited.length - 1] !== status ? ` → ${status}` : ''}</p>`;
}

/** @type {Record<string, string[]>} the triggers of the machine that an event can be */
const TRIGGERS = {
  OrderRiskChecked: ['risk_pass', 'risk_fail'], OrderQueued: ['enqueue'], OrderRouted: ['route'], RouteAcknowledged: ['venue_ack', 'venue_ack_traded'],
  OrderFilled: ['trade_part', 'trade_full'], OrderCancelled: ['cancel', 'venue_cancelled'], CancelRequested: ['cancel'], OrderExpired: ['expire'],
  OrderRejected: ['risk_fail', 'venue_reject', 'no_route'], ReplaceRequested: ['replace'], OrderReplaced: ['replaced', 'replaced_traded', 'replaced_full', 'replace'],
};

/** @param {{ events: any[] }} props */
function Chain({ events }) {
  const states = events.filter((event, n) => event.status && event.status !== events[n - 1]?.status);
  const step = 150;
  const width = states.length * step + 20;
  return html`<div class="machine-holder small"><svg class="machine chain" role="img" aria-label="Path" viewBox=${`0 0 ${width} 90`}>
    ${states.map((event, n) => html`<g class="machine-state">
      ${n ? html`<g class="line" data-kind="service" data-taken="yes"><path d=${`M${n * step - 16} 45 L${n * step + 4} 45`} /><polygon points=${`${n * step + 10},45 ${n * step},40 ${n * step},50`} /></g>` : null}
      <rect class="box" data-state=${event.status} x=${n * step + 10} y="20" width="124" height="50" rx="8" />
      <text class="box-name" x=${n * step + 72} y="43" text-anchor="middle">${event.status}</text>
      <text class="stay" data-taken="yes" x=${n * step + 72} y="60" text-anchor="middle">seq ${event.seq}</text></g>`)}
  </svg></div>`;
}

/** @param {{ order: any }} props */
function Replace({ order }) {
  const [fields, setFields] = useState(/** @type {Record<string, string>} */ ({}));
  const [result, setResult] = useState(/** @type {any} */ (null));
  const terms = order.trail ? { ...order, ...order.trail, stop_price: null } : order; // The market moves the stop of a trailing one.
  const possible = Object.keys(REPLACEABLE).filter((name) => terms[name] !== null && terms[name] !== undefined);
  const changed = Object.fromEntries(possible.filter((name) => fields[name] !== undefined && fields[name] !== String(terms[name])).map((name) => [name, fields[name].trim()]));
  const send = async (/** @type {Event} */ event) => {
    event.preventDefault();
    const wrong = Object.keys(changed).find((name) => !isDecimal(changed[name]));
    if (wrong || !Object.keys(changed).length) {
      setResult({ field: wrong, text: wrong ? 'Not a decimal number.' : 'Nothing is changed.' });
      return;
    }
    const answer = await call('PATCH', `api/oms/orders/${encodeURIComponent(order.order_id)}`, changed);
    if (answer.ok) setFields({});
    setResult({ field: answer.ok || !answer.problem ? null : fieldOf(answer.problem), text: answer.ok ? (answer.status === 202 ? 'pending_replace: the venue decides' : 'replaced') : problemText(answer.problem) });
  };
  return html`<form class="replace" aria-label="Replace order" novalidate onSubmit=${send}>
    <h3>Replace</h3>
    <div class="replace-fields">${possible.map((name) => html`<div class="field" data-wrong=${result?.field === name ? 'yes' : null}><label for=${`replace-${name}`}>${REPLACEABLE[name]}</label>
      <input id=${`replace-${name}`} class="numeric" inputmode="decimal" autocomplete="off" value=${fields[name] ?? terms[name]} onInput=${(/** @type {any} */ event) => setFields({ ...fields, [name]: event.target.value })} /></div>`)}
      <button type="submit">Replace</button></div>
    <p class="hint" role="status">${result?.text ?? ''}</p>
  </form>`;
}

const COPIED = ['account', 'symbol', 'side', 'type', 'quantity', 'price', 'stop_price', 'time_in_force', 'expire_at', 'post_only', 'reduce_only',
  'display_quantity', 'trail_amount', 'trail_percent', 'trail_trigger', 'limit_offset', 'activation_price'];

/** @param {any} order @returns {Record<string, string | true>} its terms as a submit has them */
function termsOf(order) {
  // The market sets the stop of a trailing order, and its limit; an opening or closing sets its own end.
  const given = { ...order, ...order.trail, ...(order.trail ? { price: null, stop_price: null } : {}), ...(order.time_in_force === 'gtd' ? {} : { expire_at: null }) };
  const named = COPIED.filter((name) => ![null, undefined, false].includes(given[name]));
  return Object.fromEntries(named.map((name) => [name, given[name] === true ? true : text(given[name])]));
}

/** @param {{ order: any }} props */
function Copies({ order }) {
  const [told, setTold] = useState('');
  if (!order) return null;
  const body = termsOf(order);
  const { symbol, side, quantity, ...rest } = body;
  const options = Object.entries(rest).map(([name, value]) => ` --${name.replaceAll('_', '-')}${value === true ? '' : ` ${value}`}`).join('');
  const cli = `trade order submit ${symbol} ${side} ${quantity}${options}`;
  const curl = `curl -s "$TRADE_OMS_URL/orders" -H 'content-type: application/json' -d '${JSON.stringify(body)}'`;
  const copy = async (/** @type {string} */ what) => {
    try {
      await navigator.clipboard.writeText(what);
      setTold('Copied.');
    } catch {
      setTold('The browser does not allow copying here; select the text.');
    }
  };
  return html`<details class="copies"><summary>As a command</summary>
    ${[['CLI', cli], ['curl', curl]].map(([name, what]) => html`<div class="copy"><code tabindex="0">${what}</code><button type="button" onClick=${() => copy(what)}>Copy ${name}</button></div>`)}
    <p class="hint" role="status">${told}</p></details>`;
}
