/** Columns that several grids have. The blotter has its own, which make no object for a cell that needs none. */

import { sign, text } from './format.js';
import { numberKey, textKey } from './grid.js';

/** @param {string} key @param {string} name @param {string} width @returns {import('./grid.js').Column} */
export const word = (key, name, width) => ({
  key, name, width, cell: (row) => ({ text: text(row[key]), title: text(row[key]), state: key === 'side' ? row[key] : undefined }), sortKey: (row) => textKey(row[key]),
});

/** @param {string} key @param {string} name @param {string} width @param {boolean} [signed] @returns {import('./grid.js').Column} */
export const number = (key, name, width, signed = false) => ({
  key, name, width, numeric: true, sortKey: (row) => numberKey(row[key]),
  cell: (row) => ({ text: text(row[key]), state: signed && row[key] ? ['negative', 'zero', 'positive'][sign(row[key]) + 1] : undefined }),
});
