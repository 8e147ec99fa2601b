// The keys and scopes of BATON_API_KEYS, and what is refused because it could mean something else.
import { expect, test } from "bun:test";
import { SettingError } from "../../src/settings/kinds";
import { readSettings } from "../../src/settings/read";

const read = (text: string) => readSettings({ BATON_API_KEYS: text }, 20_000).apiKeys;

const any = "any";
const all = { publish: any, read: any, register: any, manage: any, metrics: any };

test.each<[string, string, object]>([
  ["secret", "secret", all],
  ["secret:all", "secret", all],
  ["secret:read", "secret", { read: any }],
  ["secret:publish+read", "secret", { publish: any, read: any }],
  ["secret:publish@news:", "secret", { publish: ["news:"] }],
  ["secret:publish@news:+read", "secret", { publish: ["news:"], read: any }],
  ["secret:publish@a:+publish@b:", "secret", { publish: ["a:", "b:"] }],
  ["secret:publish@a:+publish", "secret", { publish: any }],
  ["secret:publish+publish@a:", "secret", { publish: any }],
  ["secret:publish@a%2Cb%2Bc%25%C3%A9%2A", "secret", { publish: ["a,b+c%é*"] }],
  ["secret:publish@a:read", "secret", { publish: ["a:read"] }],
  ["user:secret:all", "user:secret", all],
  ["user:read:secret:all", "user:read:secret", all],
  ["user:secret:publish@x:y", "user:secret", { publish: ["x:y"] }],
  ["a+b@c:metrics", "a+b@c", { metrics: any }],
])("%s is the key %s with its scopes", (text, key, scopes) => {
  expect(read(text)).toEqual([{ key, scopes }]);
});

test("several keys are separated by commas, and one that stands twice in the same way counts once", () => {
  expect(read("a:read, b, a:read").map(({ key }) => key)).toEqual(["a", "b"]);
});

const SCOPES = /Scopes are publish, read, register, manage, metrics, joined by \+, or all/;

test.each<[string, RegExp]>([
  ["user:hush", SCOPES],
  ["hush:", SCOPES],
  ["hush:publich", SCOPES],
  ["hush:publish+", SCOPES],
  ["hush:publish@", SCOPES],
  ["hush:register@news:", SCOPES],
  ["hush:all+read", SCOPES],
  ["hush:publish@news:*", SCOPES],
  ["hush:publish@%zz", SCOPES],
  ["hush:publish@%00", SCOPES],
  [`hush:publish@${"x".repeat(256)}`, SCOPES],
  [":publish", SCOPES],
  [`${"x".repeat(513)}:publish`, SCOPES],
  ["two hush", /key 1 of its 1 is empty, too long or has others/],
  ["a,,hush", /key 2 of its 3 is empty/],
  ["hush:read,hush:publish", /key 2 of its 2 with other scopes too: join them with \+/],
  ["hush,hush:read", /key 2 of its 2 with other scopes too/],
  [
    Array.from({ length: 1_001 }, (_, i) => `hush${i}`).join(","),
    /has 1001 keys, of which there may be 1000/,
  ],
])("%s is refused with a line that says why and shows nothing of it", (text, why) => {
  try {
    read(text);
    expect.unreachable();
  } catch (error) {
    if (!(error instanceof SettingError)) throw error;
    expect(error.message).toStartWith('BATON_API_KEYS="…" is not allowed: it ');
    expect(error.message).toMatch(why);
    expect(error.message).not.toMatch(/hush|publich|\n/);
  }
});
