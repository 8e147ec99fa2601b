// The command line of the bench: its flags, their defaults and bounds.
// A wrong flag is an OptionError, whose message is one clear line.
import { openFilesMax } from "./measure/open-files";
import type { Options, Scenario } from "./run/scenario";
import type { ScaleOptions } from "./scale/scale";
import { SCENARIOS } from "./scenarios";
import { TARGETS } from "./targets";

export class OptionError extends Error {}

/** Descriptors that a server needs in addition to its connections: HTTP connections, files, the first 100 connections. */
const DESCRIPTORS_RESERVED = 1_200;
/** Outgoing ports to one server: 32768..60999 by default on Linux. */
const PORTS_MAX = 27_000;

/** The connections that one server process can have, limited by its open files. */
const CONNECTIONS_MAX = Math.max(200, Math.min(PORTS_MAX, openFilesMax() - DESCRIPTORS_RESERVED));

/** Turns of each target in a measured phase: 0.3 s each by default, shorter than most disturbances. */
const SLICES = 5;

/** Connections of the scale run of which docs/performance.md tells. */
const SCALE_QUOTED = 1_000_000;

const NAME = /^[a-z0-9][a-z0-9._-]{0,63}$/i;

interface NumberFlag {
  readonly about: string;
  readonly normal: number;
  readonly quick: number;
  readonly min: number;
  readonly max: number;
  /** What it must be a multiple of; 0 for any number. */
  readonly step: 0 | 1 | 2;
}

const NUMBERS = {
  runs: {
    about: "runs of each scenario and target",
    normal: 3,
    quick: 1,
    min: 1,
    max: 100,
    step: 1,
  },
  connections: {
    about: "connections in the scenarios that need many",
    ...{ normal: 5_000, quick: 200, min: 102, max: CONNECTIONS_MAX, step: 2 },
  },
  subscribers: {
    about: "connections that a fan-out reaches",
    ...{ normal: 1_000, quick: 50, min: 2, max: Math.min(15_000, CONNECTIONS_MAX), step: 2 },
  },
  seconds: {
    about: "length of a measured phase for a CPU figure",
    ...{ normal: 1.5, quick: 0.2, min: 0.05, max: 60, step: 0 },
  },
  rate: {
    about: "publications a second where latency is measured",
    ...{ normal: 100, quick: 100, min: 1, max: 5_000, step: 1 },
  },
  processes: { about: "load processes", normal: 2, quick: 2, min: 1, max: 16, step: 1 },
} as const satisfies Record<string, NumberFlag>;

type NumberName = keyof typeof NUMBERS;

/** Flags that change nothing about what is measured. */
const HARMLESS = ["runs", "out"];

function kindOf({ step, min, max }: NumberFlag): string {
  const kind = step === 0 ? "a number" : step === 2 ? "an even number" : "a whole number";
  return `${kind} from ${min} to ${max}`;
}

export function helpText(): string {
  const names = (list: readonly { readonly name: string }[]) =>
    list.map((each) => each.name).join(", ");
  const numbers = Object.entries(NUMBERS).map(([name, flag]: [string, NumberFlag]) => {
    const { about, normal, quick } = flag;
    const usual = normal === quick ? normal : `${normal}; with --quick ${quick}`;
    return `  ${`--${name} N`.padEnd(18)} ${about} (${usual}): ${kindOf(flag)}`;
  });
  return `bun run bench [flags]

  --quick            everything at small sizes in about a minute: checks that it works, not the times
  --only a,b         only these scenarios: ${names(SCENARIOS)}
  --targets a,b      only these targets: ${names(TARGETS)}
                     (centrifugo is left out where it is not on PATH)
${numbers.join("\n")}
  --out NAME         name of the files in bench/results (latest; quick with --quick; partial when not
                     everything is run, or with other sizes)
  --help             this text

bun run bench scale [--connections N] [--workers N] [--out NAME]
                     as many connections as the machine can hold (100000), over several workers (as
                     many as the limit of open files requires), into bench/results/NAME.json (scale
                     with 1000000 connections, else scale-partial)

bun run bench chart NAME
                     draws the charts again from bench/results/NAME.json, and with the name
                     latest fills in the figures of docs/performance.md
`;
}

function numberOf(flag: NumberName, text: string): number {
  const { min, max, step }: NumberFlag = NUMBERS[flag];
  const value = Number(text);
  const isStep = step === 0 || value % step === 0;
  if (!/^\d+(\.\d+)?$/.test(text) || value < min || value > max || !isStep) {
    throw new OptionError(`--${flag} takes ${kindOf(NUMBERS[flag])}, not "${text}"`);
  }
  return value;
}

function namesOf(flag: string, text: string, known: readonly { name: string }[]): string[] {
  const names = text.split(",").filter((name) => name !== "");
  const all = known.map((each) => each.name);
  const wrong = names.find((name) => !all.includes(name));
  if (wrong !== undefined || names.length === 0) {
    throw new OptionError(`--${flag} takes names from ${all.join(", ")}, not "${wrong ?? text}"`);
  }
  return all.filter((name) => names.includes(name));
}

/** The name of a result, as `flag` gives it. */
function resultName(flag: string, text: string): string {
  if (NAME.test(text)) return text;
  throw new OptionError(`${flag} takes a name of letters, digits and . _ -, not "${text}"`);
}

/** The flags in the arguments and their values, or "help" if they ask for it. Throws OptionError. */
function flagsIn(
  args: readonly string[],
  known: readonly string[],
): ReadonlyMap<string, string> | "help" {
  const given = new Map<string, string>();
  const rest = [...args];
  for (let arg = rest.shift(); arg !== undefined; arg = rest.shift()) {
    if (arg === "--help" || arg === "-h") return "help";
    const [, flag, attached] = /^--([a-z]+)(?:=(.*))?$/.exec(arg) ?? [];
    if (flag === undefined || !known.includes(flag)) {
      throw new OptionError(`there is no flag "${arg}"; see --help`);
    }
    if (flag === "quick") {
      if (attached !== undefined) throw new OptionError("--quick takes no value");
      given.set(flag, "");
      continue;
    }
    const value = attached ?? rest.shift();
    if (value === undefined) throw new OptionError(`--${flag} needs a value; see --help`);
    given.set(flag, value);
  }
  return given;
}

/** Reads the arguments after the command; returns "help" if they ask for it. Throws OptionError. */
export function readOptions(args: readonly string[]): Options | "help" {
  const given = flagsIn(args, [...Object.keys(NUMBERS), "quick", "only", "targets", "out"]);
  return given === "help" ? "help" : withDefaults(given);
}

/** Reads the arguments after `scale`; returns "help" if they ask for it. Throws OptionError. */
export function readScaleOptions(args: readonly string[]): ScaleOptions | "help" {
  const given = flagsIn(args, ["connections", "workers", "out"]);
  if (given === "help") return "help";
  const number = (flag: string, max: number) => {
    const text = given.get(flag);
    if (text === undefined) return undefined;
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= 1 && value <= max) return value;
    throw new OptionError(`--${flag} takes a whole number from 1 to ${max}, not "${text}"`);
  };
  const connections = number("connections", 10_000_000) ?? 100_000;
  const usual = connections === SCALE_QUOTED ? "scale" : "scale-partial";
  return {
    connections,
    workers: number("workers", 1_000),
    out: resultName("--out", given.get("out") ?? usual),
  };
}

/** Reads the arguments after `chart`: the name of a result, or "help" if they ask for it. Throws OptionError. */
export function readChartName(args: readonly string[]): { readonly name: string } | "help" {
  if (args.includes("--help") || args.includes("-h")) return "help";
  const [name, ...more] = args;
  if (name === undefined || more.length > 0) {
    throw new OptionError("chart takes one name of a result in bench/results, such as latest");
  }
  return { name: resultName("chart", name) };
}

function withDefaults(given: ReadonlyMap<string, string>): Options {
  const quick = given.has("quick");
  const number = (flag: NumberName) => {
    const text = given.get(flag);
    return text === undefined ? NUMBERS[flag][quick ? "quick" : "normal"] : numberOf(flag, text);
  };
  const names = (flag: string, known: readonly { name: string }[], normal: typeof known) => {
    const text = given.get(flag);
    return text === undefined ? normal.map((each) => each.name) : namesOf(flag, text, known);
  };
  const isPresent = ({ program, isOptional }: (typeof TARGETS)[number]) =>
    isOptional !== true || program === undefined || Bun.which(program.name) !== null;
  const targets = names("targets", TARGETS, TARGETS.filter(isPresent));
  const isUsual = ({ isInQuick, targets: on }: Scenario) =>
    !(quick && isInQuick === false) && (on?.(targets) ?? targets).length > 0;
  const isWhole = [...given.keys()].every((flag) => HARMLESS.includes(flag));
  return {
    quick,
    connections: number("connections"),
    subscribers: number("subscribers"),
    runs: number("runs"),
    seconds: number("seconds"),
    rate: number("rate"),
    processes: number("processes"),
    slices: quick ? 1 : SLICES,
    scenarios: names("only", SCENARIOS, SCENARIOS.filter(isUsual)),
    targets,
    out: resultName(
      "--out",
      given.get("out") ?? (quick ? "quick" : isWhole ? "latest" : "partial"),
    ),
  };
}
