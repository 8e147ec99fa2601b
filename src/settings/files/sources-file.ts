// The file that BATON_SOURCES_FILE names: where records come from that are published, such as
// {"orders": {"kind": "postgresql", "url": "postgres://baton:${ORDERS_PASSWORD}@db/app"}}. Passwords stand in variables that it refers to.
import { referencesIn, type SourceDeclaration, sourcesIn } from "../../sources/declarations";
import { type Env, path, SettingError } from "../kinds";
import { readTextFile } from "./text-file";

const FILE_BYTES_MAX = 1_048_576;

/** The largest file that a reference stands for. */
const SECRET_BYTES_MAX = 65_536;

export const SOURCES = {
  sourcesFile: path({
    variable: "BATON_SOURCES_FILE",
    description:
      "A JSON file with sources: tables, streams, topics and queues whose records the relay publishes. A text such as ${NAME} in it stands for the variable NAME, or for what is in the file that NAME_FILE names. If it is not set, nothing is read.",
  }),
};

/** What the file says, and the variables that it refers to. */
interface SourcesFile {
  readonly sources: readonly SourceDeclaration[];
  readonly references: readonly string[];
}

/** Throws SettingError with the line to show, which has no value of a variable in it. */
export function readSourcesFile(path: string, env: Env): SourcesFile {
  const refused = (why: string): SettingError =>
    new SettingError(`BATON_SOURCES_FILE=${JSON.stringify(path)} is not allowed: ${why}.`);
  let text: string;
  let value: unknown;
  try {
    text = readTextFile(path, FILE_BYTES_MAX);
    value = JSON.parse(text);
  } catch (error) {
    const { name, message } = error as Error;
    // The parser quotes parts of the file, which may be a password.
    const why = message.replaceAll(/["'].*["']/gs, "").trimEnd();
    throw refused(name === "SyntaxError" ? `it cannot be read as JSON: ${why}` : `it ${message}`);
  }
  try {
    const sources = sourcesIn(value, (name) => referredTo(name, env));
    return { sources, references: referencesIn(text).flatMap((name) => [name, `${name}_FILE`]) };
  } catch (error) {
    throw refused((error as Error).message);
  }
}

/** Throws an Error whose message ends the sentence "… is not allowed". */
function referredTo(name: string, env: Env): string | undefined {
  const file = env[`${name}_FILE`] || undefined;
  if (env[name] || file === undefined) return env[name];
  try {
    return readTextFile(file, SECRET_BYTES_MAX).replace(/[\r\n]+$/, "");
  } catch (error) {
    throw new Error(`the file that ${name}_FILE names ${(error as Error).message}`);
  }
}
