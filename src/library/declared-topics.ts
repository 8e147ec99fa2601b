// Checks publications by what is declared for their topics. The relay asks it of each, whoever publishes and by whichever way.
import type { TSchema } from "@sinclair/typebox";
import { TypeCompiler } from "@sinclair/typebox/compiler";
import { shapeProblem } from "../edge/http/body";
import { Refusal } from "../relay/contracts/errors";
import type { CheckDeclared } from "../relay/contracts/options";
import type { Publication } from "../relay/contracts/publication";
import { checkTopic } from "../relay/text/checks";
import { SettingError } from "../settings/kinds";
import { jsonSchema } from "./json-schema";
import type { Topics } from "./topics";

/** So many declared names are shown to whoever publishes to another one. */
const NAMES_SHOWN_MAX = 20;

type Check = (data: unknown) => Refusal | undefined;

/** The check of what these topics declare. Throws SettingError where one cannot be declared so. */
export function declaredCheck({ schemas }: Topics): CheckDeclared {
  if (typeof schemas !== "object") {
    throw new SettingError("baton(): topics must be what topics({ … }) returns.");
  }
  const exact = new Map<string, Check>();
  const prefixes: { readonly prefix: string; readonly check: Check }[] = [];
  for (const [name, schema] of Object.entries(schemas)) {
    const check = dataCheck(name, schema as unknown as TSchema);
    if (name.endsWith("*")) prefixes.push({ prefix: name.slice(0, -1), check });
    else exact.set(name, check);
  }
  prefixes.sort((a, b) => b.prefix.length - a.prefix.length);
  const undeclared = undeclaredTopic(Object.keys(schemas));
  return ({ topic, data, json }: Publication) => {
    const check =
      exact.get(topic) ?? prefixes.find(({ prefix }) => topic.startsWith(prefix))?.check;
    if (check === undefined) return undeclared;
    return check(json === true ? JSON.parse(data) : data);
  };
}

function dataCheck(name: string, schema: TSchema): Check {
  checkName(name);
  let compiled: ReturnType<typeof TypeCompiler.Compile>;
  try {
    compiled = TypeCompiler.Compile(jsonSchema(schema));
  } catch (error) {
    throw notDeclarable(name, (error as Error).message);
  }
  return (data) => {
    if (compiled.Check(data)) return undefined;
    const problem = shapeProblem(compiled.Errors(data).First(), "data");
    return new Refusal(
      "invalid_data",
      `The topic ${JSON.stringify(name)} takes other data: ${problem}`,
    );
  };
}

function checkName(name: string): void {
  const refusal = name === "*" ? undefined : checkTopic(name);
  if (refusal !== undefined) throw notDeclarable(name, refusal.message);
  const star = name.indexOf("*");
  if (star >= 0 && star < name.length - 1) {
    throw notDeclarable(
      name,
      "a * may only stand at the end of a name, for all topics that begin so",
    );
  }
}

function notDeclarable(name: string, why: string): SettingError {
  return new SettingError(`The topic ${JSON.stringify(name)} cannot be declared so: ${why}`);
}

function undeclaredTopic(names: readonly string[]): Refusal {
  const shown = names.slice(0, NAMES_SHOWN_MAX).map((name) => JSON.stringify(name));
  const more = names.length > shown.length ? ` and ${names.length - shown.length} others` : "";
  return new Refusal(
    "undeclared_topic",
    `The topic is not declared. Declared are ${shown.join(", ") || "none"}${more}; a * at the end stands for anything.`,
  );
}
