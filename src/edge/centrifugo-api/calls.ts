// Runs calls of the server API: a single method, a batch of methods, or a command as older libraries send it.
// A call never throws because of what is in it: its error is part of the answer.
import { type Log, throttledLog } from "../../log";
import { EngineUnavailable } from "../../relay/contracts/engine";
import { engineUnavailable, Refusal } from "../../relay/contracts/errors";
import type { Relay } from "../../relay/relay";
import { rawItems, rawMember, withoutNulls } from "../../relay/text/json";
import { Shape } from "../../shape";
import type { Grants } from "../access/keys";
import { type ApiFormat, apiMethods, badRequest, errorJson, type Method } from "./methods";
import { Batch, Command } from "./shapes";

const batchShape = new Shape(Batch);
const commandShape = new Shape(Command);

export class ApiCalls {
  readonly #relay: Relay;
  readonly #format: ApiFormat;
  readonly #methods: Readonly<Record<string, Method>>;
  readonly #logUnavailable: (error: unknown) => void;

  constructor(relay: Relay, format: ApiFormat, log: Log) {
    this.#relay = relay;
    this.#format = format;
    this.#methods = apiMethods({ relay, format });
    this.#logUnavailable = throttledLog(log, "the engine did not serve a call of the server API");
  }

  /** Runs one method. `text` is the body as it came in. The result is JSON text. */
  async run(name: string, body: unknown, text: string, grants: Grants): Promise<string | Refusal> {
    const method = Object.hasOwn(this.#methods, name) ? this.#methods[name] : undefined;
    if (method === undefined) return noSuchMethod();
    const value = normalized(body);
    if (!method.shape.fits(value)) {
      const error = method.shape.problemOf(value);
      return badRequest(`${error?.path || "the body"}: ${error?.message ?? "wrong shape"}.`);
    }
    const missing = method.check(grants, value as object);
    if (missing !== undefined) return missing;
    const { channel } = value as { channel?: unknown };
    const unknown =
      typeof channel === "string" ? this.#relay.backend.checkKnown(channel) : undefined;
    if (unknown !== undefined) return unknown;
    try {
      return await method.run(value as never, text, grants);
    } catch (error) {
      if (!(error instanceof EngineUnavailable)) throw error;
      this.#logUnavailable(error);
      return engineUnavailable();
    }
  }

  /** Runs commands like {"publish": {…}}, in order. The replies, such as {"publish": {…}}, are JSON texts. */
  async batch(body: unknown, text: string, grants: Grants): Promise<readonly string[] | Refusal> {
    if (!batchShape.fits(body)) return badRequest("commands is missing or has over 1,000 items.");
    const texts = rawItems(rawMember(text, "commands") ?? "");
    const replies: string[] = [];
    for (const [i, command] of body.commands.entries()) {
      const [name, params] = Object.entries((command ?? {}) as object)[0] ?? ["", {}];
      const result = await this.run(name, params, rawMember(texts[i] ?? "", name) ?? "", grants);
      const isRefused = result instanceof Refusal;
      replies.push(isRefused ? this.#error(result) : `{${JSON.stringify(name)}:${result}}`);
    }
    return replies;
  }

  /** Runs a command like {"method": "publish", "params": {…}}. The reply, JSON text, has the command's id if it has one. */
  async command(text: string, grants: Grants): Promise<string> {
    const command: unknown = JSON.parse(text);
    if (!commandShape.fits(command)) {
      return this.#error(badRequest("A command needs method and params."));
    }
    const { id, method, params = {} } = command;
    const result = await this.run(method, params, rawMember(text, "params") ?? "{}", grants);
    const reply = result instanceof Refusal ? this.#error(result) : `{"result":${result}}`;
    return id === undefined ? reply : `{"id":${id},${reply.slice(1)}`;
  }

  #error(refusal: Refusal): string {
    return errorJson(this.#format, this.#relay.tally.refused(refusal));
  }
}

export function noSuchMethod(): Refusal {
  return new Refusal("not_found", "There is no such method.");
}

/**
 * Libraries in Go send null for members that are not set, and rely on names in any case: gocent 3 has "Disconnect" among
 * its members.
 */
function normalized(body: unknown): unknown {
  if (typeof body !== "object" || body === null || Array.isArray(body)) return body;
  const members = Object.entries(withoutNulls(body) as object);
  return Object.fromEntries(members.map(([name, value]) => [name.toLowerCase(), value]));
}
