// The kind of source that is a stream of NATS JetStream. NATS 2.9 or newer.
import type { SourceKind } from "../contract";
import { Options } from "./options";

export const NATS: SourceKind<typeof Options> = {
  options: Options,
  async open(options, context) {
    const { NatsReader } = await import("./reader");
    return NatsReader.open(options, context);
  },
};
