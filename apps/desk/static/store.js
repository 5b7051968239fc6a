/**
 * The state that the stream tells: orders, positions, controls, marks and services at one journal sequence.
 *
 * The SharedWorker and the page each keep one and feed it the same messages, so both prove that no message is missing.
 *
 * @typedef {Record<string, any> & { order_id: string, client_order_id: string, account: string, symbol: string, side: string, status: string,
 *   created_at: string, seq: number | null }} Row
 * @typedef {Record<string, any> & { account: string, symbol: string, quantity: string }} Position
 * @typedef {{ reset: boolean, orders: Map<string, Row | undefined>, positions: boolean, controls: boolean, marks: boolean, services: boolean, algos: Set<string> }} Changes
 *   `orders` has, by id, the row that was there before; `algos` has ids
 */

export const OPEN_STATES = ['new', 'risk_checked', 'queued', 'routed', 'in_doubt', 'partially_filled', 'pending_cancel', 'pending_replace'];
export const CLOSED_STATES = ['filled', 'cancelled', 'rejected', 'expired'];
/** States of algos that have ended. */
export const CLOSED_ALGOS = new Set(['done', 'cancelled', 'expired', 'rejected']);
export const STATES = [...OPEN_STATES, ...CLOSED_STATES];

const CLOSED = new Set(CLOSED_STATES);
const DECIMALS = ['quantity', 'price', 'stop_price', 'cum_quantity', 'leaves_quantity', 'average_price', 'fees'];
const SNAPSHOT_ROWS = 5000;

/** @param {{ status: string }} row */
export const isOpen = (row) => !CLOSED.has(row.status) && row.status !== 'sending';

/** @returns {Changes} */
const nothing = () => ({ reset: false, orders: new Map(), positions: false, controls: false, marks: false, services: false, algos: new Set() });

/** @param {unknown} a @param {unknown} b A sequence is a number, or an object of numbers by shard. */
const same = (a, b) => a === b || JSON.stringify(a) === JSON.stringify(b);

/** @param {any} seq @returns {number} for comparisons: the sum over the shards grows with each of them */
export const height = (seq) => (seq && typeof seq === 'object' ? Object.values(seq).reduce((sum, one) => sum + one, 0) : Number(seq ?? 0));

export class Store {
  constructor() {
    /** @type {Map<string, Row>} */
    this.orders = new Map();
    /** @type {Map<string, Position>} */
    this.positions = new Map();
    /** Lists of orders that belong together, by id, without their orders. @type {Map<string, any>} */
    this.lists = new Map();
    /** Algos by id, without their orders. @type {Map<string, any>} */
    this.algos = new Map();
    /** The ids of the orders of each list and algo. @type {Map<string, Set<string>>} */
    this.legs = new Map();
    /** @type {Record<string, number>} */
    this.states = {};
    /** @type {any} */
    this.controls = null;
    /** @type {Map<string, any>} */
    this.marks = new Map();
    /** @type {any} */
    this.services = null;
    /** @type {any} */
    this.seq = null;
    /** @type {string | null} */
    this.at = null;
    /** @type {number} */
    this.lagMs = 0;
    /** @type {any} */
    this.hello = null;
    this.ordersTotal = 0;
    /** @type {'connecting' | 'catching up' | 'live'} */
    this.phase = 'connecting';
    this.changes = nothing();
  }

  /** @returns {Changes} what changed since the last call */
  take() {
    const taken = this.changes;
    this.changes = nothing();
    return taken;
  }

  /**
   * Take one message of the stream.
   *
   * @param {string} event @param {any} data @returns {boolean} false if a message is missing before this one
   */
  apply(event, data) {
    switch (event) {
      case 'hello':
        this.hello = data;
        this.phase = data.resumed && this.seq !== null ? 'live' : 'catching up';
        return true;
      case 'reset':
        this.clear();
        this.ordersTotal = data.orders_total ?? 0;
        return true;
      case 'snapshot':
        for (const row of data.orders ?? []) this.putOrder(row);
        return true;
      case 'snapshot_end':
        this.seq = data.seq;
        this.at = data.at ?? this.at;
        this.phase = 'live';
        this.takeParts(data);
        return true;
      case 'frame':
        if (!this.follows(data)) return false;
        for (const row of data.orders ?? []) this.putOrder(row);
        this.takeParts(data);
        return true;
      case 'heartbeat':
        if (!this.follows(data)) return false;
        this.lagMs = data.lag_ms ?? 0;
        return true;
      case 'marks':
        for (const [symbol, mark] of Object.entries(data.marks ?? {})) this.marks.set(symbol, mark);
        this.changes.marks = true;
        return true;
      case 'services':
        this.services = data;
        this.changes.services = true;
        return true;
      default:
        return true; // Unknown messages are to be ignored, so that the server may add some.
    }
  }

  /** @param {any} data @returns {boolean} */
  follows(data) {
    if (!same(data.prev_seq, this.seq)) return false;
    this.seq = data.seq;
    this.at = data.at ?? this.at;
    this.phase = 'live';
    return true;
  }

  /** @param {any} data */
  takeParts(data) {
    for (const position of data.positions ?? []) {
      this.positions.set(`${position.account}|${position.symbol}`, position);
      this.changes.positions = true;
    }
    for (const list of data.lists ?? []) this.putList(list);
    for (const algo of data.algos ?? []) {
      this.algos.set(algo.algo_id, algo);
      this.changes.algos.add(algo.algo_id);
    }
    if (data.states) this.states = data.states;
    if (data.controls) {
      this.controls = data.controls;
      this.changes.controls = true;
    }
  }

  clear() {
    this.orders = new Map([...this.orders].filter(([, row]) => row.status === 'sending'));
    this.positions = new Map();
    this.lists = new Map();
    this.algos = new Map();
    this.legs = new Map();
    this.states = {};
    this.seq = null;
    this.phase = 'catching up';
    this.changes = { ...nothing(), reset: true, positions: true, controls: true };
  }

  /** @param {any} row */
  putOrder(row) {
    for (const field of DECIMALS) if (typeof row[field] === 'number') row[field] = String(row[field]);
    const before = this.orders.get(row.order_id);
    if (before && before.seq !== null && height(before.seq) > height(row.seq)) return;
    if (!this.changes.orders.has(row.order_id)) this.changes.orders.set(row.order_id, before);
    this.orders.set(row.order_id, row);
    if (row.group_id) this.legsOf(row.group_id).add(row.order_id);
    this.drop(sendingId(row.account, row.client_order_id));
  }

  /** @param {string} listId @returns {Set<string>} */
  legsOf(listId) {
    let found = this.legs.get(listId);
    if (!found) this.legs.set(listId, (found = new Set()));
    return found;
  }

  /** Take a list. The rows of its orders show its flags, so they count as changed. @param {any} list */
  putList(list) {
    this.lists.set(list.list_id, list);
    for (const id of this.legsOf(list.list_id)) {
      const before = this.orders.get(id);
      if (before) this.putOrder({ ...before });
    }
  }

  /**
   * Take rows of a request. The stream knows better: a row with a higher sequence stays.
   *
   * @param {any[]} rows
   */
  putFetched(rows) {
    for (const row of rows) {
      const before = this.orders.get(row.order_id);
      if (!before || height(before.seq) < height(row.seq)) this.putOrder({ ...row });
    }
  }

  /** Show an order that has no journal sequence yet. @param {Row} row */
  putSending(row) {
    const id = sendingId(row.account, row.client_order_id);
    const sent = { ...row, order_id: id, status: 'sending', seq: null };
    this.changes.orders.set(id, this.orders.get(id));
    this.orders.set(id, sent);
  }

  /** @param {string} id */
  drop(id) {
    const before = this.orders.get(id);
    if (!before) return;
    if (!this.changes.orders.has(id)) this.changes.orders.set(id, before);
    this.orders.delete(id);
  }

  /** @param {string} account @param {string} clientOrderId */
  dropSending(account, clientOrderId) {
    this.drop(sendingId(account, clientOrderId));
  }

  /** @returns {Generator<[string, any]>} messages that bring an empty store to this state */
  *messages() {
    if (this.hello) yield ['hello', { ...this.hello, resumed: false }];
    if (this.services) yield ['services', this.services];
    if (this.marks.size) yield ['marks', { marks: Object.fromEntries(this.marks) }];
    yield ['reset', { reason: 'new', seq: this.seq, orders_total: this.ordersTotal }];
    let part = [];
    for (const row of this.orders.values()) {
      part.push(row);
      if (part.length === SNAPSHOT_ROWS) {
        yield ['snapshot', { orders: part }];
        part = [];
      }
    }
    yield ['snapshot', { orders: part }];
    if (this.seq === null) return; // The rest of the snapshot follows as it comes.
    const { seq, at, states, controls } = this;
    yield ['snapshot_end', { seq, at, states, controls, positions: [...this.positions.values()], lists: [...this.lists.values()], algos: [...this.algos.values()] }];
  }
}

/** @param {string} account @param {string} clientOrderId */
const sendingId = (account, clientOrderId) => `sending|${account}|${clientOrderId}`;
