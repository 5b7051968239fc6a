/** Risk of one account: use of its limits, what VaR was measured on, refusals, changes of limits, history of controls. */

import { call, get, problemText, query } from './api.js';
import { keepInAddress, knownAccounts, store, useDesk } from './desk.js';
import { add, isDecimal, longTime, text } from './format.js';
import { Dialog, Field, isSignedIn, Meter, NotAvailable, Num, Scroll, useName, usePolled } from './parts.js';
import { meaning } from './words.js';
import { html, useState } from './ui.js';

const PORTFOLIO_MS = 2000;
const HOUR_MS = 3_600_000;
/** @type {[string, string][]} */
const LIMITS = [
  ['max_order_size_usd', 'Order size, USD'], ['max_order_size_shares', 'Order size, units'], ['max_position_size_usd', 'Position, USD'],
  ['max_concentration_pct', 'Concentration, %'], ['max_portfolio_var_usd', 'VaR, USD'],
];

/** @param {{ place: import('./desk.js').Place }} props */
export function Risk({ place }) {
  useDesk(1000);
  const accounts = knownAccounts();
  const account = place.fields.get('account') || accounts.find((one) => one === 'main') || accounts[0] || 'main';
  const [portfolio] = usePolled(() => get(`api/risk/risk/portfolio${query({ account })}`), PORTFOLIO_MS, [account], account);
  const [limits, askLimits] = usePolled(() => get(`api/risk/risk/limits${query({ account })}`), PORTFOLIO_MS, [account, store.controls?.version], account);
  const [history] = usePolled(() => get('api/risk/risk/controls/history?limit=50', { quiet: true }), 0, [store.controls?.version]);
  const [controls, askControls] = usePolled(() => get('api/risk/risk/controls', { quiet: true }), PORTFOLIO_MS, [store.controls?.version]);
  const [changing, setChanging] = useState(false);
  const view = portfolio?.data;
  const limit = limits?.data;
  const proposals = (controls?.data?.proposals ?? []).filter((/** @type {any} */ one) => one.account === account);
  return html`<div class="screen risk">
    <div class="panel">
      <div class="toolbar"><h1>Risk</h1>
        <select aria-label="Account" value=${account} onChange=${(/** @type {any} */ event) => { keepInAddress({ account: event.target.value }); dispatchEvent(new Event('hashchange')); }}>
          ${(accounts.includes(account) ? accounts : [account, ...accounts]).map((one) => html`<option value=${one}>${one}</option>`)}</select>
        <span class="spacer"></span><span class="quiet num">${view ? `as of seq ${view.as_of_seq}` : ''}</span></div>
      <${NotAvailable} answer=${portfolio} what="The portfolio" />
      ${view && limit ? html`<${Meters} view=${view} limit=${limit} />` : null}
      ${view ? html`<dl class="facts risk-facts">
        <div><dt>Equity</dt><dd><${Num} value=${view.equity} unit=${view.currency} /></dd></div><div><dt>Buying power left</dt><dd><${Num} value=${view.buying_power} signed=${String(view.buying_power).startsWith('-')} /></dd></div>
        <div><dt>Gross exposure</dt><dd><${Num} value=${view.gross_exposure} /></dd></div><div><dt>Worst case</dt><dd><${Num} value=${view.worst_case_exposure} /></dd></div>
        <div><dt>Margin in use</dt><dd><${Num} value=${view.margin_in_use} /></dd></div><div><dt>Reserved by open orders</dt><dd><${Num} value=${view.reservations} /></dd></div><div><dt>Open orders</dt><dd><${Num} value=${view.open_orders} /></dd></div></dl>` : null}
    </div>
    <div class="two">
      <div class="panel"><h2>By symbol</h2>${view ? html`<${Symbols} symbols=${view.symbols} />` : null}</div>
      <${Refusals} account=${account} />
    </div>
    <div class="two">
      <div class="panel">
        <div class="toolbar"><h2>Limits</h2><span class="spacer"></span><button type="button" disabled=${!limit} onClick=${() => setChanging(true)}>Change limits…</button></div>
        <${NotAvailable} answer=${limits} what="The limits" />
        ${limit ? html`<p class="quiet hint">Version ${limit.version}, set by ${limit.set_by}${limit.own ? html`, ${longTime(limit.own.at)}: ${limit.own.reason}` : ''}</p>
          <table class="table" aria-label="Limits"><tbody>${LIMITS.map(([key, name]) => html`<tr><th scope="row">${name}</th><td class="numeric"><${Num} value=${limit[key]} /></td></tr>`)}
            <tr><th scope="row">Short selling</th><td class="numeric">${limit.short_allowed ? 'allowed' : 'not allowed'}</td></tr>
            <tr><th scope="row">Price collar, %</th><td class="numeric"><${Num} value=${limit.price_collar_pct} /></td></tr>
            <tr><th scope="row">Margin requirement, %</th><td class="numeric"><${Num} value=${limit.margin_requirement_pct} /></td></tr></tbody></table>` : null}
        ${proposals.map((/** @type {any} */ one) => html`<${Proposal} proposal=${one} done=${() => { askLimits(); askControls(); }} />`)}
      </div>
      <${History} answer=${history} />
    </div>
    ${changing && limit ? html`<${ChangeLimits} account=${account} limit=${limit} close=${() => { setChanging(false); askLimits(); askControls(); }} />` : null}
  </div>`;
}

/** @param {{ view: any, limit: any }} props */
function Meters({ view, limit }) {
  const rows = Object.values(view.symbols ?? {});
  const largest = rows.reduce((/** @type {any} */ most, /** @type {any} */ one) => (Number(one.worst_case) > Number(most?.worst_case ?? -1) ? one : most), null);
  const largestSymbol = Object.keys(view.symbols ?? {}).find((name) => view.symbols[name] === largest);
  const histories = rows.map((/** @type {any} */ one) => one.price_history).filter((one) => one?.from);
  const measured = histories.length ? `, ${histories[0].from} to ${histories[0].to}` : '';
  const method = `${limit.var_method}, ${limit.var_scenarios} scenarios at ${limit.var_confidence_level}${measured}`;
  return html`<div class="meters">
    <${Meter} label="Buying power" found=${add(view.margin_in_use, view.reservations)} limit=${view.equity} unit=${view.currency} note="margin in use and reservations, of equity" />
    <${Meter} label="VaR" found=${view.var ?? '0'} limit=${limit.max_portfolio_var_usd} unit=${view.currency} note=${view.var_reason ? `not measured: ${view.var_reason}` : method} />
    <${Meter} label="Concentration" found=${view.concentration?.pct ?? '0'} limit=${limit.max_concentration_pct} unit="%" note=${view.concentration?.symbol ? `in ${view.concentration.symbol}` : 'no symbol is held'} />
    <${Meter} label="Position limit" found=${text(largest?.worst_case ?? 0)} limit=${limit.max_position_size_usd} unit=${view.currency} note=${largestSymbol ? `largest: ${largestSymbol}, open orders included` : 'no symbol is held'} />
  </div>`;
}

/** @param {{ symbols: Record<string, any> }} props */
function Symbols({ symbols }) {
  const rows = Object.entries(symbols ?? {});
  if (!rows.length) return html`<p class="quiet">The account holds nothing and has no open order.</p>`;
  return html`<${Scroll} label="Exposure by symbol, scrolls"><table class="table" aria-label="Exposure by symbol">
    <thead><tr><th scope="col">Symbol</th><th scope="col" class="numeric">Quantity</th><th scope="col" class="numeric">Mark</th><th scope="col" class="numeric">Value</th><th scope="col" class="numeric">Open buys</th><th scope="col" class="numeric">Open sells</th><th scope="col" class="numeric">Worst case</th><th scope="col" class="numeric">Share, %</th></tr></thead>
    <tbody>${rows.map(([symbol, one]) => html`<tr><td>${symbol}${one.price_history?.unusable ? html` <span class="tag warn">${one.price_history.unusable}</span>` : null}</td>
      <td class="numeric"><${Num} value=${one.quantity} /></td><td class="numeric"><${Num} value=${one.mark} /></td><td class="numeric"><${Num} value=${one.value} /></td><td class="numeric"><${Num} value=${one.open_buy_notional} /></td>
      <td class="numeric"><${Num} value=${one.open_sell_notional} /></td><td class="numeric"><${Num} value=${one.worst_case} /></td><td class="numeric"><${Num} value=${one.concentration_pct} /></td></tr>`)}</tbody></table></${Scroll}>`;
}

/** @param {{ account: string }} props */
function Refusals({ account }) {
  const since = new Date(Date.now() - HOUR_MS).toISOString();
  /** @type {Map<string, number>} */
  const counts = new Map();
  for (const row of store.orders.values()) {
    if (row.status === 'rejected' && row.account === account && row.created_at > since) counts.set(text(row.reason), (counts.get(text(row.reason)) ?? 0) + 1);
  }
  return html`<div class="panel"><h2>Refused in the last hour</h2>
    ${counts.size
      ? html`<table class="table" aria-label="Refusals"><thead><tr><th scope="col">Reason</th><th scope="col" class="numeric">Orders</th></tr></thead>
          <tbody>${[...counts].sort((a, b) => b[1] - a[1]).map(([reason, n]) => html`<tr><td><a href=${`#trade?q=${encodeURIComponent(reason)}&account=${encodeURIComponent(account)}`}>${reason}</a> <span class="quiet">${meaning(reason)}</span></td><td class="numeric"><span class="num">${n}</span></td></tr>`)}</tbody></table>`
      : html`<p class="quiet">None.</p>`}</div>`;
}

/** @param {any} event @returns {string} */
function changeOf(event) {
  if (event.scope) return event.scope;
  if (event.symbol) return event.symbol;
  if (event.new) {
    const parts = Object.keys(event.new).map((key) => `${key} ${event.old?.[key] === undefined ? '' : `${event.old[key]} → `}${event.new[key]}`);
    return `${event.account}: ${parts.join(', ')}`;
  }
  if (event.listed) return `${Object.keys(event.listed).length} symbols`;
  return event.account ?? '';
}

/** @param {{ answer: any }} props */
function History({ answer }) {
  return html`<div class="panel"><h2>Control history</h2><${NotAvailable} answer=${answer} what="The history of controls" />
    ${answer?.ok ? html`<${Scroll} label="Control history, scrolls" css="tall"><table class="table" aria-label="Control history"><thead><tr><th scope="col">When</th><th scope="col">What</th><th scope="col">Who</th><th scope="col">Why</th></tr></thead>
      <tbody>${answer.data.controls.map((/** @type {any} */ one) => html`<tr><td class="num">${longTime(one.at).replace(/\.\d+ /, ' ')}</td><td><strong>${one.type}</strong> ${changeOf(one)}</td><td>${one.who}</td><td>${one.reason}</td></tr>`)}</tbody></table></${Scroll}>` : null}</div>`;
}

/** @param {{ proposal: any, done: () => void }} props */
function Proposal({ proposal, done }) {
  const [name, setName] = useName();
  const [told, setTold] = useState('');
  const confirm = async () => {
    const { account, limits_version: version, new: changed, token, reason, symbol } = proposal;
    const answer = await call('PUT', `api/risk/risk/limits/${encodeURIComponent(account)}`, { version, ...(symbol ? { symbol } : {}), ...changed, token, reason, who: name.trim() });
    setTold(answer.ok ? 'Confirmed.' : problemText(answer.problem));
    done();
  };
  return html`<div class="notice"><p><strong>Waiting for a second person:</strong> ${proposal.who} proposes ${changeOf(proposal)} (${proposal.reason})</p>
    <div class="replace-fields"><${Field} label="Your name" id="proposal-name"><input id="proposal-name" value=${name} readonly=${isSignedIn()} onInput=${(/** @type {any} */ event) => setName(event.target.value)} /></${Field}>
      <button type="button" onClick=${confirm}>Confirm as second person</button></div><p class="hint" role="status">${told}</p></div>`;
}

/** @param {{ account: string, limit: any, close: () => void }} props */
function ChangeLimits({ account, limit, close }) {
  const [name, setName] = useName();
  const [reason, setReason] = useState('');
  const [fields, setFields] = useState(/** @type {Record<string, string>} */ ({}));
  const [short, setShort] = useState(Boolean(limit.short_allowed));
  const [told, setTold] = useState(/** @type {any} */ (null));
  // The version that the person looked at: a change in between is refused, not overwritten.
  const [version] = useState(limit.version);
  const submitted = async (/** @type {Event} */ event) => {
    event.preventDefault();
    const changed = Object.fromEntries(Object.entries(fields).filter(([key, value]) => value.trim() !== '' && value.trim() !== text(limit[key])).map(([key, value]) => [key, value.trim()]));
    const wrong = Object.keys(changed).find((key) => !isDecimal(changed[key]));
    if (wrong) {
      setTold({ field: wrong, text: 'Not a decimal number.' });
      return;
    }
    const body = { version, ...changed, ...(short === Boolean(limit.short_allowed) ? {} : { short_allowed: short }), who: name.trim(), reason: reason.trim() };
    const answer = await call('PUT', `api/risk/risk/limits/${encodeURIComponent(account)}`, body);
    if (answer.ok && answer.status === 200) close();
    else if (answer.ok) setTold({ text: `A second person must confirm it until ${longTime(answer.data.expires_at)}.` });
    else setTold({ field: answer.problem?.pointer?.slice(1), text: problemText(answer.problem) });
  };
  return html`<${Dialog} label="Change limits" close=${close}>
    <form aria-label="Change limits" novalidate onSubmit=${submitted}>
      <h2>Limits of ${account}</h2>
      <table class="table" aria-label="New limits"><thead><tr><th scope="col">Limit</th><th scope="col" class="numeric">Now</th><th scope="col">New</th></tr></thead>
        <tbody>${LIMITS.map(([key, label], n) => html`<tr><th scope="row">${label}</th><td class="numeric"><${Num} value=${limit[key]} /></td>
          <td><div class="field" data-wrong=${told?.field === key ? 'yes' : null}><input class="numeric" inputmode="decimal" aria-label=${`New ${label}`} data-first=${n === 0 ? '' : null} value=${fields[key] ?? ''} onInput=${(/** @type {any} */ event) => setFields({ ...fields, [key]: event.target.value })} /></div></td></tr>`)}
          <tr><th scope="row">Short selling</th><td class="numeric">${limit.short_allowed ? 'allowed' : 'not allowed'}</td><td><label class="check"><input type="checkbox" checked=${short} onChange=${(/** @type {any} */ event) => setShort(event.target.checked)} />allowed</label></td></tr></tbody></table>
      <${Field} label="Your name" id="limits-name"><input id="limits-name" value=${name} readonly=${isSignedIn()} onInput=${(/** @type {any} */ event) => setName(event.target.value)} /></${Field}>
      <${Field} label="Reason" id="limits-reason"><input id="limits-reason" maxlength="200" value=${reason} onInput=${(/** @type {any} */ event) => setReason(event.target.value)} /></${Field}>
      <p class="error" role="status">${told?.text ?? ''}</p>
      <div class="buttons"><button type="submit" class="primary">Change limits</button><button type="button" onClick=${close}>Close</button></div>
    </form></${Dialog}>`;
}
