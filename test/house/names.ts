// The rules about a file as a reader meets it: its name, its first line, its length, and the names of its types.
import { basename, dirname } from "node:path";
import { lineAt, type SourceFile, type Violation, walk } from "./code";

const LINES_MAX = 400;

/** A name that fits everything says nothing. */
const EMPTY_WORDS = /^(utils?|helpers?|managers?)$/i;
const EMPTY_FILE_NAMES = /^(utils?|helpers?|types|managers?|common|misc|shared)$/i;

/** Words in -ing that are nouns, not something that somebody is doing. */
const NOUNS = [
  "string",
  "setting",
  "ping",
  "thing",
  "warning",
  "timing",
  "sibling",
  "ring",
  "finding",
];

/** Folders are what a reader looks for, and may be an activity. */
const FOLDERS = ["connecting", "publishing", "following"];

/** Files and folders whose name is a gerund or an empty word, and classes, interfaces and types named so. */
export function badNames(files: readonly SourceFile[]): Violation[] {
  const found = badPaths(files.map(({ path }) => path));
  for (const { path, text, program } of files) {
    walk(program, (node) => {
      if (
        node.type !== "ClassDeclaration" &&
        node.type !== "TSInterfaceDeclaration" &&
        node.type !== "TSTypeAliasDeclaration"
      ) {
        return;
      }
      const name = node.id?.name ?? "";
      const words = name.match(/[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])/g) ?? [];
      const problem = problemOfName(words, EMPTY_WORDS);
      if (problem === undefined) return;
      found.push({
        key: `${path}: ${name}`,
        message: `${path}:${lineAt(text, node.start)} ${name} ${problem}`,
      });
    });
  }
  return found;
}

function badPaths(paths: readonly string[]): Violation[] {
  const folders = new Set(paths.map(dirname).filter((path) => !FOLDERS.includes(basename(path))));
  const found: Violation[] = [];
  for (const path of [...paths, ...folders]) {
    const problem = problemOfName(
      basename(path).split(".", 1).join("").split("-"),
      EMPTY_FILE_NAMES,
    );
    if (problem !== undefined) found.push({ key: path, message: `${path} ${problem}` });
  }
  return found;
}

function problemOfName(words: readonly string[], emptyWords: RegExp): string | undefined {
  const empty = words.find((word) => emptyWords.test(word));
  if (empty !== undefined) {
    return `has the word "${empty}" in its name, which says nothing. Name it after the thing that it is.`;
  }
  const last = words.at(-1)?.toLowerCase() ?? "";
  if (!last.endsWith("ing") || NOUNS.includes(last)) return undefined;
  return `is named after an activity ("${last}"). Name it after the thing that it is, with a noun.`;
}

/** Files that are too long, and files that do not begin by saying their job. */
export function badFiles(files: readonly SourceFile[]): Violation[] {
  const found: Violation[] = [];
  for (const { path, text } of files) {
    const lines = lineAt(text, text.trimEnd().length);
    if (lines > LINES_MAX) {
      found.push({
        key: `${path}: length`,
        message: `${path} has ${lines} lines; at most ${LINES_MAX} are allowed. Cut it where one idea ends and the next begins.`,
      });
    }
    if (!text.replace(/^#!.*\n/, "").startsWith("// ")) {
      found.push({
        key: `${path}: first line`,
        message: `${path} does not begin with "// ". Say in its first lines what its job is, and what it must never do.`,
      });
    }
  }
  return found;
}
