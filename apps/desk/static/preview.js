/** What risk and routing would say to an order: the checks, the verdict, and the venue that would take it. Reserves nothing. */

import { get, post } from './api.js';
import { isDecimal, multiply } from './format.js';
import { Checks, NotAvailable, Num, Scroll } from './parts.js';
import { checkName, meaning } from './words.js';
import { html } from './ui.js';

/** @typedef {{ check: any, routes: any, verdict: string, approved: boolean | null }} Preview */

/** @param {Record<string, any>} order @returns {Promise<Preview>} */
export async function askPreview(order) {
  const { account, symbol, side, type, quantity, price, stop_price, reduce_only, time_in_force } = order;
  const asked = Object.fromEntries(Object.entries({ account, symbol, side, type, quantity, price, stop_price }).filter(([, value]) => value));
  if (reduce_only) asked.reduce_only = true;
  const [check, routes] = await Promise.all([post('api/risk/check?explain=all', asked), post('api/exeq/routes/preview', { ...asked, time_in_force })]);
  if (!check.ok) return { check, routes, verdict: '', approved: null };
  const approved = Boolean(check.data.approved);
  return { check, routes, approved, verdict: approved ? 'would pass' : `would be refused: ${check.data.reason}` };
}

/** The quotes of each venue, newest. @param {string} symbol */
export const askQuotes = (symbol) => get(`api/live-gateway/quotes/${encodeURIComponent(symbol)}`, { quiet: true });

/** @param {{ preview: Preview | null, order: Record<string, any>, told: string }} props `told` is what the ticket says already */
export function PreviewPanel({ preview, order, told }) {
  if (!preview) return html`<p class="quiet hint">The checks of risk appear here as you type; nothing is reserved.</p>`;
  const data = preview.check.data;
  const value = order.price || data?.reference;
  const isTold = told === preview.verdict || Boolean(data?.reason && told.includes(data.reason));
  const notional = isDecimal(order.quantity) && isDecimal(value) ? multiply(order.quantity, value) : null;
  return html`<div class="preview">
    ${preview.check.absent ? html`<${NotAvailable} answer=${preview.check} what="The preview" />` : null}
    ${data
      ? html`<p class="verdict" data-approved=${data.approved ? 'yes' : 'no'}>
            ${isTold ? null : html`<strong>${preview.verdict}</strong>`}
            ${notional ? html`<span class="quiet">notional <${Num} value=${notional} /></span>` : null}
            ${data.approved || isTold ? null : html`<span class="reason">${meaning(data.reason)}</span>`}
          </p>
          ${data.checks?.length ? html`<${Checks} label="Pre-trade checks" checks=${data.checks} titleOf=${checkName} />` : null}`
      : null}
    <${Routes} answer=${preview.routes} />
  </div>`;
}

/** @param {{ answer: any }} props */
function Routes({ answer }) {
  if (!answer) return null;
  if (!answer.ok) return answer.absent ? html`<p class="quiet hint">Which venue would take it is not available from this version of the service.</p>` : null;
  const { candidates, choice, reason, detail, waits, policy } = answer.data;
  const chosen = chosenVenues(answer.data);
  const without = waits ? 'It would wait in the queue for a venue.' : `No venue would take it: ${reason}${detail ? `, ${typeof detail === 'string' ? detail : JSON.stringify(detail)}` : ''}.`;
  return html`<${Scroll} label="Routing preview, scrolls"><table class="table routes" aria-label="Routing preview">
      <thead><tr><th scope="col">Venue</th><th scope="col" class="numeric">Bid</th><th scope="col" class="numeric">Ask</th><th scope="col" class="numeric">Cost</th></tr></thead>
      <tbody>
        ${candidates.map((/** @type {any} */ one) => html`<tr data-chosen=${chosen.has(one.venue) ? 'yes' : null}>
          <td>${one.venue}${chosen.has(one.venue) ? html` <span class="tag" title=${policy}>takes it</span>` : one.note ? html` <span class="quiet">${one.note}</span>` : null}</td>
          <td class="numeric"><${Num} value=${one.bid} /></td><td class="numeric"><${Num} value=${one.ask} /></td><td class="numeric"><${Num} value=${one.cost} /></td>
        </tr>`)}
      </tbody>
    </table></${Scroll}>
    ${choice ? null : html`<p class="quiet hint">${without}</p>`}`;
}

/** @param {any} routed a preview, or the routes of an order @returns {Set<string>} */
export const chosenVenues = (routed) => new Set((routed?.legs ?? []).map((/** @type {any} */ leg) => leg.venue));
