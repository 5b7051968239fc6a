/**
 * What a person should look at, newest first: what the journal and the services recorded, and what this page saw while it was open.
 *
 * @typedef {{ id: string, at: string, kind: string, text: string, orderId?: string, open: boolean, acknowledged?: string }} Alarm
 */

import { get } from './api.js';
import { connection, onChanges, store, useDesk } from './desk.js';
import { longTime, shortTime, text } from './format.js';
import { isSignedIn, useName } from './parts.js';
import { html, useState } from './ui.js';

const ALARMS_MAX = 500;
const ACKNOWLEDGED_KEY = 'desk.acknowledged';
const ACKNOWLEDGED_MAX = 1000;
/** Far more than all services repeat together. */
const TOLD_MAX = 5000;
const LAG_COMMITS = 1000;
const BEEP_S = 0.18;
const BEEP_HZ = 880;

/** @type {Alarm[]} newest first */
const alarms = [];
/** Records that were taken, by their name: services repeat them. @type {Set<string>} */
const told = new Set();
let sound = false;
/** @type {AudioContext | null} */
let audio = null;

/** @param {string} id names what is wrong, so that it is one alarm while it lasts @param {string} kind @param {string} words @param {string} [orderId] @param {string} [at] since when, if the journal says so */
function raise(id, kind, words, orderId, at = new Date().toISOString()) {
  if (alarms.some((one) => one.id === id && one.open)) return;
  put({ id, at, kind, text: words, orderId, open: true });
}

/** @param {Alarm} alarm */
function put(alarm) {
  alarm.acknowledged = acknowledgements()[`${alarm.id} ${alarm.at}`];
  const before = alarms.findIndex((one) => one.at <= alarm.at);
  alarms.splice(before < 0 ? alarms.length : before, 0, alarm);
  alarms.length = Math.min(alarms.length, ALARMS_MAX);
  if (sound && alarm.open && !alarm.acknowledged) beep();
}

/** @returns {Record<string, string>} by whom, of the alarms that were acknowledged in this browser */
function acknowledgements() {
  try {
    return JSON.parse(localStorage.getItem(ACKNOWLEDGED_KEY) ?? '{}');
  } catch {
    return {}; // Storage may be forbidden; they last as long as the page then.
  }
}

/** @param {Alarm} alarm @param {string} who */
function keepAcknowledged(alarm, who) {
  alarm.acknowledged = who;
  const kept = Object.entries({ ...acknowledgements(), [`${alarm.id} ${alarm.at}`]: who }).slice(-ACKNOWLEDGED_MAX);
  try {
    localStorage.setItem(ACKNOWLEDGED_KEY, JSON.stringify(Object.fromEntries(kept)));
  } catch {
    // As above.
  }
}

/** Take a record of a service. @param {string} service @param {any} record */
function tell(service, record) {
  const { at, kind, order_id: orderId, account, sentence, seq } = record;
  const name = `${kind} ${orderId ?? ''} ${seq ?? at} ${sentence}`;
  const isRepeated = told.delete(name);
  told.add(name); // Those that are repeated move to the end, so the first one is over.
  if (isRepeated) return;
  const [first] = told;
  if (told.size > TOLD_MAX) told.delete(first);
  // An order in doubt is one alarm as long as it lasts, and the row says how long.
  const doubt = kind === 'doubt' && orderId;
  // A request that was refused is over: its sender has the refusal.
  const open = doubt ? store.orders.get(orderId)?.status === 'in_doubt' : kind !== 'refused_step' || seq !== null;
  if (doubt && open && alarms.some((one) => one.id === `doubt ${orderId}` && one.open)) return;
  const where = account ? `${account}: ` : service === 'oms' ? '' : `${service}: `;
  put({ id: doubt ? `doubt ${orderId}` : name, at: text(at), kind: text(kind).replaceAll('_', ' '), text: `${where}${sentence}${seq ? ` (seq ${seq})` : ''}`, orderId: orderId ?? undefined, open });
}

/** Read what happened before this page was opened. */
async function readRecords() {
  const answer = await get('alarms', { quiet: true });
  for (const record of answer.ok ? answer.data.alarms : []) tell('oms', record);
}

/** @param {string} id */
function end(id) {
  for (const one of alarms) if (one.id === id) one.open = false;
}

function beep() {
  audio ??= new AudioContext();
  const tone = audio.createOscillator();
  tone.frequency.value = BEEP_HZ;
  tone.connect(audio.destination);
  tone.start();
  tone.stop(audio.currentTime + BEEP_S);
}

/** @param {import('./store.js').Changes} changes */
function watch(changes) {
  if (changes.reset) void readRecords();
  const ids = changes.reset ? store.orders.keys() : changes.orders.keys();
  for (const id of ids) {
    const row = store.orders.get(id);
    if (row?.status === 'in_doubt') raise(`doubt ${id}`, 'doubt', `${row.account}: ${row.side} ${row.quantity} ${row.symbol} is in doubt`, id, row.updated_at);
    else end(`doubt ${id}`);
  }
  if (changes.controls) {
    const killed = store.controls?.killed ?? [];
    for (const one of killed) raise(`killed ${one.scope ?? one}`, 'kill', `Killed: ${one.scope ?? one}`);
    for (const one of alarms) if (one.kind === 'kill' && !killed.some((/** @type {any} */ kill) => one.id === `killed ${kill.scope ?? kill}`)) one.open = false;
  }
  if (changes.services) watchServices();
}

function watchServices() {
  for (const one of store.services?.services ?? []) {
    if (one.ready) end(`down ${one.service}`);
    else raise(`down ${one.service}`, 'service', `${one.service} is ${one.answers === false ? 'not answering' : 'not ready'}`);
    if (Number(one.lag ?? 0) > LAG_COMMITS) raise(`lag ${one.service}`, 'lag', `${one.service} is ${one.lag} commits behind`);
    else end(`lag ${one.service}`);
    for (const [task, n] of Object.entries(one.task_deaths ?? {})) raise(`task ${one.service} ${task} ${n}`, 'task', `${one.service}: task ${task} ended ${n} times`);
    for (const record of one.alarms ?? []) tell(one.service, record);
  }
}

/** Start to collect. */
export function collectAlarms() {
  onChanges(watch);
  setInterval(() => {
    if (connection.stale) raise('stale', 'stale', 'There was no word of the journal for more than 3 s');
    else end('stale');
    if (connection.gaps) raise(`gap ${connection.gaps}`, 'gap', 'A message of the stream was missing; the whole state was read again');
  }, 1000);
}

/** @returns {number} alarms that last and are not acknowledged */
export const openAlarms = () => alarms.filter((one) => one.open && !one.acknowledged).length;

export function Alarms() {
  useDesk(500);
  const [name, setName] = useName();
  const [, redraw] = useState(0);
  const acknowledge = (/** @type {Alarm} */ one) => {
    keepAcknowledged(one, `${name.trim() || 'without a name'}, ${shortTime(Date.now())}`);
    redraw((n) => n + 1);
  };
  return html`<div class="screen"><div class="panel grow">
    <div class="toolbar"><h1>Alarms</h1><span class="quiet"><span class="num">${openAlarms()}</span> open</span><span class="spacer"></span>
      <div class="field inline"><label for="alarm-name">Your name</label><input id="alarm-name" value=${name} readonly=${isSignedIn()} onInput=${(/** @type {any} */ event) => setName(event.target.value)} /></div>
      <button type="button" aria-pressed=${sound ? 'true' : 'false'} onClick=${() => { sound = !sound; if (sound) beep(); redraw((n) => n + 1); }}>Sound ${sound ? 'on' : 'off'}</button></div>
    <p class="hint">What the journal and the services recorded, and what this page saw since it was opened. Acknowledgements are kept in this browser.</p>
    <div class="alarms" role="log" aria-label="Alarms" tabindex="0"><ul>${alarms.map((one) => html`<li data-open=${one.open ? 'yes' : 'no'}>
      <span class="num" title=${longTime(one.at)}>${shortTime(one.at)}</span><span class="tag ${one.open ? 'bad' : ''}">${one.kind}</span><span class="alarm-text">${one.text}${one.open ? '' : html` <span class="quiet">(over)</span>`}</span>
      ${one.orderId ? html`<a href=${`#order/${one.orderId}`}>Open the order</a>` : null}
      ${one.acknowledged ? html`<span class="quiet">acknowledged by ${one.acknowledged}</span>` : html`<button type="button" onClick=${() => acknowledge(one)}>Acknowledge</button>`}</li>`)}</ul></div>
    ${alarms.length ? null : html`<p class="quiet">None.</p>`}
  </div></div>`;
}
