// All pages are true to the code: examples are run, links resolve, and the names that they use exist.
import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import manifest from "../../package.json";
import { pusherFormat } from "../../src/protocols";
import { errorOf } from "../../src/protocols/centrifuge/codes";
import { centrifuge } from "../../src/protocols/centrifuge/json";
import { EVENT_REFUSED, NO_SUCH_APP, OTHER_VERSION } from "../../src/protocols/pusher/codes";
import { ERRORS, type ErrorCode, Refusal } from "../../src/relay/contracts/errors";
import { CLOSES } from "../../src/relay/contracts/protocol";
import { VARIABLES } from "../../src/settings/read";
import {
  anchorsOf,
  DOCS,
  examplesOf,
  GUIDES,
  linksOf,
  PAGES,
  proseOf,
  ROOT,
  readPage,
} from "../support/docs/pages";
import { startRelay } from "../support/relay/test-relay";

const sources = [...new Bun.Glob("src/**/*.ts").scanSync(ROOT)]
  .map((path) => readFileSync(join(ROOT, path), "utf8"))
  .join("\n");

test("there is a guide for each subject", () => {
  const names = GUIDES.map((page) => page.replace(/^docs\/|\.md$/g, "")).toSorted();
  const subjects = [
    "access",
    "centrifugo",
    "clients",
    "command-line",
    "console",
    "hooks",
    "library",
    "metrics",
    "operations",
    "performance",
    "proxies",
    "publishing",
    "push",
    "pusher",
    "sources",
  ];
  expect(names).toEqual(["README", ...subjects]);
});

describe.each([...PAGES])("%s", (page) => {
  test("links to files and headings that are there", () => {
    for (const { path, anchor } of linksOf(page)) {
      expect(existsSync(join(ROOT, path)), `${page} links to ${path}`).toBe(true);
      if (anchor === "") continue;
      expect([...anchorsOf(path)], `${page} links to ${path}#${anchor}`).toContain(anchor);
    }
  });

  test("names settings that exist", () => {
    for (const [name] of readPage(page).matchAll(/\bBATON_[A-Z]+(?:_[A-Z]+)*\b/g)) {
      expect([...VARIABLES], page).toContain(name);
    }
  });

  test("shows commands that are scripts of package.json, with one version of Bun", () => {
    for (const [, version, script] of readPage(page).matchAll(
      /\bbun(?:@([\d.]+))? run ([\w:]+)/g,
    )) {
      expect(Object.keys(manifest.scripts), page).toContain(script ?? "");
      if (version !== undefined) expect(version, page).toBe(manifest.devDependencies["bun-types"]);
    }
    for (const [, version] of readPage(page).matchAll(/\bbun@([\d.]+\d)/g)) {
      expect(version, page).toBe(manifest.devDependencies["bun-types"]);
    }
  });
});

describe.each([...DOCS])("%s", (page) => {
  test("has a test for every example, or says why not", () => {
    const examples = examplesOf(page);
    for (const { name, note } of examples.filter((one) => one.name !== undefined)) {
      expect(existsSync(join(ROOT, note)), `${page}: ${name} is run by ${note}`).toBe(true);
      const runs = readFileSync(join(ROOT, note), "utf8");
      expect(runs.includes(`"${name}"`), `${note} runs ${name} of ${page}`).toBe(true);
    }
    const names = examples.flatMap(({ name }) => name ?? []);
    expect(names).toHaveLength(new Set(names).size);
  });

  test("has programs that Node reads as modules or as none: a module has no require", () => {
    for (const { name, code } of examplesOf(page)) {
      const isModule = /^import |^\S.*\bawait\b/m.test(code);
      expect(isModule && /\brequire\(/.test(code), `${page}: ${name}`).toBe(false);
    }
  });
});

describe.each([...GUIDES])("%s", (page) => {
  const prose = proseOf(page);

  test("names fields, errors and methods that are in the code", () => {
    // In code spans: words with an underscore, such as `user_id` or `unknown_topic`. Settings of other programs aside.
    const namesOthers = ["docs/centrifugo.md", "docs/proxies.md", "docs/pusher.md"].includes(page);
    const known = namesOthers ? readPage(page) : sources;
    for (const [, name = ""] of prose.matchAll(/`"?([a-z]+(?:_[a-z]+)+)"?(?:: [^`]*)?`/g)) {
      expect(known.includes(name), `${page}: ${name}`).toBe(true);
    }
  });

  test("names close codes that the relay sends, or that begin or end a range", () => {
    const sent = [...Object.values(CLOSES), ...Object.values(centrifuge.closes ?? {})];
    const codes = new Set<number>(sent.map(({ code }) => code));
    for (const end of [3000, 3499, 3500, 3999, 4000, 4499, 4500, 4999]) codes.add(end);
    if (page === "docs/pusher.md") {
      const closes = Object.values(pusherFormat({ pusherActivityMs: 1_000 }).protocol.closes).map(
        ({ code }) => code,
      );
      for (const code of [...closes, NO_SUCH_APP, OTHER_VERSION, EVENT_REFUSED]) codes.add(code);
    }
    if (page === "docs/performance.md") return;
    for (const [code] of prose.matchAll(/(?<![\d.,:])[34]\d{3}(?![\d.,]?\d)/g)) {
      expect([...codes], `${page}: ${code}`).toContain(Number(code));
    }
  });

  test("names the errors of the Centrifuge protocol as the relay sends them", () => {
    const errors = (Object.keys(ERRORS) as ErrorCode[]).map((code) => {
      const { code: number, message } = errorOf(new Refusal(code, ""));
      return `${number} ${message}`;
    });
    // As in `103 permission denied` and (102, unknown channel).
    for (const [error] of prose.matchAll(/(?<=`)1\d\d [a-z ]+(?=`)|(?<=\()1\d\d, [a-z ]+(?=\))/g)) {
      expect(errors, page).toContain(error.replace(",", ""));
    }
  });
});

test("the pages name routes that the relay has", async () => {
  await using relay = await startRelay({ BATON_PUSHER_APPS: "1:key:secret" });
  const { paths } = (await relay.request("GET", "/openapi/json")).json as {
    paths: Record<string, Record<string, unknown>>;
  };
  const routes = Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods).map(
      (method) => new RegExp(`^${method.toUpperCase()} ${path.replaceAll(/\{\w+\}/g, "[^/]+")}$`),
    ),
  );
  expect(routes.length).toBeGreaterThan(10);
  const isThere = (route: string): boolean => routes.some((pattern) => pattern.test(route));
  for (const page of GUIDES) {
    for (const [, route = ""] of proseOf(page).matchAll(
      /\b((?:GET|POST|DELETE) \/[^`?\s]*[^`?\s:])/g,
    )) {
      expect(isThere(route.replace("<method>", "publish")), `${page}: ${route}`).toBe(true);
    }
  }
});
