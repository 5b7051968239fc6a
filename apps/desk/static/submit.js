/**
 * Sends an order exactly once, whatever happens to the answer.
 *
 * The client_order_id is made before the first try and kept (also over a reload) until the outcome is known. An unknown outcome is asked
 * for by that id; nothing here ever sends the same order again by itself. A person may: under the same id oms takes it once at most.
 *
 * @typedef {Record<string, any> & { client_order_id: string, account: string }} Order
 * @typedef {{ kind: 'submitted' | 'rejected' | 'refused' | 'unknown', absent?: boolean, orderId?: string, seq?: any, reason?: string, detail?: any,
 *   problem?: import('./api.js').Problem }} Outcome  `absent`: oms answered that it has no such order, so far
 */

import { get, post, query } from './api.js';
import { store, schedule } from './desk.js';

const PENDING_KEY = 'desk.pending';

/** @returns {string} a name that no other order has; crypto.randomUUID needs HTTPS, these bytes do not */
export function newOrderId() {
  const bytes = crypto.getRandomValues(new Uint8Array(10));
  return `desk-${[...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('')}`;
}

/** @param {Order | null} order */
function keep(order) {
  try {
    if (order) sessionStorage.setItem(PENDING_KEY, JSON.stringify(order));
    else sessionStorage.removeItem(PENDING_KEY);
  } catch {
    // Without storage the id is kept as long as the page is.
  }
}

/** @returns {Order | null} an order of this tab whose outcome was not known when the page was left */
export function unsettledOrder() {
  try {
    return JSON.parse(sessionStorage.getItem(PENDING_KEY) ?? 'null');
  } catch {
    return null;
  }
}

/** @param {Order} order @returns {Promise<Outcome>} */
export async function sendOrder(order) {
  keep(order);
  store.putSending(/** @type {any} */ ({ ...order, created_at: new Date().toISOString(), cum_quantity: '', leaves_quantity: '' }));
  schedule();
  const answer = await post('api/oms/orders', order);
  if (answer.unknown) return askOutcome(order);
  if (answer.ok) return settled(order, answeredOutcome(answer.data));
  return settled(order, { kind: 'refused', problem: answer.problem ?? undefined });
}

/** @param {any} data @returns {Outcome} */
const answeredOutcome = (data) => ({
  kind: data.status === 'rejected' ? 'rejected' : 'submitted',
  orderId: data.order_id, seq: data.seq, reason: data.reason, detail: data.detail,
});

/** Ask what became of an order. @param {Order} order @returns {Promise<Outcome>} */
export async function askOutcome(order) {
  const answer = await get(`api/oms/orders${query({ client_order_id: order.client_order_id, account: order.account })}`);
  const found = answer.data?.orders?.[0];
  if (!found) return { kind: 'unknown', absent: answer.ok };
  store.putFetched([found]);
  schedule();
  return settled(order, { kind: found.status === 'rejected' ? 'rejected' : 'submitted', orderId: found.order_id, seq: found.seq, reason: found.reason });
}

/** @param {Order} order @param {Outcome} outcome @returns {Outcome} */
function settled(order, outcome) {
  keep(null);
  // The row stays as `sending` until the stream brings the real one, which takes its place.
  if (outcome.kind === 'refused' || (outcome.orderId && store.orders.has(outcome.orderId))) forget(order);
  return outcome;
}

/** Stop waiting for an order whose outcome cannot be learned. @param {Order} order */
export function forget(order) {
  keep(null);
  store.dropSending(order.account, order.client_order_id);
  schedule();
}
