// A Lua script that Redis runs in one step, by the hash of its text. Moments are passed to scripts in microseconds of the server's
// clock, durations in ms.

export interface Script {
  readonly text: string;
  /** What EVALSHA calls it by. */
  readonly sha: string;
}

/** Lets EVAL without keys store a script and do nothing else. Unlike SCRIPT LOAD, Bun's client sends many EVALs at once. */
const STORE_ONLY = "if #KEYS == 0 then return end";

/** Arguments of scripts are texts: this one stands for a value that is not set, and for false. */
export const NOT_SET = "";
export const TRUE = "1";

export function textOf(value: number | string | boolean | undefined): string {
  if (value === undefined || value === false) return NOT_SET;
  return value === true ? TRUE : String(value);
}

/** Scripts by name; each must be run with at least one key. */
export function scripts<Name extends string>(texts: Record<Name, string>): Record<Name, Script> {
  return Object.fromEntries(
    Object.entries<string>(texts).map(([name, lua]) => {
      const text = `${STORE_ONLY}\n${lua}`;
      return [name, { text, sha: new Bun.CryptoHasher("sha1").update(text).digest("hex") }];
    }),
  ) as Record<Name, Script>;
}
