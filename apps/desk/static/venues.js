/** Venues: health, latency, throttle, work; their quotes; and faults of paper venues, where the gateway allows them. */

import { call, get, problemText } from './api.js';
import { useDesk } from './desk.js';
import { ago, text } from './format.js';
import { NotAvailable, Num, Scroll, usePolled } from './parts.js';
import { html, useState } from './ui.js';

const POLL_MS = 1000;
const SYMBOLS_MAX = 12;
const FAULTS = ['reject', 'drop', 'delay', 'duplicate', 'reorder', 'freeze'];

/** @param {any} rate @returns {string} a share as per cent, short: it is an estimate */
const rateText = (rate) => (rate === null || rate === undefined ? '' : `${(Number(rate) * 100).toFixed(1)} %`);

export function Venues() {
  useDesk(1000);
  const [venues] = usePolled(() => get('api/exeq/venues'), POLL_MS, []);
  const [queue] = usePolled(() => get('api/exeq/queue', { quiet: true }), POLL_MS, []);
  const [hosts] = usePolled(() => get('api/live-gateway/venues', { quiet: true }), POLL_MS * 5, []);
  const rows = venues?.data?.venues ?? [];
  const symbols = [...new Set(rows.flatMap((/** @type {any} */ one) => one.quoted ?? []))].sort().slice(0, SYMBOLS_MAX);
  const [quotes] = usePolled(() => Promise.all(symbols.map((symbol) => get(`api/live-gateway/quotes/${encodeURIComponent(symbol)}`, { quiet: true }))), POLL_MS, [symbols.join()], symbols.join());
  const work = queue?.data?.venues ?? {};
  return html`<div class="screen">
    <div class="panel"><div class="toolbar"><h1>Venues</h1><span class="spacer"></span>
        <span class="quiet">queue: <span class="num">${text(queue?.data?.depth)}</span> waiting, <span class="num">${text(queue?.data?.held)}</span> held${queue?.data?.oldest ? `, oldest ${ago(queue.data.oldest?.at ?? queue.data.oldest)}` : ''}</span></div>
      <${NotAvailable} answer=${venues} what="The list of venues" />
      ${venues?.ok ? html`<${Scroll} label="Venues, scrolls"><table class="table" aria-label="Venues">
        <thead><tr><th scope="col">Venue</th><th scope="col">Open</th><th scope="col">Healthy</th><th scope="col" class="numeric">Latency, ms</th><th scope="col" class="numeric">Rejects</th><th scope="col" class="numeric">No answers</th><th scope="col" class="numeric">Penalty, bps</th>
          <th scope="col" class="numeric">Throttle</th><th scope="col" class="numeric">Working</th><th scope="col" class="numeric">Unanswered</th><th scope="col" class="numeric">Maker, bps</th><th scope="col" class="numeric">Taker, bps</th></tr></thead>
        <tbody>${rows.map((/** @type {any} */ one) => html`<tr><td><strong>${one.venue}</strong></td>
          <td>${one.open ? html`<span class="yes">open</span>` : html`<span class="no">closed</span> ${text(one.closed)}`}</td><td>${one.healthy ? html`<span class="yes">healthy</span>` : html`<span class="no">unhealthy</span>`}</td>
          <td class="numeric"><${Num} value=${one.health?.latency_ms} /></td><td class="numeric"><span class="num" title=${rateText(one.health?.reject_rate)}>${text(one.health?.rejects)}</span></td><td class="numeric"><span class="num" title=${rateText(one.health?.no_answer_rate)}>${text(one.health?.no_answers)}</span></td>
          <td class="numeric"><${Num} value=${one.health?.penalty_bps} /></td><td class="numeric"><span class="num">${text(one.throttle?.tokens)} / ${text(one.throttle?.burst)}</span></td>
          <td class="numeric"><${Num} value=${work[one.venue]?.working} /></td><td class="numeric"><${Num} value=${work[one.venue]?.unanswered} /></td><td class="numeric"><${Num} value=${one.maker_bps} /></td><td class="numeric"><${Num} value=${one.taker_bps} /></td></tr>`)}</tbody></table></${Scroll}>` : null}
    </div>
    <div class="panel"><h2>Quotes</h2>
      <${Scroll} label="Quotes, scrolls"><table class="table" aria-label="Quotes">
        <thead><tr><th scope="col">Symbol</th><th scope="col">Venue</th><th scope="col" class="numeric">Bid size</th><th scope="col" class="numeric">Bid</th><th scope="col" class="numeric">Ask</th><th scope="col" class="numeric">Ask size</th><th scope="col" class="numeric">Age</th></tr></thead>
        <tbody>${(quotes ?? []).flatMap((/** @type {any} */ answer) => (answer.data?.quotes ?? []).map((/** @type {any} */ one) => html`<tr><td>${answer.data.symbol}</td><td>${one.venue}</td><td class="numeric"><${Num} value=${one.bid_size} /></td><td class="numeric"><${Num} value=${one.bid} /></td>
          <td class="numeric"><${Num} value=${one.ask} /></td><td class="numeric"><${Num} value=${one.ask_size} /></td><td class="numeric"><span class="num">${ago(one.at)}</span></td></tr>`))}</tbody></table></${Scroll}>
      ${symbols.length ? null : html`<p class="quiet">No venue quotes a symbol now.</p>`}
    </div>
    <${Faults} venues=${rows.map((/** @type {any} */ one) => one.venue)} hosts=${hosts} />
  </div>`;
}

/** @param {{ venues: string[], hosts: any }} props */
function Faults({ venues, hosts }) {
  const [venue, setVenue] = useState('');
  const [fault, setFault] = useState(FAULTS[0]);
  const [told, setTold] = useState('');
  if (!hosts?.ok || !venues.length) return null;
  const chosen = venue || venues[0];
  const ask = async (/** @type {boolean} */ clear) => {
    const path = `api/live-gateway/venues/${encodeURIComponent(chosen)}/faults`;
    const body = fault === 'freeze' ? { fault, seconds: 5 } : { fault, count: 1 };
    const answer = clear ? await call('DELETE', path) : await call('POST', path, body);
    const missing = answer.status === 404 || answer.status === 403;
    setTold(answer.ok ? (clear ? 'Cleared.' : `Set: ${JSON.stringify(answer.data)}`) : missing ? 'Faults are not allowed by the configuration of live-gateway.' : problemText(answer.problem));
  };
  return html`<details class="panel"><summary>Faults of a paper venue, for tests</summary>
    <div class="replace-fields"><div class="field"><label for="fault-venue">Venue</label><select id="fault-venue" value=${chosen} onChange=${(/** @type {any} */ event) => setVenue(event.target.value)}>${venues.map((one) => html`<option value=${one}>${one}</option>`)}</select></div>
      <div class="field"><label for="fault">Fault</label><select id="fault" value=${fault} onChange=${(/** @type {any} */ event) => setFault(event.target.value)}>${FAULTS.map((one) => html`<option value=${one}>${one}</option>`)}</select></div>
      <button type="button" onClick=${() => ask(false)}>${fault === 'freeze' ? 'Freeze for 5 s' : 'For one message'}</button><button type="button" onClick=${() => ask(true)}>Clear faults</button></div>
    <p class="hint" role="status">${told}</p></details>`;
}
