/** What screens of the past share: a grid of rows that do not change, and questions about a sequence. */

import { get } from './api.js';
import { Grid } from './grid.js';
import { html, useEffect, useLayoutEffect, useRef, useState } from './ui.js';

const REST_MS = 250;
const PAST_TIMEOUT_MS = 25_000;

/** @param {{ label: string, columns: any[], rows: any[], rowId: (row: any) => string, tie: (a: any, b: any) => number, sort: string, descending: boolean, open?: (row: any) => void }} props */
export function StaticGrid({ label, columns, rows, rowId, tie, sort, descending, open }) {
  const frame = useRef(/** @type {any} */ (null));
  const grid = useRef(/** @type {Grid | null} */ (null));
  useLayoutEffect(() => {
    const made = new Grid({ label, columns, rowId, tie, sort, descending, empty: 'Nothing.', open });
    grid.current = made;
    frame.current.append(made.element);
    return () => made.destroy();
  }, []);
  useEffect(() => grid.current?.reset(rows), [rows]);
  return html`<div class="grid-holder past-grid" ref=${frame}></div>`;
}

/**
 * Ask for something of the past once the sequence rests. The service answers one question at a time.
 *
 * @param {string | null} path null: nothing is asked @returns {[any, boolean]} the answer to this path, and whether it is awaited
 */
export function usePast(path) {
  const [found, setFound] = useState(/** @type {{ path: string, answer: any } | null} */ (null));
  useEffect(() => {
    if (!path) return undefined;
    let isWanted = true;
    const timer = setTimeout(async () => {
      const answer = await get(path, { quiet: true, timeoutMs: PAST_TIMEOUT_MS });
      if (isWanted) setFound({ path, answer });
    }, REST_MS);
    return () => {
      isWanted = false;
      clearTimeout(timer);
    };
  }, [path]);
  return [path ? (found?.answer ?? null) : null, Boolean(path) && found?.path !== path];
}
