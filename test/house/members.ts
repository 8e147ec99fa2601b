// The rule about public members of the classes of src: another class reads each of them. TypeScript says which member a
// name stands for, because a `size` of one class may be dead while that of another is not.
import { join } from "node:path";
import type { Class, Node, TSInterfaceDeclaration } from "oxc-parser";
import { API, type Project, type Symbol as TypeScriptSymbol } from "typescript/unstable/async";
import { lineAt, nameOf, ROOT, type SourceFile, type Violation, walk } from "./code";

/** What others than src, bench and docs read: "file: Class.member" with the reason why it must stay. */
const FOR_OTHERS: Record<string, string> = {
  "src/client/client.ts: ResumingClient.on": "its users are the programs of others",
  "src/relay/relay.ts: Relay.counts": "tests see by it that nothing of a closed connection is left",
};

interface Member {
  readonly name: string;
  readonly path: string;
  readonly line: number;
  /** Where its name stands. */
  readonly start: number;
  readonly owner: Owner;
}

/** A class or an interface. */
interface Owner {
  readonly name: string;
  readonly node: Node;
  /** What it extends or implements: who knows only these may read its members too. */
  readonly bases: readonly string[];
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
  // The console runs in browsers: it is a project of its own to TypeScript.
  const production = files.filter(({ path }) => !/^(test|src\/console)\//.test(path));
  const members = production.filter(({ path }) => path.startsWith("src/")).flatMap(membersIn);
  const names = new Set(members.map(({ name }) => name));
  const reads = production.flatMap(readsIn).filter(({ name }) => names.has(name));
  const api = new API({ cwd: root });
  try {
    const snapshot = await api.updateSnapshot({ openProjects: [join(root, "tsconfig.json")] });
    const [project] = snapshot.getProjects();
    if (project === undefined) throw new Error("TypeScript does not open tsconfig.json");
    return violationsOf(
      members,
      reads,
      await declarationsAt(project, root, [...members, ...reads]),
    );
  } finally {
    await api.close();
  }
}

function violationsOf(
  members: readonly Member[],
  reads: readonly Read[],
  declarations: ReadonlyMap<Member | Read, string>,
): Violation[] {
  const readsByTarget = Map.groupBy(reads, (read) => declarations.get(read));
  const shorthand = new Set(reads.filter((read) => read.isShorthand).map(({ name }) => name));
  const readsOf = (member: Member) => readsByTarget.get(declarations.get(member)) ?? [];
  const owners = new Map(members.map(({ owner }) => [owner.name, owner]));
  const byName = Map.groupBy(members, ({ owner, name }) => `${owner.name}.${name}`);
  const isReadAs = (name: string, ownerName: string): boolean => {
    const owner = owners.get(ownerName);
    // Nothing is known of a base that is not in src.
    if (owner === undefined) return true;
    const declared = byName.get(`${ownerName}.${name}`) ?? [];
    return declared.some(isRead) || owner.bases.some((base) => isReadAs(name, base));
  };
  const isRead = (member: Member): boolean =>
    shorthand.has(member.name) ||
    readsOf(member).some((read) => !isWithin(read, member)) ||
    member.owner.bases.some((base) => isReadAs(member.name, base));
  return members.flatMap((member) => {
    const { name, path, line, owner } = member;
    const key = `${path}: ${owner.name}.${name}`;
    if (owner.node.type !== "ClassDeclaration" || isRead(member) || FOR_OTHERS[key] !== undefined) {
      return [];
    }
    const problem =
      readsOf(member).length > 0
        ? "is read by its own class alone. Make it #private."
        : "is read by nothing in src or bench. Delete it; a test asks for what users see.";
    return [{ key, message: `${path}:${line} ${owner.name}.${name} ${problem}` }];
  });
}

const isWithin = (read: Read, { path, owner }: Member): boolean =>
  read.path === path && read.start > owner.node.start && read.start < owner.node.end;

/** What TypeScript says that the names stand for: a key for the place of its declaration, "" if it has none. */
async function declarationsAt(
  { checker }: Project,
  root: string,
  places: readonly (Member | Read)[],
): Promise<Map<Member | Read, string>> {
  const found = new Map<Member | Read, string>();
  for (const [path, inFile] of Map.groupBy(places, (place) => place.path)) {
    const positions = inFile.map(({ start }) => start);
    const symbols = await checker.getSymbolAtPosition(join(root, path), positions);
    for (const [i, place] of inFile.entries()) found.set(place, declarationOf(symbols[i]));
  }
  return found;
}

function declarationOf(symbol: TypeScriptSymbol | undefined): string {
  const [declaration] = symbol?.declarations ?? [];
  return declaration === undefined ? "" : `${declaration.path}:${declaration.index}`;
}

function membersIn({ path, text, program }: SourceFile): Member[] {
  const found: Member[] = [];
  walk(program, (node) => {
    if (node.type !== "ClassDeclaration" && node.type !== "TSInterfaceDeclaration") return;
    const owner = { name: nameOf(node.id) ?? "", node, bases: basesOf(node) };
    for (const member of node.body.body) {
      const name = "key" in member ? nameOf(member.key) : undefined;
      if (name === undefined || name.startsWith("#") || name === "constructor") continue;
      const start = "key" in member ? member.key.start : member.start;
      found.push({ name, path, line: lineAt(text, start), start, owner });
    }
  });
  return found;
}

function basesOf(node: Class | TSInterfaceDeclaration): string[] {
  const bases =
    node.type === "TSInterfaceDeclaration"
      ? node.extends
      : [{ expression: node.superClass }, ...(node.implements ?? [])];
  return bases.flatMap(({ expression }) => (expression === null ? [] : (nameOf(expression) ?? "")));
}

/** `name` in x.name and in const { name } = x; writing it is not reading it. */
function readsIn({ path, program }: SourceFile): Read[] {
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
