// The apps of BATON_PUSHER_APPS, and what is refused there.
import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { warnings } from "../../src/settings/checks";
import { SettingError } from "../../src/settings/kinds";
import { readSettings } from "../../src/settings/read";
import { checkGuards } from "../../src/settings/reloads";
import { Folder } from "../support/machine/folder";

const settingsOf = (text: string) => readSettings({ BATON_PUSHER_APPS: text }, 20_000);
const read = (text: string) => settingsOf(text).pusherApps;

test.each<[string, string, string, string]>([
  ["1:app-key:app-secret", "1", "app-key", "app-secret"],
  ["0012:a.b_c~d-E:s", "0012", "a.b_c~d-E", "s"],
  ["1:key:a:secret:with:colons", "1", "key", "a:secret:with:colons"],
])("%s is an app", (text, id, key, secret) => {
  expect(read(text)).toEqual([{ id, key, secret }]);
});

test("there are no apps by default, and several are separated by commas", () => {
  expect(read("")).toEqual([]);
  expect(read("1:a:x, 2:b:y").map(({ id }) => id)).toEqual(["1", "2"]);
});

test("apps can stand in a file, one to a line", () => {
  using folder = new Folder();
  const file = join(folder.path, "apps");
  writeFileSync(file, "# of the shop\n1:a:hush-1\n2:b:hush-2\n");
  const { pusherApps } = readSettings({ BATON_PUSHER_APPS_FILE: file }, 20_000);
  expect(pusherApps.map(({ secret }) => secret)).toEqual(["hush-1", "hush-2"]);
});

const MANY = Array.from({ length: 1_001 }, (_, i) => `${i}:k${i}:hush`).join(",");

test.each<[string, RegExp]>([
  ["hush", /app 1 of its 1 lacks a colon/],
  ["1:hush", /app 1 of its 1 lacks a colon/],
  ["app:key:hush", /app 1 of its 1 has an id that is not of 1 to 20 digits/],
  [":key:hush", /has an id that is not/],
  ["1:a key:hush", /has a key that is not of 1 to 128 letters/],
  ["1:a/b:hush", /has a key that is not/],
  ["1::hush", /has a key that is not/],
  ["1:key:", /has a secret that is not of 1 to 512 visible ASCII characters/],
  ["1:key:hush hush", /has a secret that is not/],
  ["1:key:hushé", /has a secret that is not/],
  ["1:a:x,1:b:hush", /app 2 of its 2 has an id that another has too/],
  ["1:a:x,2:a:hush", /app 2 of its 2 has one that another has too/],
  ["1:a:hush,,2:b:hush", /app 2 of its 3 lacks a colon/],
])("%s is refused with a line that says why and shows nothing of a secret", (text, why) => {
  const failure = failureOf(text);
  expect(failure).toBeInstanceOf(SettingError);
  expect(failure?.message).toStartWith('BATON_PUSHER_APPS="…" is not allowed: it ');
  expect(failure?.message).toMatch(why);
  expect(failure?.message).not.toContain("hush");
});

test("more than 1,000 apps are refused", () => {
  expect(failureOf(MANY)?.message).toContain("has 1001 apps, of which there may be 1000");
});

/** What a text is refused with. */
function failureOf(text: string): Error | undefined {
  try {
    read(text);
  } catch (error) {
    return error as Error;
  }
  return undefined;
}

test("a secret that is easy to guess is warned about, and so is a relay without API keys", () => {
  const short = warnings(settingsOf("1:key:secret")).join("\n");
  expect(short).toContain("the secret of a Pusher app has fewer than 16 characters");
  expect(short).toContain("without BATON_API_KEYS anyone");
  const good = readSettings(
    { BATON_PUSHER_APPS: `1:key:${"s".repeat(16)}`, BATON_API_KEYS: "k".repeat(16) },
    20_000,
  );
  expect(warnings(good)).toEqual([]);
});

test("apps can be replaced while the relay runs, but not added to one without or removed from it", () => {
  const [none, one, two] = ["", "1:a:x", "2:b:y"].map(settingsOf) as [never, never, never];
  expect(() => checkGuards(one, two)).not.toThrow();
  expect(() => checkGuards(none, one)).toThrow("BATON_PUSHER_APPS can be replaced");
  expect(() => checkGuards(one, none)).toThrow("but not removed");
});
