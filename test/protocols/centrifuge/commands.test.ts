// How the commands of a Centrifuge client are decoded, those in docs/centrifuge-protocol.md among them.
import { expect, test } from "bun:test";
import { join } from "node:path";
import { decodeCommands } from "../../../src/protocols/centrifuge/json-commands";
import { json } from "../../../src/protocols/json";
import type { TopicsCommand } from "../../../src/relay/contracts/commands";
import { ANY_EPOCH, NO_EPOCH } from "../../../src/relay/contracts/publication";

test.each(["a", "\u2028", "__proto__", ""])(
  "topics of connect are checked by any name: %j",
  (name) => {
    const frame = (sub: unknown) => `{"id":1,"connect":{"subs":{${JSON.stringify(name)}:${sub}}}}`;
    for (const bad of ["null", "1", "[]", '{"offset":-1}', '{"epoch":1}']) {
      expect([bad, decodeCommands(frame(bad))]).toEqual([bad, [{ kind: "violation" }]]);
    }
    const [command] = decodeCommands(frame('{"recover":true,"offset":5,"epoch":"abcdefgh"}'));
    const since = { offset: 5, epoch: "abcdefgh" };
    const topics = new Map([[name, { since, orNothing: false }]]);
    expect(command).toEqual({ kind: "connect", id: 1, token: "", topics });
  },
);

test("a position without an epoch is decoded for any epoch here, and for none on a socket with format=json", () => {
  const [command] = decodeCommands(
    '{"id":1,"subscribe":{"channel":"a","recover":true,"offset":5}}',
  );
  const since = { offset: 5, epoch: ANY_EPOCH };
  expect(command).toMatchObject({ kind: "subscribe", resumption: { since } });
  const frame = '{"topics":["a"],"since":{"a":{"offset":5,"epoch":""}}}';
  const lost = new Map([["a", { offset: 5, epoch: NO_EPOCH }]]);
  expect((json.decode(frame) as TopicsCommand).since).toEqual(lost);
});

test("docs/centrifuge-protocol.md shows valid JSON, and commands that keep to the protocol", async () => {
  const path = join(import.meta.dir, "../../../docs/centrifuge-protocol.md");
  const blocks = (await Bun.file(path).text()).matchAll(/```json\n([\s\S]*?)```/g);
  const lines = [...blocks].flatMap(([, text = ""]) => text.trim().split("\n"));
  expect(lines.length).toBeGreaterThan(5);
  for (const line of lines) expect(JSON.parse(line)).toBeObject();
  const emulated = lines.map((line) => JSON.parse(line).data).filter((data) => data !== undefined);
  const commands = [...lines, ...emulated].filter((line) =>
    /^\{"id":\d+,"\w+":\{"(channel|token)"/.test(line),
  );
  const kinds = commands.flatMap(decodeCommands).map(({ kind }) => kind);
  expect(kinds).toEqual(["connect", "subscribe", "history", "subscribe"]);
});

test("a byte order mark in front of a frame is ignored, as in a body", () => {
  const publish = '{"id":2,"publish":{"channel":"a","data":1.0}}';
  expect(decodeCommands(`\ufeff${publish}`)).toEqual(decodeCommands(publish));
  expect(decodeCommands(publish)).toHaveLength(1);
});
