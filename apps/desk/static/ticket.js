/** The order ticket: fields, quotes, preview, sending, and what became of the last order. */

import { readCatalogue } from './catalogue.js';
import { connection, knownAccounts, onChanges, store, useDesk } from './desk.js';
import { text } from './format.js';
import { Quotes, symbols, Terms } from './instrument.js';
import { Dialog, Field, usePolled } from './parts.js';
import { askPreview, askQuotes, PreviewPanel } from './preview.js';
import { canHide, EMPTY, fieldAt, isBracket, isList, requestOf, TIMES, trails, TYPES, wantsPrice, wantsStop, wrongFields } from './request.js';
import { may } from './session.js';
import { askOutcome, forget, newOrderId, sendRequest, unsettledRequest } from './submit.js';
import { CLOSED_STATES } from './store.js';
import { meaning } from './words.js';
import { html, useEffect, useRef, useState } from './ui.js';

/**
 * @typedef {import('./request.js').Fields} Fields
 * @typedef {{ text: string, tone: string, detail?: string }} Result
 */

const PREVIEW_MS = 300;
const QUOTES_MS = 1000;
/** @type {Record<string, string>} */
const RELEASES = { partial: 'with each trade', full: 'when the entry ends' };
/** @type {Record<string, string>} */
const EXCLUSIVES = { strict: 'strict: never both', fast: 'fast: both rest' };
const ASK_AGAIN_MS = 1500;
/** After this number of answers without the order the ticket says that it seems not to have arrived. */
const ABSENT_ANSWERS = 3;

/** What was typed, kept while another screen is shown. */
/** @type {{ fields: Fields, last: any }} */
const kept = { fields: { ...EMPTY }, last: null };

/** @type {((fields: Partial<Fields>) => void) | null} */
let fill = null;

/** Put values into the ticket; the order is still sent by the person. @param {Partial<Fields>} fields */
export function fillTicket(fields) {
  kept.fields = { ...kept.fields, ...fields };
  fill?.(fields);
}

/** The account of a person who signed in. @param {string} account */
export function setAccount(account) {
  if (account && account !== '*') fillTicket({ account });
}

export function Ticket() {
  useDesk(500);
  const [fields, setFields] = useState(kept.fields);
  const [wrong, setWrong] = useState(/** @type {Record<string, string>} */ ({}));
  const [result, setResult] = useState(/** @type {Result | null} */ (null));
  const [preview, setPreview] = useState(/** @type {{ of: string, made: any } | null} */ (null));
  const [sending, setSending] = useState(false);
  const [unknown, setUnknown] = useState(/** @type {any} */ (null));
  const [absent, setAbsent] = useState(0);
  const [listId, setListId] = useState('');
  const [confirming, setConfirming] = useState(false);
  const turn = useRef(0);
  const isPreviewWanted = useRef(false);
  const isSending = useRef(false);
  const orderId = useRef(/** @type {string | null} */ (null));
  const form = useRef(/** @type {any} */ (null));
  kept.fields = fields;
  orderId.current ??= newOrderId(); // Before the first try, and shown before it.
  const request = requestOf(fields, orderId.current);
  const { symbol } = request.legs[0];
  const [instruments] = usePolled(readCatalogue, 0, [store.phase]);
  const [quotes] = usePolled(async () => (symbol ? askQuotes(symbol) : null), QUOTES_MS, [symbol], symbol);

  const change = (/** @type {Partial<Fields>} */ part) => {
    setFields((before) => ({ ...before, ...part }));
    setWrong((before) => Object.fromEntries(Object.entries(before).filter(([name]) => !(name in part))));
    if (!sending && !unknown) {
      setResult(null);
      setListId('');
    }
    isPreviewWanted.current = false;
    followed.current = null;
  };
  useEffect(() => {
    fill = change;
    return () => {
      fill = null;
    };
  });

  // The checks follow what is typed, so that a limit is seen before Send, not after it.
  const asked = JSON.stringify(request.legs.map(({ client_order_id: _, ...leg }) => leg));
  useEffect(() => {
    if (Object.keys(wrongFields(fields)).length) {
      setPreview(null);
      return undefined;
    }
    const timer = setTimeout(() => void runPreview(false), PREVIEW_MS);
    return () => clearTimeout(timer);
  }, [asked]);

  const runPreview = async (/** @type {boolean} */ shown) => {
    const missing = wrongFields(fields);
    if (Object.keys(missing).length) {
      setWrong(missing);
      if (shown) setResult({ text: Object.values(missing)[0], tone: 'bad' });
      return;
    }
    const mine = ++turn.current;
    if (shown) {
      isPreviewWanted.current = true; // Also if what was typed before asks once more: the answer to that one counts then.
      setResult({ text: 'asking risk…', tone: 'quiet' });
    }
    const made = await askPreview(request);
    if (mine !== turn.current) return;
    const isWanted = isPreviewWanted.current;
    isPreviewWanted.current = false;
    setPreview({ of: asked, made });
    if (made.approved !== null) {
      if (isWanted) setResult({ text: made.verdict, tone: made.approved ? 'good' : 'bad', detail: meaning(made.reason) });
    } else if (isWanted || !made.problem?.absent) {
      showProblem(made.problem, request);
    }
  };

  const showProblem = (/** @type {any} */ problem, /** @type {import('./request.js').Request} */ of) => {
    const field = fieldAt(of, problem);
    if (field) setWrong({ [field]: problem.detail });
    setResult({ text: `${problem.detail} (${problem.code})`, tone: 'bad', detail: problem.status ? `HTTP ${problem.status}` : '' });
    if (field) form.current?.querySelector(`[name=${field}]`)?.focus();
  };

  const send = async () => {
    if (isSending.current || unknown || !may('trade')) return;
    const missing = wrongFields(fields);
    if (Object.keys(missing).length) {
      setWrong(missing);
      setResult({ text: `Not sent: ${Object.values(missing)[0]}`, tone: 'bad' });
      form.current?.querySelector(`[name=${Object.keys(missing)[0]}]`)?.focus();
      return;
    }
    turn.current += 1; // A preview on its way must not overwrite the answer.
    isPreviewWanted.current = false;
    isSending.current = true;
    setSending(true);
    setWrong({});
    setResult({ text: 'sending…', tone: 'quiet' });
    kept.last = { ...fields };
    takeOutcome(request, await sendRequest(request));
    isSending.current = false;
    setSending(false);
  };

  const askAgain = async () => {
    const outcome = await askOutcome(unknown);
    if (outcome.kind !== 'unknown') takeOutcome(unknown, outcome);
    else if (outcome.absent) setAbsent((n) => n + 1);
  };
  const isAbsent = Boolean(unknown) && absent >= ABSENT_ANSWERS;
  useEffect(() => {
    if (isAbsent) setResult({ text: 'outcome unknown: oms has no such order so far', tone: 'warn', detail: `Still asking. Sent again under the same id it is taken once at most. ${idOf(unknown)}` });
  }, [isAbsent]);
  const sendSame = async () => {
    const same = unknown;
    setSending(true);
    setUnknown(null);
    setResult({ text: 'sending…', tone: 'quiet' });
    takeOutcome(same, await sendRequest(same));
    setSending(false);
  };

  const followed = useRef(/** @type {string | null} */ (null));
  const takeOutcome = (/** @type {any} */ sent, /** @type {any} */ outcome) => {
    setUnknown(outcome.kind === 'unknown' ? sent : null);
    setAbsent(0);
    if (outcome.kind === 'unknown') {
      setResult({ text: 'outcome unknown: asking for it', tone: 'warn', detail: `It is not sent again. ${idOf(sent)}` });
      return;
    }
    // A refused request stored nothing, so the id stays for the next try; unless the id itself was what was wrong.
    if (outcome.kind !== 'refused' || outcome.problem?.code.endsWith('_id_reused')) orderId.current = null;
    setListId(outcome.listId ?? '');
    if (outcome.kind === 'refused') showProblem(outcome.problem, sent);
    else if (outcome.kind === 'rejected') setResult(rejection(outcome, sent.legs[outcome.leg]?.role));
    else {
      followed.current = outcome.orderId;
      setResult({ text: 'submitted', tone: 'quiet', detail: `seq ${text(outcome.seq)}` });
      followOrder();
    }
  };

  // After the answer the ticket tells what becomes of the order, in the words of the stream.
  const followOrder = () => {
    const row = followed.current ? store.orders.get(followed.current) : undefined;
    if (!row) return;
    setResult(told(row));
    if (CLOSED_STATES.includes(row.status)) followed.current = null;
  };
  useEffect(() => onChanges((changes) => {
    if (followed.current && changes.orders.has(followed.current)) followOrder();
  }), []);

  useEffect(() => {
    const left = unsettledRequest();
    if (left) void askOutcome(left).then((outcome) => takeOutcome(left, outcome));
  }, []);
  useEffect(() => {
    if (!unknown) return undefined;
    const timer = setInterval(() => void askAgain(), ASK_AGAIN_MS);
    return () => clearInterval(timer);
  }, [unknown]);

  const submitted = (/** @type {Event} */ event) => {
    event.preventDefault();
    if (connection.stale) setConfirming(true);
    else void send();
  };
  const entered = (/** @type {any} */ event) => {
    if (event.key === 'Enter' && event.repeat) event.preventDefault(); // A key that is held down sends once.
    // Enter in a list of choices would open it; here it sends, as in every other field.
    if (event.key === 'Enter' && event.target.tagName === 'SELECT' && !event.altKey) {
      event.preventDefault();
      form.current.requestSubmit();
    }
  };
  const input = (/** @type {keyof Fields} */ name, /** @type {Record<string, any>} */ more = {}) => html`<input id=${`ticket-${name}`} name=${name} value=${fields[name]}
    autocomplete="off" autocapitalize="off" spellcheck=${false} aria-invalid=${wrong[name] ? 'true' : null} aria-describedby=${wrong[name] ? `ticket-${name}-error` : null}
    onInput=${(/** @type {any} */ event) => change({ [name]: event.target.value })} onFocus=${(/** @type {any} */ event) => event.target.select()} ...${more} />`;
  const select = (/** @type {'type' | 'time_in_force' | 'trigger' | 'exclusive' | 'trail_by' | 'trail_trigger'} */ name, /** @type {string[]} */ choices, /** @type {Record<string, string>} */ words = {}) => html`<select id=${`ticket-${name}`} name=${name} value=${fields[name]}
    aria-invalid=${wrong[name] ? 'true' : null} aria-describedby=${wrong[name] ? `ticket-${name}-error` : null}
    onChange=${(/** @type {any} */ event) => change({ [name]: event.target.value })}>${choices.map((one) => html`<option value=${one}>${words[one] ?? one}</option>`)}</select>`;
  const check = (/** @type {'post_only' | 'reduce_only' | 'bracket'} */ name, /** @type {string} */ label, disabled = false) => html`<label class="check"><input type="checkbox" name=${name} disabled=${disabled}
    checked=${fields[name] && !disabled} onChange=${(/** @type {any} */ event) => change({ [name]: event.target.checked })} />${label}</label>`;
  const decimal = { inputmode: 'decimal', class: 'numeric' };
  const instrument = (instruments?.data?.instruments ?? []).find((/** @type {any} */ one) => one.symbol === symbol);

  return html`<section class="panel ticket" aria-label="Ticket">
    <form ref=${form} aria-label="Order ticket" novalidate onSubmit=${submitted} onKeyDown=${entered} data-side=${fields.side}>
      <div class="fields">
        <${Field} label="Account" id="ticket-account" error=${wrong.account}>${input('account', { list: 'accounts' })}</${Field}>
        <${Field} label="Symbol" id="ticket-symbol" error=${wrong.symbol}>${input('symbol', { list: 'symbols', class: 'symbol' })}</${Field}>
        <fieldset class="sides" role="radiogroup" aria-label="Side">
          ${['buy', 'sell'].map((side) => html`<label class="side-choice" data-state=${side}><input type="radio" name="side" value=${side} checked=${fields.side === side}
            onChange=${() => change({ side })} /><span>${side === 'buy' ? 'Buy' : 'Sell'}</span></label>`)}
        </fieldset>
        <${Field} label="Type" id="ticket-type" error=${wrong.type}>${select('type', TYPES, { oco: 'oco: limit or stop' })}</${Field}>
        <${Field} label="Quantity" id="ticket-quantity" error=${wrong.quantity}>${input('quantity', decimal)}</${Field}>
        <${Field} label="Price" id="ticket-price" error=${wrong.price}>${input('price', { ...decimal, disabled: !wantsPrice(fields.type) })}</${Field}>
        <${Field} label="Stop price" id="ticket-stop_price" error=${wrong.stop_price}>${input('stop_price', { ...decimal, disabled: !wantsStop(fields.type) })}</${Field}>
        <${Field} label="Time in force" id="ticket-time_in_force" error=${wrong.time_in_force}>${select('time_in_force', TIMES, { opg: 'opg: at the open', cls: 'cls: at the close' })}</${Field}>
        <${Field} label="Display quantity" id="ticket-display_quantity" error=${wrong.display_quantity}>${input('display_quantity', { ...decimal, disabled: !canHide(fields), placeholder: canHide(fields) ? 'all' : '' })}</${Field}>
        ${trails(fields.type) ? html`
          <${Field} label=${`Trail, ${fields.trail_by === 'trail_amount' ? 'in price' : 'in percent'}`} id="ticket-trail" error=${wrong.trail}>${input('trail', decimal)}</${Field}>
          <${Field} label="Trail by" id="ticket-trail_by">${select('trail_by', ['trail_amount', 'trail_percent'])}</${Field}>
          <${Field} label="Trail trigger" id="ticket-trail_trigger" error=${wrong.trail_trigger}>${select('trail_trigger', ['touch', 'mid', 'last'])}</${Field}>
          <${Field} label="Activation price" id="ticket-activation_price" error=${wrong.activation_price}>${input('activation_price', { ...decimal, placeholder: 'at once' })}</${Field}>
          <${Field} label="Limit offset" id="ticket-limit_offset" error=${wrong.limit_offset}>${input('limit_offset', { ...decimal, placeholder: 'market' })}</${Field}>` : null}
        ${fields.time_in_force === 'gtd' ? html`<${Field} label="Expires at" id="ticket-expire_at" error=${wrong.expire_at}>${input('expire_at')}</${Field}>` : null}
        <div class="checks-row">${check('post_only', 'Post only')}${check('reduce_only', 'Reduce only', isList(fields))}${check('bracket', 'Bracket', fields.type === 'oco')}</div>
        ${isBracket(fields) ? html`
          <${Field} label="Take profit" id="ticket-take_profit" error=${wrong.take_profit}>${input('take_profit', decimal)}</${Field}>
          <${Field} label="Stop loss" id="ticket-stop_loss" error=${wrong.stop_loss}>${input('stop_loss', decimal)}</${Field}>
          <${Field} label="Exits released" id="ticket-trigger" error=${wrong.trigger}>${select('trigger', ['partial', 'full'], RELEASES)}</${Field}>
          <${Field} label="Exits work" id="ticket-exclusive" error=${wrong.exclusive}>${select('exclusive', ['strict', 'fast'], EXCLUSIVES)}</${Field}>` : null}
      </div>
      <datalist id="accounts">${knownAccounts().map((one) => html`<option value=${one}></option>`)}</datalist>
      <datalist id="symbols">${symbols(instruments).map((one) => html`<option value=${one}></option>`)}</datalist>
      <${Terms} symbol=${symbol} instrument=${instrument} instruments=${instruments} />
      <${Quotes} quotes=${quotes} take=${(/** @type {string} */ price) => wantsPrice(fields.type) && change({ price })} />
      <div class="buttons">
        ${may('trade') ? html`<button type="submit" class="send" data-side=${fields.side} disabled=${sending || Boolean(unknown)}
          onClick=${(/** @type {MouseEvent} */ event) => event.detail > 1 && event.preventDefault()}>Send order</button>` : null}
        <button type="button" onClick=${() => void runPreview(true)} data-key="preview">Preview</button>
      </div>
      ${may('trade') ? null : html`<p class="notice">This key may look, and not trade: it has no scope <code>trade</code>.</p>`}
      <div class="result" role="status" aria-label="Ticket result" data-tone=${result?.tone ?? 'none'}>
        ${result ? html`<span class="result-text">${result.text}</span>${result.detail ? html`<span class="result-detail">${result.detail}</span>` : null}` : null}
        ${listId ? html` <a href=${`#list/${listId}`}>Open the list</a>` : null}
      </div>
      ${unknown
        ? html`<div class="buttons"><button type="button" onClick=${() => void askAgain()}>Ask now</button>
            ${isAbsent ? html`<button type="button" onClick=${() => void sendSame()}>Send again, same id</button>` : null}
            <button type="button" onClick=${() => { forget(unknown); orderId.current = null; setUnknown(null); setResult({ text: 'no longer asked for', tone: 'warn', detail: idOf(unknown) }); }}>Stop asking</button></div>`
        : null}
    </form>
    <details class="request"><summary>What is sent</summary><pre tabindex="0" aria-label="Request">${`POST /${request.path}\n${JSON.stringify(request.body, null, 1)}`}</pre></details>
    <div class="previewed" aria-busy=${preview && preview.of !== asked ? 'true' : null}><${PreviewPanel} preview=${preview?.made ?? null} request=${request} told=${result?.text ?? ''} /></div>
    ${kept.last
      ? html`<div class="last"><span class="quiet">Last: <span class="side" data-state=${kept.last.side}>${kept.last.side}</span> ${kept.last.quantity} ${kept.last.symbol}</span>
          <button type="button" onClick=${() => change({ ...kept.last })}>Repeat</button>
          <button type="button" onClick=${() => change({ ...kept.last, side: kept.last.side === 'buy' ? 'sell' : 'buy' })}>Reverse</button></div>`
      : null}
    ${confirming
      ? html`<${Dialog} label="Send while stale" role="alertdialog" close=${() => setConfirming(false)}>
          <h2>What is shown is stale</h2>
          <p>There has been no word from the desk for more than 3 s. Positions, quotes and orders may have changed.</p>
          <div class="buttons"><button type="button" data-first onClick=${() => setConfirming(false)}>Do not send</button>
            <button type="button" class="danger" onClick=${() => { setConfirming(false); void send(); }}>Send all the same</button></div>
        </${Dialog}>`
      : null}
  </section>`;
}

/** @param {import('./request.js').Request} request @returns {string} */
const idOf = ({ path, id }) => `${path === 'orders' ? 'client_order_id' : 'client_list_id'} ${id}`;

/** @param {any} outcome @param {string} [role] of the order of a list that was refused @returns {Result} */
function rejection({ reason, detail, seq }, role = '') {
  const found = detail?.found !== undefined ? ` Found ${detail.found}, limit ${detail.limit}${detail.unit ? ` ${detail.unit}` : ''}.` : '';
  return { text: `rejected: ${reason}`, tone: 'bad', detail: `${role ? `${role}: ` : ''}${meaning(reason)}${found} seq ${text(seq)}` };
}

/** @param {any} row @returns {Result} */
function told(row) {
  if (row.status === 'rejected') return rejection(row);
  const traded = row.cum_quantity && row.cum_quantity !== '0' ? `${row.cum_quantity} @ ${text(row.average_price)}, ` : '';
  const closedWithout = row.status === 'cancelled' || row.status === 'expired';
  const waiting = CLOSED_STATES.includes(row.status) || row.status === 'partially_filled' ? '' : 'submitted, ';
  return {
    text: `${waiting}${row.status}`, tone: row.status === 'filled' ? 'good' : closedWithout ? 'warn' : 'quiet',
    detail: `${traded}${row.reason ? `${meaning(row.reason) || row.reason} ` : ''}seq ${row.seq}`,
  };
}
