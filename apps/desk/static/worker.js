/** One stream for all tabs of this browser: browsers allow six connections to an origin, and people open more tabs. */

import { Feed } from './stream.js';

const SILENT_TAB_MS = 180_000;

/** @type {Map<MessagePort, number>} when each tab last said that it is there */
const tabs = new Map();

const feed = new Feed(new URL('./', import.meta.url), (event, data, id) => {
  for (const port of tabs.keys()) port.postMessage([event, data, id]);
});

/** @param {MessagePort} port @param {string} message */
function take(port, message) {
  if (message === 'bye') {
    tabs.delete(port);
    return;
  }
  const isNew = !tabs.has(port);
  tabs.set(port, Date.now());
  if (isNew || message === 'join') for (const [event, data] of feed.store.messages()) port.postMessage([event, data, undefined, true]);
  if (message === 'restart') feed.restart();
  feed.start();
  // A tab that crashed says no farewell.
  for (const [other, at] of tabs) if (Date.now() - at > SILENT_TAB_MS) tabs.delete(other);
}

/** @type {any} */ (globalThis).onconnect = (/** @type {MessageEvent} */ { ports: [port] }) => {
  port.onmessage = ({ data }) => take(port, data);
  port.start();
};
