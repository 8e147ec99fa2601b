// The Pusher protocol's frames, to the byte: docs/pusher.md.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { channelOf, isCache, kindOf, topicOf } from "../../src/protocols/pusher/channels";
import { pusherProtocol } from "../../src/protocols/pusher/protocol";
import { withPusherRules } from "../../src/protocols/pusher/topic-rules";
import { MemberList } from "../../src/relay/attendance/member-list";
import { TopicRules } from "../../src/relay/contracts/topic-rules";

const protocol = pusherProtocol(120);
const { encodePublication } = protocol;

const decoded = (frame: unknown) =>
  protocol.decode(typeof frame === "string" ? frame : JSON.stringify(frame))[0];

describe("a publication", () => {
  test("has its text as a string, whatever it is, so that no character of it changes", () => {
    const frame = (data: string, json?: boolean) =>
      encodePublication({ topic: "news", event: "order", data, ...(json && { json }) });
    expect(frame("hi")).toBe('{"event":"order","channel":"news","data":"hi"}');
    expect(frame("123", true)).toBe('{"event":"order","channel":"news","data":"123"}');
    expect(frame('{"a":"\\/\\u00e9<"}', true)).toBe(
      '{"event":"order","channel":"news","data":"{\\"a\\":\\"\\\\/\\\\u00e9<\\"}"}',
    );
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), fc.boolean(), (data, json) => {
        expect(JSON.parse(frame(data, json) as string).data).toBe(data);
      }),
    );
  });

  test("without an event is a message", () => {
    expect(encodePublication({ topic: "a", data: "m" })).toBe(
      '{"event":"message","channel":"a","data":"m"}',
    );
  });

  test("of a client goes out as it came in, and in presence channels with its user", () => {
    const info = { client: "1.2", user: "u1" };
    const sent = { event: "client-x", data: '{"a": 1.0}', json: true, info };
    expect(encodePublication({ topic: "private-a", ...sent })).toBe(
      '{"event":"client-x","channel":"private-a","data":{"a": 1.0}}',
    );
    expect(encodePublication({ topic: "presence-a", ...sent })).toBe(
      '{"event":"client-x","channel":"presence-a","data":{"a": 1.0},"user_id":"u1"}',
    );
  });

  test("of a backend with the name of a client's event has a string like all others", () => {
    const sent = { topic: "private-a", event: "client-x", data: '{"a":1}', json: true };
    expect(JSON.parse(encodePublication(sent) as string).data).toBe('{"a":1}');
  });
});

describe("a reply", () => {
  test("to a connection is the first frame that every client can read", () => {
    const reply = { version: "", ttl: undefined, topics: [], pingMs: 25_000, id: 0 };
    expect(protocol.encodeReply({ kind: "connected", client: "12.34", ...reply })).toBe(
      '{"event":"pusher:connection_established","data":"{\\"socket_id\\":\\"12.34\\",\\"activity_timeout\\":120}"}',
    );
  });

  test("to a presence channel has each user, those without info as null", () => {
    const result = { topic: "presence-a", top: undefined, at: undefined, ttl: undefined };
    const members = new MemberList("presence-a");
    const present = [{ name: "u1", info: '{"n":1}' }, { name: "__proto__" }];
    members.load({ version: 1, members: present });
    const frame = protocol.encodeReply({
      kind: "subscribed",
      id: 0,
      subscribed: { ...result, members },
    });
    expect(JSON.parse(JSON.parse(frame as string).data)).toEqual({
      presence: {
        count: 2,
        ids: ["u1", "__proto__"],
        hash: { u1: { n: 1 }, ["__proto__"]: null },
      },
    });
  });

  test("that refuses a channel says so to the channel, and any other is an error that ends nothing", () => {
    const refusal = { code: "permission_denied", message: "No.", retryS: undefined } as const;
    const refused = { kind: "refused", id: 0, refusal } as const;
    expect(protocol.encodeReply({ ...refused, of: "subscribe", topic: "private-x" })).toBe(
      '{"event":"pusher:subscription_error","channel":"private-x","data":{"type":"AuthError","error":"No.","status":401}}',
    );
    expect(protocol.encodeReply({ ...refused, of: "publish", topic: "news" })).toBe(
      '{"event":"pusher:error","channel":"news","data":{"code":4301,"message":"No."}}',
    );
  });
});

test("a close that clients of one library do not see comes with an error before it", () => {
  expect(protocol.encodeDisconnect(4009, "no")).toBe(
    '{"event":"pusher:error","data":{"code":4009,"message":"no"}}',
  );
  expect(protocol.encodeDisconnect(1001, "shutting down")).toBeUndefined();
});

test("no close of the relay's own is one after which clients stay away, but for those who may not stay", () => {
  const final = Object.entries(protocol.closes).filter(
    ([, { code }]) => code === 4000 || (code > 4000 && code < 4100) || code >= 4300,
  );
  expect(final.map(([name]) => name).sort()).toEqual(
    ["deleted", "invalid_token", "not_available", "violation"].sort(),
  );
});

describe("a frame of a client", () => {
  test("may come as each client writes it", () => {
    expect(decoded('{"event": "pusher:ping", "data": ""}')).toEqual({ kind: "ping" });
    expect(decoded('{"event": "pusher:ping"}')).toEqual({ kind: "ping" });
    const unset = '{"event":"pusher:ping","data":null,"channel":null}';
    expect(decoded(unset)).toEqual({ kind: "ping" });
    expect(decoded('{"event":"pusher:pong","data":{}}')).toEqual({ kind: "pong" });
    expect(decoded({ event: "pusher:subscribe", data: { channel: "news" } })).toMatchObject({
      kind: "subscribe",
      topic: "news",
      proof: { signature: "", text: undefined },
      wantsNewest: false,
    });
    expect(decoded({ event: "client-x", channel: "private-a", data: "text" })).toMatchObject({
      kind: "publish",
      topic: "private-a",
      data: '"text"',
      isEchoed: false,
    });
    expect(decoded('{"event":"client-x","channel":"private-a","data":{"n": 1.0}}')).toMatchObject({
      data: '{"n": 1.0}',
    });
  });

  test("that cannot be read is refused, and ends nothing", () => {
    for (const frame of ["", "x", "[]", "{}", '{"event":1}', '{"event":"pusher:nope"}']) {
      expect(decoded(frame)).toMatchObject({ kind: "refused" });
    }
    expect(protocol.decode(new Uint8Array(3))[0]).toMatchObject({ kind: "refused" });
  });

  test("with an event is for private and presence channels, and has at most 10 KB", () => {
    const event = (channel: string, data: unknown = {}) =>
      decoded({ event: "client-x", channel, data })?.kind;
    expect(event("private-a")).toBe("publish");
    expect(event("presence-cache-a")).toBe("publish");
    for (const channel of ["news", "cache-a", "private-encrypted-a", "Private-a", "#a", ""]) {
      expect(event(channel)).toBe("refused");
    }
    expect(event("private-a", "é".repeat(5_120))).toBe("publish");
    expect(event("private-a", "é".repeat(5_121))).toBe("refused");
  });
});

describe("a channel", () => {
  test("is a topic of the same name, and that of a user is the user's own topic", () => {
    expect(topicOf("news")).toBe("news");
    expect(topicOf("chat#42,43")).toBe("chat#42,43");
    expect(topicOf("#server-to-user-u1")).toBe("#u1");
    expect(topicOf("#u1")).toBeUndefined();
    fc.assert(
      fc.property(fc.string(), (text) => {
        for (const topic of [text, `#${text}`]) expect(topicOf(channelOf(topic))).toBe(topic);
      }),
    );
  });

  test("needs a signature by the letters that its name begins with, and no others", () => {
    expect(kindOf("private-a")).toBe("private");
    expect(kindOf("private-encrypted-a")).toBe("encrypted");
    expect(kindOf("private-encrypteda")).toBe("private");
    expect(kindOf("presence-a")).toBe("presence");
    for (const name of ["Private-a", " private-a", "xprivate-a", "private", "prіvate-a"]) {
      expect(kindOf(name)).toBe("public");
    }
    expect(isCache("private-encrypted-cache-a")).toBe(true);
    expect(isCache("private-a-cache-")).toBe(false);
  });
});

describe("the rules of a relay with apps", () => {
  const ruleOf = (topic: string, rules = {}) => {
    const others = { historySize: 0, historyTtlMs: 0 };
    return new TopicRules(others, withPusherRules(rules, others)).of(topic);
  };

  test("keep the last event of cache channels for 30 minutes, unless a rule for them says otherwise", () => {
    for (const name of ["cache-a", "private-cache-a", "private-encrypted-cache-a"]) {
      expect(ruleOf(name)).toMatchObject({ historyTtlMs: 1_800_000, keepsHistory: true });
    }
    expect(ruleOf("cache-a", { "": { historyTtlMs: 5 } }).historyTtlMs).toBe(1_800_000);
    expect(ruleOf("cache-a", { "cache-": { historyTtlMs: 5 } }).historyTtlMs).toBe(5);
    const prices = { "cache-prices-": { historySize: 7 } };
    expect(ruleOf("cache-prices-a", prices)).toMatchObject({
      historySize: 7,
      historyTtlMs: 1_800_000,
    });
    expect(ruleOf("news").keepsHistory).toBe(false);
  });

  test("know who is in presence channels, whatever else a rule says", () => {
    for (const rules of [
      {},
      { "presence-": { presence: false } },
      { "presence-a": { delta: true } },
    ]) {
      expect(ruleOf("presence-a", rules)).toMatchObject({ presence: true });
    }
    expect(ruleOf("presence-cache-a")).toMatchObject({ presence: true, keepsHistory: true });
    expect(ruleOf("private-a").presence).toBe(false);
  });

  test("inherit what a shorter prefix says", () => {
    const rules = { "": { delta: true }, "private-": { waveMs: 3 } };
    expect(ruleOf("presence-a", rules).delta).toBe(true);
    expect(ruleOf("private-cache-a", rules).waveMs).toBe(3);
  });
});
