// The kind of source that is a Redis stream, read by a consumer group. Redis 6.2 or newer, or Valkey.
import type { SourceKind } from "../contract";
import { tlsProblem } from "../tls";
import { Options } from "./options";

export const REDIS: SourceKind<typeof Options> = {
  options: Options,
  problem: (options) =>
    tlsProblem(options, { isAsked: options.url.startsWith("rediss:"), by: "rediss:// in url" }),
  async open(options, context) {
    const { RedisReader } = await import("./reader");
    return RedisReader.open(options, context);
  },
};
