// page.ts: in the browser, or in any other client.

import { connect } from "baton/client";
import type { TOPICS } from "./topics";

export function showOrders(shop: string, show: (line: string) => void) {
  const address = () => fetch(`${shop}/relay-address`).then((answer) => answer.text());
  const relay = connect<typeof TOPICS>(address);
  relay.on("orders", ({ id, state }) => show(`${id.toFixed()} is ${state}`));
  return relay;
}
