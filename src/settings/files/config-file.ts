// The file that BATON_CONFIG names: settings in TOML, under the names of their variables. Each value must have the type of its setting.
import { type Env, type InFile, path, type Setting, SettingError } from "../kinds";
import { closest } from "./closest";
import { readTextFile } from "./text-file";

const CONFIG_BYTES_MAX = 1_048_576;

export const CONFIG_FILE = path({
  variable: "BATON_CONFIG",
  description:
    "A file in TOML with settings under the names of their variables. What a variable of the environment says counts more.",
});

/** The variable that names the file. */
export const CONFIG = CONFIG_FILE.variable;

/** The settings in the file, as their variables would say them. Throws SettingError with the line to show. */
export function readConfigFile(file: string, settings: readonly Setting<unknown>[]): Env {
  const refused = (why: string): SettingError =>
    new SettingError(`${CONFIG}=${JSON.stringify(file)} is not allowed: ${why}.`);
  let values: object;
  try {
    values = Bun.TOML.parse(readTextFile(file, CONFIG_BYTES_MAX));
  } catch (error) {
    const { name, message } = error as Error;
    // Bun's parser is recursive.
    if (name === "RangeError") throw refused("its arrays or tables are nested too deeply");
    throw refused(
      name === "SyntaxError" ? `it is not TOML: ${withoutValues(message)}` : `it ${message}`,
    );
  }
  const types = new Map<string, InFile>();
  for (const { variable, inFile, secret } of settings) {
    if (variable !== CONFIG) types.set(variable, inFile);
    if (secret !== undefined) types.set(fileVariable(variable), "string");
  }
  const texts: Record<string, string> = {};
  for (const [name, value] of Object.entries(values)) {
    const type = types.get(name);
    if (type === undefined) {
      throw refused(`it has ${JSON.stringify(name)}, but ${unknown(name, [...types.keys()])}`);
    }
    const text = textOf(value, type);
    if (text === undefined) throw refused(`its ${name} must be ${TYPES[type]}`);
    texts[name] = text;
  }
  return texts;
}

/** The variable that names a file which has the value of a secret. */
export function fileVariable(variable: string): string {
  return `${variable}_FILE`;
}

/** What each type is, as the end of the sentence "It must be …". */
export const TYPES: Readonly<Record<InFile, string>> = {
  integer: "an integer, such as 8000",
  boolean: "true or false",
  list: 'a list of strings, such as ["a", "b"], none of which is empty or - or has a comma',
  string: 'a string, such as "text"',
  "integer or string": 'an integer, or a string such as "auto"',
};

/** The text that the variable of a setting would have; undefined for a value of another type. */
export function textOf(value: unknown, type: InFile): string | undefined {
  switch (type) {
    case "integer":
      return Number.isSafeInteger(value) ? String(value) : undefined;
    case "boolean":
      return typeof value === "boolean" ? String(Number(value)) : undefined;
    case "string":
      return typeof value === "string" ? value : undefined;
    case "integer or string":
      return textOf(value, "integer") ?? textOf(value, "string");
    case "list":
      if (!Array.isArray(value) || !value.every(isItem)) return undefined;
      return value.length === 0 ? "-" : value.join(",");
  }
}

/** Whether it can be written as an item of a list that commas separate; a list of "-" alone would be an empty one. */
function isItem(value: unknown): boolean {
  return typeof value === "string" && /^[^,]+$/.test(value) && value !== "-";
}

function unknown(name: string, known: readonly string[]): string {
  if (name === CONFIG) return "a file cannot name another one";
  return `there is no such setting. Perhaps ${closest(name, known)} is meant`;
}

/** The parser quotes what it does not understand, and that may be a secret whose quotation marks are missing. */
function withoutValues(message: string): string {
  return message.replace(/^TOML Parse error: /, "").replace(/: ".*$/s, "");
}
