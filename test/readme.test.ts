// The README is true: its tables are those of the code, and its first minute works as it stands.
import { expect, test } from "bun:test";
import { join } from "node:path";
import { SETTINGS } from "../src/config";
import { CLOSES, ERRORS } from "../src/relay/errors";
import { Client } from "./support/client";
import { startRelay } from "./support/relay";

const root = join(import.meta.dir, "..");
const readme = await Bun.file(join(root, "README.md")).text();

/** The rows of the table under this head, as they stand. */
function rowsUnder(head: string): string[] {
  const lines = readme.split("\n");
  const first = lines.indexOf(head) + 2;
  return lines.slice(first, lines.indexOf("", first));
}

test("the table of settings is that of src/config.ts", () => {
  const rows = Object.values(SETTINGS).map(({ variable, fallback, takes, about }) => {
    const value = fallback === "" ? "not set" : `\`${fallback}\``;
    return `| \`${variable}\` | ${value} | ${about} Takes ${takes}. |`;
  });
  expect(rowsUnder("| variable | default | what it is for |")).toEqual(rows);
});

test("the table of errors is that of src/relay/errors.ts", () => {
  const rows = Object.entries(ERRORS).map(
    ([code, { status, means }]) => `| \`${code}\` | ${status} | ${means} |`,
  );
  expect(rowsUnder("| code | status | meaning |")).toEqual(rows);
});

test("the table of close codes has every code that the relay sends", () => {
  for (const { code, reason } of Object.values(CLOSES)) {
    expect(readme).toContain(`| ${code} | ${reason} |`);
  }
});

test("the commands that it shows are scripts of package.json", async () => {
  const { scripts } = await Bun.file(join(root, "package.json")).json();
  const named = [...readme.matchAll(/bun(?:@[\d.]+)? run ([\w:]+)/g)].map(([, name]) => name);
  expect(named).toContain("server");
  expect(named).toContain("test");
  for (const name of named) expect(scripts[name as string]).toBeString();
});

test("the files that it links to are there", async () => {
  for (const [, link] of readme.matchAll(/\]\((?!https?:|#)([^)]+)\)/g)) {
    expect(await Bun.file(join(root, link as string)).exists(), link).toBe(true);
  }
});

test("the first minute works: its curl commands, two devices, one message on both", async () => {
  await using relay = await startRelay();
  const commands = [...readme.matchAll(/^curl .*$/gm)].map(([line]) =>
    line.replaceAll("http://127.0.0.1:8000", relay.url),
  );
  expect(commands).toHaveLength(3);
  const run = async (command: string) =>
    JSON.parse(await new Response(Bun.spawn(["sh", "-c", command]).stdout).text());
  const [first, second, publish] = commands as [string, string, string];
  const phone = await Client.open((await run(first)).url);
  const laptop = await Client.open((await run(second)).url);
  expect(await run(publish)).toMatchObject({ delivered: 2 });
  expect([await phone.next(), await laptop.next()]).toEqual(["hi", "hi"]);
  phone.drop();
  laptop.drop();
});

test("the one-line client that it shows prints what is published", async () => {
  await using relay = await startRelay();
  const script = /bun@[\d.]+ -e '([^']+)'/.exec(readme)?.[1] ?? "";
  const client = Bun.spawn([process.execPath, "-e", script, await relay.register()], {
    stdout: "pipe",
  });
  while ((await relay.publish("tech", "hi")) === 0) await Bun.sleep(5);
  const { value } = await client.stdout.getReader().read();
  expect(new TextDecoder().decode(value)).toBe("hi\n");
  client.kill();
});
