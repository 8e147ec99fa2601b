// The types of baton/client. `bun run types` checks them: a line under @ts-expect-error must not compile.
import { expect, test } from "bun:test";
import { connect } from "baton/client";
import { t } from "elysia";
import { topics } from "../../src/library/topics";

const declared = topics({
  orders: t.Object({ id: t.Integer() }),
  "chat:*": t.Object({ text: t.String() }),
});

/** It has no address, and is closed before it asks for one. */
const closed = (): void => {
  const client = connect<typeof declared>(() => "");
  client.close();
  client.on("orders", ({ id }, { topic, offset }) => id + topic.length + (offset ?? 0));
  client.on("chat:5", ({ text }) => text.length, { onLost: (topic) => topic.length });
  // @ts-expect-error: it is not declared.
  client.on("order", () => {});
  // @ts-expect-error: orders have no text.
  client.on("orders", ({ text }) => text);
  // @ts-expect-error: an id is a number.
  client.on("orders", ({ id }) => id.length);
  // @ts-expect-error: what a client is in is not for its caller to change.
  client.state = "open";
  // @ts-expect-error: an address is a text.
  connect(() => 7).close();
  // @ts-expect-error: there is no such option.
  connect(() => "", { onstate() {} }).close();
};

test("topics and their data are those of the declaration", () => {
  expect(closed).not.toThrow();
});

test("without a declaration, any topic may have any data", () => {
  const client = connect(async () => "");
  client.close();
  client.on("anything", (data) => {
    // @ts-expect-error: nobody has said what it is.
    data.text;
    if (typeof data === "string") data.length;
  });
});
