/** What the ticket shows of an instrument: its terms, and the quotes of each venue. */

import { store } from './desk.js';
import { Num, Scroll } from './parts.js';
import { html } from './ui.js';

/** @param {any} instruments @returns {string[]} */
export function symbols(instruments) {
  const listed = (instruments?.data?.instruments ?? []).map((/** @type {any} */ one) => one.symbol);
  return listed.length ? listed : [...store.marks.keys()].sort();
}

/** @param {{ symbol: string, instrument: any, instruments: any }} props */
export function Terms({ symbol, instrument, instruments }) {
  if (!symbol || !instruments) return null;
  if (!instrument) return instruments.ok ? html`<p class="hint">${symbol} is not a symbol that trades here.</p>` : null;
  const { tick, lot, notional_min: least } = instrument;
  return html`<dl class="terms">
    <div><dt>Tick</dt><dd><${Num} value=${tick} /></dd></div><div><dt>Lot</dt><dd><${Num} value=${lot} /></dd></div>
    <div><dt>Least notional</dt><dd><${Num} value=${least} /></dd></div>
  </dl>`;
}

/** @param {{ quotes: any, take: (price: string) => void }} props */
export function Quotes({ quotes, take }) {
  const rows = (quotes?.data?.quotes ?? []).filter((/** @type {any} */ one) => one.bid !== null && one.bid !== undefined);
  if (!rows.length) return null;
  const price = (/** @type {any} */ value, /** @type {string} */ what) => html`<button type="button" class="quote" title="Put into Price" aria-label=${`${what} ${value}, put into Price`}
    onClick=${() => take(String(value))}><${Num} value=${value} /></button>`;
  return html`<${Scroll} label="Venue quotes, scrolls"><table class="table quotes" aria-label="Venue quotes">
    <thead><tr><th scope="col">Venue</th><th scope="col" class="numeric">Size</th><th scope="col" class="numeric">Bid</th><th scope="col" class="numeric">Ask</th><th scope="col" class="numeric">Size</th></tr></thead>
    <tbody>${rows.map((/** @type {any} */ one) => html`<tr><td>${one.venue}</td><td class="numeric"><${Num} value=${one.bid_size} /></td><td class="numeric">${price(one.bid, 'Bid')}</td>
      <td class="numeric">${price(one.ask, 'Ask')}</td><td class="numeric"><${Num} value=${one.ask_size} /></td></tr>`)}</tbody>
  </table></${Scroll}>`;
}
