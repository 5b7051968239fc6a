/** Orders and positions as they were at an earlier sequence of the journal, and what changed between two. */

import { query } from './api.js';
import { newestFirst, ORDER_COLUMNS } from './blotter.js';
import { Changes } from './changes.js';
import { keepInAddress, store, useDesk } from './desk.js';
import { longTime, text } from './format.js';
import { NotAvailable } from './parts.js';
import { StaticGrid, usePast } from './past.js';
import { POSITION_COLUMNS, positionId, positionTie, valuedAt } from './positions.js';
import { html, useMemo } from './ui.js';

const LIST_MAX = 1000;
/** What a list is flagged with now says nothing of then. @type {import('./grid.js').Column[]} */
const PAST_COLUMNS = ORDER_COLUMNS.map((column) => {
  if (column.key === 'reason') return { ...column, cell: (row) => ({ text: text(row.reason), title: text(row.reason) }) };
  return column.key === 'group_id' ? { ...column, cell: (row) => text(row.role), opens: undefined } : column;
});

/** @param {{ place: import('./desk.js').Place, openOrder: (id: string) => void }} props */
export function TimeTravel({ place, openOrder }) {
  useDesk(1000);
  const head = Number(typeof store.seq === 'object' ? 0 : (store.seq ?? 0));
  const asked = place.fields.get('seq');
  const since = place.fields.get('from') ?? '';
  const isLive = !asked;
  const shown = isLive ? head : Number(asked);
  const go = (/** @type {{ seq?: string, from?: string }} */ next) => {
    keepInAddress({ seq: asked ?? '', from: since, ...next });
    dispatchEvent(new Event('hashchange'));
  };
  const [answer, isReading] = usePast(isLive || !head ? null : `orders${query({ at_seq: shown, limit: LIST_MAX, numbers: 'string' })}`);
  const past = answer?.ok ? answer.data : null;
  const rows = useMemo(() => past?.orders ?? [], [past]);
  const held = useMemo(() => (past?.positions ?? []).map(valuedThen), [past]);
  const changed = rows.filter((/** @type {any} */ row) => text(store.orders.get(row.order_id)?.seq) !== text(row.seq)).length;
  const newest = rows.reduce((/** @type {string} */ at, /** @type {any} */ row) => (row.updated_at > at ? row.updated_at : at), '');
  const cut = past && past.total > rows.length ? `, of which ${rows.length} are shown: the open ones, then the newest` : '';
  const less = past && past.positions_total > held.length ? ` ${held.length} of ${past.positions_total} positions are shown.` : '';
  const found = past ? `${past.total} orders${cut}; ${changed} of them have changed since.${less} ` : '';
  const typed = (/** @type {any} */ event) => {
    const next = Math.floor(Number(event.target.value));
    if (next >= 1 && next <= head) go({ seq: String(next) });
  };
  return html`<div class="screen time">
    <div class="panel"><div class="toolbar"><h1>Time travel</h1><span class="quiet">${isLive ? 'live' : html`as of seq <span class="num">${shown}</span> of <span class="num">${head}</span>${newest ? html`, last change of an order <span class="num">${longTime(newest)}</span>` : ''}`}</span>
        <span class="spacer"></span><button type="button" disabled=${isLive} onClick=${() => go({ seq: '' })}>Back to live</button></div>
      <div class="slider"><label for="as-of">As of sequence</label><input id="as-of" type="range" min="1" max=${Math.max(head, 1)} step="1" value=${shown} onInput=${(/** @type {any} */ event) => go({ seq: event.target.value })} />
        <div class="replace-fields"><div class="field"><label for="as-of-number">Sequence number</label><input id="as-of-number" class="numeric" inputmode="numeric" value=${shown} onChange=${typed} /></div></div></div>
      <p class="hint" role="status">${isLive ? 'Move the slider: one arrow key is one sequence.' : found + (isReading ? 'Reading the journal…' : '')}</p>
      <${NotAvailable} answer=${answer} what="That sequence" />
    </div>
    <${Changes} from=${since} to=${shown} isLive=${isLive} head=${head} choose=${(/** @type {string} */ from) => go(isLive && from ? { from, seq: String(head) } : { from })} openOrder=${openOrder} />
    <section class="panel grow" aria-label="Orders then"><h2>Orders as of</h2><${StaticGrid} label="Orders as of" columns=${PAST_COLUMNS} rows=${rows} rowId=${(/** @type {any} */ row) => row.order_id} tie=${newestFirst} sort="created_at" descending=${true} open=${(/** @type {any} */ row) => openOrder(row.order_id)} /></section>
    <section class="panel grow" aria-label="Positions then"><h2>Positions as of</h2><${StaticGrid} label="Positions as of" columns=${POSITION_COLUMNS} rows=${held} rowId=${positionId} tie=${positionTie} sort="account" descending=${false} /></section>
  </div>`;
}

/** @param {any} position @returns {any} with the mark of that time: the price of the last trade */
const valuedThen = (position) => valuedAt(position, text(position.last_price), null);
