// The rules about pages: how long the first ones may be, and that no text refers to what the repository does not have.
import { join } from "node:path";
import { filesIn, lineAt, ROOT, type Violation } from "./code";

const LINES_MAX: Record<string, number> = { "README.md": 180, "ARCHITECTURE.md": 200 };
const GLOSSARY_ROWS_MAX = 25;

/** Notes and paths of single machines, which a reader of this repository does not have. */
const OUTSIDE = [
  ["shared", "/"],
  ["house", ".md"],
  ["/work", "/"],
].map((parts) => parts.join(""));

/** README.md or ARCHITECTURE.md when it is too long, and a glossary that is missing or too long. */
export async function longPages(): Promise<Violation[]> {
  const found: Violation[] = [];
  for (const [path, most] of Object.entries(LINES_MAX)) {
    const text = await Bun.file(join(ROOT, path)).text();
    const lines = lineAt(text, text.trimEnd().length);
    if (lines <= most) continue;
    found.push({
      key: path,
      message: `${path} has ${lines} lines; at most ${most} are allowed. Move what only some readers need into docs/.`,
    });
  }
  const rows = glossaryRows(await Bun.file(join(ROOT, "ARCHITECTURE.md")).text());
  if (rows === 0 || rows > GLOSSARY_ROWS_MAX) {
    found.push({
      key: "glossary",
      message: `The glossary of ARCHITECTURE.md (a table under "## Glossary" or "## Words") has ${rows} rows; 1 to ${GLOSSARY_ROWS_MAX} are allowed.`,
    });
  }
  return found;
}

/** The rows of the table in the glossary, without its two lines of head. */
function glossaryRows(architecture: string): number {
  const section =
    /^## (?:Glossary|Words)\b.*?(?=^## |$(?![\s\S]))/ims.exec(architecture)?.[0] ?? "";
  return Math.max(0, (section.match(/^\|/gm)?.length ?? 0) - 2);
}

/** Mentions of notes and paths that are not part of the repository. */
export async function referencesOutside(): Promise<Violation[]> {
  const pages = [...new Bun.Glob("*.md").scanSync(ROOT)];
  const paths = [...["src", "test", "bench", "docs"].flatMap(filesIn), ...pages];
  const found: Violation[] = [];
  for (const path of paths) {
    const text = await Bun.file(join(ROOT, path)).text();
    for (const word of OUTSIDE) {
      const at = text.search(new RegExp(`(?<![\\w./-])${word.replace(".", "\\.")}`));
      if (at === -1) continue;
      found.push({
        key: path,
        message: `${path}:${lineAt(text, at)} refers to "${word}", which is not in the repository. Refer to a page of docs/, or say it here.`,
      });
    }
  }
  return found;
}
