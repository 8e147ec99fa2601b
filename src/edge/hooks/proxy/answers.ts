// What the backend's answers mean, in the shapes of Centrifugo's proxy. An answer that has not the shape that it must have grants
// nothing. What an answer may carry that the relay cannot do is reported by its name, so that the log says it.
import { type Static, type TSchema, Type } from "@sinclair/typebox";
import {
  BackendRefusal,
  type Denial,
  Dismissal,
  EXPIRED,
  type PublishGrant,
  type Renewal,
} from "../../../relay/contracts/backend/questions";
import { Refusal } from "../../../relay/contracts/errors";
import type { ConnectionClaims, TokenTopic, TopicClaims } from "../../../relay/contracts/tokens";
import { checkTopic, toUser } from "../../../relay/text/checks";
import {
  isDeeper,
  parseJson,
  rawMember,
  withoutByteOrderMark,
  withoutNulls,
} from "../../../relay/text/json";
import { Shape } from "../../../shape";
import { hiddenBy, ruledParts } from "../../access/override";

/** No deeper than what is published may be. */
const LEVELS_MAX = 128;

/** What a close frame has room for (RFC 6455, section 5.5), less the code. */
const REASON_BYTES_MAX = 123;

/** An answer that makes no sense: why, as the end of the sentence "its answer …". */
export class Malformed {
  readonly why: string;

  constructor(why: string) {
    this.why = why;
  }
}

const Text = Type.Optional(Type.String());
const Json = Type.Optional(Type.Unknown());
const Time = Type.Optional(Type.Integer());
const Payload = { info: Json, b64info: Text, data: Json, b64data: Text };
/** What `override` says is read by `hiddenBy`, whatever its shape. */
const Options = Type.Object({ ...Payload, override: Json });

const answerShape = new Shape(
  Type.Object({
    result: Type.Optional(Type.Object({})),
    error: Type.Optional(
      Type.Object({
        code: Type.Integer({ minimum: 1, maximum: 2 ** 32 - 1 }),
        message: Text,
        temporary: Type.Optional(Type.Boolean()),
      }),
    ),
    disconnect: Type.Optional(
      Type.Object({ code: Type.Integer({ minimum: 3_000, maximum: 4_999 }), reason: Text }),
    ),
  }),
);

const connectShape = new Shape(
  Type.Object({
    ...Payload,
    user: Text,
    expire_at: Time,
    meta: Json,
    channels: Type.Optional(Type.Array(Type.String())),
    // Not a Record: TypeBox's pattern for its keys skips keys that contain U+2028, whatever their values are.
    subs: Type.Optional(Type.Object({}, { additionalProperties: Options })),
  }),
);
const refreshShape = new Shape(
  Type.Object({
    expired: Type.Optional(Type.Boolean()),
    expire_at: Time,
    info: Json,
    b64info: Text,
    meta: Json,
  }),
);
const subscribeShape = new Shape(
  Type.Object({
    ...Payload,
    override: Json,
    expire_at: Time,
    server_tags_filter: Type.Optional(Type.Null()),
  }),
);
const publishShape = new Shape(
  Type.Object({
    data: Json,
    b64data: Text,
    tags: Type.Optional(Type.Object({}, { additionalProperties: Type.String() })),
    idempotency_key: Text,
  }),
);
const callShape = new Shape(Type.Object({ data: Json, b64data: Text }));

/** What results may ask for that depends on the topic's rule here, or that only Centrifugo PRO knows. */
const IGNORED = [
  "cache_recover",
  "caps",
  "allow",
  "labels",
  "skip_history",
  "delta",
  "version",
  "version_epoch",
] as const;

/** Reads one answer. `now` is a Unix time in ms, and `ignored` is called with the name of each member that means nothing here. */
export class AnswerReader {
  readonly #text: string;
  readonly #now: number;
  readonly #ignored: (member: string) => void;

  constructor(text: string, now: number, ignored: (member: string) => void) {
    this.#text = withoutByteOrderMark(text);
    this.#now = now;
    this.#ignored = ignored;
  }

  /** Undefined where the answer has no result. */
  connect(): ConnectionClaims | Denial | Malformed | undefined {
    const result = this.#result(connectShape);
    if (result === undefined || isNo(result)) return result;
    const { user = "", expire_at, channels = [], subs = {} } = result;
    if (user !== "" && toUser(user) instanceof Refusal)
      return new Malformed("has a user of more than 128 characters, or with control characters");
    const topics = new Map<string, TokenTopic>();
    for (const name of channels) topics.set(name, {});
    for (const [name, one] of Object.entries(subs as Record<string, Static<typeof Options>>)) {
      const info = payload(JSON.stringify(one.info), one.b64info);
      const data = payload(JSON.stringify(one.data), one.b64data);
      if (info instanceof Malformed) return info;
      if (data instanceof Malformed) return data;
      this.#reportIgnored(one);
      topics.set(name, { info, data, hidden: hiddenBy(one.override) });
    }
    for (const name of topics.keys()) {
      if (checkTopic(name) !== undefined) return new Malformed("names a channel that cannot be");
    }
    const ttl = this.#ttl(expire_at);
    if (ttl === "expired") return EXPIRED;
    const info = this.#payload("info", result.b64info);
    const data = this.#payload("data", result.b64data);
    const meta = this.#payload("meta", undefined);
    if (info instanceof Malformed) return info;
    if (data instanceof Malformed) return data;
    return meta instanceof Malformed ? meta : { user, ttl, info, data, meta, topics };
  }

  /** For a connection or a subscription that would expire. `never` is what no time means. */
  renewal(never: "expired" | "never"): Renewal | "expired" | Malformed {
    const result = this.#result(refreshShape);
    // An error or disconnect means nothing here: the client would not be told of it.
    if (result instanceof Malformed) return result;
    if (result === undefined || isNo(result) || result.expired === true) return "expired";
    const ttl = this.#ttl(result.expire_at);
    if (ttl === "expired" || (ttl === undefined && never === "expired")) return "expired";
    const info = this.#payload("info", result.b64info);
    const meta = this.#payload("meta", undefined);
    if (info instanceof Malformed) return info;
    return meta instanceof Malformed ? meta : { ttl, info, meta };
  }

  subscribe(user: string, topic: string): TopicClaims | Denial | Malformed {
    const result = this.#result(subscribeShape) ?? {};
    if (isNo(result)) return result;
    const ttl = this.#ttl(result.expire_at);
    if (ttl === "expired") return EXPIRED;
    const info = this.#payload("info", result.b64info);
    const data = this.#payload("data", result.b64data);
    if (info instanceof Malformed) return info;
    if (data instanceof Malformed) return data;
    return { user, topic, ttl, info, data, hidden: hiddenBy(result.override) };
  }

  publish(): PublishGrant | Denial | Malformed {
    const result = this.#result(publishShape) ?? {};
    if (isNo(result)) return result;
    const data = this.#payload("data", result.b64data, "first");
    if (data instanceof Malformed) return data;
    const tags = result.tags && JSON.stringify(result.tags);
    return { data, tags, idempotencyKey: result.idempotency_key || undefined };
  }

  call(): { readonly data: string | undefined } | Denial | Malformed {
    const result = this.#result(callShape) ?? {};
    if (isNo(result)) return result;
    const data = this.#payload("data", result.b64data);
    return data instanceof Malformed ? data : { data };
  }

  /** The result of the answer, of this shape; undefined where it has none. */
  #result<Schema extends TSchema>(
    shape: Shape<Schema>,
  ): Static<Schema> | Denial | Malformed | undefined {
    let value: unknown;
    try {
      value = withoutNulls(parseJson(this.#text));
    } catch {
      return new Malformed("is not JSON");
    }
    if (isDeeper(this.#text, LEVELS_MAX)) return new Malformed("is nested too deeply");
    if (!answerShape.fits(value)) return new Malformed(wrong(answerShape, value));
    const { error, disconnect } = value;
    if (disconnect !== undefined)
      return new Dismissal(disconnect.code, cut(disconnect.reason || "disconnect"));
    if (error !== undefined) {
      const { code, message = "", temporary = false } = error;
      return new BackendRefusal({ code, message, temporary });
    }
    if (value.result === undefined) return undefined;
    const result = withoutNulls(value.result);
    if (!shape.fits(result)) return new Malformed(wrong(shape, result));
    this.#reportIgnored(result as object);
    return result;
  }

  #reportIgnored(result: object): void {
    for (const name of IGNORED) {
      const given = (result as Record<string, unknown>)[name];
      if (given !== undefined && given !== false && given !== null && given !== 0 && given !== "")
        this.#ignored(name);
    }
    const { override } = result as { readonly override?: unknown };
    for (const part of ruledParts(override)) this.#ignored(`override.${part}`);
  }

  /** The text of a member of the result, or of what its base64 form has. Where both are given, base64 counts unless it says otherwise. */
  #payload(name: string, base64: string | undefined, json: "first" | "last" = "last") {
    const text = rawMember(this.#text, "result", name);
    const given = text === "null" ? undefined : text;
    return payload(given, json === "first" && given !== undefined ? undefined : base64);
  }

  /** Seconds from now; undefined where there is no end. */
  #ttl(expireAt: number | undefined): number | undefined | "expired" {
    if (expireAt === undefined || expireAt === 0) return undefined;
    const ttl = expireAt - this.#now / 1_000;
    return ttl <= 0 ? "expired" : ttl;
  }
}

function isNo(result: unknown): result is Denial | Malformed {
  return result instanceof Refusal || result instanceof Dismissal || result instanceof Malformed;
}

function payload(
  json: string | undefined,
  base64: string | undefined,
): string | undefined | Malformed {
  if (base64 === undefined || base64 === "") return json;
  const text = Buffer.from(base64, "base64").toString("utf8");
  try {
    parseJson(text);
  } catch {
    return new Malformed(
      "has something in base64 that is not JSON, which is all that the relay carries",
    );
  }
  return isDeeper(text, LEVELS_MAX) ? new Malformed("is nested too deeply") : text.trim();
}

/** Where an answer has not the shape that it must have. It may hold secrets, so its values are not shown. */
function wrong(shape: Shape<TSchema>, value: unknown): string {
  const first = shape.problemOf(value);
  if (first?.path === "/server_tags_filter")
    return "has a server_tags_filter, and filters on subscriptions are not supported";
  return `has not the shape that it must have (${first?.path || "/"}: ${first?.message})`;
}

function cut(reason: string): string {
  let text = reason.toWellFormed();
  while (Buffer.byteLength(text) > REASON_BYTES_MAX) text = text.slice(0, -1).toWellFormed();
  return text;
}
