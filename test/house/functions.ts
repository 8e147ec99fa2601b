// The rules about functions: how long one may be, and that none takes a boolean.
import type { Node } from "oxc-parser";
import { lineAt, nameOf, type SourceFile, type Violation, walk } from "./code";

const LINES_MAX = 60;

const isFunction = ({ type }: Node): boolean =>
  type === "FunctionDeclaration" ||
  type === "FunctionExpression" ||
  type === "ArrowFunctionExpression";

/** Functions that are too long. What is passed to describe() is a list of tests and may have any length. */
export function longFunctions(files: readonly SourceFile[]): Violation[] {
  const found: Violation[] = [];
  for (const { path, text, program } of files) {
    walk(program, (node, parents) => {
      if (!isFunction(node) || isSuite(parents.at(-1))) return;
      const [first, last] = [lineAt(text, node.start), lineAt(text, node.end)];
      const lines = last - first + 1;
      if (lines <= LINES_MAX) return;
      const name = nameOfFunction(node, parents);
      found.push({
        key: `${path}: ${name}`,
        message: `${path}:${first} ${name} has ${lines} lines; at most ${LINES_MAX} are allowed. Give a part of it a name of its own.`,
      });
    });
  }
  return found;
}

/** Whether this is a call of describe(), describe.each(…)(…) or the like. */
const isSuite = (node: Node | undefined): boolean =>
  node?.type === "CallExpression" && rootOf(node) === "describe";

/** The first name of a chain of calls and members: "test" in test.skipIf(…).each(…)(…). */
function rootOf(node: Node): string | undefined {
  if (node.type === "CallExpression") return rootOf(node.callee);
  return node.type === "MemberExpression" ? rootOf(node.object) : nameOf(node);
}

/** As a reader would call it: "Relay.publish", "start" or `test("a title")`. */
function nameOfFunction(node: Node, parents: readonly Node[]): string {
  const own = ownNameOf(node, parents);
  if (own !== undefined) return own;
  const outer = parents.findLastIndex(isFunction);
  const around = parents[outer];
  if (around === undefined) return "a function";
  return `a function in ${nameOfFunction(around, parents.slice(0, outer))}`;
}

function ownNameOf(node: Node, parents: readonly Node[]): string | undefined {
  const parent = parents.findLast(({ type }) => type !== "TSTypeAnnotation");
  if ("id" in node && node.id !== null) return nameOf(node.id as Node);
  if (node.type === "TSMethodSignature") return nameOf(node.key);
  if (parent?.type === "TSTypeAliasDeclaration") return nameOf(parent.id);
  if (parent?.type === "MethodDefinition" || parent?.type === "PropertyDefinition") {
    const owner = parents.findLast(({ type }) => type === "ClassDeclaration");
    const name = nameOf(parent.key);
    return owner?.type === "ClassDeclaration" ? `${nameOf(owner.id)}.${name}` : name;
  }
  if (parent?.type === "VariableDeclarator") return nameOf(parent.id);
  if (parent?.type === "Property" || parent?.type === "TSPropertySignature") {
    return nameOf(parent.key);
  }
  if (parent?.type !== "CallExpression") return undefined;
  const [title] = parent.arguments;
  const text =
    title?.type === "TemplateLiteral" ? title.quasis[0]?.value.raw : nameOf(title as Node);
  return text === undefined ? undefined : `${rootOf(parent)}(${JSON.stringify(text)})`;
}

/** Parameters of src that are booleans. A reader of `end(connection, true)` cannot know what is true. */
export function booleanParameters(files: readonly SourceFile[]): Violation[] {
  const found: Violation[] = [];
  for (const { path, text, program } of files) {
    if (!path.startsWith("src/")) continue;
    walk(program, (node, parents) => {
      const parent = parents.at(-1);
      if (!("params" in node) || (parent?.type === "MethodDefinition" && parent.kind === "set")) {
        return;
      }
      for (const parameter of parametersOf(node)) {
        if (!isBoolean(parameter)) continue;
        const name = nameOf(parameter.type === "AssignmentPattern" ? parameter.left : parameter);
        found.push({
          key: `${path}: ${nameOfFunction(node, parents)}(${name})`,
          message: `${path}:${lineAt(text, parameter.start)} the parameter ${name} is a boolean. Make it two functions, a named word such as "wait" | "end", or a property of an options object.`,
        });
      }
    });
  }
  return found;
}

const parametersOf = (node: Node): Node[] =>
  "params" in node && Array.isArray(node.params) ? (node.params as Node[]) : [];

function isBoolean(parameter: Node): boolean {
  if (parameter.type === "AssignmentPattern") {
    return isBooleanType(parameter.right) || isBoolean(parameter.left);
  }
  if (parameter.type !== "Identifier") return false;
  return isBooleanType(parameter.typeAnnotation?.typeAnnotation);
}

/** Also a literal true or false, and a boolean that may be undefined or null. What may be a text too is no switch. */
function isBooleanType(type: Node | null | undefined): boolean {
  if (type?.type === "TSUnionType") {
    const some = type.types.filter((one) => !/^TS(Undefined|Null)Keyword$/.test(one.type));
    return some.length > 0 && some.every(isBooleanType);
  }
  if (type?.type === "TSLiteralType") return isBooleanType(type.literal);
  if (type?.type === "Literal") return typeof type.value === "boolean";
  return type?.type === "TSBooleanKeyword";
}
