// Which content types and codings of a body are taken, on every route that reads one.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { decodeReplies, encodeCommands, encodeEmulation } from "../../support/centrifuge/protobuf";
import { RawSocket } from "../../support/clients/raw-socket";
import { startRelay, type TestRelay } from "../../support/relay/test-relay";

let relay: TestRelay;
beforeAll(async () => {
  relay = await startRelay();
});
afterAll(() => relay[Symbol.asyncDispose]());

const PUBLICATION = '{"topic":"a","message":"m"}';
const REGISTRATION = '{"user_id":1}';

function send(
  path: string,
  body: string | Uint8Array<ArrayBuffer>,
  headers: Record<string, string>,
) {
  return relay.request("POST", path, { body, headers });
}

describe.each([
  ["/publish", PUBLICATION],
  ["/register", REGISTRATION],
])("POST %s", (path, body) => {
  test.each([
    ["application/json"],
    ["Application/JSON; Charset=UTF-8"],
    ['application/json;charset="utf-8"'],
    ["application/json; charset=utf8"],
    ["application/json; charset=us-ascii"],
    ["application/json; charset=anything-unknown"],
    ["application/json; charset="],
    ["application/json;"],
    ["application/json ; "],
    ["application/json;;charset=utf-8;"],
    ["application/json; version=1"],
    ['application/json; foo="a; charset=b"; bar'],
    ["application/json;odata.metadata=minimal;IEEE754Compatible=false"],
    ["application/json\t;\tq=1"],
    ["text/json"],
    ["application/vnd.api+json"],
    ["application/ld+json; profile=x"],
    ["application/problem+json;charset=utf-8"],
  ])("takes JSON whatever parameters its content type has: %p", async (type) => {
    expect((await send(path, body, { "content-type": type })).status).toBe(200);
  });

  test.each([
    [""],
    [";"],
    ["text/plain"],
    ["text/plain; application/json"],
    ["text/plain, application/json"],
    ["text/plain; x=+json"],
    ["application/json, text/plain"],
    ["application/json text/plain"],
    ["application/x-www-form-urlencoded"],
    ["application/xml"],
    ["multipart/form-data; boundary=x"],
    ["application/jsonp"],
    ["application/json-seq"],
    ["application/+jsonx"],
    ["json"],
    ["+json"],
    ["*/*"],
    ["x".repeat(9_000)],
  ])("refuses a content type that is not JSON with 415: %p", async (type) => {
    const { status, json } = await send(path, body, { "content-type": type });
    expect([status, json.error.code]).toEqual([415, "unsupported_media_type"]);
    expect(json.error.message).toContain("application/json");
  });

  test.each([
    ["utf-16"],
    ["UTF-16LE"],
    ["utf-16be"],
    ["utf-32"],
    ["ucs-2"],
    ["iso-8859-1"],
    ['"windows-1252"'],
    ["shift_jis"],
  ])("refuses a charset of another encoding with a sentence that names it: %s", async (charset) => {
    const type = `application/json; v=1; charset=${charset}`;
    const { status, json } = await send(path, body, { "content-type": type });
    expect([status, json.error.code]).toEqual([415, "unsupported_media_type"]);
    expect(json.error.message).toContain("charset");
  });

  test("refuses a body without a content type, which any page could send", async () => {
    const raw = await RawSocket.open(relay.port);
    const length = `Content-Length: ${body.length}`;
    raw.write([`POST ${path} HTTP/1.1`, "Host: relay.test", length, "", body].join("\r\n"));
    expect(await raw.until("\r\n\r\n")).toStartWith("HTTP/1.1 415");
    raw.drop();
  });

  test("takes a content type that is sent twice only if it is JSON both times", async () => {
    for (const [first, second, want] of [
      ["text/plain", "application/json", 415],
      ["application/json", "text/plain", 415],
      ["application/json", "application/json", 200],
    ]) {
      const raw = await RawSocket.open(relay.port);
      const head = [
        `POST ${path} HTTP/1.1`,
        "Host: relay.test",
        `Content-Type: ${first}`,
        `Content-Type: ${second}`,
        `Content-Length: ${body.length}`,
      ];
      raw.write([...head, "", body].join("\r\n"));
      expect(await raw.until("\r\n\r\n")).toStartWith(`HTTP/1.1 ${want}`);
      raw.drop();
    }
  });
});

describe.each([
  ["/publish", PUBLICATION, 200],
  ["/register", REGISTRATION, 200],
  ["/api/info", "{}", 200],
  ["/api", '{"method":"info","params":{}}', 200],
  ["/api/batch", '{"commands":[]}', 200],
  ["/emulation", '{"session":"a","node":"b","data":""}', 404],
])("POST %s", (path, body, served) => {
  const type = { "content-type": "application/json" };

  test.each([["identity"], ["IDENTITY"], [" identity , "], ["identity, identity"], [""]])(
    "takes a body that is not compressed, whatever the spelling: Content-Encoding %p",
    async (coding) => {
      const headers = { ...type, "content-encoding": coding };
      expect((await send(path, body, headers)).status).toBe(served);
    },
  );

  test.each([["gzip"], ["br"], ["identity, gzip"], ["x"], ["gzip, identity"]])(
    "refuses a compressed body with 415: Content-Encoding %p",
    async (coding) => {
      const bytes = Bun.gzipSync(Buffer.from(body));
      const { status, json } = await send(path, bytes, { ...type, "content-encoding": coding });
      expect([status, json.error.code]).toEqual([415, "unsupported_media_type"]);
    },
  );
});

describe.each([
  ["/api/info", "{}", 200],
  ["/api", '{"method":"info","params":{}}', 200],
  ["/api/batch", '{"commands":[]}', 200],
  ["/emulation", '{"session":"a","node":"b","data":""}', 404],
])("POST %s", (path, body, served) => {
  test.each([
    ["text/plain"],
    ["application/json; charset=utf8"],
    ["application/msgpack"],
    ["application/x-www-form-urlencoded"],
  ])("takes a body of any content type: %s", async (contentType) => {
    expect((await send(path, body, { "content-type": contentType })).status).toBe(served);
  });
});

test.each([["application/octet-stream"], ["Application/Octet-Stream; charset=binary"]])(
  "POST /emulation and POST /connection/http_stream read a body in protobuf: Content-Type %s",
  async (contentType) => {
    const headers = { "content-type": contentType };
    const data = encodeCommands([{ id: 1, connect: {} }]);
    const emulation = encodeEmulation({ session: "a", node: "b", data });
    expect((await send("/emulation", emulation, headers)).status).toBe(404);
    const { status, json } = await send("/emulation", '{"session":"a"}', headers);
    expect([status, json.error.code]).toEqual([400, "bad_request"]);
    const url = `${relay.url}/connection/http_stream`;
    const stream = await fetch(url, { method: "POST", body: data, headers });
    expect(stream.headers.get("content-type")).toBe("application/octet-stream");
    const { value } = (await stream.body?.getReader().read()) ?? {};
    expect(decodeReplies(value as Uint8Array)).toMatchObject([{ id: 1, connect: { ping: 25 } }]);
  },
);

describe.each([["/connection/http_stream"], ["/connection/sse"]])("POST %s", (path) => {
  const body = '{"id":1,"connect":{}}';
  const statusWith = async (...lines: string[]): Promise<string> => {
    const raw = await RawSocket.open(relay.port);
    const head = [`POST ${path} HTTP/1.1`, "Host: relay.test", `Content-Length: ${body.length}`];
    raw.write([...head, ...lines, "", body].join("\r\n"));
    const answer = await raw.until("\r\n\r\n");
    raw.drop();
    return answer.slice(9, 12);
  };

  test("takes commands of any content type, and without one", async () => {
    expect(await statusWith()).toBe("200");
    for (const type of ["application/json; charset=utf8", "text/plain", "application/json;"]) {
      expect(await statusWith(`Content-Type: ${type}`)).toBe("200");
    }
  });

  test("refuses compressed commands, and takes those that say that they are not", async () => {
    expect(await statusWith("Content-Encoding: gzip")).toBe("415");
    expect(await statusWith("Content-Encoding: Identity")).toBe("200");
  });
});
