// The relay that a command calls: its address, the key, and what to tell the user when a call fails. Keys are never shown.
import { isLoopback } from "../settings/checks";
import type { Settings } from "../settings/definitions";
import { CommandFailure, EXIT } from "./failure";

/** How long an answer may take, except of requests that stay open. */
const ANSWER_MS = 10_000;

/** What Bun has called it, in different versions. */
const REFUSED = new Set(["ECONNREFUSED", "ConnectionRefused"]);

/** What is wrong with a certificate. */
const CERTIFICATE = /CERT|SELF_SIGNED|UNABLE_TO_VERIFY/;

/** Addresses to listen on that stand for every address of the machine. */
const ANY_HOST = /^(?:0\.0\.0\.0|::)$/;

/** The flags of every command that calls a relay. */
export interface RelayFlags {
  readonly url?: string;
  readonly key?: string;
}

interface CallOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | ReadableStream<Uint8Array>;
  /** Whether the request stays open for as long as its body lasts. */
  readonly staysOpen?: boolean;
}

/** Where the relay of these settings listens, as this machine reaches it. */
function ownUrl({ host, port, certificate }: Settings): string {
  const scheme = certificate === undefined ? "http" : "https";
  const name = ANY_HOST.test(host) ? "127.0.0.1" : host;
  return `${scheme}://${name.includes(":") ? `[${name}]` : name}:${port}`;
}

export class RemoteRelay {
  readonly url: string;
  readonly #key: string;
  /** No certificate is for 127.0.0.1, and without TLS nothing would prove who listens there either. */
  readonly #tls: { readonly tls?: { readonly rejectUnauthorized: false } };

  constructor(settings: Settings, flags: RelayFlags) {
    const given = flags.url ?? settings.commandUrl;
    this.url = (given || ownUrl(settings)).replace(/\/$/, "");
    this.#tls = given ? {} : { tls: { rejectUnauthorized: false } };
    this.#key = flags.key ?? (settings.commandKey || (settings.apiKeys[0]?.key ?? ""));
    if (!/^https?:\/\/[^/?#@\s]+(?:\/[^?#\s]*)?$/.test(this.url) || !URL.canParse(this.url)) {
      throw new CommandFailure(
        "The address of the relay must begin with http:// or https://, without user, query or fragment: --url http://127.0.0.1:8000",
        EXIT.misused,
      );
    }
    if (this.#key !== "" && !/^[\x21-\x7e]+$/.test(this.#key)) {
      throw new CommandFailure("The API key has characters that no key has.", EXIT.misused);
    }
  }

  /** Resolves with the answer, whatever its status. Throws CommandFailure where there is none. */
  async ask(method: string, path: string, options: CallOptions = {}): Promise<Response> {
    const { headers, body, staysOpen } = options;
    try {
      return await fetch(this.url + path, {
        method,
        headers: { ...headers, ...(this.#key !== "" && { "x-api-key": this.#key }) },
        redirect: "manual",
        ...this.#tls,
        ...(body !== undefined && { body }),
        ...(staysOpen ? { timeout: false } : { signal: AbortSignal.timeout(ANSWER_MS) }),
      });
    } catch (error) {
      throw this.#unreachable(error as Error & { code?: unknown });
    }
  }

  /** Resolves with an answer that says that it was done. Throws CommandFailure. */
  async call(method: string, path: string, options: CallOptions = {}): Promise<Response> {
    const answer = await this.ask(method, path, options);
    if (answer.ok) return answer;
    throw new CommandFailure(this.#refusalText(answer.status, await answer.text()));
  }

  /** Resolves with what a POST of JSON is answered with. Throws CommandFailure. */
  async post(path: string, body: object): Promise<Record<string, unknown>> {
    const headers = { "content-type": "application/json" };
    const answer = await this.call("POST", path, { headers, body: JSON.stringify(body) });
    return (await answer.json()) as Record<string, unknown>;
  }

  /** Resolves with the id of a new registration. Throws CommandFailure. */
  async register(user: string, topics: readonly string[]): Promise<string> {
    const { url } = await this.post("/register", { user_id: user, topics });
    return String(url).split("/").at(-1) ?? "";
  }

  /** The socket of a registration. */
  connect(id: string, query = ""): WebSocket {
    return new WebSocket(`ws${this.url.slice(4)}/ws/${id}${query}`, this.#tls);
  }

  /** Whether it is called at an address of this machine. */
  get isHere(): boolean {
    return isLoopback(new URL(this.url).hostname.replace(/^\[|\]$/g, ""));
  }

  /** Of an answer that is not a relay's. */
  strangeText(status: number): string {
    return `${this.url} answered with ${status}, and not as a relay does. Does --url name a relay?`;
  }

  #refusalText(status: number, text: string): string {
    if (status === 401) {
      return this.#key === ""
        ? `The relay at ${this.url} wants an API key: set BATON_API_KEY, or give --key.`
        : `The relay at ${this.url} does not take this API key: it is not one of its BATON_API_KEYS. See BATON_API_KEY and --key.`;
    }
    const { code, message } = errorIn(text);
    if (message === undefined) return this.strangeText(status);
    return `The relay refused it: ${message} (${code})`;
  }

  #unreachable(error: Error & { code?: unknown }): CommandFailure {
    const { url } = this;
    const code = String(error.code);
    // What Bun says to programmers.
    const said = error.message.replace(/ fetching "[^"]*"|\.? For more information, .*/g, "");
    const why = `${url} cannot be reached: ${/[.?]$/.test(said) ? said : `${said}.`}`;
    if (CERTIFICATE.test(code)) {
      return new CommandFailure(
        `${why} Call it by a name that its certificate has; an authority of your own is given in NODE_EXTRA_CA_CERTS=ca.pem.`,
        EXIT.unreachable,
      );
    }
    if (code === "ECONNRESET" && url.startsWith("http:")) {
      return new CommandFailure(
        `${why} If it speaks TLS, call it with https://.`,
        EXIT.unreachable,
      );
    }
    const start = this.isHere
      ? 'Start one with "baton serve", or name another with --url or BATON_URL.'
      : "Is --url or BATON_URL right, and is the relay running?";
    const what = REFUSED.has(code)
      ? `No relay listens at ${url}.`
      : error.name === "TimeoutError"
        ? `${url} does not answer.`
        : why;
    return new CommandFailure(`${what} ${start}`, EXIT.unreachable);
  }
}

function errorIn(text: string): { code?: string; message?: string } {
  try {
    return JSON.parse(text).error ?? {};
  } catch {
    return {};
  }
}
