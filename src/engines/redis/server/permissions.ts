// Finds out at once which commands this user of Redis may not run: an error within a script does not name its command, and some
// commands are needed only later.
import { isForbidden } from "./error-answers";
import type { Keys } from "./keys";
import type { RedisLink } from "./link";
import { scripts } from "./script";

/**
 * The commands within scripts, each with arguments that change nothing: where `key` does not exist, it does nothing, or it
 * fails because of the arguments. Redis looks at the permission before that.
 */
const COMMANDS: Readonly<Record<string, readonly string[]>> = {
  EXISTS: ["key"],
  GET: ["key"],
  GETBIT: ["key", "0"],
  GETRANGE: ["key", "0", "0"],
  HDEL: ["key", "f"],
  HGETALL: ["key"],
  HLEN: ["key"],
  HMGET: ["key", "f"],
  HSET: ["key", "f", "v", "odd"],
  INCRBY: ["key", "none"],
  MGET: ["key"],
  PEXPIRE: ["key", "1"],
  PUBLISH: ["key", "m"],
  SET: ["key", "v", "PX", "0"],
  SETBIT: ["key", "-1", "1"],
  XADD: ["key", "none", "f", "v"],
  XRANGE: ["key", "-", "+", "COUNT", "1"],
  XREVRANGE: ["key", "+", "-", "COUNT", "1"],
  XTRIM: ["key", "MINID", "0"],
  ZADD: ["key", "none", "m"],
  ZCARD: ["key"],
  ZRANGE: ["key", "0", "0"],
  ZREM: ["key", "m"],
  ZREMRANGEBYSCORE: ["key", "-inf", "0"],
  ZSCORE: ["key", "m"],
  DEL: ["key"],
};

/** KEYS: one that does not exist, which is also the name of a channel that nobody follows. Answers a command, its error, … */
const PROBE = `
local errors = {}
local function try(name, ...)
  local answer = redis.pcall(name, KEYS[1], ...)
  if type(answer) == 'table' and answer.err then
    errors[#errors + 1] = name
    errors[#errors + 1] = answer.err
  end
end
${Object.entries(COMMANDS)
  .map(([name, [, ...args]]) => `try(${[name, ...args].map((text) => `'${text}'`).join(", ")})`)
  .join("\n")}
return errors
`;

export const PROBE_SCRIPTS = scripts({ PROBE });

/** Errors that stand in the way of every call, as the server words them. */
const IN_THE_WAY = /READONLY|ACL failure|no permissions|The user executing the script can't/;

/** Rejects with an Error of a few words when the scripts cannot run there as they must. */
export async function checkPermissions(link: RedisLink, keys: Keys): Promise<void> {
  const answers = await link.run<string[]>(PROBE_SCRIPTS.PROBE, [keys.probe], []);
  const unknown: string[] = [];
  const forbidden: string[] = [];
  let other: string | undefined;
  for (let i = 0; i < answers.length; i += 2) {
    const [name = "", error = ""] = answers.slice(i, i + 2);
    if (isForbidden(error)) (/unknown/i.test(error) ? unknown : forbidden).push(name);
    else if (IN_THE_WAY.test(error)) {
      other ??= `it refused ${name}: ${error.replace(/^ERR (?=The user|ACL)/, "NOPERM ")}`;
    }
  }
  if (unknown.length > 0) throw new Error(`unknown command ${unknown.join(", ")}`);
  if (forbidden.length > 0) {
    const rights = forbidden.map((name) => `+${name.toLowerCase()}`).join(" ");
    throw new Error(`NOPERM: its user may not run ${forbidden.join(", ")}, so give it ${rights}`);
  }
  if (other !== undefined) throw new Error(other);
}
