// The settings of Web Push: what is missing or does not fit is said at the start.
import { expect, test } from "bun:test";
import { SettingError } from "../../src/settings/kinds";
import { readSettings } from "../../src/settings/read";
import { Baton } from "../support/cli/baton";
import { PUSH_ENV } from "../support/push/push-relay";

const problemOf = (env: Record<string, string>): string => {
  try {
    readSettings(env);
    return "";
  } catch (error) {
    if (error instanceof SettingError) return error.message;
    throw error;
  }
};

test("what baton vapid prints is a pair that the settings accept, each time another one", async () => {
  const pairs: Record<string, string>[] = [];
  for (let i = 0; i < 2; i++) {
    const { code, stdout } = await Baton.run(["vapid"]);
    expect(code).toBe(0);
    pairs.push(
      Object.fromEntries(
        stdout
          .trim()
          .split("\n")
          .map((line) => line.split("=")),
      ),
    );
  }
  const [one, two] = pairs;
  expect(problemOf({ ...PUSH_ENV, ...one })).toBe("");
  const mixed = {
    ...PUSH_ENV,
    ...one,
    BATON_VAPID_PRIVATE_KEY: two?.BATON_VAPID_PRIVATE_KEY ?? "",
  };
  expect(problemOf(mixed)).toContain("does not belong to BATON_VAPID_PUBLIC_KEY");
});

test.each([
  "BATON_VAPID_PUBLIC_KEY",
  "BATON_VAPID_PRIVATE_KEY",
  "BATON_VAPID_SUBJECT",
  "BATON_DEVICES_KEY",
])(
  "without %s, a relay with the other settings of Web Push does not start, and says which is missing",
  (variable) => {
    expect(problemOf({ ...PUSH_ENV, [variable]: "" })).toStartWith(`${variable} is not set`);
  },
);

test.each([
  ["BATON_VAPID_PUBLIC_KEY", "x"],
  ["BATON_VAPID_PUBLIC_KEY", "A".repeat(87)],
  ["BATON_VAPID_PRIVATE_KEY", "secret-part"],
  ["BATON_VAPID_SUBJECT", "you@example.com"],
  ["BATON_DEVICES_KEY", "tooshort"],
  ["BATON_DEVICES_KEY", Array(11).fill("a".repeat(32)).join()],
])("%s=%s is refused", (variable, value) => {
  const problem = problemOf({ ...PUSH_ENV, [variable]: value });
  expect(problem).toContain(variable);
  if (/PRIVATE|DEVICES/.test(variable)) expect(problem).not.toContain(value);
});
