/**
 * What the ticket sends for what was typed: one order, or a list of orders. Pure: the same fields make the same request.
 *
 * @typedef {{ account: string, symbol: string, side: string, type: string, quantity: string, price: string, stop_price: string,
 *   time_in_force: string, expire_at: string, post_only: boolean, reduce_only: boolean,
 *   display_quantity: string, trail: string, trail_by: string, trail_trigger: string, limit_offset: string, activation_price: string, bracket: boolean, take_profit: string, stop_loss: string, trigger: string, exclusive: string }} Fields
 * @typedef {Record<string, any> & { account: string, symbol: string, side: string, type: string, quantity: string, client_order_id: string, role?: string }} Leg
 * @typedef {{ path: string, id: string, body: Record<string, any>, legs: Leg[] }} Request  `id`: the name under which it is taken once; `legs`: all its orders, in full
 */

import { isDecimal } from './format.js';
import { fieldOf } from './words.js';

export const TYPES = ['limit', 'market', 'stop', 'stop_limit', 'trailing_stop', 'oco'];
export const TIMES = ['gtc', 'day', 'ioc', 'fok', 'gtd', 'opg', 'cls'];
const TRAILS = /** @type {const} */ (['limit_offset', 'activation_price']);
const EXITS = { take_profit: 'limit', stop_loss: 'stop' };

/** @type {Fields} */
export const EMPTY = {
  account: 'main', symbol: '', side: 'buy', type: 'limit', quantity: '', price: '', stop_price: '',
  time_in_force: 'gtc', expire_at: '', post_only: false, reduce_only: false,
  display_quantity: '', trail: '', trail_by: 'trail_amount', trail_trigger: 'touch', limit_offset: '', activation_price: '', bracket: false, take_profit: '', stop_loss: '', trigger: 'partial', exclusive: 'strict',
};

export const wantsPrice = (/** @type {string} */ type) => ['limit', 'stop_limit', 'oco'].includes(type);
export const wantsStop = (/** @type {string} */ type) => ['stop', 'stop_limit', 'oco'].includes(type);
export const trails = (/** @type {string} */ type) => type === 'trailing_stop';
/** @param {Fields} fields @returns {boolean} */
export const isBracket = ({ bracket, type }) => bracket && type !== 'oco';
/** @param {Fields} fields @returns {boolean} whether several orders are sent */
export const isList = (fields) => fields.type === 'oco' || isBracket(fields);

/** @param {Fields} fields @returns {boolean} whether it may be an iceberg: a limit order that rests */
export const canHide = ({ type, time_in_force }) => type === 'limit' && !['ioc', 'fok'].includes(time_in_force);

/** @param {Fields} fields @param {string} id @returns {Request} without what the type does not use */
export function requestOf(fields, id) {
  const order = entryOf(fields);
  if (!isList(fields)) return { path: 'orders', id, body: { client_order_id: id, ...order }, legs: [/** @type {Leg} */ ({ client_order_id: id, ...order })] };
  const { account, ...terms } = order;
  const orders = fields.type === 'oco' ? alternatives(terms) : [{ role: 'entry', ...terms }, ...exitsOf(fields)];
  const named = orders.map((leg, n) => ({ ...leg, client_order_id: `${id}-${n}` }));
  const rules = fields.type === 'oco' ? { type: 'oco' } : { type: 'bracket', trigger: fields.trigger, exclusive: fields.exclusive };
  const whole = { account, symbol: order.symbol, quantity: order.quantity, side: fields.side === 'buy' ? 'sell' : 'buy' };
  const legs = named.map((leg) => /** @type {Leg} */ ({ ...whole, ...leg }));
  return { path: 'order-lists', id, body: { account, client_list_id: id, ...rules, orders: named }, legs };
}

/** @param {Fields} fields @returns {Record<string, any>} the order, or the entry of the list */
function entryOf(fields) {
  const { account, symbol, side, type, quantity, time_in_force } = fields;
  /** @type {Record<string, any>} */
  const order = { account: account.trim(), symbol: symbol.trim().toUpperCase(), side, type, quantity: quantity.trim(), time_in_force };
  if (wantsPrice(type)) order.price = fields.price.trim();
  if (wantsStop(type)) order.stop_price = fields.stop_price.trim();
  if (time_in_force === 'gtd') order.expire_at = fields.expire_at.trim();
  if (trails(type)) {
    order[fields.trail_by] = fields.trail.trim();
    order.trail_trigger = fields.trail_trigger;
    for (const name of TRAILS) if (fields[name].trim()) order[name] = fields[name].trim();
  }
  if (canHide(fields) && fields.display_quantity.trim()) order.display_quantity = fields.display_quantity.trim();
  if (fields.post_only) order.post_only = true;
  if (fields.reduce_only && !isList(fields)) order.reduce_only = true;
  return order;
}

/** @param {Record<string, any>} terms @returns {Record<string, any>[]} a limit and a stop for the same quantity */
function alternatives({ price, stop_price, post_only, ...rest }) {
  return [{ ...rest, type: 'limit', price, ...(post_only ? { post_only } : {}) }, { ...rest, type: 'stop', stop_price }];
}

/** @param {Fields} fields @returns {Record<string, any>[]} the exits that were typed; symbol, side and quantity follow the entry */
function exitsOf({ take_profit, stop_loss }) {
  return [
    ...(take_profit.trim() ? [{ role: 'take_profit', type: EXITS.take_profit, price: take_profit.trim() }] : []),
    ...(stop_loss.trim() ? [{ role: 'stop_loss', type: EXITS.stop_loss, stop_price: stop_loss.trim() }] : []),
  ];
}

/** @param {Fields} fields @returns {Record<string, string>} what is missing or no number, by field */
export function wrongFields(fields) {
  const order = entryOf(fields);
  /** @type {Record<string, string>} */
  const wrong = {};
  if (!order.symbol) wrong.symbol = 'Which symbol?';
  for (const name of ['quantity', 'price', 'stop_price']) {
    if (!(name in order)) continue;
    if (!order[name]) wrong[name] = 'A number is needed.';
    else if (!isDecimal(order[name])) wrong[name] = 'Not a decimal number.';
  }
  if (trails(fields.type) && !fields.trail.trim()) wrong.trail = 'How far behind the market?';
  /** @type {('display_quantity' | 'trail' | 'limit_offset' | 'activation_price')[]} */
  const optional = [...(canHide(fields) ? /** @type {const} */ (['display_quantity']) : []), ...(trails(fields.type) ? /** @type {const} */ (['trail', ...TRAILS]) : [])];
  for (const name of optional) if (fields[name].trim() && !isDecimal(fields[name].trim())) wrong[name] ??= 'Not a decimal number.';
  if ('expire_at' in order && !order.expire_at) wrong.expire_at = 'Until when? 2026-12-31T12:00:00Z';
  if (!isBracket(fields)) return wrong;
  const given = /** @type {const} */ (['take_profit', 'stop_loss']).filter((name) => fields[name].trim());
  if (!given.length) wrong.take_profit = 'A price for at least one exit.';
  for (const name of given) if (!isDecimal(fields[name].trim())) wrong[name] = 'Not a decimal number.';
  return wrong;
}

/** @param {any} problem of one leg, as a service says it @param {number} leg @returns {any} the same as `POST /order-lists` says it */
export const ofLeg = (problem, leg) => ({ ...problem, leg, pointer: `/orders/${leg}${problem.pointer ?? ''}` });

/** @param {string | null} name of a field of the request @returns {string | null} */
const ticketField = (name) => (name === 'trail_amount' || name === 'trail_percent' ? 'trail' : name);

/** @param {Request} request @param {any} problem @returns {string | null} the field of the ticket that it is about */
export function fieldAt(request, problem) {
  const found = /^\/orders\/(\d+)(?:\/(.*))?$/.exec(problem.pointer ?? '');
  if (!found) return ticketField(fieldOf(problem));
  const leg = request.legs[Number(found[1])];
  const name = found[2] || fieldOf({ code: problem.code });
  if (leg?.role && leg.role in EXITS) return leg.role;
  return name === 'price' && leg?.stop_price && !leg.price ? 'stop_price' : name;
}
