// docs/reference.md is what the tables in the code say.
import { expect, test } from "bun:test";
import { join } from "node:path";
import { OPTIONS_FILE, relaySettingsFile } from "../docs/options";
import { reference } from "../docs/reference";
import { ERRORS } from "../src/relay/contracts/errors";
import { CLOSES } from "../src/relay/contracts/protocol";
import { SETTINGS } from "../src/settings/definitions";

const page = await Bun.file(join(import.meta.dir, "../docs/reference.md")).text();

test("docs/reference.md is what `bun run reference` makes of the tables in the code", () => {
  expect(page).toBe(reference());
});

test("the options of the library are what `bun run reference` makes of the table of settings", async () => {
  expect(await Bun.file(OPTIONS_FILE).text()).toBe(relaySettingsFile());
});

test("docs/reference.md has every setting, every error code and every close code, each on one line", () => {
  for (const { variable } of Object.values(SETTINGS))
    expect(page).toContain(`\n| \`${variable}\` |`);
  for (const code of Object.keys(ERRORS)) expect(page).toContain(`\n| \`${code}\` |`);
  for (const name of Object.keys(CLOSES))
    expect(page).toMatch(new RegExp(`^\\| \\d+ \\| \`${name}\``, "m"));
});
