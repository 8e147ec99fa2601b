// Calls of the server API (POST /api/<method>) as a backend makes them, against an open relay or one with keys and tokens.
import { expect } from "bun:test";
import { startRelay, type TestRelay } from "../relay/test-relay";
import { topicsFile } from "../relay/topics-file";
import { SECRET, token } from "./sdk";
import { SessionClient } from "./session-client";

export const KEY = "a-long-random-key";

const RULES = { "seen:": { presence: true }, "brief:": { history_size: 0 } };

/** A relay where everybody may do everything. Topics with `seen:` have presence, and those with `brief:` no history. */
export function startOpenRelay(): Promise<TestRelay> {
  return startRelay({ BATON_TOPICS_FILE: topicsFile(RULES) });
}

/** The same with an API key and with tokens, so that its clients have users. */
export function startGuardedRelay(): Promise<TestRelay> {
  return startRelay({
    BATON_TOPICS_FILE: topicsFile(RULES),
    BATON_API_KEYS: KEY,
    BATON_TOKEN_SECRET: SECRET,
  });
}

/** The answer to a call, which has status 200 even when it is an error. */
export async function callApi(relay: TestRelay, method: string, body: object) {
  const { status, json } = await relay.post(`/api/${method}`, body, { "x-api-key": KEY });
  expect(status).toBe(200);
  return json;
}

/** A connected session of a user of the guarded relay. */
export async function sessionOf(relay: TestRelay, user: string, claims: object = {}) {
  return SessionClient.connect(relay, { token: await token({ sub: user, ...claims }) });
}
