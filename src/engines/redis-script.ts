// Lua that Redis runs in one step. Times are handed in, in ms of the server's clock. Keys have the prefix of
// BATON_REDIS_PREFIX; redis-keys.ts names them.

/** A script with what EVALSHA calls it by. */
export interface Script {
  readonly text: string;
  readonly sha: string;
}

/** What is called with all of these. */
export function scripts<Name extends string>(texts: Record<Name, string>): Record<Name, Script> {
  return Object.fromEntries(
    Object.entries<string>(texts).map(([name, text]) => [
      name,
      { text, sha: new Bun.CryptoHasher("sha1").update(text).digest("hex") },
    ]),
  ) as Record<Name, Script>;
}
