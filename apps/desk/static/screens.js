/** The screens in the order of the navigation. */

import { Lifecycle } from './lifecycle.js';

/** @type {{ path: string, name: string, view: any }[]} */
export const SCREENS = [
  { path: 'trade', name: 'Trade', view: null },
  { path: 'lifecycle', name: 'Lifecycle', view: Lifecycle },
];
