/**
 * Exact decimals and times as text. A number that is shown is never a JavaScript number: binary floats would round it.
 *
 * @typedef {string | number} Decimal  a number is a whole one that JavaScript holds exactly
 */

/** @param {Decimal} value @returns {{ digits: bigint, scale: number }} */
function parsed(value) {
  const text = String(value);
  const point = text.indexOf('.');
  if (point < 0) return { digits: BigInt(text), scale: 0 };
  return { digits: BigInt(text.slice(0, point) + text.slice(point + 1)), scale: text.length - point - 1 };
}

/** @param {bigint} digits @param {number} scale @returns {string} */
function written(digits, scale) {
  const negative = digits < 0n;
  const text = String(negative ? -digits : digits).padStart(scale + 1, '0');
  const whole = text.slice(0, text.length - scale);
  const fraction = text.slice(text.length - scale).replace(/0+$/, '');
  return (negative ? '-' : '') + whole + (fraction ? `.${fraction}` : '');
}

/** @param {Decimal} a @param {Decimal} b @returns {string} */
export function add(a, b) {
  const x = parsed(a);
  const y = parsed(b);
  const scale = Math.max(x.scale, y.scale);
  return written(x.digits * 10n ** BigInt(scale - x.scale) + y.digits * 10n ** BigInt(scale - y.scale), scale);
}

/** @param {Decimal} value @returns {string} */
export function negated(value) {
  const { digits, scale } = parsed(value);
  return written(-digits, scale);
}

/** @param {Decimal} a @param {Decimal} b @returns {string} */
export const subtract = (a, b) => add(a, negated(b));

/** @param {Decimal} a @param {Decimal} b @returns {string} */
export function multiply(a, b) {
  const x = parsed(a);
  const y = parsed(b);
  return written(x.digits * y.digits, x.scale + y.scale);
}

/**
 * @param {Decimal} value @param {number} places @returns {string} rounded half to even, as the services round
 */
export function rounded(value, places) {
  const { digits, scale } = parsed(value);
  if (scale <= places) return written(digits, scale);
  const unit = 10n ** BigInt(scale - places);
  const size = digits < 0n ? -digits : digits;
  const whole = size / unit;
  const rest = (size % unit) * 2n;
  const up = rest > unit || (rest === unit && whole % 2n === 1n) ? 1n : 0n;
  return written((digits < 0n ? -1n : 1n) * (whole + up), places);
}

/** @param {Decimal} value @returns {string} half of it, exactly */
export const half = (value) => multiply(value, '0.5');

/** @param {Decimal} value @returns {string} */
export const absolute = (value) => String(value).replace(/^-/, '');

/** @param {Decimal} value @returns {-1 | 0 | 1} */
export function sign(value) {
  const { digits } = parsed(value);
  return digits > 0n ? 1 : digits < 0n ? -1 : 0;
}

/** @param {unknown} text @returns {boolean} whether it is a decimal that the API accepts */
export const isDecimal = (text) => /^-?\d{1,18}(\.\d{1,12})?$/.test(String(text));

/**
 * How much of a limit is used, for the length of a bar. Not for display.
 *
 * @param {Decimal | null | undefined} found @param {Decimal | null | undefined} limit @returns {number} between 0 and 1
 */
export function share(found, limit) {
  const used = Math.abs(Number(found ?? 0));
  const whole = Number(limit ?? 0);
  if (!(whole > 0)) return used > 0 ? 1 : 0;
  return Math.min(1, used / whole);
}

/** @param {Decimal | null | undefined} found @param {Decimal | null | undefined} limit @returns {string} such as `4.5 %` */
export function percent(found, limit) {
  const whole = Number(limit ?? 0);
  if (!(whole > 0)) return '';
  const value = (100 * Number(found ?? 0)) / whole;
  return `${value.toFixed(Math.abs(value) < 10 ? 2 : 1)} %`;
}

/** @param {unknown} value @returns {string} the text of a value that may be absent */
export const text = (value) => (value === null || value === undefined ? '' : String(value));

const ZONE_KEY = 'desk.zone';
let zone = 'UTC';
try {
  zone = localStorage.getItem(ZONE_KEY) === 'local' ? 'local' : 'UTC';
} catch {
  // Storage may be forbidden; UTC then.
}

/** @returns {string} `UTC` or `local` */
export const timeZone = () => zone;

/** Show times in the other zone from now on. */
export function switchTimeZone() {
  zone = zone === 'UTC' ? 'local' : 'UTC';
  try {
    localStorage.setItem(ZONE_KEY, zone);
  } catch {
    // As above.
  }
}

/** @param {number} value @param {number} [width] */
const padded = (value, width = 2) => String(value).padStart(width, '0');

/**
 * @param {string | number | Date | null | undefined} at RFC 3339 with up to microseconds, or milliseconds
 * @returns {{ day: string, clock: string, fraction: string } | null} in the chosen zone; the fraction as it was sent
 */
export function moment(at) {
  if (at === null || at === undefined || at === '') return null;
  const when = new Date(at);
  if (Number.isNaN(when.getTime())) return null;
  const sent = typeof at === 'string' ? /\.(\d+)/.exec(at)?.[1] : undefined;
  const fraction = sent ?? padded(when.getUTCMilliseconds(), 3);
  if (zone === 'UTC') {
    const iso = when.toISOString();
    return { day: iso.slice(0, 10), clock: iso.slice(11, 19), fraction };
  }
  const day = `${when.getFullYear()}-${padded(when.getMonth() + 1)}-${padded(when.getDate())}`;
  return { day, clock: `${padded(when.getHours())}:${padded(when.getMinutes())}:${padded(when.getSeconds())}`, fraction };
}

/** @param {string | number | null | undefined} at @returns {string} with milliseconds; the day is added when it is not today */
export function shortTime(at) {
  const shown = moment(at);
  if (!shown) return text(at);
  const clock = `${shown.clock}.${shown.fraction.slice(0, 3)}`;
  return shown.day === moment(Date.now())?.day ? clock : `${shown.day.slice(5)} ${shown.clock}`;
}

/** @param {string | number | null | undefined} at @returns {string} the whole moment and its zone */
export function longTime(at) {
  const shown = moment(at);
  return shown ? `${shown.day} ${shown.clock}.${shown.fraction} ${zone}` : text(at);
}

/** @param {string} earlier @param {string} later @returns {string} the time between, such as `8.524 ms` */
export function between(earlier, later) {
  return lasted((micros(later) - micros(earlier)) / 1000);
}

/** @param {string} at @returns {number} microseconds since 1970, which JavaScript still holds exactly */
export function micros(at) {
  const fraction = /\.(\d+)/.exec(at)?.[1] ?? '';
  return Date.parse(`${at.slice(0, 19)}Z`) * 1000 + Number(fraction.slice(0, 6).padEnd(6, '0'));
}

/** @param {number} ms @returns {string} */
export function lasted(ms) {
  if (Math.abs(ms) < 1000) return `${ms.toFixed(3).replace(/\.?0+$/, '') || '0'} ms`;
  const seconds = ms / 1000;
  if (seconds < 120) return `${seconds.toFixed(1)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86400)} days`;
}

/** @param {string | null | undefined} at @returns {string} how long ago, by this machine's clock */
export function ago(at) {
  if (!at) return '';
  const seconds = Math.max(0, (Date.now() - new Date(at).getTime()) / 1000);
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  return lasted(Math.round(seconds) * 1000).replace('.0 s', ' s');
}
