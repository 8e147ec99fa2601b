// How publications are written in Redis.
import { expect, test } from "bun:test";
import fc from "fast-check";
import { bodyOf, decodeMessage, publicationOf } from "../../../src/engines/redis/server/wire";
import type { Publication } from "../../../src/relay/contracts/publication";

const text = fc.string({ unit: "grapheme", maxLength: 50 });

const publication = fc
  .record(
    {
      topic: fc.constant("t"),
      data: fc.oneof(text, fc.json(), fc.constant("1\n2\n\u0000\r\n")),
      json: fc.constant(true as const),
      user: text,
      info: fc.record({ user: text, client: text, conn_info: fc.constant('{"a":[1.0]}') }),
      tags: fc.constant('{"a":"b"}'),
      except: text,
    },
    { requiredKeys: ["topic", "data"] },
  )
  .map((value) => value as unknown as Publication);

test("a publication is unchanged by its way through a history or a channel", () => {
  fc.assert(
    fc.property(publication, fc.nat(), fc.nat(), text, (sent, offset, count, epoch) => {
      const line = epoch.replaceAll("\n", "");
      const body = bodyOf(sent);
      const numbered = { ...sent, offset, epoch: line };
      expect(publicationOf("t", "", "", body)).toEqual(sent);
      expect(publicationOf("t", String(offset), line, body)).toEqual(numbered);
      const message = `${offset}\n${line}\n${count}\nnode.7\n${body}`;
      expect(decodeMessage("t", message)).toEqual({
        publication: numbered,
        count,
        publishId: "node.7",
      });
    }),
  );
});

test("a message that is not a publication is decoded to undefined", () => {
  const head = "1\ne\n1\nc\n";
  for (const message of ["", "a", "1\ne\n1", head, `${head}{}`, `${head}[1]`, `x${head}["a",0]`]) {
    expect(decodeMessage("t", message)).toBeUndefined();
  }
});
