/**
 * A grid that reads and does not edit: rows of one height, only those in view have nodes, and a changed row is taken out and put back by
 * binary search. 100 000 rows cost what thirty cost.
 *
 * The rows' scroller is the rowgroup itself: a scroller without a role between the grid and its rows breaks the roles for screen readers.
 *
 * @typedef {Record<string, any>} GridRow
 * @typedef {{ text: string, state?: string, title?: string }} Cell  `state` chooses the sign and the colour in the style sheet
 * @typedef {{
 *   key: string, name: string, numeric?: boolean, width: string, flash?: boolean, opens?: (row: any) => boolean,
 *   cell: (row: any) => string | Cell, sortKey: (row: any) => string | number,
 * }} Column  `opens`: whether a click into the cell of this row opens it
 */

const OVERSCAN = 8;
const NODES_MAX = 200;
const REORDER_MS = 400;
/** Above this share of changed rows, sorting all rows again is cheaper than moving each. */
const REBUILD_SHARE = 4;

export class Grid {
  /**
   * @param {{
   *   label: string, columns: Column[], rowId: (row: any) => string, tie: (a: any, b: any) => number,
   *   sort: string, descending: boolean, empty: string,
   *   open?: (row: any, column: Column) => void, chosen?: (row: any) => void, keepsPlace?: boolean, sorted?: (key: string, descending: boolean) => void,
   * }} options `tie` orders rows of one key, and never changes for a row. `keepsPlace`: rows that come in above a scrolled view are counted instead of pushing it down
   */
  constructor(options) {
    this.options = options;
    this.columns = options.columns;
    this.sortColumn = this.columnOf(options.sort);
    this.descending = options.descending;
    /** @type {(row: any) => boolean} */
    this.matches = () => true;
    /** @type {GridRow[]} */
    this.rows = [];
    /** @type {Map<string, GridRow>} */
    this.byId = new Map();
    /** The ids of the rows in the order of `tie`, as of the last sort. @type {Set<string>} */
    this.tied = new Set();
    /** @type {Map<string, RowNode>} */
    this.nodes = new Map();
    /** @type {RowNode[]} */
    this.spare = [];
    /** @type {string | null} */
    this.activeId = null;
    this.activeColumn = 0;
    /** Until the person chooses a row it is the first one, whichever that is. */
    this.isChosen = false;
    this.newAbove = 0;
    this.rowHeight = 26;
    this.room = 0;
    /** The scroller's position as last seen or set: reading it from the page costs a layout. */
    this.top = 0;
    this.drawing = 0;
    this.reordering = 0;
    const { label, empty } = this.options;
    this.element = element('div', 'grid-frame');
    this.grid = element('div', 'grid', { role: 'grid', 'aria-label': label, tabindex: '-1', 'aria-colcount': String(this.columns.length) });
    this.grid.style.setProperty('--columns', this.columns.map((column) => column.width).join(' '));
    this.head = element('div', 'grid-head', { role: 'rowgroup' });
    const headRow = element('div', 'grid-row', { role: 'row', 'aria-rowindex': '1' });
    this.headers = this.columns.map((column, n) => this.header(column, n));
    headRow.append(...this.headers);
    this.head.append(headRow);
    this.body = element('div', 'grid-body', { role: 'rowgroup' });
    this.canvas = element('div', 'grid-canvas', { role: 'presentation' });
    this.body.append(this.canvas);
    this.grid.append(this.head, this.body);
    this.empty = element('p', 'grid-empty');
    this.empty.textContent = empty;
    this.above = /** @type {HTMLButtonElement} */ (element('button', 'grid-above', { type: 'button', hidden: '' }));
    this.above.addEventListener('click', () => this.toTop());
    this.element.append(this.grid, this.above, this.empty);

    this.body.addEventListener('scroll', () => this.scrolled(), { passive: true });
    this.grid.addEventListener('keydown', (event) => this.pressed(event));
    this.body.addEventListener('click', (event) => this.clicked(event));
    this.body.addEventListener('dblclick', () => this.openActive());
    this.resizes = new ResizeObserver(() => this.measure());
    this.resizes.observe(this.body);
    this.showSort();
  }

  /** @param {string} key @returns {Column} */
  columnOf(key) {
    return this.columns.find((column) => column.key === key) ?? this.columns[0];
  }

  /** @param {Column} column @param {number} n */
  header(column, n) {
    const header = element('div', `grid-cell ${column.numeric ? 'numeric' : ''} c-${column.key}`, {
      role: 'columnheader',
      'aria-colindex': String(n + 1),
    });
    const button = element('button', '', { type: 'button', tabindex: n === 0 ? '0' : '-1' });
    button.textContent = column.name;
    button.addEventListener('click', () => this.sortBy(column));
    header.append(button);
    return header;
  }

  destroy() {
    this.resizes.disconnect();
    cancelAnimationFrame(this.drawing);
    clearTimeout(this.reordering);
  }

  // --- order and contents ---------------------------------------------------------------------------------------------------------------

  /** @param {any} a @param {any} b */
  compare = (a, b) => {
    const x = this.sortColumn.sortKey(a);
    const y = this.sortColumn.sortKey(b);
    if (x < y) return this.descending ? 1 : -1;
    if (x > y) return this.descending ? -1 : 1;
    return this.options.tie(a, b);
  };

  /** Show other rows. @param {Iterable<any>} all */
  reset(all) {
    const rows = [];
    for (const row of all) if (this.matches(row)) rows.push(row);
    this.byId = new Map(rows.map((row) => [this.options.rowId(row), row]));
    this.tied = new Set(); // Other rows may have the same ids.
    this.rows = this.sorted(this.inTieOrder());
    this.newAbove = 0;
    this.draw();
  }

  /**
   * All rows in the order of `tie`. It never changes for a row, so it is kept by id from one sort to the next: only rows that are new are
   * compared.
   *
   * @returns {any[]}
   */
  inTieOrder() {
    const { tie } = this.options;
    const found = [];
    for (const id of this.tied) {
      const row = this.byId.get(id);
      if (row) found.push(row);
    }
    const isSame = found.length === this.tied.size && found.length === this.byId.size;
    if (found.length < this.byId.size) {
      for (const [id, row] of this.byId) if (!this.tied.has(id)) found.push(row);
      found.sort(tie);
    }
    if (!isSame) this.tied = new Set(found.map(this.options.rowId));
    return found;
  }

  /**
   * Sort by the chosen column: the different keys are compared, and the rows counted into their places, which keeps the order of `tie`
   * among those of one key. A column of states has a dozen keys.
   *
   * @param {any[]} tied rows in the order of `tie` @returns {any[]}
   */
  sorted(tied) {
    const { sortKey } = this.sortColumn;
    /** @type {Map<string | number, number>} */
    const groups = new Map();
    /** @type {(string | number)[]} */
    const keys = [];
    /** @type {number[]} */
    const counts = [];
    const groupOf = new Uint32Array(tied.length);
    tied.forEach((row, n) => {
      const key = sortKey(row);
      let group = groups.get(key);
      if (group === undefined) {
        group = keys.length;
        groups.set(key, group);
        keys.push(key);
        counts.push(0);
      }
      groupOf[n] = group;
      counts[group] += 1;
    });
    const up = this.descending ? 1 : -1;
    const order = keys.map((_, group) => group).sort((a, b) => (keys[a] < keys[b] ? up : keys[a] > keys[b] ? -up : 0));
    const next = new Uint32Array(keys.length);
    let place = 0;
    for (const group of order) {
      next[group] = place;
      place += counts[group];
    }
    const found = new Array(tied.length);
    tied.forEach((row, n) => {
      found[next[groupOf[n]]++] = row;
    });
    return found;
  }

  /** @param {(row: any) => boolean} matches @param {Iterable<any>} all */
  filter(matches, all) {
    this.matches = matches;
    this.isChosen = false;
    this.reset(all);
    this.scrollTo(0);
  }

  /** @param {Column} column */
  sortBy(column) {
    this.descending = this.sortColumn === column ? !this.descending : Boolean(column.numeric) || column.key === 'created_at';
    this.sortColumn = column;
    this.showSort();
    this.rows = this.sorted(this.inTieOrder());
    this.newAbove = 0;
    this.draw();
    this.scrollTo(0);
    this.options.sorted?.(column.key, this.descending);
  }

  showSort() {
    this.columns.forEach((column, n) => {
      const sorted = column === this.sortColumn ? (this.descending ? 'descending' : 'ascending') : 'none';
      this.headers[n].setAttribute('aria-sort', sorted);
    });
  }

  /**
   * Take changes of rows by id. A row that is undefined is gone.
   *
   * @param {Map<string, any>} changed
   */
  apply(changed) {
    const anchor = this.anchor();
    const removed = [];
    const added = [];
    let replaced = false;
    for (const [id, row] of changed) {
      const before = this.byId.get(id);
      const shown = row !== undefined && this.matches(row);
      if (!before && !shown) continue;
      if (before && shown && this.compare(before, row) === 0) {
        this.rows[this.find(before)] = row;
        this.byId.set(id, row);
        replaced = true;
        continue;
      }
      if (before) removed.push(before);
      if (shown) added.push(row);
      if (shown) this.byId.set(id, row);
      else this.byId.delete(id);
    }
    if (!removed.length && !added.length && !replaced) return;
    this.move(removed, added);
    this.keepPlace(anchor);
    this.draw();
  }

  /** @param {any[]} removed rows as they were @param {any[]} added rows as they are */
  move(removed, added) {
    if (removed.length + added.length > this.rows.length / REBUILD_SHARE) {
      this.rows = this.sorted(this.inTieOrder());
      return;
    }
    // The stretches between the changes are copied whole, which costs far less than moving the rest of the rows for each change.
    const gone = removed.map((row) => this.find(row)).sort((a, b) => a - b);
    const come = added.sort(this.compare).map((row) => ({ row, at: this.place(row) }));
    const parts = [];
    let from = 0;
    let next = 0;
    for (const { row, at } of come) {
      while (next < gone.length && gone[next] < at) {
        parts.push(this.rows.slice(from, gone[next]));
        from = gone[next++] + 1;
      }
      if (at > from) parts.push(this.rows.slice(from, at));
      from = Math.max(from, at);
      parts.push([row]);
    }
    for (; next < gone.length; next += 1) {
      parts.push(this.rows.slice(from, gone[next]));
      from = gone[next] + 1;
    }
    parts.push(this.rows.slice(from));
    this.rows = /** @type {any[]} */ ([]).concat(...parts);
  }

  /** @param {any} row @returns {number} the first index whose row does not come before it */
  place(row) {
    let low = 0;
    let high = this.rows.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.compare(this.rows[middle], row) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** @param {any} row one of the rows @returns {number} its index */
  find(row) {
    const at = this.place(row);
    return this.rows[at] === row ? at : this.rows.indexOf(row);
  }

  /** @param {string | null} id @returns {number} -1 if it is not shown */
  indexOf(id) {
    const row = id === null ? undefined : this.byId.get(id);
    return row ? this.find(row) : -1;
  }

  // --- nothing jumps --------------------------------------------------------------------------------------------------------------------

  /** @returns {{ id: string, index: number } | null} the first row in view of a scrolled grid */
  anchor() {
    if (!this.options.keepsPlace || this.top < this.rowHeight) return null;
    const index = Math.min(Math.floor(this.top / this.rowHeight), this.rows.length - 1);
    return index < 0 ? null : { id: this.options.rowId(this.rows[index]), index };
  }

  /** @param {{ id: string, index: number } | null} anchor */
  keepPlace(anchor) {
    if (!anchor) return;
    const now = this.indexOf(anchor.id);
    if (now < 0 || now === anchor.index) return;
    this.canvas.style.height = `${this.rows.length * this.rowHeight}px`;
    this.scrollTo(this.top + (now - anchor.index) * this.rowHeight);
    this.newAbove = Math.max(0, this.newAbove + now - anchor.index);
  }

  toTop() {
    this.newAbove = 0;
    this.scrollTo(0);
    this.activate(0, this.activeColumn);
    this.draw();
  }

  /** @param {number} top */
  scrollTo(top) {
    this.top = Math.max(0, Math.min(top, this.rows.length * this.rowHeight - this.room));
    this.body.scrollTop = this.top;
  }

  scrolled() {
    this.top = this.body.scrollTop;
    this.head.scrollLeft = this.body.scrollLeft;
    if (this.top < this.rowHeight) this.newAbove = 0;
    this.draw();
  }

  // --- drawing --------------------------------------------------------------------------------------------------------------------------

  /** Read what costs a layout, once for each change of size. */
  measure() {
    const height = parseFloat(getComputedStyle(this.grid).getPropertyValue('--row-height'));
    if (height > 0) this.rowHeight = height;
    this.room = this.body.clientHeight;
    this.draw();
  }

  /** Draw in the next animation frame. */
  draw() {
    if (this.drawing) return;
    this.drawing = requestAnimationFrame(() => {
      this.drawing = 0;
      this.drawNow();
    });
  }

  drawNow() {
    const count = this.rows.length;
    this.grid.setAttribute('aria-rowcount', String(count + 1));
    this.canvas.style.height = `${count * this.rowHeight}px`;
    // Fewer rows than before may have moved the scroller.
    this.top = Math.max(0, Math.min(this.top, count * this.rowHeight - this.room));
    this.empty.hidden = count > 0;
    this.above.hidden = this.newAbove === 0;
    this.above.textContent = `${this.newAbove} new above`;
    if (this.activeId === null || !this.byId.has(this.activeId)) this.isChosen = false;
    if (!this.isChosen) this.activeId = count ? this.options.rowId(this.rows[0]) : null;

    const first = Math.max(0, Math.floor(this.top / this.rowHeight) - OVERSCAN);
    const inView = Math.ceil(this.room / this.rowHeight) + 2 * OVERSCAN;
    const last = Math.min(count, first + Math.min(inView, NODES_MAX));
    const wanted = this.rows.slice(first, last);
    const ids = new Set(wanted.map(this.options.rowId));
    for (const [id, node] of this.nodes) {
      if (ids.has(id)) continue;
      this.nodes.delete(id);
      if (node.element.contains(document.activeElement)) this.grid.focus({ preventScroll: true });
      node.element.remove();
      this.spare.push(node);
    }
    let isSorted = true;
    wanted.forEach((row, n) => {
      const id = this.options.rowId(row);
      let node = this.nodes.get(id);
      const isNew = !node;
      if (!node) {
        node = this.spare.pop() ?? new RowNode(this.columns);
        this.nodes.set(id, node);
        this.canvas.append(node.element);
        isSorted = false;
      }
      node.show(row, first + n, this.rowHeight, isNew);
      node.mark(id === this.activeId, this.activeColumn);
    });
    this.spare.length = Math.min(this.spare.length, NODES_MAX - this.nodes.size);
    if (!isSorted) this.putInOrder();
  }

  /** Screen readers read in the order of the nodes; recycled ones are put back in order once the view rests. */
  putInOrder() {
    clearTimeout(this.reordering);
    this.reordering = window.setTimeout(() => {
      const focused = [...this.nodes.values()].find((node) => node.element.contains(document.activeElement));
      const inOrder = [...this.nodes.values()].sort((a, b) => a.index - b.index);
      // Moving the focused node would take the focus away, so the others are put around it.
      for (const node of inOrder) {
        if (node === focused) continue;
        if (focused && node.index < focused.index) this.canvas.insertBefore(node.element, focused.element);
        else this.canvas.append(node.element);
      }
    }, REORDER_MS);
  }

  // --- keyboard and pointer -------------------------------------------------------------------------------------------------------------

  /** @returns {any} the chosen row */
  active() {
    return this.activeId === null ? undefined : this.byId.get(this.activeId);
  }

  /** @param {number} index @param {number} column */
  activate(index, column) {
    if (!this.rows.length) return;
    const bounded = Math.max(0, Math.min(index, this.rows.length - 1));
    this.activeId = this.options.rowId(this.rows[bounded]);
    this.isChosen = true;
    this.activeColumn = Math.max(0, Math.min(column, this.columns.length - 1));
    const top = bounded * this.rowHeight;
    const { room } = this;
    if (top < this.top) this.scrollTo(top);
    else if (top + this.rowHeight > this.top + room) this.scrollTo(top + this.rowHeight - room);
    cancelAnimationFrame(this.drawing);
    this.drawing = 0;
    this.drawNow();
    this.options.chosen?.(this.active());
  }

  /** Put the focus on the chosen row, or on another. @param {string} [id] */
  focus(id) {
    const index = this.indexOf(id ?? (this.isChosen ? this.activeId : null));
    this.activate(Math.max(index, 0), this.activeColumn);
    const node = this.activeId === null ? undefined : this.nodes.get(this.activeId);
    if (node) node.cells[this.activeColumn].focus({ preventScroll: true });
    else this.grid.focus();
  }

  /** @param {KeyboardEvent} event */
  pressed(event) {
    if (event.altKey || event.metaKey) return;
    if (this.head.contains(/** @type {Node} */ (event.target))) {
      this.pressedInHead(event);
      return;
    }
    const now = Math.max(this.indexOf(this.activeId), 0);
    const page = Math.max(1, Math.floor(this.room / this.rowHeight) - 1);
    const last = this.rows.length - 1;
    const fresh = document.activeElement === this.grid && event.key === 'ArrowDown' && now === 0 ? 0 : now + 1;
    /** @type {Record<string, [number, number]>} */
    const moves = {
      ArrowDown: [fresh, this.activeColumn],
      ArrowUp: [now - 1, this.activeColumn],
      ArrowRight: [now, this.activeColumn + 1],
      ArrowLeft: [now, this.activeColumn - 1],
      PageDown: [now + page, this.activeColumn],
      PageUp: [now - page, this.activeColumn],
      Home: event.ctrlKey ? [0, this.activeColumn] : [now, 0],
      End: event.ctrlKey ? [last, this.activeColumn] : [now, this.columns.length - 1],
    };
    if (event.key === 'Enter') {
      event.preventDefault();
      this.openActive();
    } else if (event.key === 'ArrowUp' && now === 0) {
      event.preventDefault();
      this.focusHeader(this.activeColumn);
    } else if (moves[event.key]) {
      event.preventDefault();
      this.activate(...moves[event.key]);
      this.focus();
    }
  }

  /** @param {KeyboardEvent} event */
  pressedInHead(event) {
    const now = this.headers.findIndex((header) => header.contains(document.activeElement));
    const step = event.key === 'ArrowRight' ? 1 : event.key === 'ArrowLeft' ? -1 : 0;
    if (event.key === 'ArrowDown') {
      event.preventDefault();
      this.focus();
    } else if (step) {
      event.preventDefault();
      this.focusHeader(Math.max(0, Math.min(now + step, this.columns.length - 1)));
    }
  }

  /** @param {number} column */
  focusHeader(column) {
    this.headers.forEach((header, n) => header.firstElementChild?.setAttribute('tabindex', n === column ? '0' : '-1'));
    /** @type {HTMLElement} */ (this.headers[column].firstElementChild).focus();
  }

  /** @param {MouseEvent} event */
  clicked(event) {
    const cell = /** @type {Element} */ (event.target).closest('[role=gridcell]');
    for (const [id, node] of this.nodes) {
      const column = cell ? node.cells.indexOf(/** @type {HTMLElement} */ (cell)) : -1;
      if (column < 0) continue;
      this.activate(this.indexOf(id), column);
      this.focus();
      if (this.columns[column].opens?.(node.row)) this.openActive();
      return;
    }
  }

  openActive() {
    const row = this.active();
    if (row) this.options.open?.(row, this.columns[this.activeColumn]);
  }
}

class RowNode {
  /** @param {Column[]} columns */
  constructor(columns) {
    this.columns = columns;
    this.index = -1;
    /** @type {any} */
    this.row = null;
    this.element = element('div', 'grid-row', { role: 'row' });
    this.cells = columns.map((column, n) => {
      const cell = element('div', `grid-cell ${column.numeric ? 'numeric' : ''} c-${column.key}`, {
        role: 'gridcell',
        'aria-colindex': String(n + 1),
        tabindex: '-1',
      });
      cell.append('');
      return cell;
    });
    this.element.append(...this.cells);
  }

  /** @param {any} row @param {number} index @param {number} height @param {boolean} isNew */
  show(row, index, height, isNew) {
    if (index !== this.index || isNew) {
      this.index = index;
      this.element.setAttribute('aria-rowindex', String(index + 2));
    }
    this.element.style.transform = `translateY(${index * height}px)`;
    if (row === this.row && !isNew) return;
    this.row = row;
    this.columns.forEach((column, n) => {
      const made = column.cell(row);
      const { text, state, title } = typeof made === 'string' ? { text: made, state: undefined, title: undefined } : made;
      const cell = this.cells[n];
      const content = /** @type {Text} */ (cell.firstChild);
      const differs = content.data !== text;
      if (differs) content.data = text;
      if (cell.dataset.state !== state) {
        if (state === undefined) delete cell.dataset.state;
        else cell.dataset.state = state;
      }
      if (cell.title !== (title ?? '')) cell.title = title ?? '';
      if (isNew) delete cell.dataset.flash;
      // Two names for one animation: changing the name is what starts it again.
      else if (differs && column.flash) cell.dataset.flash = cell.dataset.flash === 'a' ? 'b' : 'a';
    });
  }

  /** @param {boolean} active @param {number} column */
  mark(active, column) {
    if (active) this.element.setAttribute('aria-selected', 'true');
    else this.element.removeAttribute('aria-selected');
    this.cells.forEach((cell, n) => {
      const index = active && n === column ? '0' : '-1';
      if (cell.getAttribute('tabindex') !== index) cell.setAttribute('tabindex', index);
    });
  }
}

/** @param {string} tag @param {string} css @param {Record<string, string>} [attributes] @returns {HTMLElement} */
function element(tag, css, attributes = {}) {
  const made = document.createElement(tag);
  if (css) made.className = css.trim();
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

/** @param {unknown} value @returns {number} for sorting only */
export const numberKey = (value) => (value === null || value === undefined || value === '' ? -Infinity : Number(value));

/** @param {unknown} value @returns {string} */
export const textKey = (value) => (value === null || value === undefined ? '' : String(value));
