// Reads and checks all settings, once, at the start; nothing else in Baton reads the environment.
// A wrong value stops the start with one line that names the variable, the value and what is allowed.

import { checkTogether, connectionLimits } from "./checks";
import { SETTINGS, type Settings, type SettingValues } from "./definitions";
import { type Env, type Setting, SettingError } from "./kinds";
import { defaultFrameBytes } from "./limits";
import { descriptorLimit } from "./open-files";
import { readTopicsFile } from "./topics-file";

/**
 * Reads and checks all settings. An empty variable counts as not set. `descriptors` is the process's limit of open
 * files. Throws SettingError with the line to show.
 */
export function readSettings(env: Env, descriptors = descriptorLimit()): Settings {
  const values = Object.fromEntries(
    Object.entries(SETTINGS).map(([name, setting]) => [name, readSetting<unknown>(setting, env)]),
  ) as unknown as SettingValues;
  const known = new Set<string>(Object.values(SETTINGS).map((setting) => setting.variable));
  const settings = {
    ...values,
    ...connectionLimits(values.connectionsMax, descriptors, values.workers),
    descriptors,
    bodyBytes: values.bodyBytes || Math.max(1_048_576, 6 * values.messageBytes + 4_096),
    frameBytes: values.frameBytes || defaultFrameBytes(values),
    topicRules: values.topicsFile === "" ? {} : readTopicsFile(values.topicsFile),
    unknownVariables: Object.keys(env).filter((key) => /^BATON_/.test(key) && !known.has(key)),
  };
  checkTogether(settings);
  return settings;
}

/** Throws SettingError with the line to show. */
function readSetting<Value>(setting: Setting<Value>, env: Env): Value {
  const written = env[setting.variable];
  const value = setting.parse(textOf(written, setting.default));
  if (value !== undefined) return value;
  throw new SettingError(
    `${setting.variable}=${JSON.stringify(withoutPassword(written))} is not allowed: it must be ${setting.allowed}.`,
  );
}

/** An empty list is written as "-", because an empty variable means "not set". */
function textOf(written: string | undefined, otherwise: string): string {
  if (written === undefined || written === "") return otherwise;
  return written === "-" ? "" : written;
}

/** The addresses of Redis servers can have a password, which must not be shown on a terminal or in a log. */
function withoutPassword(written: string | undefined): string | undefined {
  return written?.replaceAll(/(rediss?:\/\/)[^@/,]*@/g, "$1…@");
}
