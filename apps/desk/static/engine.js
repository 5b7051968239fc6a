/** The machine room: services, the journal, latencies of the last hour, and verify. */

import { get, post, problemText } from './api.js';
import { connection, store, useDesk } from './desk.js';
import { lasted, longTime, moment, text, timeZone } from './format.js';
import { NotAvailable, Num, Scroll, usePolled } from './parts.js';
import { html, useState } from './ui.js';

const STATS_MS = 2000;
const HISTORY_MS = 10_000;
const VERIFY_TIMEOUT_MS = 600_000;
const HOUR_MS = 3_600_000;
/** Samples further apart than this are not joined: desk was away, or nothing was measured. */
const GAP_MS = 25_000;
const WIDTH = 300;
const HEIGHT = 60;

export function Engine() {
  useDesk(1000);
  const [stats] = usePolled(async () => {
    const [oms, risk, exeq, projector] = await Promise.all(['oms', 'risk', 'exeq', 'projector'].map((name) => get(`api/${name}/stats`, { quiet: true })));
    return { oms, risk, exeq, projector };
  }, STATS_MS, []);
  const [history] = usePolled(() => get('history', { quiet: true }), HISTORY_MS, []);
  const samples = history?.data?.samples ?? [];
  const last = samples[samples.length - 1];
  const services = store.services?.services ?? [];
  const oms = stats?.oms.data;
  const chain = connection.id.includes('.') ? connection.id.split('.').slice(1).join('.') : '';
  return html`<div class="screen">
    <div class="two">
      <div class="panel"><h1>Engine</h1>
        <p class="journal" role="status" aria-live="off" aria-label="Journal">Journal at seq <span class="num">${text(store.seq)}</span>${chain ? html`, chain <span class="mono">${chain}</span>` : ''}${store.at ? html`, newest event <span class="num">${longTime(store.at)}</span>` : ''}</p>
        <${Scroll} label="Services, scrolls"><table class="table" aria-label="Services">
          <thead><tr><th scope="col">Service</th><th scope="col">Ready</th><th scope="col" class="numeric">Seq</th><th scope="col" class="numeric">Lag, commits</th><th scope="col">Up</th><th scope="col">Ended tasks</th></tr></thead>
          <tbody>${services.map((/** @type {any} */ one) => html`<tr><td><strong>${one.service}</strong></td><td>${one.ready ? html`<span class="yes">ready</span>` : html`<span class="no">${one.answers === false ? 'no answer' : 'not ready'}</span>`}</td>
            <td class="numeric"><${Num} value=${one.seq} /></td><td class="numeric"><${Num} value=${one.lag} /></td><td class="num">${one.uptime_sec === undefined || one.uptime_sec === null ? '' : lasted(Number(one.uptime_sec) * 1000)}</td>
            <td>${Object.entries(one.task_deaths ?? {}).map(([name, n]) => `${name} ${n}`).join(', ')}</td></tr>`)}</tbody></table></${Scroll}>
        ${services.length ? null : html`<p class="quiet">The stream has not told of services yet, or the key may not see them.</p>`}
      </div>
      <${Verify} />
    </div>
    <div class="panel"><h2>The last hour</h2>
      <${NotAvailable} answer=${history} what="The last hour" />
      <div class="charts">
        <${Chart} label="Submit, P99" unit="ms" samples=${samples} of="submit_ms" now=${oms?.submit_ms?.p99} note=${`P50 ${text(oms?.submit_ms?.p50) || '–'} ms, max ${text(oms?.submit_ms?.max) || '–'} ms of the last ${text(oms?.submit_ms?.recent) || '0'} submits`} />
        <${Chart} label="Risk check, P99" unit="us" samples=${samples} of="check_us" now=${last?.check_us} note=${`P50 ${text(stats?.risk.data?.latency_us?.check?.p50) || '–'} us, ${text(stats?.risk.data?.latency_us?.check?.count)} checks since risk started`} />
        <${Chart} label="Commits" unit="a second" samples=${samples} of="commits_a_second" now=${last?.commits_a_second} note=${`${text(oms?.commits)} since oms started`} />
        <${Chart} label="Furthest behind" unit="commits" samples=${samples} of="lag" now=${last?.lag} note="The service that has most to apply" />
      </div>
      <p class="hint">A sample every 10 s, kept by desk since it started: ${samples.length ? html`${samples.length} samples since <span class="num">${longTime(samples[0].at)}</span>` : 'none yet'}. A gap: nothing was measured.</p>
    </div>
    <div class="panel"><h2>What the services report</h2>
      <dl class="facts">${facts(stats).map(([name, value]) => html`<div><dt>${name}</dt><dd><${Num} value=${value} /></dd></div>`)}</dl></div>
  </div>`;
}

/** @param {any} stats @returns {[string, any][]} */
function facts(stats) {
  const { oms, risk, exeq, projector } = stats ?? {};
  return [
    ['Orders in flight', oms?.data?.in_flight], ['Reports applied', oms?.data?.reports?.applied], ['Duplicates', oms?.data?.reports?.duplicates], ['Gaps', oms?.data?.reports?.gaps], ['Unreadable', oms?.data?.reports?.unreadable],
    ['Risk: approved', risk?.data?.approved], ['Reservations', risk?.data?.reservations], ['Leaked reservations', risk?.data?.leaked_reservations], ['Snapshots of risk', risk?.data?.snapshots?.taken],
    ['Queued', exeq?.data?.queued], ['Working', exeq?.data?.working], ['In doubt', exeq?.data?.in_doubt], ['Snapshots of exeq', exeq?.data?.snapshots?.taken],
    ['Positions behind', projector?.data?.positions?.lag_commits], ['Fills behind', projector?.data?.fills?.lag_commits],
  ];
}

/** @typedef {{ at: string, [field: string]: any }} Sample */

/**
 * The lines of one field over the hour that ends now: one for each stretch without a gap.
 *
 * @param {Sample[]} samples @param {string} field @param {number} most @returns {string[]}
 */
function lines(samples, field, most) {
  const end = Date.now();
  /** @type {string[][]} */
  const found = [];
  let before = -Infinity;
  for (const one of samples) {
    const at = new Date(one.at).getTime();
    if (one[field] === null || one[field] === undefined || end - at > HOUR_MS) continue;
    if (at - before > GAP_MS) found.push([]);
    before = at;
    const x = Math.min(WIDTH, WIDTH - ((end - at) / HOUR_MS) * WIDTH);
    found[found.length - 1].push(`${x.toFixed(1)},${(HEIGHT - 4 - (most ? (Number(one[field]) / most) * (HEIGHT - 10) : 0)).toFixed(1)}`);
  }
  // A single sample is drawn as a short line: a line of one point is not seen.
  return found.map((points) => (points.length > 1 ? points.join(' ') : `${points[0]} ${Number(points[0].split(',')[0]) + 1},${points[0].split(',')[1]}`));
}

/** @param {{ label: string, unit: string, samples: Sample[], of: string, now: any, note: string }} props */
function Chart({ label, unit, samples, of, now, note }) {
  const known = samples.filter((one) => one[of] !== null && one[of] !== undefined);
  const highest = known.reduce((/** @type {Sample | null} */ top, one) => (top && Number(top[of]) >= Number(one[of]) ? top : one), null);
  const most = highest ? Number(highest[of]) : 0;
  const words = highest ? `highest ${text(highest[of])} ${unit} at ${moment(highest.at)?.clock} ${timeZone()}` : 'nothing was measured';
  return html`<figure class="chart"><figcaption><span>${label}</span><strong class="num">${now === null || now === undefined ? '–' : text(now)} <span class="unit">${unit}</span></strong></figcaption>
    <svg viewBox=${`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label=${`${label}, last hour: ${known.length} samples, ${words}`}>${lines(samples, of, most).map((points) => html`<polyline points=${points} />`)}</svg>
    <p class="chart-axis num"><span>60 min ago</span><span>now</span></p>
    <p class="hint num">${words}</p><p class="hint num">${note}</p></figure>`;
}

function Verify() {
  const [state, setState] = useState(/** @type {any} */ (null));
  const run = async () => {
    setState({ running: true });
    const answer = await post('api/oms/admin/verify', undefined, { timeoutMs: VERIFY_TIMEOUT_MS });
    setState({ answer, at: new Date().toISOString() });
  };
  const report = state?.answer?.data;
  return html`<div class="panel"><div class="toolbar"><h2>Verify</h2><span class="spacer"></span><button type="button" disabled=${state?.running} onClick=${run}>Verify</button></div>
    <p class="hint">Reads the whole journal: chain, sequence, invariants, and that positions, fills and live state agree with it.</p>
    <div role="status" aria-label="Verify result">${state?.running ? 'reading the journal…' : null}
      ${state?.answer && !state.answer.ok ? html`<p class="notice">${problemText(state.answer.problem)}</p>` : null}
      ${report ? html`<p><span class=${report.ok ? 'yes' : 'no'}>${report.ok ? 'ok' : 'different'}</span> as of seq <${Num} value=${report.as_of_seq} /> at ${longTime(state.at)}${report.complete ? '' : ', not complete'}</p>
        ${report.first_difference ? html`<p class="error">${typeof report.first_difference === 'string' ? report.first_difference : JSON.stringify(report.first_difference)}</p>` : null}
        <table class="table" aria-label="Verify checks"><tbody>${report.checks.map((/** @type {any} */ one) => html`<tr><td>${one.name}</td><td>${one.outcome}</td></tr>`)}</tbody></table>` : null}</div></div>`;
}
