// Lua that Redis runs in one step. Moments are handed in, in microseconds of the server's clock; how long something lasts, in ms.
// Keys have the prefix of BATON_REDIS_PREFIX; redis-keys.ts names them.

/** A script with what EVALSHA calls it by. */
export interface Script {
  readonly text: string;
  readonly sha: string;
}

/** So that EVAL without keys does nothing but leave the script there: unlike SCRIPT LOAD, Bun's client sends many at once. */
const LOAD = "if #KEYS == 0 then return end";

/** By name; each must be run with a key. */
export function scripts<Name extends string>(texts: Record<Name, string>): Record<Name, Script> {
  return Object.fromEntries(
    Object.entries<string>(texts).map(([name, lua]) => {
      const text = `${LOAD}\n${lua}`;
      return [name, { text, sha: new Bun.CryptoHasher("sha1").update(text).digest("hex") }];
    }),
  ) as Record<Name, Script>;
}
