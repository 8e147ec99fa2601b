// wrong.ts: calls that TypeScript refuses.

import { relay } from "./shop";

export const wrong = [
  // @ts-expect-error: no topic is called "order".
  () => relay.publish("order", { id: 7, state: "shipped" }),
  // @ts-expect-error: the id is a number.
  () => relay.publish("orders", { id: "7", state: "shipped" }),
  // @ts-expect-error: the text is missing.
  () => relay.publish("chat:5", {}),
];
