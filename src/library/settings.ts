// What `baton({...})` is given: the settings of the relay under the names that ARCHITECTURE and docs/reference.md have, checked as those
// of the environment are. What only a process of Baton's own can have is not among them.
import { getRandomValues } from "node:crypto";
import type { Settings, SettingValues } from "../settings/definitions";
import { SETTINGS } from "../settings/definitions";
import { closest } from "../settings/files/closest";
import { TYPES, textOf } from "../settings/files/config-file";
import { type Env, type Setting, SettingError } from "../settings/kinds";
import { readSettings } from "../settings/read";
import type { BatonOptions } from "./contract";
import type { Topics } from "./topics";

/** The app says where to listen and how; workers are processes; the rest is for commands and files of their own. */
export const NOT_OFFERED = [
  "host",
  "port",
  "tlsCert",
  "tlsKey",
  "http2",
  "workers",
  "config",
  "commandUrl",
  "commandKey",
] as const;

type Offered = Exclude<keyof SettingValues, (typeof NOT_OFFERED)[number]>;

const OPTIONS = ["topics", "prefix", "env", "log"];

/** Throws SettingError, which says what is not allowed. */
export function relaySettings(options: BatonOptions<Topics>): Settings {
  const given = givenTexts(options);
  if (options.log !== undefined && typeof options.log !== "function") {
    throw new SettingError(
      "baton(): log must be a function that takes a line, such as (line) => console.log(line).",
    );
  }
  // The app says where to listen, and PORT and HOST of the environment are for the app.
  const texts = { ...options.env, HOST: "127.0.0.1", PORT: "0", ...given };
  const settings = read(texts, given);
  if (settings.workers > 1) {
    throw new SettingError(
      "baton(): BATON_WORKERS is set, but a relay in another app has the process of that app alone. Run `baton serve` for workers, or several such apps with Redis.",
    );
  }
  if (settings.certificate !== undefined) {
    throw new SettingError(
      "baton(): BATON_TLS_CERT is set, but a relay in another app listens where that app does: give the certificate to listen({ tls }).",
    );
  }
  const defaultTopics =
    options.topics === undefined ? settings.defaultTopics : chosenTopics(settings);
  if (settings.apiKeys.length > 0 || settings.insecure) return { ...settings, defaultTopics };
  // Nobody is let in by an oversight. The app itself needs no key, so it is one that nobody has.
  const closed = { BATON_API_KEYS: randomKey(), BATON_CONSOLE: "off" };
  return { ...read({ ...texts, ...closed }, given), defaultTopics };
}

/** The default of the setting is only a name for first steps, where no topics are declared. */
function chosenTopics({ defaultTopics }: Settings): readonly string[] {
  return defaultTopics.join(",") === SETTINGS.defaultTopics.default ? [] : defaultTopics;
}

function randomKey(): string {
  return getRandomValues(new Uint8Array(32)).toHex();
}

function read(texts: Env, given: Readonly<Record<string, string>>): Settings {
  try {
    return readSettings(texts);
  } catch (error) {
    if (!(error instanceof SettingError)) throw error;
    throw new SettingError(`baton(): ${withOptionNames(error.message, given)}`);
  }
}

/** The options as their variables would say them. */
function givenTexts(options: BatonOptions<Topics>): Record<string, string> {
  const texts: Record<string, string> = {};
  for (const [name, value] of Object.entries(options)) {
    if (OPTIONS.includes(name) || value === undefined) continue;
    const setting = settingOf(name);
    const text = textOf(value, setting.inFile);
    if (text === undefined)
      throw new SettingError(`baton(): ${name} must be ${TYPES[setting.inFile]}.`);
    texts[setting.variable] = text;
  }
  return texts;
}

function settingOf(name: string): Setting<unknown> {
  if (NOT_OFFERED.some((other) => other === name)) {
    throw new SettingError(
      `baton(): ${name} is not for a relay in another app, which is one process and listens by itself: give it to listen(), or run \`baton serve\`.`,
    );
  }
  const setting: Setting<unknown> | undefined = Object.hasOwn(SETTINGS, name)
    ? SETTINGS[name as Offered]
    : undefined;
  if (setting !== undefined) return setting;
  const names = [...OPTIONS, ...Object.keys(SETTINGS)].filter(
    (known) => !NOT_OFFERED.some((other) => other === known),
  );
  throw new SettingError(
    `baton(): there is no option ${JSON.stringify(name)}. Perhaps ${closest(name, names)} is meant.`,
  );
}

/** Names settings as they were given. */
function withOptionNames(message: string, given: Readonly<Record<string, string>>): string {
  const names = new Map<string, string>();
  for (const [name, { variable }] of Object.entries(SETTINGS)) names.set(variable, name);
  return message.replaceAll(/\bBATON_[A-Z_]+\b/g, (variable) =>
    variable in given ? (names.get(variable) ?? variable) : variable,
  );
}
