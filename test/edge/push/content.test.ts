// What devices are sent: sizes, and the templates of rules.
import { expect, test } from "bun:test";
import fc from "fast-check";
import { messageOf, messageOfTemplate } from "../../../src/edge/push/content";
import type { PushMessage } from "../../../src/edge/push/services/sender";
import type { PushContent } from "../../../src/relay/contracts/publication";

const bytesOf = (text: string) => Buffer.byteLength(text);
const empty = bytesOf(JSON.stringify({ title: "t", body: "", topic: "chat" }));

test("a push of 3,993 bytes of JSON in UTF-8 passes, and one of 3,994 is refused with its size", () => {
  const body = (bytes: number) => "ü".repeat(1) + "x".repeat(bytes - empty - 2);
  const fits = messageOf({ title: "t", body: body(3_993) }, "chat") as PushMessage;
  expect(bytesOf(fits.payload)).toBe(3_993);
  const refusal = messageOf({ title: "t", body: body(3_994) }, "chat");
  expect(refusal).toMatchObject({ code: "push_too_large" });
  expect(refusal).toMatchObject({ message: expect.stringContaining("3994 bytes") });
});

test.each<[string, object]>([
  ["no title", {}],
  ["an empty title", { title: "" }],
  ["a body that is no text", { title: "t", body: 1 }],
  ["a ttl of half a second", { title: "t", ttl: 0.5 }],
  ["a ttl of more than four weeks", { title: "t", ttl: 2_419_201 }],
  ["another urgency", { title: "t", urgency: "urgent" }],
  ["an empty topic", { title: "t", topic: "" }],
])(
  "a push with %s is refused with invalid_push, also where no schema has checked it",
  (_, content) => {
    expect(messageOf(content as PushContent, "chat")).toMatchObject({ code: "invalid_push" });
  },
);

test("a rule's template takes texts from the publication, and nothing for what it has not", () => {
  const template: PushContent = {
    title: "{{data.from.name}} in {{topic}}",
    body: "{{ data.text }}{{data.missing}}{{data.constructor}}{{data.n}}",
    url: "/chat/{{user}}",
    topic: "{{topic}}",
    urgency: "high",
  };
  const data = '{"from":{"name":"Bob"},"text":"hi {{topic}}","n":7}';
  const message = messageOfTemplate(template, { topic: "room", user: "ann", data, json: true });
  expect(JSON.parse(message.payload)).toEqual({
    title: "Bob in room",
    body: "hi {{topic}}7",
    url: "/chat/ann",
    topic: "room",
  });
  expect(message.collapse).not.toContain("room");
  const text = messageOfTemplate({ title: "{{data}}" }, { topic: "room", user: "ann", data: "hi" });
  expect(JSON.parse(text.payload).title).toBe("hi");
});

/** What takes one to six bytes of JSON, whole characters and halves. */
const CHARACTERS = fc.constantFrom("a", "ü", "中", "👋", '"', "\n", "\u0000", "\ud83d");

test("whatever a publication has, what a template makes of it fits, and is not cut in vain", () => {
  fc.assert(
    fc.property(fc.array(CHARACTERS, { maxLength: 300 }), fc.nat(40), (part, times) => {
      const data = part.join("").repeat(times);
      const publication = { topic: "chat", user: "ann", data };
      const { payload } = messageOfTemplate({ title: "new", body: "{{data}}" }, publication);
      const whole = bytesOf(JSON.stringify({ title: "new", body: data, topic: "chat" }));
      expect(bytesOf(payload)).toBeLessThanOrEqual(3_993);
      if (whole <= 3_993) expect(JSON.parse(payload).body).toBe(data);
      else expect(bytesOf(payload)).toBeGreaterThan(3_900);
    }),
    { numRuns: 20 },
  );
});
