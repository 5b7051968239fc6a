/** The Trade screen: ticket, blotter and the order that is open. */

import { Blotter } from './blotter.js';
import { OrderDetails } from './order.js';
import { Ticket } from './ticket.js';
import { html } from './ui.js';

/** @param {{ orderId: string, openOrder: (id: string) => void, closeOrder: () => void, cancelOrders: (rows: any[]) => void }} props */
export function Trade({ orderId, openOrder, closeOrder, cancelOrders }) {
  return html`<div class="screen trade" data-open=${orderId ? 'yes' : null}>
    <h1 class="unseen">Trade</h1>
    <${Ticket} />
    <div class="trade-main">
      <${Blotter} openOrder=${openOrder} cancelOrders=${cancelOrders} />
      ${orderId ? html`<${OrderDetails} id=${orderId} close=${closeOrder} cancel=${cancelOrders} />` : null}
    </div>
  </div>`;
}
