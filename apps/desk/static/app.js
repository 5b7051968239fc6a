/** The shell: banner, navigation, connection, keys, and which screen is shown. */

import { collectAlarms, openAlarms } from './alarms.js';
import { call, onSignedOut, problemText } from './api.js';
import { CancelDialog, chosenOrder, focusBlotter } from './blotter.js';
import { connection, listen, onChanges, place, reconnect, store, useDesk, usePlace } from './desk.js';
import { CancelListDialog } from './lists.js';
import { longTime, moment, switchTimeZone, text, timeZone } from './format.js';
import { mode, readCatalogue } from './catalogue.js';
import { Dialog, setOwner } from './parts.js';
import { SCREENS } from './screens.js';
import { askIfSame, askWho, endedWords, isUser, may, session, sessionWords, signedInAs, watchSession } from './session.js';
import { isOpen } from './store.js';
import { setAccount } from './ticket.js';
import { Trade } from './trade.js';
import { html, render, useEffect, useState } from './ui.js';

/** All with Alt, so that no letter is taken from a field or a screen reader. */
const KEYS = [
  ['T', 'ticket'], ['O', 'blotter'], ['K', 'kill'], ['P', 'preview'], ['L', 'filter'],
  ['X', 'cancel the chosen order, or the list that is open'], ['S', 'screens'], ['H', 'this list'],
];

/** @returns {string} `live`, `catching up`, `stale` or `as of N`, with what is known beside it */
function connectionWords() {
  const seq = `seq ${text(store.seq ?? 0)}`;
  const asOf = place().screen === 'time' ? place().fields.get('seq') : null;
  if (connection.stale) {
    const since = moment(connection.heardTime);
    const seconds = Math.floor((performance.now() - connection.heardAt) / 1000);
    const why = connection.trouble ? ` · ${connection.trouble.detail}` : '';
    return `stale since ${since?.clock} ${timeZone()} (${seconds} s) · ${seq}${why}`;
  }
  if (asOf) return `as of ${asOf} · ${seq}`;
  if (store.phase === 'live') return `live · ${seq}`;
  const rows = store.orders.size && store.ordersTotal ? ` · ${store.orders.size} of ${store.ordersTotal} orders` : '';
  return `catching up · ${seq}${rows}${connection.trouble ? ` · ${connection.trouble.detail}` : ''}`;
}

function Connection() {
  useDesk(200);
  const state = connection.stale ? 'stale' : store.phase === 'live' ? 'live' : 'catching up';
  // The sequence changes many times a second: only a change of state is announced.
  return html`<div class="connection" role="status" aria-live="off" aria-label="Connection" data-state=${state} title=${store.at ? `Newest event ${longTime(store.at)}` : ''}>${connectionWords()}</div>
    <div class="unseen" aria-live="assertive">${connection.stale ? 'Stale: there is no word from the desk.' : state === 'catching up' ? 'Catching up.' : ''}</div>`;
}

/** @type {Record<string, [string, string]>} */
const MODES = {
  paper: ['PAPER', 'Every venue is a paper venue: no real money'],
  live: ['LIVE', 'At least one venue trades real money'],
  unknown: ['…', 'Not known yet whether the venues are paper venues'],
};

function Mode() {
  useDesk(1000);
  const now = mode();
  const [word, title] = MODES[now];
  return html`<p class="mode" data-mode=${now} title=${title}>${word}</p>`;
}

/** Beside the navigation, so that an alarm is seen on every screen. */
function AlarmCount() {
  useDesk(1000);
  const count = openAlarms();
  return count ? html`<a class="alarm-count" href="#alarms">${count} open</a>` : null;
}

/** @param {{ close: () => void, done: (who: any) => void }} props */
function SignIn({ close, done }) {
  const [error, setError] = useState('');
  const submitted = async (/** @type {any} */ event) => {
    event.preventDefault();
    const field = event.target.elements.key;
    const answer = await call('POST', 'session', { key: field.value.trim() }, { quiet: true });
    field.value = ''; // The secret is not kept anywhere in the page.
    if (answer.ok) done(answer.data);
    else setError(problemText(answer.problem));
  };
  return html`<${Dialog} label="Sign in" close=${close}>
    <form aria-label="Sign in" onSubmit=${submitted}>
      <h2>Sign in</h2>
      ${endedWords() ? html`<p class="notice" role="status">${endedWords()}</p>` : null}
      <p>This desk wants a key. It is exchanged for a session and not stored in the browser.</p>
      <div class="field"><label for="sign-in-key">API key</label><input id="sign-in-key" name="key" type="password" autocomplete="off" data-first placeholder="KEY_ID.SECRET" required /></div>
      <p class="error" role="alert">${error}</p>
      <div class="buttons"><button type="submit" class="primary">Sign in</button></div>
    </form>
  </${Dialog}>`;
}

/** @param {{ close: () => void }} props */
const Keys = ({ close }) => html`<${Dialog} label="Keyboard" close=${close}>
  <h2>Keyboard</h2>
  <dl class="keys">${KEYS.map(([key, what]) => html`<div><dt><kbd>Alt</kbd> <kbd>${key}</kbd></dt><dd>${what}</dd></div>`)}
    <div><dt><kbd>Enter</kbd></dt><dd>in a field of the ticket: send; in a grid: open</dd></div>
    <div><dt><kbd>Esc</kbd></dt><dd>close what opened last</dd></div></dl>
  <div class="buttons"><button type="button" data-first onClick=${close}>Close</button></div>
</${Dialog}>`;

let focusedBefore = /** @type {string | null} */ (null);

/** @param {string} id */
function openOrder(id) {
  focusedBefore = id;
  const { fields } = place();
  location.hash = `order/${encodeURIComponent(id)}${fields.size ? `?${fields}` : ''}`;
}

/** Open a list, or the algo of a child order. @param {string} id @param {string} [orderId] the row that gets the focus back */
function openList(id, orderId) {
  if (store.algos.has(id) || store.orders.get(orderId ?? '')?.role === 'child') {
    location.hash = `algos/${encodeURIComponent(id)}`;
    return;
  }
  focusedBefore = orderId ?? focusedBefore;
  const { fields } = place();
  location.hash = `list/${encodeURIComponent(id)}${fields.size ? `?${fields}` : ''}`;
}

/** Close the order or the list that is open. */
function closeOpen() {
  const { id, fields } = place();
  location.hash = `trade${fields.size ? `?${fields}` : ''}`;
  focusBlotter(focusedBefore ?? id);
  // On a phone the blotter is hidden behind the order until the next drawing.
  afterDrawing(() => {
    if (document.activeElement === document.body) focusBlotter(focusedBefore ?? id);
  });
}

/** @param {() => void} act after the screen of a new address has been drawn */
const afterDrawing = (act) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(act)));

/** @param {string} selector */
const focusOn = (selector) => /** @type {HTMLElement | null} */ (document.querySelector(selector))?.focus();

/** @param {string} screen @returns {boolean} whether it is a part of Trade */
const isOnTrade = (screen) => ['trade', 'order', 'list'].includes(screen);

/** Nothing of one user may stay on the screen, or in the stream of all tabs, for the next one. */
function reloadForAnother() {
  reconnect();
  location.reload();
}

function App() {
  const at = usePlace();
  const [dialog, setDialog] = useState(/** @type {string} */ (''));
  const [cancelling, setCancelling] = useState(/** @type {any[] | null} */ (null));
  const [, redraw] = useState(0);
  const [cancellingList, setCancellingList] = useState(/** @type {any} */ (null));
  const screen = isOnTrade(at.screen) ? 'trade' : at.screen;
  const shown = SCREENS.find(({ path }) => path === screen) ?? SCREENS[0];

  useEffect(() => {
    document.title = `${shown.name} - desk`;
    // On a phone the links are a strip that scrolls.
    document.querySelector('nav [aria-current=page]')?.scrollIntoView({ block: 'nearest', inline: 'center' });
  }, [shown]);
  useEffect(() => {
    onSignedOut(() => setDialog('sign in'));
    watchSession(() => {
      if (session.endedAt) setDialog('sign in');
      redraw((n) => n + 1);
    });
    const begin = () => askWho().then((who) => {
      if (!who) return;
      void readCatalogue();
      setAccount(who.account);
      setOwner(who.signed_in ? who.owner : '');
      setDialog((now) => (now === 'sign in' ? '' : now));
    });
    void begin();
    let hello = store.hello;
    const stop = onChanges(() => {
      if (connection.trouble?.status === 401) setDialog((now) => now || 'sign in');
      // A stream that begins may be that of another user, who signed in or out in another tab.
      if (hello !== store.hello && (hello || !session.who)) void (session.who?.signed_in ? askIfSame() : begin());
      hello = store.hello;
    });
    return () => void stop();
  }, []);

  useEffect(() => {
    const onTrade = (/** @type {() => void} */ act) => {
      if (isOnTrade(place().screen)) {
        act(); // At once: the next key may follow before the next frame.
        return;
      }
      location.hash = 'trade';
      afterDrawing(act);
    };
    /** @type {Record<string, () => void>} */
    const acts = {
      KeyT: () => onTrade(() => focusOn('.ticket input')),
      KeyO: () => onTrade(() => focusBlotter()),
      KeyL: () => onTrade(() => focusOn('.blotter .filter')),
      KeyP: () => onTrade(() => /** @type {HTMLElement | null} */ (document.querySelector('[data-key=preview]'))?.click()),
      KeyK: () => {
        const isThere = place().screen === 'kill';
        location.hash = 'kill';
        if (isThere) focusOn('.kill input');
        else afterDrawing(() => focusOn('.kill input'));
      },
      KeyX: () => {
        const { screen: now, id } = place();
        if (!may('cancel')) return;
        if (now === 'list') {
          const list = store.lists.get(id);
          if (list && !list.reason) setCancellingList(list);
          return;
        }
        const row = now === 'order' ? store.orders.get(id) : chosenOrder();
        if (row && isOpen(row)) setCancelling([row]);
      },
      KeyS: () => focusOn('nav [aria-current=page]'),
      KeyH: () => setDialog('keys'),
    };
    const pressed = (/** @type {KeyboardEvent} */ event) => {
      if (event.key === 'Escape' && !document.querySelector('dialog[open]') && ['order', 'list'].includes(place().screen)) {
        event.preventDefault();
        closeOpen();
        return;
      }
      const act = event.altKey && !event.ctrlKey && !event.metaKey ? acts[event.code] ?? acts[`Key${event.key.toUpperCase()}`] : undefined;
      if (!act || document.querySelector('dialog[open]')) return;
      event.preventDefault();
      act();
    };
    addEventListener('keydown', pressed);
    return () => removeEventListener('keydown', pressed);
  }, []);

  const signedIn = (/** @type {any} */ data) => {
    const before = session.who;
    if (before?.signed_in && !isUser(data)) {
      reloadForAnother();
      return;
    }
    signedInAs(data);
    if (!before?.signed_in) setAccount(data?.account); // The same person keeps what was typed.
    setOwner(data?.owner ?? '');
    setDialog('');
    void readCatalogue();
    reconnect();
  };
  const signOut = async () => {
    await call('DELETE', 'session', undefined, { quiet: true });
    reloadForAnother();
  };
  return html`<a class="skip" href="#main" onClick=${(/** @type {Event} */ event) => { event.preventDefault(); focusOn('main'); }}>Skip to the screen</a>
    <header class="shell">
      <${Mode} />
      <nav aria-label="Screens">${SCREENS.map(({ path, name }) => html`<a href=${`#${path}`} aria-current=${shown.path === path ? 'page' : null} data-screen=${path}>${name}</a>`)}</nav>
      <${AlarmCount} />
      <div class="shell-end">
        <button type="button" class="plain" title="Times are shown in this zone; press to switch" onClick=${() => { switchTimeZone(); redraw((n) => n + 1); location.hash = location.hash || 'trade'; dispatchEvent(new Event('desk-zone')); }}>${timeZone()}</button>
        <button type="button" class="plain" aria-label="Keyboard" title="Keyboard: Alt H" onClick=${() => setDialog('keys')}>?</button>
        ${session.who?.signed_in ? html`<button type="button" class="plain" onClick=${signOut}>Sign out ${session.who.owner}</button>` : null}
        <${Connection} />
      </div>
    </header>
    <p class="session" role="status" aria-label="Session" hidden=${!sessionWords()}>${sessionWords()}</p>
    <main tabindex="-1" id="main" key=${`${shown.path} ${timeZone()}`}>
      ${shown.path === 'trade'
        ? html`<${Trade} orderId=${at.screen === 'order' ? at.id : ''} listId=${at.screen === 'list' ? at.id : ''} openOrder=${openOrder} openList=${openList} close=${closeOpen}
            cancelOrders=${setCancelling} cancelList=${setCancellingList} />`
        : html`<${shown.view} place=${at} openOrder=${openOrder} />`}
    </main>
    ${dialog === 'keys' ? html`<${Keys} close=${() => setDialog('')} />` : null}
    ${dialog === 'sign in' ? html`<${SignIn} close=${() => setDialog('')} done=${signedIn} />` : null}
    ${cancelling ? html`<${CancelDialog} rows=${cancelling} close=${() => setCancelling(null)} />` : null}
    ${cancellingList ? html`<${CancelListDialog} list=${cancellingList} close=${() => setCancellingList(null)} />` : null}`;
}

render(html`<${App} />`, /** @type {Element} */ (document.getElementById('app')));
collectAlarms();
listen();
