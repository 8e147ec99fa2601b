// The rules of the house that a reader relies on, as tests that fail with what is wrong, where, and what to do about it.
import { beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { filesIn, readCode, ROOT as root, type SourceFile, type Violation } from "./house/code";
import { unusedExports } from "./house/exports";
import { circles, crowdedFolders, importsNotDownwards, packagesOutOfPlace } from "./house/folders";
import { booleanParameters, longFunctions } from "./house/functions";
import { unusedMembers } from "./house/members";
import { badFiles, badNames } from "./house/names";
import { longPages, referencesOutside } from "./house/pages";

let code: SourceFile[] = [];

beforeAll(async () => {
  code = await readCode();
});

function expectNone(rule: string, found: readonly Violation[]): void {
  if (found.length === 0) return;
  const messages = found.map(({ message }) => `  - ${message}`).join("\n");
  throw new Error(`${found.length} violations of the rule "${rule}":\n${messages}`);
}

describe("folders of the house", () => {
  test("imports point downwards, floor by floor", () => {
    expect(code.length).toBeGreaterThan(150);
    expectNone("imports point downwards", importsNotDownwards(code));
  });

  test("each folder of src imports only the packages that it may use", () => {
    expectNone("packages", packagesOutOfPlace(code));
  });

  test("no files import each other in a circle, not even types", () => {
    expectNone("no circles", circles(code));
  });

  test("a folder has at most 12 files, and the top of src only baton.ts (and baton.sh), main.ts, node.ts, log.ts and version.ts", () => {
    expectNone("folders are small", crowdedFolders(["src", "bench", "test"].flatMap(filesIn)));
  });
});

describe("files of the house", () => {
  test("files, classes, interfaces and types are named by nouns that say something", () => {
    expectNone("names", badNames(code));
  });

  test("a file has at most 400 lines and begins by saying its job", () => {
    expectNone("files", badFiles(code));
  });

  test("a function has at most 60 lines", () => {
    expectNone("functions are short", longFunctions(code));
  });

  test("no function of src takes a boolean", () => {
    expectNone("no boolean parameters", booleanParameters(code));
  });

  test("whatever is exported is imported by another file", () => {
    expectNone("no unused exports", unusedExports(code));
  });

  test("whatever is public in a class of src is read outside of it, by src or bench", async () => {
    expectNone("no unused members", await unusedMembers(code));
  }, 120_000);

  test("no file is a link, which leads nowhere on another machine", () => {
    const listed = Bun.spawnSync(["git", "ls-files", "--stage"], { cwd: root }).stdout.toString();
    expect(listed.split("\n").filter((line) => line.startsWith("120000"))).toEqual([]);
  });

  test("nothing is left open in the code", () => {
    for (const { path, text } of code.filter((file) => !file.path.startsWith("test/"))) {
      expect(text, path).not.toMatch(/TODO|FIXME|XXX/);
    }
  });
});

describe("what the code must not reach", () => {
  test("relay/ knows no Bun, no clock, no randomness and no I/O", async () => {
    const forbidden =
      /\b(Bun|process|fetch|Date|performance|setTimeout|setInterval|setImmediate|queueMicrotask|crypto|Math\.random|console|Buffer)\b/;
    for (const { path, text } of code.filter((file) => file.path.startsWith("src/relay/"))) {
      const bare = text.replace(/\/\*[\s\S]*?\*\/|\/\/.*|"[^"\n]*"|`[^`]*`/g, "");
      expect(forbidden.exec(bare)?.[0], `${path} must be handed this by node.ts`).toBeUndefined();
    }
  });

  test("the environment is read through settings/ alone (main.ts and baton.ts hand it over), and only these two end the process", () => {
    for (const { path, text } of code.filter((file) => file.path.startsWith("src/"))) {
      if (path === "src/main.ts" || path === "src/baton.ts") continue;
      expect(
        text,
        `${path}: add a setting in src/settings/ and have its value handed over`,
      ).not.toMatch(/process\.env|Bun\.env|import\.meta\.env/);
      expect(
        text,
        `${path}: throw an error; main.ts or baton.ts decides how the process ends`,
      ).not.toMatch(/process\.exit\b/);
    }
  });

  test("the packages are pinned to exact versions", async () => {
    const { dependencies, devDependencies } = await Bun.file(join(root, "package.json")).json();
    for (const [name, version] of Object.entries({ ...dependencies, ...devDependencies })) {
      expect(version, `${name} in package.json`).toMatch(/^(npm:[\w-]+@)?\d+\.\d+\.\d+$/);
    }
  });

  test("nothing refers to a file or a folder that is not in the repository", async () => {
    expectNone("no references outside", await referencesOutside());
  });
});

test("the pages that everybody reads stay short", async () => {
  expectNone("pages are short", await longPages());
});

/** The rows of the fault catalogue: A1 to A20, B1 to B12 and so on. */
const FAULTS = Object.entries({
  A: 20,
  B: 12,
  C: 16,
  D: 9,
  E: 11,
  F: 13,
  G: 20,
  H: 5,
  I: 18,
  J: 8,
  K: 10,
}).flatMap(([section, size]) => Array.from({ length: size }, (_, i) => `${section}${i + 1}`));

/** The cells of each line of a table that begins with a row of the catalogue. */
async function faultRows(path: string): Promise<string[][]> {
  const text = await Bun.file(join(root, path)).text();
  return [...text.matchAll(/^\| ([A-K]\d+ \| .*) \|$/gm)].map(([, cells = ""]) =>
    cells.split(" | "),
  );
}

test("docs/faults.md says of every row what the fault is, what would be seen and what Baton does", async () => {
  const rows = await faultRows("docs/faults.md");
  expect(rows.map(([name]) => name)).toEqual(FAULTS);
  for (const cells of rows) {
    expect(cells, cells[0]).toHaveLength(4);
    for (const cell of cells) expect(cell.trim(), cells[0]).not.toBe("");
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
  for (const [name = "", , tests = ""] of await faultRows("test/FAULTS.md")) {
    if (!name.startsWith("I")) continue;
    const hasTest = new RegExp(`["\`]${name}: `).test(titles);
    expect(hasTest !== tests.startsWith("no test: "), name).toBe(true);
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

test("FAULTS.md says of every row what happens, and the tests that it names are there", async () => {
  const rows = await faultRows("test/FAULTS.md");
  expect(rows.map(([name]) => name)).toEqual(FAULTS);
  for (const [name = "", happens = "", ...rest] of rows) {
    const tests = rest.join(" | ");
    expect(happens, name).toMatch(/^[A-Z][^|`]{5,100}\.$/);
    const named = [...tests.matchAll(/`([\w./-]+\.ts)`: "([^"]+)"(?:; |$)/g)];
    const whole = named.map(([match]) => match).join("");
    expect(whole === tests || /^no test: \S/.test(tests), name).toBe(true);
    for (const [, file, title = ""] of named) {
      const source = await Bun.file(join(root, `test/${file}`)).text();
      expect(source.includes(title), `${name}: ${file}: ${title}`).toBe(true);
    }
  }
});
