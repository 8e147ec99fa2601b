// `baton check`: what a start with these settings would be refused for, or warn of.
import { warnings } from "../settings/checks";
import type { Settings } from "../settings/definitions";
import { closest } from "../settings/files/closest";
import { VARIABLES } from "../settings/read";
import { CommandFailure } from "./failure";
import { print } from "./output";

export interface CheckFlags {
  readonly strict?: true;
  readonly json?: true;
}

/** `read` throws SettingError. Throws CommandFailure where something is wrong, or with --strict unsafe. */
export function check(read: () => Settings, { strict, json }: CheckFlags): void {
  let settings: Settings;
  try {
    settings = read();
  } catch (error) {
    if (json) print(JSON.stringify({ error: (error as Error).message, warnings: [] }));
    throw new CommandFailure((error as Error).message);
  }
  const unsafe = [
    ...settings.unknownVariables.map(
      (variable) =>
        `${variable} is not a setting of Baton; perhaps ${closest(variable, [...VARIABLES])} is meant`,
    ),
    ...warnings(settings),
  ];
  if (json) print(JSON.stringify({ warnings: unsafe }));
  else for (const sentence of unsafe) print(`warning: ${sentence}`);
  if (strict && unsafe.length > 0) {
    throw new CommandFailure(
      "With --strict, these settings fail for what a start would only warn of.",
    );
  }
  if (!json) {
    print(`A relay can start with these settings, at ${settings.host}:${settings.port}.`);
  }
}
