/** What can be traded and where, read once: it does not change while the service runs. */

import { get } from './api.js';

/** @type {any} */
let answer = null;
/** @type {Promise<any> | null} */
let asked = null;

/** @returns {Promise<any>} the answer of `GET /instruments`; a refused one is asked for again */
export function readCatalogue() {
  asked ??= get('api/oms/instruments', { quiet: true }).then((found) => {
    answer = found;
    if (!found.ok) asked = null;
    return found;
  });
  return asked;
}

/** @returns {'paper' | 'live' | 'unknown'} paper only if every venue is known to be one */
export function mode() {
  const venues = answer?.data?.venues ?? [];
  if (!venues.length) return 'unknown';
  return venues.some((/** @type {any} */ one) => one.live) ? 'live' : 'paper';
}
