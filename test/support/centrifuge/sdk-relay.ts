// A relay with tokens and rules for clients of the SDK, and the clients of a test.
import type { Centrifuge } from "centrifuge";
import type { Env } from "../../../src/settings/kinds";
import { startRelay, type TestRelay } from "../relay/test-relay";
import { topicsFile } from "../relay/topics-file";
import { SECRET, sdk, token } from "./sdk";

const KEY = "key";
/** The headers of a request to these relays. */
export const WITH_KEY = { "x-api-key": KEY };

/** A rule of topics in which these may do everything. */
const openTo = (all: readonly string[]) => ({
  presence: true,
  join_leave: true,
  allow_subscribe: all,
  allow_publish: all,
  allow_presence: all,
  allow_history: all,
});
const RULES = {
  "news:": openTo(["client", "anonymous"]),
  room: openTo(["client"]),
  $own: { presence: true, allow_presence: ["client"] },
  "read:": { allow_subscribe: ["client"] },
  "quiet:": { history_size: 0, allow_subscribe: ["client"], allow_history: ["client"] },
};

/** Starts a relay with these rules, whose clients need a token. */
export function startRelayWithTokens(env: Env = {}): Promise<TestRelay> {
  return startRelay({
    BATON_TOKEN_SECRET: SECRET,
    BATON_API_KEYS: KEY,
    BATON_TOPICS_FILE: topicsFile(RULES),
    ...env,
  });
}

/** The clients of one test, which `disconnect` all when it ends. */
export class SdkClients {
  readonly #clients: Centrifuge[] = [];

  /** Makes a client of the SDK, which connects when it is told to. */
  make(...options: Parameters<typeof sdk>): Centrifuge {
    const client = sdk(...options);
    this.#clients.push(client);
    return client;
  }

  readonly disconnect = (): void => {
    for (const client of this.#clients.splice(0)) client.disconnect();
  };
}

/** The options of a client with a token for this user. */
export async function as(user: string, claims: object = {}): Promise<{ token: string }> {
  return { token: await token({ sub: user, ...claims }) };
}

/** Calls a method of the server API. */
export async function callApi(relay: TestRelay, method: string, body: object) {
  return (await relay.post(`/api/${method}`, body, WITH_KEY)).json;
}
