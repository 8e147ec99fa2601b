// The rule about public members of the classes of src: another class reads each of them. TypeScript says which member a
// name stands for, because a `size` of one class may be dead while that of another is not.
import { join } from "node:path";
import type { Node } from "oxc-parser";
import { API, type Project, type Symbol as TypeScriptSymbol } from "typescript/unstable/async";
import { lineAt, nameOf, ROOT, type SourceFile, type Violation, walk } from "./code";

/** What others than src, bench and docs read: "file: Class.member" with the reason why it must stay. */
const FOR_OTHERS: Record<string, string> = {
  "src/relay/relay.ts: Relay.counts": "tests see by it that nothing of a closed connection is left",
};

interface Member {
  readonly key: string;
  readonly name: string;
  readonly path: string;
  readonly line: number;
  /** Where its name stands. */
  readonly start: number;
  /** The class around it, from its first character to its last. */
  readonly owner: Node;
  /** Whether somebody who knows only an interface or a base class may read it too. */
  readonly isInherited: boolean;
}

interface Read {
  readonly path: string;
  readonly name: string;
  readonly start: number;
  /** In const { name } = x, where TypeScript names the new variable and not the member. */
  readonly isShorthand: boolean;
}

/** Public members of classes of src that nothing in src, bench or docs reads outside their own class. */
export async function unusedMembers(
  files: readonly SourceFile[],
  root = ROOT,
): Promise<Violation[]> {
  const production = files.filter(({ path }) => !path.startsWith("test/"));
  const members = production.filter(({ path }) => path.startsWith("src/")).flatMap(membersOf);
  const names = new Set(members.map(({ name }) => name));
  const reads = production.flatMap(readsOf).filter(({ name }) => names.has(name));
  const api = new API({ cwd: root });
  try {
    const snapshot = await api.updateSnapshot({ openProjects: [join(root, "tsconfig.json")] });
    const [project] = snapshot.getProjects();
    if (project === undefined) throw new Error("TypeScript does not open tsconfig.json");
    return violationsOf(
      members,
      await declarationsAt(project, members, root),
      reads,
      await declarationsAt(project, reads, root),
    );
  } finally {
    await api.close();
  }
}

function violationsOf(
  members: readonly Member[],
  declarations: readonly string[],
  reads: readonly Read[],
  targets: readonly string[],
): Violation[] {
  const readsByTarget = Map.groupBy(reads, (_, i) => targets[i] ?? "");
  const ofClasses = new Set(declarations);
  const ofOthers = reads.filter((_, i) => !ofClasses.has(targets[i] ?? ""));
  const inherited = new Set(ofOthers.map(({ name }) => name));
  const shorthand = new Set(ofOthers.filter((read) => read.isShorthand).map(({ name }) => name));
  return members.flatMap((member, i) => {
    const own = readsByTarget.get(declarations[i] ?? "") ?? [];
    const isRead = own.some((read) => !isWithin(read, member)) || shorthand.has(member.name);
    if (isRead || (member.isInherited && inherited.has(member.name))) return [];
    if (FOR_OTHERS[member.key] !== undefined) return [];
    const problem =
      own.length > 0
        ? "is read by its own class alone. Make it #private."
        : "is read by nothing in src or bench. Delete it; a test asks for what users see.";
    return [
      {
        key: member.key,
        message: `${member.path}:${member.line} ${member.key.split(": ")[1]} ${problem}`,
      },
    ];
  });
}

const isWithin = (read: Read, { path, owner }: Member): boolean =>
  read.path === path && read.start > owner.start && read.start < owner.end;

/** What TypeScript says that the names stand for: a key for the place of its declaration, "" if it has none. */
async function declarationsAt(
  { checker }: Project,
  places: readonly { readonly path: string; readonly start: number }[],
  root: string,
): Promise<string[]> {
  const found = new Map<object, string>();
  await Promise.all(
    [...Map.groupBy(places, ({ path }) => path)].map(async ([path, inFile]) => {
      const positions = inFile.map(({ start }) => start);
      const symbols = await checker.getSymbolAtPosition(join(root, path), positions);
      for (const [i, place] of inFile.entries()) found.set(place, declarationOf(symbols[i]));
    }),
  );
  return places.map((place) => found.get(place) ?? "");
}

function declarationOf(symbol: TypeScriptSymbol | undefined): string {
  const [declaration] = symbol?.declarations ?? [];
  return declaration === undefined ? "" : `${declaration.path}:${declaration.index}`;
}

function membersOf({ path, text, program }: SourceFile): Member[] {
  const found: Member[] = [];
  walk(program, (node) => {
    if (node.type !== "ClassDeclaration") return;
    const isInherited = node.superClass !== null || (node.implements?.length ?? 0) > 0;
    for (const member of node.body.body) {
      if (member.type !== "MethodDefinition" && member.type !== "PropertyDefinition") continue;
      const name = nameOf(member.key);
      if (name === undefined || name.startsWith("#") || name === "constructor") continue;
      found.push({
        key: `${path}: ${node.id?.name}.${name}`,
        name,
        path,
        line: lineAt(text, member.start),
        start: member.key.start,
        owner: node,
        isInherited,
      });
    }
  });
  return found;
}

/** `name` in x.name and in const { name } = x; writing it is not reading it. */
function readsOf({ path, program }: SourceFile): Read[] {
  const found: Read[] = [];
  walk(program, (node, parents) => {
    const parent = parents.at(-1);
    if (node.type === "MemberExpression") {
      const isWritten =
        parent?.type === "AssignmentExpression" && parent.left === node && parent.operator === "=";
      const name = nameOf(node.property);
      if (isWritten || name === undefined) return;
      found.push({ path, name, start: node.property.start, isShorthand: false });
    } else if (node.type === "Property" && parent?.type === "ObjectPattern") {
      const name = nameOf(node.key);
      if (name === undefined) return;
      found.push({ path, name, start: node.key.start, isShorthand: node.shorthand });
    }
  });
  return found;
}
