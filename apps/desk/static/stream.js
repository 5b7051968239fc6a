/**
 * Reads `/stream`, keeps the last id, and connects again by itself.
 *
 * `fetch` instead of EventSource: it shows the status of a refusal, sets Last-Event-ID after an abort of our own, and a connection that is
 * open and silent can be given up.
 */

import { Store } from './store.js';

const KINDS = 'orders,positions,controls,marks,services,lists,algos';
const ADDRESS = `stream?kinds=${KINDS}&numbers=string&limit=100000`;
/** The server speaks every second. After this long without a word the connection is taken for dead. */
const SILENCE_MS = 5000;
const CONNECT_MS = 8000;
const RETRY_MS = 1000;
const RETRY_MAX_MS = 5000;
const POLL_MS = 250;

export class Feed {
  /**
   * @param {URL} base the address of the page
   * @param {(event: string, data: any, id?: string) => void} tell called with each message, and with `trouble` (`{ status, detail }`)
   */
  constructor(base, tell) {
    this.base = base;
    this.tell = tell;
    this.store = new Store();
    /** @type {string | null} */
    this.id = null;
    this.retryMs = RETRY_MS;
    this.heardAt = performance.now();
    /** @type {AbortController | null} */
    this.connection = null;
    this.running = false;
    setInterval(() => this.giveUpOnSilence(), POLL_MS);
  }

  start() {
    if (this.running) return;
    this.running = true;
    void this.run();
  }

  /** Connect again, as another caller may see other accounts. */
  restart() {
    this.forget();
    this.retryMs = RETRY_MS;
    this.connection?.abort();
    this.wake?.();
    this.start();
  }

  /** Nothing that one caller was sent may be shown to the next one. */
  forget() {
    this.id = null;
    this.store = new Store();
    this.tell('reset', { reason: 'another_caller', orders_total: 0 });
  }

  giveUpOnSilence() {
    const bound = this.open ? SILENCE_MS : CONNECT_MS;
    if (this.connection && performance.now() - this.heardAt > bound) this.connection.abort();
  }

  async run() {
    while (this.running) {
      this.heardAt = performance.now();
      this.open = false;
      this.connection = new AbortController();
      try {
        await this.connect(this.connection.signal);
      } catch {
        this.tell('trouble', { status: 0, detail: 'The connection was lost.' });
      }
      this.connection = null;
      if (!this.running) return;
      await this.wait(this.retryMs);
      this.retryMs = Math.min(this.retryMs * 2, RETRY_MAX_MS);
    }
  }

  /** @param {number} ms @returns {Promise<void>} */
  wait(ms) {
    return new Promise((done) => {
      const timer = setTimeout(done, ms);
      this.wake = () => {
        clearTimeout(timer);
        done();
      };
    });
  }

  /** @param {AbortSignal} signal */
  async connect(signal) {
    /** @type {Record<string, string>} */
    const headers = { Accept: 'text/event-stream' };
    if (this.id) headers['Last-Event-ID'] = this.id;
    const response = await fetch(new URL(ADDRESS, this.base), { headers, signal, cache: 'no-store', credentials: 'same-origin' });
    if (!response.ok || !response.body) {
      let detail = `The stream answered ${response.status}.`;
      try {
        detail = JSON.parse(await response.text()).detail ?? detail;
      } catch {
        // A proxy's page; the status says enough.
      }
      const after = Number(response.headers.get('Retry-After'));
      if (after > 0) this.retryMs = Math.min(after * 1000, RETRY_MAX_MS);
      if (response.status === 401) {
        this.running = false;
        this.forget();
      }
      this.tell('trouble', { status: response.status, detail });
      return;
    }
    this.open = true;
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = '';
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      this.heardAt = performance.now();
      const pieces = (rest + value).split('\n\n');
      rest = pieces.pop() ?? '';
      for (const piece of pieces) {
        if (signal.aborted) return;
        this.takeMessage(piece);
      }
    }
  }

  /** @param {string} piece the lines of one message */
  takeMessage(piece) {
    let event = '';
    let data = '';
    let id = null;
    for (const line of piece.split('\n')) {
      if (line.startsWith('data:')) data += line.slice(5).trimStart();
      else if (line.startsWith('event:')) event = line.slice(6).trim();
      else if (line.startsWith('id:')) id = line.slice(3).trim();
    }
    if (!event || !data) return;
    this.retryMs = RETRY_MS;
    const content = JSON.parse(data);
    if (event === 'hello' && content.resumed && String(content.accounts) !== String(this.store.hello?.accounts)) {
      this.restart(); // Another tab has signed in or out. The rest of the state is not of these accounts.
      return;
    }
    if (!this.store.apply(event, content)) {
      // A message is missing: nothing shown can be trusted, so the whole state is asked for again.
      this.id = null;
      this.tell('gap', { expected: this.store.seq, prev_seq: content.prev_seq });
      this.connection?.abort();
      return;
    }
    if (id) this.id = id;
    if (event === 'reset') this.id = null;
    this.store.take(); // This copy is not drawn.
    this.tell(event, content, id ?? undefined);
  }
}
