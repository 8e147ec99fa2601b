// What must be there before the bench starts: what is missing is said at once, and not after half an hour.
import { OptionError } from "./options";
import type { Options } from "./run/scenario";
import { SCENARIOS } from "./scenarios";
import { targetNamed } from "./targets";
import type { Program } from "./targets/target";

const SETPRIV: Program = { name: "setpriv", install: "apt-get install util-linux" };

function isMissing({ name }: Program): boolean {
  return Bun.which(name) === null;
}

/** Throws OptionError where nothing of the bench can run. */
export function checkMachine(): void {
  if (process.platform !== "linux") {
    throw new OptionError("the bench needs Linux: its figures come from /proc");
  }
  if (isMissing(SETPRIV)) {
    throw new OptionError(
      `setpriv is not on PATH, by which the kernel ends what the bench starts: ${SETPRIV.install}`,
    );
  }
}

/** Throws OptionError where a chosen scenario has nothing to run, or a program that one of its targets needs is missing. */
export function checkTargets({ scenarios, targets }: Options): void {
  for (const scenario of SCENARIOS) {
    if (!scenarios.includes(scenario.name)) continue;
    const names = scenario.targets?.(targets) ?? targets;
    if (names.length === 0) {
      throw new OptionError(
        `${scenario.name} does not run on ${targets.join(", ")}: see --targets`,
      );
    }
    for (const name of names) {
      const { program } = targetNamed(name);
      if (program === undefined || !isMissing(program)) continue;
      throw new OptionError(
        `${program.name} is not on PATH, and ${name} in ${scenario.name} needs it: ${program.install}, ` +
          "or choose others with --only or --targets",
      );
    }
  }
}
