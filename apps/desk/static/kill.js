/** The kill switch: what is in force and who has obeyed, kill in two steps, arm by two people, blocked symbols. */

import { get, post, problemText } from './api.js';
import { knownAccounts, store, useDesk } from './desk.js';
import { longTime, text } from './format.js';
import { Dialog, Field, isSignedIn, NotAvailable, Scroll, useName, usePolled } from './parts.js';
import { html, useState } from './ui.js';

const CONTROLS_MS = 1000;

/** @returns {string[]} */
function scopes() {
  const venues = (store.services?.venues ?? []).map((/** @type {any} */ one) => `venue:${one.venue}`);
  return ['all', ...knownAccounts().map((one) => `account:${one}`), ...[...store.marks.keys()].map((one) => `symbol:${one}`), ...venues];
}

/** @param {any} answer @param {string} done @returns {{ tone: string, text: string }} what became of a change, with who has obeyed */
function outcomeOf(answer, done) {
  if (!answer.ok) {
    const again = answer.unknown ? ' Whether it is in force is not known: press again, setting it twice does no harm.' : '';
    return { tone: 'bad', text: `${problemText(answer.problem)}${again}` };
  }
  const obeyed = Object.entries(answer.data?.acknowledged ?? {}).map(([name, word]) => `${name}: ${word}`).join(', ');
  const partial = answer.status === 202 && !answer.data?.token ? ' Not every service has confirmed it.' : '';
  return { tone: partial ? 'warn' : 'good', text: `${done}${obeyed ? ` Obeyed by ${obeyed}.` : ''}${partial} seq ${text(answer.data?.seq)}` };
}

export function Kill() {
  useDesk(500);
  const [name, setName] = useName();
  const [scope, setScope] = useState('');
  const [reason, setReason] = useState('');
  const [symbol, setSymbol] = useState('');
  const [confirming, setConfirming] = useState(false);
  const [wrong, setWrong] = useState(/** @type {Record<string, string>} */ ({}));
  const [result, setResult] = useState(/** @type {any} */ (null));
  const [answer, ask] = usePolled(() => get('api/risk/risk/controls'), CONTROLS_MS, [store.controls?.version]);
  const controls = answer?.data;
  // A key that may not read the controls learns from the stream what is in force for its account, without who and why.
  const heard = store.controls;
  const killed = controls?.killed ?? (heard?.killed ?? []).map((/** @type {string} */ one) => ({ scope: one }));
  const blocked = controls?.blocked_symbols ?? (heard?.blocked_symbols ?? []).map((/** @type {string} */ one) => ({ symbol: one }));
  const arming = controls?.arming ?? [];
  const isKnown = Boolean(controls ?? heard);
  const told = killed.map((/** @type {any} */ one) => one.scope);
  const now = told.length ? `killed: ${told.join(', ')}` : isKnown ? 'armed' : 'not known yet';
  const words = [now, ...(arming.length ? ['waiting for a second person'] : [])].join(' · ');
  const who = name.trim();

  const check = (/** @type {boolean} */ needsReason) => {
    const found = { ...(scope.trim() ? {} : { scope: 'Which scope? all, account:A, symbol:S or venue:V' }), ...(who ? {} : { name: 'Who are you?' }), ...(needsReason && !reason.trim() ? { reason: 'Why?' } : {}) };
    setWrong(found);
    return !Object.keys(found).length;
  };
  const kill = async () => {
    setConfirming(false);
    setResult({ tone: 'quiet', text: 'killing…' });
    const asked = { scope: scope.trim(), who, reason: reason.trim() };
    setResult(outcomeOf(await post('api/risk/risk/kill', asked), `Killed ${asked.scope}.`));
    ask();
  };
  const arm = async () => {
    if (!check(true)) return;
    const asked = { scope: scope.trim(), who, reason: reason.trim() };
    const waiting = arming.find((/** @type {any} */ one) => one.scope === asked.scope);
    const isSecond = waiting && waiting.who !== who;
    const found = await post('api/risk/risk/arm', isSecond ? { ...asked, token: waiting.token } : asked);
    if (found.ok && found.status === 202) setResult({ tone: 'warn', text: `waiting for a second person until ${longTime(found.data.expires_at)}: someone else presses Arm for ${asked.scope}` });
    else setResult(outcomeOf(found, `Armed ${asked.scope}.`));
    ask();
  };
  const block = async (/** @type {'block' | 'unblock'} */ what, /** @type {string} */ which) => {
    if (!which || !who || !reason.trim()) {
      setWrong({ ...(which ? {} : { symbol: 'Which symbol?' }), ...(who ? {} : { name: 'Who are you?' }), ...(reason.trim() ? {} : { reason: 'Why?' }) });
      return;
    }
    setWrong({});
    const found = await post(`api/risk/risk/symbols/${encodeURIComponent(which)}/${what}`, { who, reason: reason.trim() });
    setResult(outcomeOf(found, `${what === 'block' ? 'Blocked' : 'Unblocked'} ${which}.`));
    ask();
  };
  const typed = (/** @type {(value: string) => void} */ set) => (/** @type {any} */ event) => set(event.target.value);
  return html`<section class="screen kill" aria-label="Kill switch">
    <div class="panel kill-state" data-killed=${told.length ? 'yes' : isKnown ? 'no' : 'unknown'}>
      <h1>Kill switch</h1>
      <p class="kill-words" role="status" aria-label="Kill switch state">${words}</p>
      <${NotAvailable} answer=${answer} what="The state of the controls" />
      ${killed.length
        ? html`<${Scroll} label="In force now, scrolls"><table class="table" aria-label="In force now"><thead><tr><th scope="col">Scope</th><th scope="col">Who</th><th scope="col">Why</th><th scope="col">Since</th><th scope="col">Arm</th></tr></thead>
            <tbody>${killed.map((/** @type {any} */ one) => html`<tr><td><strong>${one.scope}</strong></td><td>${one.who}</td><td>${one.reason}</td><td class="num">${longTime(one.at)}</td>
              <td><button type="button" onClick=${() => setScope(one.scope)}>Choose</button></td></tr>`)}</tbody></table></${Scroll}>`
        : html`<p class="quiet">${isKnown ? 'Nothing is killed. Orders are sent.' : ''}</p>`}
      ${arming.map((/** @type {any} */ one) => html`<p class="notice">${one.who} asked at ${longTime(one.at)} to arm <strong>${one.scope}</strong>: ${one.reason}. A second person presses Arm with this scope.</p>`)}
    </div>
    <div class="two">
      <form class="panel" aria-label="Kill or arm" novalidate onSubmit=${(/** @type {Event} */ event) => { event.preventDefault(); if (check(false)) setConfirming(true); }}>
        <div class="stack">
          <${Field} label="Your name" id="kill-name" error=${wrong.name}><input id="kill-name" autocomplete="off" value=${name} readonly=${isSignedIn()} onInput=${typed(setName)} /></${Field}>
          <${Field} label="Scope" id="kill-scope" error=${wrong.scope} hint="all, account:A, symbol:S, venue:V"><input id="kill-scope" list="scopes" autocomplete="off" spellcheck=${false} value=${scope} onInput=${typed(setScope)} /></${Field}>
          <${Field} label="Reason" id="kill-reason" error=${wrong.reason}><input id="kill-reason" autocomplete="off" maxlength="200" value=${reason} onInput=${typed(setReason)} /></${Field}>
          <datalist id="scopes">${scopes().map((one) => html`<option value=${one}></option>`)}</datalist>
        </div>
        <div class="buttons kill-buttons"><button type="submit" class="danger">Kill</button><button type="button" onClick=${arm}>Arm</button></div>
        <p class="result" role="status" aria-label="Kill result" data-tone=${result?.tone ?? 'none'}>${result?.text ?? ''}</p>
        <p class="hint">A kill stops everything of its scope at once and is kept over restarts. It takes one person; to arm again takes two.</p>
      </form>
      <div class="panel">
        <h2>Blocked symbols</h2>
        ${blocked.length
          ? html`<${Scroll} label="Blocked symbols, scrolls"><table class="table" aria-label="Blocked symbols"><thead><tr><th scope="col">Symbol</th><th scope="col">Who</th><th scope="col">Why</th><th scope="col">Since</th><th scope="col">Unblock</th></tr></thead>
              <tbody>${blocked.map((/** @type {any} */ one) => html`<tr><td><strong>${one.symbol}</strong></td><td>${one.who}</td><td>${one.reason}</td><td class="num">${longTime(one.at)}</td>
                <td><button type="button" aria-label=${`Unblock ${one.symbol}`} onClick=${() => block('unblock', one.symbol)}>Unblock</button></td></tr>`)}</tbody></table></${Scroll}>`
          : html`<p class="quiet">${isKnown ? 'No symbol is blocked.' : ''}</p>`}
        <div class="replace-fields block-form"><${Field} label="Symbol to block" id="block-symbol" error=${wrong.symbol}><input id="block-symbol" list="symbols-known" autocomplete="off" value=${symbol} onInput=${typed((value) => setSymbol(value.toUpperCase()))} /></${Field}>
          <datalist id="symbols-known">${[...store.marks.keys()].map((one) => html`<option value=${one}></option>`)}</datalist>
          <button type="button" onClick=${() => block('block', symbol.trim())}>Block</button></div>
        <p class="hint">With the name and the reason of the form beside it. A blocked symbol takes no new orders.</p>
      </div>
    </div>
    ${confirming
      ? html`<${Dialog} label="Confirm kill" role="alertdialog" close=${() => setConfirming(false)}>
          <h2>Kill ${scope.trim()}?</h2>
          <p>No order of <strong>${scope.trim()}</strong> is sent any more, and its open orders are cancelled. ${reason.trim() ? `Reason: ${reason.trim()}` : 'Without a reason.'}</p>
          <div class="buttons kill-buttons"><button type="button" class="danger" data-first onClick=${kill}>Confirm kill</button><button type="button" onClick=${() => setConfirming(false)}>Keep trading</button></div>
        </${Dialog}>`
      : null}
  </section>`;
}
