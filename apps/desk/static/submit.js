/**
 * Sends an order, or a list of orders, exactly once, whatever happens to the answer.
 *
 * Its name (client_order_id, client_list_id) is made before the first try and kept (also over a reload) until the outcome is known. An unknown
 * outcome is asked for by the first order's client_order_id: of a list all orders are taken, or none. Nothing here ever sends the same request
 * again by itself. A person may: under the same name oms takes it once at most.
 *
 * @typedef {import('./request.js').Request} Request
 * @typedef {{ kind: 'submitted' | 'rejected' | 'refused' | 'unknown', absent?: boolean, orderId?: string, listId?: string, seq?: any, reason?: string,
 *   leg?: number, detail?: any, problem?: import('./api.js').Problem }} Outcome  `absent`: oms answered that it has no such order, so far
 */

import { get, post, query } from './api.js';
import { store, schedule } from './desk.js';

const PENDING_KEY = 'desk.request';

/** @returns {string} a name that no other order has; crypto.randomUUID needs HTTPS, these bytes do not */
export function newOrderId() {
  const bytes = crypto.getRandomValues(new Uint8Array(10));
  return `desk-${[...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('')}`;
}

/** @param {Request | null} request */
function keep(request) {
  try {
    if (request) sessionStorage.setItem(PENDING_KEY, JSON.stringify(request));
    else sessionStorage.removeItem(PENDING_KEY);
  } catch {
    // Without storage the id is kept as long as the page is.
  }
}

/** @returns {Request | null} a request of this tab whose outcome was not known when the page was left */
export function unsettledRequest() {
  try {
    return JSON.parse(sessionStorage.getItem(PENDING_KEY) ?? 'null');
  } catch {
    return null;
  }
}

/** @param {Request} request @returns {Promise<Outcome>} */
export async function sendRequest(request) {
  keep(request);
  const unsent = { created_at: new Date().toISOString(), cum_quantity: '', leaves_quantity: '' };
  for (const leg of request.legs) store.putSending(/** @type {any} */ ({ ...leg, ...unsent }));
  schedule();
  const answer = await post(`api/oms/${request.path}`, request.body);
  if (answer.unknown) return askOutcome(request);
  if (answer.ok) return settled(request, answeredOutcome(answer.data));
  return settled(request, { kind: 'refused', problem: answer.problem ?? undefined });
}

/** @param {any} data @returns {Outcome} */
const answeredOutcome = (data) => ({
  kind: data.status === 'rejected' ? 'rejected' : 'submitted',
  orderId: data.order_id ?? data.orders?.[0].order_id, listId: data.list_id, seq: data.seq, reason: data.reason, leg: data.leg, detail: data.detail,
});

/** Ask what became of a request. @param {Request} request @returns {Promise<Outcome>} */
export async function askOutcome(request) {
  const [first] = request.legs;
  const answer = await get(`api/oms/orders${query({ client_order_id: first.client_order_id, account: first.account })}`);
  const found = answer.data?.orders?.[0];
  if (!found) return { kind: 'unknown', absent: answer.ok };
  store.putFetched([found]);
  schedule();
  const kind = found.status === 'rejected' ? 'rejected' : 'submitted';
  return settled(request, { kind, orderId: found.order_id, listId: found.group_id ?? undefined, seq: found.seq, reason: found.reason });
}

/** @param {Request} request @param {Outcome} outcome @returns {Outcome} */
function settled(request, outcome) {
  keep(null);
  // The rows stay as `sending` until the stream brings the real ones, which take their place.
  if (outcome.kind === 'refused' || (outcome.orderId && store.orders.has(outcome.orderId))) forget(request);
  return outcome;
}

/** Stop waiting for a request whose outcome cannot be learned. @param {Request} request */
export function forget(request) {
  keep(null);
  for (const leg of request.legs) store.dropSending(leg.account, leg.client_order_id);
  schedule();
}
