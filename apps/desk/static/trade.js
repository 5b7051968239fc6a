/** The Trade screen: ticket, blotter and the order that is open. */

import { Blotter } from './blotter.js';
import { ListDetails } from './lists.js';
import { OrderDetails } from './order.js';
import { Ticket } from './ticket.js';
import { html } from './ui.js';

/**
 * @param {{ orderId: string, listId: string, openOrder: (id: string) => void, openList: (id: string, orderId?: string) => void, close: () => void,
 *   cancelOrders: (rows: any[]) => void, cancelList: (list: any) => void }} props
 */
export function Trade({ orderId, listId, openOrder, openList, close, cancelOrders, cancelList }) {
  return html`<div class="screen trade" data-open=${orderId || listId ? 'yes' : null}>
    <h1 class="unseen">Trade</h1>
    <${Ticket} />
    <div class="trade-main">
      <${Blotter} openOrder=${openOrder} openList=${openList} cancelOrders=${cancelOrders} />
      ${orderId ? html`<${OrderDetails} id=${orderId} close=${close} cancel=${cancelOrders} openList=${openList} />` : null}
      ${listId ? html`<${ListDetails} id=${listId} close=${close} openOrder=${openOrder} cancel=${cancelOrders} cancelList=${cancelList} />` : null}
    </div>
  </div>`;
}
