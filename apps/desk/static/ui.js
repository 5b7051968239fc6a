/** Preact with the few pieces that every screen uses, under one import. */

import htm from './vendor/htm.module.js';
import { h, render } from './vendor/preact.module.js';
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from './vendor/hooks.module.js';

export const html = htm.bind(h);
export { render, useEffect, useLayoutEffect, useMemo, useRef, useState };
