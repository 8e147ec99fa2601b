// other-program.ts: publishes with a key, and with the types of the shop.

import { treaty } from "@elysiajs/eden";
import type { app } from "./shop";

export async function pack(shop: string, id: number) {
  const headers = { "x-api-key": "a-key-for-other-programs" };
  const api = treaty<typeof app>(shop, { headers });
  const { data, error } = await api.publish.post({
    topic: "orders",
    data: { id, state: "packed" },
  });
  if (error) throw new Error(JSON.stringify(error.value));
  return data.delivered;
}
