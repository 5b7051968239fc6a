/** What risk and routing would say to an order: the checks, the verdict, and the venue that would take it. Reserves nothing. */

import { get, post } from './api.js';
import { isDecimal, multiply } from './format.js';
import { Checks, NotAvailable, Num, Scroll } from './parts.js';
import { ofLeg } from './request.js';
import { checkName, meaning } from './words.js';
import { html } from './ui.js';

/**
 * @typedef {{ checks: any[], routes: any, verdict: string, approved: boolean | null, reason: string, problem: any }} Preview
 *   `checks`: an answer for each order of the request
 */

/** @param {import('./request.js').Request} request @returns {Promise<Preview>} */
export async function askPreview(request) {
  const [first] = request.legs;
  const asks = request.legs.map((leg) => post('api/risk/check?explain=all', leg.role && leg !== first ? { ...terms(leg), entry: { side: first.side, quantity: first.quantity } } : terms(leg)));
  const [routes, ...checks] = await Promise.all([post('api/exeq/routes/preview', terms(first)), ...asks]);
  const failed = checks.findIndex((check) => !check.ok);
  if (failed >= 0) {
    const { problem, absent } = checks[failed];
    return { checks, routes, verdict: '', approved: null, reason: '', problem: { ...(request.legs.length > 1 ? ofLeg(problem, failed) : problem), absent } };
  }
  const refused = checks.findIndex((check) => !check.data.approved);
  if (refused < 0) return { checks, routes, approved: true, verdict: 'would pass', reason: '', problem: null };
  const { reason } = checks[refused].data;
  const which = refused ? ` (${nameOf(request.legs[refused])})` : '';
  return { checks, routes, approved: false, verdict: `would be refused: ${reason}${which}`, reason, problem: null };
}

const TERMS = [
  'account', 'symbol', 'side', 'type', 'quantity', 'price', 'stop_price', 'time_in_force', 'expire_at', 'post_only', 'reduce_only', 'display_quantity',
  'trail_amount', 'trail_percent', 'trail_trigger', 'limit_offset', 'activation_price',
];

/** @param {import('./request.js').Leg} leg @returns {Record<string, any>} what the services ask of an order that is not sent */
function terms(leg) {
  return Object.fromEntries(TERMS.filter((name) => leg[name]).map((name) => [name, leg[name]]));
}

/** @param {import('./request.js').Leg} leg @returns {string} */
const nameOf = (leg) => leg.role ?? leg.type;

/** The quotes of each venue, newest. @param {string} symbol */
export const askQuotes = (symbol) => get(`api/live-gateway/quotes/${encodeURIComponent(symbol)}`, { quiet: true });

/** @param {{ preview: Preview | null, request: import('./request.js').Request, told: string }} props `told` is what the ticket says already */
export function PreviewPanel({ preview, request, told }) {
  if (!preview) return html`<p class="quiet hint">The checks of risk appear here as you type; nothing is reserved.</p>`;
  const [first] = preview.checks;
  const isTold = told === preview.verdict || Boolean(preview.reason && told.includes(preview.reason));
  const isMany = preview.checks.length > 1;
  return html`<div class="preview">
    ${first.absent ? html`<${NotAvailable} answer=${first} what="The preview" />` : null}
    ${preview.approved === null ? null : html`<p class="verdict" data-approved=${preview.approved ? 'yes' : 'no'}>
      ${isTold ? null : html`<strong>${preview.verdict}</strong>`}
      ${isMany ? null : html`<${Notional} leg=${request.legs[0]} data=${first.data} />`}
      ${preview.approved || isTold ? null : html`<span class="reason">${meaning(preview.reason)}</span>`}</p>`}
    ${preview.checks.map((check, n) => html`<${LegChecks} data=${check.data} leg=${request.legs[n]} number=${n} isMany=${isMany} />`)}
    <${Routes} answer=${preview.routes} />
  </div>`;
}

/** One order of a list, or the only one. @param {{ data: any, leg: any, number: number, isMany: boolean }} props */
function LegChecks({ data, leg, number, isMany }) {
  if (!data?.checks?.length || !leg) return null;
  const name = nameOf(leg);
  const checks = html`<${Checks} label=${number ? `Pre-trade checks: ${name}` : 'Pre-trade checks'} checks=${data.checks} titleOf=${checkName} />`;
  if (!isMany) return checks;
  // Of a list the first order's checks are in view, and those of an order that would be refused.
  return html`<details class="leg-checks" open=${number === 0 || !data.approved}>
    <summary><span class="verdict" data-approved=${data.approved ? 'yes' : 'no'}><strong>${name}</strong> <span class="quiet">${data.approved ? 'would pass' : data.reason}</span> <${Notional} leg=${leg} data=${data} /></span></summary>${checks}</details>`;
}

/** @param {{ leg: any, data: any }} props */
function Notional({ leg, data }) {
  const value = leg?.price || data?.reference;
  return leg && isDecimal(leg.quantity) && isDecimal(value) ? html`<span class="quiet">notional <${Num} value=${multiply(leg.quantity, value)} /></span>` : null;
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
