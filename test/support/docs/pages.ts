// The pages that people read, README.md and docs/, and the examples in them. A comment before each example says its name and
// which test runs it, or why no test can:
//
//   <!-- example: minute.sh, run by test/docs/readme.test.ts -->
//   <!-- example: not run: it takes half an hour -->
import { readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";

export const ROOT = join(import.meta.dir, "../../..");

/** The paths of all pages, from the root. */
export const PAGES: readonly string[] = [
  ...new Bun.Glob("*.md").scanSync(ROOT),
  ...new Bun.Glob("docs/*.md").scanSync(ROOT),
  "bench/README.md",
  "test/FAULTS.md",
];

/** README.md and all of docs/. */
export const DOCS: readonly string[] = PAGES.filter((page) => /^(README\.md|docs\/.*)$/.test(page));

/** Those with examples: they say how to use Baton. */
export const GUIDES: readonly string[] = DOCS.filter((page) =>
  readPage(page).includes("<!-- example: "),
);

interface Example {
  /** Undefined if no test runs it. */
  readonly name: string | undefined;
  /** The path of the test that runs it, or the reason why no test does. */
  readonly note: string;
  readonly code: string;
}

export function readPage(page: string): string {
  return readFileSync(join(ROOT, page), "utf8");
}

const FENCE = /^```(\w*)\n([\s\S]*?)^```$/gm;
const NAMED = /^<!-- example: ([\w.-]+), run by ([\w./-]+) -->\n\n$/;
const NOT_RUN = /^<!-- example: not run: (.+) -->\n\n$/;

/** Blocks in these languages are programs. Others may be output or a diagram, and need no comment. */
const PROGRAMS = ["sh", "bash", "js", "javascript", "ts", "typescript", "python"];

/** The examples of a page, in order. Throws if a program has no comment before it. */
export function examplesOf(page: string): Example[] {
  const text = readPage(page);
  return [...text.matchAll(FENCE)].flatMap(({ index, 1: language = "", 2: code = "" }) => {
    const before = text.slice(text.lastIndexOf("<!--", index), index);
    const [, name, test] = NAMED.exec(before) ?? [];
    const [, reason] = NOT_RUN.exec(before) ?? [];
    const note = test ?? reason;
    if (note !== undefined) return [{ name, note, code }];
    if (!PROGRAMS.includes(language)) return [];
    throw new Error(`${page}: no comment says which test runs this example:\n${code}`);
  });
}

/** The code of an example. */
export function example(page: string, name: string): string {
  const found = examplesOf(page).find((one) => one.name === name);
  if (found === undefined) throw new Error(`${page} has no example ${name}`);
  return found.code;
}

/** A page's text without its code blocks. */
export function proseOf(page: string): string {
  return readPage(page).replace(FENCE, "");
}

interface Link {
  /** The path from the root; the page's own for a link within it. */
  readonly path: string;
  /** "" if there is none. */
  readonly anchor: string;
}

/** The links of a page to files of this repository. */
export function linksOf(page: string): Link[] {
  return [...proseOf(page).matchAll(/\]\((?!\w+:)([^)#\s]*)(?:#([^)\s]*))?\)/g)].map(
    ([, to = "", anchor = ""]) => ({
      path: to === "" ? page : relative(ROOT, join(ROOT, dirname(page), to)),
      anchor,
    }),
  );
}

/** The anchors that GitHub gives a page's headings: lower case, without punctuation, with hyphens for spaces. */
export function anchorsOf(page: string): Set<string> {
  const headings = [...proseOf(page).matchAll(/^#+ (.*)$/gm)].map(([, heading = ""]) => heading);
  return new Set(
    headings.map((heading) =>
      heading
        .toLowerCase()
        .replace(/[^\p{L}\p{N}\s_-]/gu, "")
        .replaceAll(" ", "-"),
    ),
  );
}
