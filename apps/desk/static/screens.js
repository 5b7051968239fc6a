/** The screens in the order of the navigation. */

import { Alarms } from './alarms.js';
import { Algos } from './algos.js';
import { Doubt } from './doubt.js';
import { Engine } from './engine.js';
import { Kill } from './kill.js';
import { Lifecycle } from './lifecycle.js';
import { Positions } from './positions.js';
import { Risk } from './risk.js';
import { TimeTravel } from './timetravel.js';
import { Venues } from './venues.js';

/** @type {{ path: string, name: string, view: any }[]} `app.js` draws Trade itself, because orders open in it */
export const SCREENS = [
  { path: 'trade', name: 'Trade', view: null },
  { path: 'algos', name: 'Algos', view: Algos },
  { path: 'positions', name: 'Positions', view: Positions },
  { path: 'risk', name: 'Risk', view: Risk },
  { path: 'kill', name: 'Kill', view: Kill },
  { path: 'venues', name: 'Venues', view: Venues },
  { path: 'lifecycle', name: 'Lifecycle', view: Lifecycle },
  { path: 'doubt', name: 'Doubt', view: Doubt },
  { path: 'time', name: 'Time travel', view: TimeTravel },
  { path: 'engine', name: 'Engine', view: Engine },
  { path: 'alarms', name: 'Alarms', view: Alarms },
];
