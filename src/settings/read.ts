// Reads and checks all settings, at the start and on SIGHUP; nothing else in Baton reads the environment or these files.
// A wrong value stops the start with one line that names the variable, the value and what is allowed.
import { checkTogether, connectionLimits, hasConsole } from "./checks";
import { SETTINGS, type Settings, type SettingValues } from "./definitions";
import { CONFIG, fileVariable, readConfigFile } from "./files/config-file";
import { descriptorLimit } from "./files/open-files";
import { readSourcesFile } from "./files/sources-file";
import { readTextFile } from "./files/text-file";
import { readCertificate } from "./files/tls";
import { readTopicsFile } from "./files/topics-file";
import { signedReceivers } from "./hooks/webhooks";
import { type Env, type Setting, SettingError } from "./kinds";
import { defaultFrameBytes } from "./limits";

/** The largest file that has a secret. */
const SECRET_BYTES_MAX = 65_536;

const ALL: readonly Setting<unknown>[] = Object.values(SETTINGS);

/** All variables that are read. */
export const VARIABLES: ReadonlySet<string> = new Set(
  ALL.flatMap(({ variable, secret }) =>
    secret === undefined ? [variable] : [variable, fileVariable(variable)],
  ),
);

/**
 * Reads and checks all settings. An empty variable counts as not set. `descriptors` is the process's limit of open
 * files. Throws SettingError with the line to show.
 */
export function readSettings(env: Env, descriptors = descriptorLimit()): Settings {
  const sources: Source[] = [{ texts: env, where: "" }];
  const config = env[CONFIG];
  if (config)
    sources.push({ texts: readConfigFile(config, ALL), where: ` in ${JSON.stringify(config)}` });
  const values = Object.fromEntries(
    Object.entries(SETTINGS).map(([name, setting]) => [
      name,
      readSetting<unknown>(setting, sources),
    ]),
  ) as unknown as SettingValues;
  const { sources: declared, references } =
    values.sourcesFile === ""
      ? { sources: [], references: [] }
      : readSourcesFile(values.sourcesFile, env);
  const known = new Set([...VARIABLES, ...references]);
  const settings = {
    ...values,
    ...connectionLimits(values.connectionsMax, descriptors, values.workers),
    descriptors,
    hasConsole: hasConsole(values),
    bodyBytes: values.bodyBytes || Math.max(1_048_576, 6 * values.messageBytes + 4_096),
    frameBytes: values.frameBytes || defaultFrameBytes(values),
    topicRules: values.topicsFile === "" ? {} : readTopicsFile(values.topicsFile),
    webhookReceivers: signedReceivers(values.webhooks, values.webhookSecrets),
    sources: declared,
    certificate: readCertificate(values.tlsCert, values.tlsKey),
    unknownVariables: Object.keys(env).filter((key) => /^BATON_/.test(key) && !known.has(key)),
  };
  checkTogether(settings);
  return settings;
}

/** Where settings stand: the environment, or the file that BATON_CONFIG names. */
interface Source {
  readonly texts: Env;
  /** Ends what names a place there. */
  readonly where: string;
}

interface Given {
  readonly text: string;
  /** How the error line begins, up to "must be". */
  readonly lead: string;
}

/** The first source that has something counts. Throws SettingError with the line to show. */
function readSetting<Value>(setting: Setting<Value>, sources: readonly Source[]): Value {
  let given: Given = { text: setting.default, lead: "" };
  for (const source of sources) {
    const found = givenIn(source, setting);
    if (found === undefined) continue;
    given = found;
    break;
  }
  const value = setting.parse(given.text);
  if (value !== undefined) return value;
  const problem = setting.problem?.(given.text) ?? `must be ${setting.allowed}`;
  throw new SettingError(`${given.lead} ${problem}.`);
}

/** An empty text counts as not set. */
function givenIn({ texts, where }: Source, setting: Setting<unknown>): Given | undefined {
  const { variable, secret, shown = secret === undefined ? asItIs : hidden } = setting;
  const text = texts[variable] || undefined;
  const path = secret === undefined ? undefined : texts[fileVariable(variable)] || undefined;
  if (text !== undefined && path !== undefined) {
    throw new SettingError(
      `${variable} and ${fileVariable(variable)} are both set${where}, which is not allowed: set one of them.`,
    );
  }
  if (path !== undefined) {
    const lead = `${fileVariable(variable)}=${JSON.stringify(path)}${where} is not allowed: `;
    return { text: secretIn(path, secret, lead), lead: `${lead}what it has` };
  }
  if (text === undefined) return undefined;
  const lead = `${variable}=${JSON.stringify(shown(text))}${where} is not allowed: it`;
  // An empty list is written as "-", because an empty variable means "not set".
  return { text: text === "-" ? "" : text, lead };
}

/** The text of a file that has a secret. Throws SettingError, with this lead. */
function secretIn(path: string, form: "text" | "lines" | undefined, lead: string): string {
  let text: string;
  try {
    text = readTextFile(path, SECRET_BYTES_MAX);
  } catch (error) {
    throw new SettingError(`${lead}it ${(error as Error).message}.`);
  }
  const value = form === "lines" ? itemsIn(text) : text.replace(/[\r\n]+$/, "");
  // Nothing would mean that there is no secret, and open the relay.
  if (value === "") throw new SettingError(`${lead}it is empty.`);
  return value;
}

/** The items that stand one to a line, or separated by commas. Lines that begin with # are comments. */
function itemsIn(text: string): string {
  const lines = text.split(/\r?\n/).map((line) => line.trim());
  return lines.filter((line) => line !== "" && !line.startsWith("#")).join(",");
}

function asItIs(text: string): string {
  return text;
}

function hidden(): string {
  return "…";
}
