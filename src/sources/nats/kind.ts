// The kind of source that is a stream of NATS JetStream. NATS 2.9 or newer.
import type { SourceKind } from "../contract";
import { tlsProblem } from "../tls";
import { Options } from "./options";

export const NATS: SourceKind<typeof Options> = {
  options: Options,
  problem: ({ user, password, token, credentials, nkey, ...options }) => {
    if ((user === undefined) !== (password === undefined))
      return "user and password need each other";
    const ways = [user, token, credentials, nkey].filter((way) => way !== undefined);
    if (ways.length > 1) return "it may have one of user, token, credentials and nkey";
    // Certificates ask for TLS, whatever the addresses say.
    return tlsProblem(options, { isAsked: true, by: "tls:// in servers" });
  },
  async open(options, context) {
    const { NatsReader } = await import("./reader");
    return NatsReader.open(options, context);
  },
};
