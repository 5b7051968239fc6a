/** The machine room: services, the journal, latencies while the screen is open, and verify. */

import { get, post, problemText } from './api.js';
import { connection, store, useDesk } from './desk.js';
import { lasted, longTime, text } from './format.js';
import { NotAvailable, Num, Scroll, usePolled } from './parts.js';
import { html, useState } from './ui.js';

const STATS_MS = 2000;
const VERIFY_TIMEOUT_MS = 600_000;
const SAMPLES_MAX = 1800;

/** @typedef {{ at: number, commits: number | null, submit: number | null, check: number | null, rate: number | null }} Sample */

/** Kept while the page is open, so that coming back to the screen shows what happened meanwhile as far as it was seen. @type {Sample[]} */
const samples = [];

export function Engine() {
  useDesk(1000);
  const [stats] = usePolled(async () => {
    const [oms, risk, exeq, projector] = await Promise.all(['oms', 'risk', 'exeq', 'projector'].map((name) => get(`api/${name}/stats`, { quiet: true })));
    takeSample(oms.data, risk.data);
    return { oms, risk, exeq, projector };
  }, STATS_MS, []);
  const services = store.services?.services ?? [];
  const last = samples[samples.length - 1];
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
    <div class="panel"><h2>Latency and load while this screen is open</h2>
      <${NotAvailable} answer=${stats?.oms} what="The numbers of oms" />
      <div class="charts">
        <${Chart} label="Submit, P99" unit="ms" values=${samples.map((one) => one.submit)} now=${oms?.submit_ms?.p99} note=${`P50 ${text(oms?.submit_ms?.p50) || '–'} ms, max ${text(oms?.submit_ms?.max) || '–'} ms`} />
        <${Chart} label="Risk check, P99" unit="us" values=${samples.map((one) => one.check)} now=${stats?.risk.data?.latency_us?.check?.p99} note=${`P50 ${text(stats?.risk.data?.latency_us?.check?.p50) || '–'} us, ${text(stats?.risk.data?.latency_us?.check?.count)} checks`} />
        <${Chart} label="Commits" unit="a second" values=${samples.map((one) => one.rate)} now=${last?.rate === null || last?.rate === undefined ? null : last.rate.toFixed(1)} note=${`${text(oms?.commits)} since oms started`} />
      </div>
    </div>
    <div class="panel"><h2>What the services report</h2>
      <dl class="facts">${facts(stats).map(([name, value]) => html`<div><dt>${name}</dt><dd><${Num} value=${value} /></dd></div>`)}</dl></div>
  </div>`;
}

/** @param {any} oms @param {any} risk */
function takeSample(oms, risk) {
  const before = samples[samples.length - 1];
  const at = Date.now();
  const commits = oms?.commits === undefined ? null : Number(oms.commits);
  const seconds = before ? (at - before.at) / 1000 : 0;
  const rate = before && commits !== null && before.commits !== null && seconds > 0 && commits >= before.commits ? (commits - before.commits) / seconds : null;
  const number = (/** @type {any} */ value) => (value === null || value === undefined ? null : Number(value));
  samples.push({ at, commits, rate, submit: number(oms?.submit_ms?.p99), check: number(risk?.latency_us?.check?.p99) });
  if (samples.length > SAMPLES_MAX) samples.shift();
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

/** @param {{ label: string, unit: string, values: (number | null)[], now: any, note: string }} props */
function Chart({ label, unit, values, now, note }) {
  const known = values.filter((one) => one !== null);
  const most = Math.max(...known.map(Number), 0);
  const step = 300 / Math.max(values.length - 1, 1);
  const points = values.map((one, n) => (one === null ? null : `${(n * step).toFixed(1)},${(56 - (most ? (one / most) * 50 : 0)).toFixed(1)}`)).filter(Boolean);
  return html`<figure class="chart"><figcaption><span>${label}</span><strong class="num">${now === null || now === undefined ? '–' : text(now)} <span class="unit">${unit}</span></strong></figcaption>
    <svg viewBox="0 0 300 60" preserveAspectRatio="none" role="img" aria-label=${`${label}: ${known.length} samples, highest ${most}`}>${points.length > 1 ? html`<polyline points=${points.join(' ')} />` : null}</svg>
    <p class="hint num">${note}</p></figure>`;
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
