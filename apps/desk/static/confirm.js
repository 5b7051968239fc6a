/** The question before a list or an algo is cancelled. */

import { call, problemText } from './api.js';
import { Dialog } from './parts.js';
import { html, useState } from './ui.js';

/** Ask once, then cancel. @param {{ label: string, title: string, path: string, close: () => void, children?: any }} props `path`: what is deleted */
export function ConfirmCancel({ label, title, path, close, children }) {
  const [told, setTold] = useState('');
  const [asking, setAsking] = useState(false);
  const run = async () => {
    setAsking(true);
    const answer = await call('DELETE', path);
    setAsking(false);
    if (answer.ok) close();
    else setTold(answer.unknown ? `It is not known whether the cancel arrived; it can be sent again. ${problemText(answer.problem)}` : problemText(answer.problem));
  };
  return html`<${Dialog} label=${label} role="alertdialog" close=${close}>
    <h2>${title}</h2>
    ${children}
    <p class="error" role="alert">${told}</p>
    <div class="buttons">
      <button type="button" class="danger" data-first disabled=${asking} onClick=${run}>Confirm cancel</button>
      <button type="button" onClick=${close}>Keep working</button>
    </div>
  </${Dialog}>`;
}
