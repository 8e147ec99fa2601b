// Types of declared topics. `bun run types` checks them: a line under @ts-expect-error must not compile.
import { expect, test } from "bun:test";
import { Type } from "@sinclair/typebox";
import { t } from "elysia";
import {
  type AnyTopics,
  type DataFor,
  type DataOf,
  type TopicName,
  topics,
} from "../../src/library/topics";

const declared = topics({
  orders: t.Object({ id: t.Integer(), note: t.Optional(t.String()) }),
  "chat:*": t.Object({ text: t.String() }),
  "chat:admin:*": Type.Object({ text: Type.String(), level: Type.Number() }),
  "chat:lobby": Type.String(),
});
type Declared = typeof declared;

/** Compiles only where both types are the same. */
type Same<A, B> =
  (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const same = <const Is extends true>(is: Is): Is => is;

test("the schemas stay as they were given", () => {
  expect(Object.keys(declared.schemas)).toEqual(["orders", "chat:*", "chat:admin:*", "chat:lobby"]);
});

test("names follow from the declaration, and a * from its prefix", () => {
  const names: TopicName<Declared>[] = ["orders", "chat:lobby", "chat:5", "chat:admin:1"];
  // @ts-expect-error: it is not declared.
  names.push("order");
  // @ts-expect-error: any text may not be a declared name.
  names.push(String(names));
  same<Same<TopicName<AnyTopics>, string>>(true);
});

test("data follows from the narrowest declaration that fits the name", () => {
  same<Same<DataOf<Declared, "orders">, { note?: string; id: number }>>(true);
  same<Same<DataOf<Declared, "chat:5">, { text: string }>>(true);
  same<Same<DataOf<Declared, `chat:${string}`>, { text: string }>>(true);
  same<Same<DataOf<Declared, "chat:admin:1">, { text: string; level: number }>>(true);
  same<Same<DataOf<Declared, "chat:lobby">, string>>(true);
  same<Same<DataOf<Declared, "orders" | "chat:lobby">, string | { note?: string; id: number }>>(
    true,
  );
  same<Same<DataOf<AnyTopics, string>, unknown>>(true);
  // Of a topic that is one of several, data comes in as that of any, and goes out only as what each takes.
  same<Same<DataFor<Declared, "chat:5" | "chat:lobby">, { text: string } & string>>(true);
  same<Same<DataFor<Declared, "chat:admin:1" | "chat:5">["level"], number>>(true);
  same<Same<DataFor<AnyTopics, string>, unknown>>(true);
  // @ts-expect-error: the text is missing.
  const wrong: DataOf<Declared, "chat:5"> = {};
  expect(wrong).toEqual({} as never);
});
