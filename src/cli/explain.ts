// `baton explain`: why something did not arrive, as GET /explain knows it.
import { visibleJson } from "../relay/text/visible";
import { print } from "./output";
import type { RemoteRelay } from "./remote-relay";

export interface ExplainFlags {
  readonly user?: string;
  readonly position?: string;
  readonly json?: true;
}

/** Throws CommandFailure. */
export async function explain(
  relay: RemoteRelay,
  topic: string,
  { user, position, json }: ExplainFlags,
): Promise<void> {
  const query = new URLSearchParams({
    topic,
    ...(user !== undefined && { user }),
    ...(position !== undefined && { position }),
  });
  const text = await (await relay.call("GET", `/explain?${query}`)).text();
  if (json) return print(visibleJson(text));
  for (const { code, message, action } of JSON.parse(text).findings) {
    print(`${code}: ${message}\n  ${action}`);
  }
}
