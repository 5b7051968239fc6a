/**
 * Who is signed in, and until when. A session is renewed while the person uses the page; a stream or a poll does not count.
 *
 * @typedef {{ signed_in: boolean, owner: string, account: string, scopes: string[], expires_at: string | null, expires_in_sec: number | null }} Who
 */

import { call, get, onSignedOut } from './api.js';
import { moment, shortTime, timeZone } from './format.js';

/** A session is renewed at the first use after this much of it has passed. */
const RENEW_AFTER_MS = 300_000;
/** Between two tries, when the first one failed. */
const AGAIN_MS = 30_000;
const WARN_MS = 120_000;
const LOOK_MS = 1000;
const USES = ['keydown', 'pointerdown', 'input'];

export const session = {
  /** @type {Who | null} */
  who: null,
  /** By this machine's monotonic clock; Infinity without a session. */
  endsAt: Infinity,
  /** The same as a time of day, which does not move from second to second: it is read out. */
  endsTime: '',
  /** @type {Date | null} when it ended */
  endedAt: null,
  /** Renewals are over: the key is needed at the end. */
  isLast: false,
};

let renewedAt = 0;
let triedAt = 0;
let isAsking = false;
/** @type {() => void} */
let changed = () => undefined;

/** @param {Who} who what `/session` answers */
export function signedInAs(who) {
  session.who = who;
  session.endedAt = null;
  session.isLast = false;
  const seconds = who.expires_in_sec;
  session.endsAt = seconds === null || seconds === undefined ? Infinity : performance.now() + Number(seconds) * 1000;
  session.endsTime = session.endsAt === Infinity ? '' : (moment(Date.now() + Number(seconds) * 1000)?.clock ?? '');
  renewedAt = performance.now();
  changed();
}

/** @returns {Promise<Who | null>} who is signed in, as desk says */
export async function askWho() {
  const answer = await get('session');
  if (!answer.ok) return null;
  signedInAs(answer.data);
  return answer.data;
}

async function used() {
  const now = performance.now();
  if (session.endsAt === Infinity || session.endedAt || session.isLast || now - renewedAt < RENEW_AFTER_MS || now - triedAt < AGAIN_MS) return;
  triedAt = now;
  const answer = await call('PATCH', 'session', undefined, { quiet: true });
  if (answer.ok) {
    const isSameEnd = answer.data.expires_at === session.who?.expires_at;
    signedInAs(answer.data);
    session.isLast = isSameEnd;
  } else if (answer.status === 409) session.isLast = true;
}

/** Ask desk before the end is said: another tab may have renewed the session. */
async function askIfEnded() {
  if (isAsking) return;
  isAsking = true;
  const who = await askIfSame();
  isAsking = false;
  if (who) signedInAs(who);
}

/** Ask whether this is still the session of the page's user: another tab may have signed out. @returns {Promise<Who | null>} */
export async function askIfSame() {
  const answer = await get('session', { quiet: true });
  if (answer.ok && isUser(answer.data)) return answer.data;
  if (answer.ok || answer.status === 401) ended();
  return null;
}

/** @param {Who} who @returns {boolean} whether this is the user whom the page shows */
export const isUser = (who) => who.owner === session.who?.owner && who.account === session.who.account;

function ended() {
  if (session.endedAt) return;
  session.endedAt = new Date();
  session.endsAt = Infinity;
  changed();
}

/** @param {string} scope @returns {boolean} whether the person's key has a scope; without a key the services judge alone */
export const may = (scope) => !session.who?.signed_in || session.who.scopes.includes(scope);

/** @returns {string} what the person should know of the session; empty most of the time */
export function sessionWords() {
  if (session.endsAt - performance.now() > WARN_MS) return '';
  const rest = session.isLast ? 'The key is needed then.' : 'Press a key or click to continue.';
  return `Your session ends at ${session.endsTime} ${timeZone()}. ${rest}`;
}

/** @returns {string} what the form says after the end of a session */
export const endedWords = () => (session.endedAt ? `Your session ended at ${shortTime(session.endedAt.getTime())}. What you typed is kept.` : '');

/** Watch the session. @param {() => void} listener called when it began, was renewed, is about to end, or has ended */
export function watchSession(listener) {
  changed = listener;
  for (const use of USES) addEventListener(use, () => void used(), { capture: true, passive: true });
  onSignedOut(() => session.who?.signed_in && ended());
  setInterval(() => {
    const left = session.endsAt - performance.now();
    if (left <= 0) void askIfEnded();
    else if (left <= WARN_MS) changed();
  }, LOOK_MS);
}
