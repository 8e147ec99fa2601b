// topics.ts: what may be published to which topics.

import { topics } from "baton";
import { t } from "elysia";

export const TOPICS = topics({
  orders: t.Object({ id: t.Integer(), state: t.String() }),
  "chat:*": t.Object({ text: t.String({ maxLength: 500 }) }),
});
