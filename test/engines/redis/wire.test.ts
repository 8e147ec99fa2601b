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
      event: text,
    },
    { requiredKeys: ["topic", "data"] },
  )
  .map((value) => value as unknown as Publication);

test("a publication is unchanged by its way through a history or a channel", () => {
  fc.assert(
    fc.property(publication, fc.nat(), fc.nat(), text, (sent, offset, count, epoch) => {
      const line = epoch.replaceAll("\n", "");
      const body = bodyOf(sent);
      const numbered = (after: number) => ({ ...sent, offset: offset + after, epoch: line });
      expect(publicationOf("t", "", "", body)).toEqual(sent);
      expect(publicationOf("t", String(offset), line, body)).toEqual(numbered(0));
      const message = `${offset}\n${line}\n${count}\nnode.7\n${body}\n${body}`;
      expect(decodeMessage("t", message, "node")).toEqual({
        count,
        publications: [
          { publication: numbered(0), publish: 7 },
          { publication: numbered(1), publish: 8 },
        ],
      });
      // The numbers of another node's publishes mean nothing here.
      expect(decodeMessage("t", message, "nod")?.publications).toEqual([
        { publication: numbered(0), publish: 0 },
        { publication: numbered(1), publish: 0 },
      ]);
      expect(decodeMessage("t", `\n\n${count}\nnode.7\n${body}`, "node")).toEqual({
        count,
        publications: [{ publication: sent, publish: 7 }],
      });
    }),
  );
});

test("a message that is not a publication is decoded to undefined", () => {
  const head = "1\ne\n1\nc\n";
  for (const message of ["", "a", "1\ne\n1", head, `${head}{}`, `${head}[1]`, `x${head}["a",0]`]) {
    expect(decodeMessage("t", message, "node")).toBeUndefined();
  }
});
