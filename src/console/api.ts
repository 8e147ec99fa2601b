// Calls of the relay that has served the page, with the API key that was typed in. The key is kept for this tab alone, and
// never becomes part of an address.

const KEY_NAME = "baton-key";

/** How long an answer may take: a relay that hangs must not look like one where nothing changes. */
const ANSWER_MS = 10_000;

/** The relay's address: that of the page without its last step. */
const BASE = new URL(".", location.href.replace(/\/console\/?([?#].*)?$/, "/console"));

export class CallFailure extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

export function keepKey(key: string): void {
  if (key === "") sessionStorage.removeItem(KEY_NAME);
  else sessionStorage.setItem(KEY_NAME, key);
}

export function hasKey(): boolean {
  return sessionStorage.getItem(KEY_NAME) !== null;
}

/** The address of a path of the relay; "ws" is for sockets. */
export function addressOf(path: string, scheme: "http" | "ws" = "http"): string {
  const url = new URL(path, BASE);
  if (scheme === "ws") url.protocol = url.protocol.replace("http", "ws");
  return url.href;
}

type Query = Readonly<Record<string, string | number | undefined>>;

/** A path with steps that are names, percent-encoded. */
export function path(steps: readonly string[], query: Query = {}): string {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== "");
  const text = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
  return steps.map(encodeURIComponent).join("/") + (text === "" ? "" : `?${text}`);
}

/** Resolves with the answer; rejects with CallFailure, whose message is for people. */
export async function call<Answer>(
  method: "GET" | "POST" | "DELETE",
  address: string,
  body?: unknown,
): Promise<Answer> {
  const key = sessionStorage.getItem(KEY_NAME);
  const headers: Record<string, string> = key === null ? {} : { "x-api-key": key };
  if (body !== undefined) headers["content-type"] = "application/json";
  const signal = AbortSignal.timeout(ANSWER_MS);
  const init: RequestInit = { method, headers, cache: "no-store", signal };
  if (body !== undefined) init.body = JSON.stringify(body);
  const fail = () => {
    const what = signal.aborted ? "does not answer" : "cannot be reached";
    throw new CallFailure(0, `The relay ${what}.`);
  };
  const response = await fetch(addressOf(address), init).catch(fail);
  const text = await response.text().catch(fail);
  const answer = response.headers.get("content-type")?.includes("json") ? JSON.parse(text) : text;
  if (response.ok) return answer;
  throw new CallFailure(
    response.status,
    answer?.error?.message ?? `The relay answered ${response.status}.`,
  );
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Registers a client and resolves with the path of its address: the host may be one that only other clients reach. */
export async function register(
  user: string,
  topics: readonly string[],
): Promise<{ ws: string; sse: string }> {
  const { url, sse } = await call<{ url: string; sse: string }>("POST", "register", {
    user_id: user,
    topics,
  });
  const id = url.slice(url.lastIndexOf("/") + 1);
  return {
    ws: addressOf(`ws/${id}`, "ws"),
    sse: addressOf(`sse/${sse.slice(sse.lastIndexOf("/") + 1)}`),
  };
}
