// shop.ts: the app, with its own routes.

import { baton } from "baton";
import { Elysia } from "elysia";
import { TOPICS } from "./topics";

export const relay = baton({ topics: TOPICS, apiKeys: ["a-key-for-other-programs"] });

export const app = new Elysia()
  .use(relay)
  .get("/relay-address", async ({ request }) => {
    const user = 1; // whoever is signed in
    return (await relay.register({ user, topics: ["orders"], request })).url;
  })
  .post("/orders/:id/ship", ({ params }) => {
    const order = { id: Number(params.id), state: "shipped" };
    return relay.publish("orders", order, { user: 1 });
  });
