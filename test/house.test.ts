// The rules of the house that a reader relies on: which folder imports which, and one noun a file.
import { expect, test } from "bun:test";
import { dirname, join, relative } from "node:path";

const root = join(import.meta.dir, "..");
const sources = [...new Bun.Glob("src/**/*.ts").scanSync(root)];

/** Which folders of src each may import, and which packages. `.` is src itself: main.ts, node.ts and log.ts. */
const MAY_IMPORT: Record<string, { folders: string[]; packages: RegExp }> = {
  relay: { folders: ["relay"], packages: /^$/ },
  protocols: { folders: ["protocols", "relay"], packages: /^@sinclair\/typebox/ },
  engines: { folders: ["engines", "relay"], packages: /^bun(:sqlite)?$/ },
  edge: {
    folders: ["edge", "relay", "."],
    packages: /^(bun|node:crypto|elysia|@elysiajs\/.*|@sinclair\/typebox.*|jose)$/,
  },
  settings: { folders: ["settings", "relay"], packages: /^(node:|@sinclair\/typebox)/ },
  workers: { folders: ["workers", "settings", "engines", "relay", "."], packages: /^(node:|bun)/ },
  ".": {
    folders: ["relay", "edge", "engines", "protocols", "settings", "workers"],
    packages: /^(node:|@sinclair\/typebox|pino)/,
  },
};

interface Import {
  readonly from: string;
  readonly to: string;
  readonly typeOnly: boolean;
}

async function imports(): Promise<Import[]> {
  const found: Import[] = [];
  for (const from of sources) {
    const text = await Bun.file(join(root, from)).text();
    for (const [, type, to] of text.matchAll(
      /^(?:import|export)\s+(type\s)?(?:[^;]*?\sfrom\s+)?"([^"]+)";/gms,
    )) {
      found.push({ from, to: to as string, typeOnly: type !== undefined });
    }
  }
  return found;
}

const folderOf = (path: string): string => relative("src", dirname(path)).split("/")[0] || ".";

test("imports point inwards", async () => {
  const all = await imports();
  expect(all.length).toBeGreaterThan(50);
  for (const { from, to, typeOnly } of all) {
    const rules = MAY_IMPORT[folderOf(from)];
    const where = `${from} imports ${to}`;
    if (rules === undefined) throw new Error(`${from} is in a folder that the house does not have`);
    if (!to.startsWith(".")) {
      expect(rules.packages.test(to), where).toBe(true);
      continue;
    }
    const target = join(dirname(from), to);
    if (target === "package.json") continue;
    const folder = folderOf(target);
    // The edge is handed its settings; it may know their type.
    const settingsType =
      target === "src/settings/definitions" && typeOnly && folderOf(from) === "edge";
    const own = folder === "." && folderOf(from) === ".";
    expect(settingsType || own || rules.folders.includes(folder), where).toBe(true);
  }
});

test("relay/ knows no Bun, no clock, no randomness and no I/O", async () => {
  const forbidden =
    /\b(Bun|process|fetch|Date|performance|setTimeout|setInterval|setImmediate|queueMicrotask|crypto|Math\.random|console|Buffer)\b/;
  for (const path of sources.filter((source) => source.startsWith("src/relay/"))) {
    const text = await Bun.file(join(root, path)).text();
    const code = text.replace(/\/\*[\s\S]*?\*\/|\/\/.*|"[^"\n]*"|`[^`]*`/g, "");
    expect(forbidden.exec(code)?.[0], path).toBeUndefined();
  }
});

test("only config.ts reads the environment (main.ts hands it over), and only main.ts ends the process", async () => {
  for (const path of sources) {
    const text = await Bun.file(join(root, path)).text();
    if (path !== "src/main.ts") expect(text, path).not.toMatch(/process\.(env|exit)|Bun\.env/);
  }
});

test("a file is one noun of at most 400 lines and begins by saying its job", async () => {
  const nouns = /\/(utils?|helpers?|types|managers?|common|misc)\.ts$/;
  for (const path of sources) {
    const text = await Bun.file(join(root, path)).text();
    expect(path).not.toMatch(nouns);
    expect(text.split("\n").length, path).toBeLessThanOrEqual(401);
    expect(text.startsWith("// "), path).toBe(true);
  }
});

test("nothing is left open in the code", async () => {
  const places = [...new Bun.Glob("{src,bench}/**/*.ts").scanSync(root)];
  for (const path of places) {
    expect(await Bun.file(join(root, path)).text(), path).not.toMatch(/TODO|FIXME|XXX/);
  }
});

test("the packages are pinned to exact versions", async () => {
  const { dependencies, devDependencies } = await Bun.file(join(root, "package.json")).json();
  for (const version of Object.values({ ...dependencies, ...devDependencies })) {
    expect(version).toMatch(/^\d+\.\d+\.\d+$/);
  }
});

test("every row of section I of the fault catalogue has a test with its name, or a reason why not", async () => {
  const titles = (
    await Promise.all(
      [...new Bun.Glob("test/**/*.ts").scanSync(root)].map((path) =>
        Bun.file(join(root, path)).text(),
      ),
    )
  ).join("\n");
  const architecture = await Bun.file(join(root, "ARCHITECTURE.md")).text();
  for (let row = 1; row <= 17; row++) {
    const hasTest = new RegExp(`["\`]I${row}: `).test(titles);
    const hasReason = new RegExp(`^\\| I${row} .*\\| no test: `, "m").test(architecture);
    expect(hasTest !== hasReason, `I${row}`).toBe(true);
    expect(architecture).toContain(`| I${row} `);
  }
});

test("the files that ARCHITECTURE.md names are there", async () => {
  const architecture = await Bun.file(join(root, "ARCHITECTURE.md")).text();
  const named = new Set(architecture.match(/[\w-]+\/[\w./-]+\.ts\b/g));
  expect(named.size).toBeGreaterThan(40);
  for (const name of named) {
    const places = [name, `src/${name}`, `test/${name}`].map((path) => join(root, path));
    const found = await Promise.all(places.map((path) => Bun.file(path).exists()));
    expect(found, name).toContain(true);
  }
});

test("FAULTS.md has every row of the fault catalogue, and the tests that it names are there", async () => {
  const text = await Bun.file(join(root, "test/FAULTS.md")).text();
  const rows = [...text.matchAll(/^\| ([A-I]\d+) \| (.*) \|$/gm)];
  const sizes = { A: 20, B: 12, C: 16, D: 8, E: 9, F: 11, G: 20, H: 5, I: 17 };
  const names = Object.entries(sizes).flatMap(([section, size]) =>
    Array.from({ length: size }, (_, i) => `${section}${i + 1}`),
  );
  expect(rows.map(([, name]) => name)).toEqual(names);
  for (const [, name = "", tests = ""] of rows) {
    const named = [...tests.matchAll(/`([\w./-]+\.ts)`: "([^"]+)"(?:; |$)/g)];
    const whole = named.map(([match]) => match).join("");
    expect(whole === tests || /^no test: \S/.test(tests), name).toBe(true);
    for (const [, file, title = ""] of named) {
      const source = await Bun.file(join(root, `test/${file}`)).text();
      expect(source.includes(title), `${name}: ${file}: ${title}`).toBe(true);
    }
  }
});
