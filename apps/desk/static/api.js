/**
 * Requests to the services through the gateway of the same origin. Numbers of answers stay exact text.
 *
 * @typedef {{ code: string, detail: string, status: number, pointer?: string, outcome?: string, [field: string]: any }} Problem
 * @typedef {{ ok: boolean, status: number, data: any, problem: Problem | null, unknown: boolean, absent: boolean, asOfSeq: string | null }} Answer
 */

const NUMBER_OR_STRING = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;
const SAFE_DIGITS = 15;
const TIMEOUT_MS = 10_000;

/**
 * Parse JSON and keep every number as it was written: whole ones of up to 15 digits as numbers, all others as text.
 *
 * @param {string} source @returns {any}
 */
export function parseExact(source) {
  return JSON.parse(source.replace(NUMBER_OR_STRING, (part) => (part[0] === '"' || isWhole(part) ? part : `"${part}"`)));
}

/** @param {string} part */
const isWhole = (part) => part.length <= SAFE_DIGITS && /^-?\d+$/.test(part) && part !== '-0';

/** @type {Set<() => void>} */
const signedOut = new Set();

/** @param {() => void} listener called when a request was refused for want of a key */
export function onSignedOut(listener) {
  signedOut.add(listener);
}

/**
 * @param {string} method @param {string} path relative to the page, such as `api/oms/orders` @param {unknown} [body]
 * @param {{ timeoutMs?: number, quiet?: boolean }} [options] `quiet`: a refusal does not open the sign-in form
 * @returns {Promise<Answer>} never rejects
 */
export async function call(method, path, body, options = {}) {
  const changes = method !== 'GET';
  /** @type {Record<string, string>} */
  const headers = { Accept: 'application/json' };
  // A form of another site cannot set a header of its own, so this one shows that the page itself asked.
  if (changes) headers['X-Trade-Desk'] = '1';
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  let response;
  let source;
  try {
    response = await fetch(`./${path}`, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(options.timeoutMs ?? TIMEOUT_MS),
      credentials: 'same-origin',
    });
    source = await response.text();
  } catch (error) {
    const late = error instanceof DOMException && error.name === 'TimeoutError';
    const detail = late ? 'No answer came in time.' : 'The desk cannot be reached.';
    return failed({ code: late ? 'no_answer' : 'unreachable', detail, status: 0, outcome: 'unknown' }, changes);
  }
  let data = null;
  try {
    data = source ? parseExact(source) : null;
  } catch {
    data = null;
  }
  const asOfSeq = response.headers.get('As-Of-Seq');
  if (response.ok) return { ok: true, status: response.status, data, problem: null, unknown: false, absent: false, asOfSeq };
  if (response.status === 401 && !options.quiet) for (const listener of signedOut) listener();
  const problem = { ...data, status: response.status, code: data?.code ?? `http_${response.status}` };
  problem.detail = data?.detail ?? data?.title ?? `The service answered ${response.status}.`;
  return failed(problem, changes);
}

/** @param {Problem} problem @param {boolean} changes @returns {Answer} */
function failed(problem, changes) {
  const { status } = problem;
  // A proxy that lost the service (502, 504) cannot say whether the request was obeyed; a 503 says so itself.
  const lost = status === 0 || status === 502 || status === 504 || (status === 503 && problem.outcome === 'unknown');
  const absent = status === 404 && (problem.code === 'not_found' || problem.code === 'http_404');
  return { ok: false, status, data: null, problem, unknown: changes && lost, absent, asOfSeq: null };
}

/** @param {string} path @param {{ timeoutMs?: number, quiet?: boolean }} [options] */
export const get = (path, options) => call('GET', path, undefined, options);

/** @param {string} path @param {unknown} body @param {{ timeoutMs?: number, quiet?: boolean }} [options] */
export const post = (path, body, options) => call('POST', path, body, options);

/** @param {Record<string, string | number | null | undefined>} fields @returns {string} `?a=1&b=2` of those that are given */
export function query(fields) {
  const given = Object.entries(fields).filter(([, value]) => value !== null && value !== undefined && value !== '');
  return given.length ? `?${new URLSearchParams(given.map(([name, value]) => [name, String(value)]))}` : '';
}

/** @param {Problem | null} problem @returns {string} one sentence with its code */
export function problemText(problem) {
  return problem ? `${problem.detail} (${problem.code})` : '';
}
