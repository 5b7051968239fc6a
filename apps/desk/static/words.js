/** What the codes of the API mean, in words for people. The code itself is always shown too. */

/** @type {Record<string, string>} */
const WORDS = {
  order_size_limit: 'The order is larger than one order may be.',
  position_limit: 'The position would become larger than allowed.',
  buying_power: 'The account has not enough buying power.',
  var_limit: 'The value at risk would exceed its limit.',
  concentration_limit: 'Too much of the account would be in one symbol.',
  short_restriction: 'The account may not sell more than it holds.',
  symbol_blocked: 'The symbol is blocked.',
  account_suspended: 'The account was suspended by its owner.',
  killed: 'A kill switch is in force for it.',
  no_reference_price: 'There is no fresh price to value it with.',
  no_price_history: 'There is no price history to measure its risk.',
  price_collar: 'The price is too far from the market.',
  duplicate_order: 'The same order was sent a moment ago.',
  repeated_order: 'The account repeats itself too often.',
  rate_limit: 'The account sends too many orders a second.',
  max_open_orders: 'The account has too many open orders.',
  max_open_lists: 'The account has too many open lists.',
  max_open_algos: 'The account has too many open algos.',
  list_rejected: 'Another order of the list was refused.',
  reduce_only: 'It would not only reduce the position.',
  risk_timeout: 'Risk did not answer in time.',
  risk_error: 'Risk could not decide.',
  no_venue: 'No venue can take it now.',
  never_arrived: 'The venue reported that it does not know it.',
  post_only: 'It would have taken liquidity.',
  refusals: 'Too many of its orders in a row were refused.',
  key_revoked: 'The key that started it was revoked.',
};

/** @type {Record<string, string>} */
const CHECKS = {
  killed: 'Kill switch',
  symbol_blocked: 'Symbol blocked',
  account_suspended: 'Account suspended',
  no_reference_price: 'Reference price',
  no_price_history: 'Price history',
  duplicate_order: 'Same order again',
  repeated_order: 'Repeated orders',
  price_collar: 'Distance from the market',
  order_size_limit: 'Order size',
  position_limit: 'Position',
  concentration_limit: 'Concentration',
  buying_power: 'Buying power',
  var_limit: 'Value at risk',
  short_restriction: 'Short selling',
  reduce_only: 'Reduce only',
  max_open_orders: 'Open orders',
  rate_limit: 'Orders a second',
};

/** @type {Record<string, string>} */
const FLAGS = {
  double_exit: 'Both exits traded: more was closed than the entry opened.',
  forced: 'The stop went before the venue had answered for the take profit.',
  resize_refused: 'A venue refused to resize an exit.',
  killed: 'A kill or a block kept an order from the market; the list releases nothing any more.',
  rules_failed: 'An error kept oms from deciding what follows: orders may be missing.',
  unprotected: 'The entry traded and no exit works.',
  in_doubt: 'What became of one of the orders is not known.',
  unpaired: 'One exit was cancelled by hand or refused; the other works alone.',
  late_trade: 'It traded after its end.',
  overfill: 'More traded than its quantity.',
  dust: 'What is to be exited is less than a venue takes; the exits wait for more.',
};

/** @param {string} flag of a list or an algo @returns {string} */
export const flagMeaning = (flag) => FLAGS[flag] ?? '';

/** @param {string | null | undefined} code @returns {string} a sentence, or nothing for a code without one */
export const meaning = (code) => (code ? (WORDS[code] ?? '') : '');

/** @param {string} name @returns {string} */
export const checkName = (name) => CHECKS[name] ?? name;

/** @type {[RegExp, string][]} */
const FIELDS = [
  [/^stop_price/, 'stop_price'],
  [/^price/, 'price'],
  [/^quantity|^notional/, 'quantity'],
  [/symbol/, 'symbol'],
  [/^expire/, 'expire_at'],
  [/^account/, 'account'],
  [/^order_type/, 'type'],
  [/^post_only/, 'post_only'],
  [/^display_quantity/, 'display_quantity'],
  [/^trail/, 'trail'],
  [/^limit_offset/, 'limit_offset'],
  [/^activation_price/, 'activation_price'],
  [/^time_in_force|^no_session|^too_late/, 'time_in_force'],
];

/** @param {{ code: string, pointer?: string }} problem @returns {string | null} the field of the order that it is about */
export function fieldOf(problem) {
  const pointed = problem.pointer?.startsWith('/') ? problem.pointer.slice(1).split('/')[0] : null;
  return pointed ?? FIELDS.find(([pattern]) => pattern.test(problem.code))?.[1] ?? null;
}
