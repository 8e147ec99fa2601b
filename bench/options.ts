// The command line of the bench: its flags, their defaults and bounds.
// A wrong flag is an OptionError, whose message is one clear line.
import { readFileSync } from "node:fs";
import type { Options } from "./run/scenario";
import type { ScaleOptions } from "./scale/scale";
import { SCENARIOS } from "./scenarios";
import { TARGETS } from "./targets";

export class OptionError extends Error {}

/** Descriptors that a server needs in addition to its connections: HTTP connections, files, the first 100 connections. */
const DESCRIPTORS_RESERVED = 1_200;
/** Outgoing ports to one server: 32768..60999 by default on Linux. */
const PORTS_MAX = 27_000;

/** The connections that one server process can have, limited by its open files. */
function connectionsMax(): number {
  const limits = readFileSync("/proc/self/limits", "utf8");
  const hard = Number(/^Max open files +\S+ +(\d+)/m.exec(limits)?.[1] ?? PORTS_MAX);
  return Math.max(200, Math.min(PORTS_MAX, hard - DESCRIPTORS_RESERVED));
}

/** Turns of each target in a measured phase: 0.3 s each by default, shorter than most disturbances. */
const SLICES = 5;

const NAME = /^[a-z0-9][a-z0-9._-]{0,63}$/i;

const NUMBERS = {
  connections: { normal: 5_000, quick: 200, min: 102, max: connectionsMax(), step: 2 },
  subscribers: { normal: 1_000, quick: 50, min: 2, max: 15_000, step: 2 },
  runs: { normal: 3, quick: 1, min: 1, max: 100, step: 1 },
  seconds: { normal: 1.5, quick: 0.2, min: 0.05, max: 60, step: 0 },
  rate: { normal: 100, quick: 100, min: 1, max: 5_000, step: 1 },
  processes: { normal: 2, quick: 2, min: 1, max: 16, step: 1 },
} as const;

type NumberFlag = keyof typeof NUMBERS;

const OTHER_FLAGS = ["quick", "only", "targets", "out"];

export function helpText(): string {
  const names = (list: readonly { readonly name: string }[]) =>
    list.map((each) => each.name).join(", ");
  return `bun run bench [flags]

  --quick            everything at small sizes in about a minute: checks that it works, not the times
  --only a,b         only these scenarios: ${names(SCENARIOS)}
  --targets a,b      only these targets: ${names(TARGETS)}
                     (centrifugo only if it is on PATH)
  --runs N           runs of each scenario and target (3)
  --connections N    connections in the scenarios that need many, an even number (5000)
  --subscribers N    connections that a fan-out reaches, an even number (1000)
  --seconds S        length of a measured phase for a CPU figure (1.5)
  --rate N           publications a second where latency is measured (100)
  --processes N      load processes (2)
  --out NAME         name of the files in bench/results (latest; quick with --quick; partial with
                     --only or --targets)
  --help             this text

bun run bench scale [--connections N] [--workers N]
                     as many connections as the machine can hold, over several workers

bun run bench chart NAME
                     draws the charts again from bench/results/NAME.json, and with the name
                     latest fills in the figures of docs/performance.md
`;
}

function numberOf(flag: NumberFlag, text: string): number {
  const { min, max, step } = NUMBERS[flag];
  const value = Number(text);
  const isStep = step === 0 || value % step === 0;
  if (!/^\d+(\.\d+)?$/.test(text) || value < min || value > max || !isStep) {
    const kind = step === 0 ? "a number" : step === 2 ? "an even number" : "a whole number";
    throw new OptionError(`--${flag} takes ${kind} from ${min} to ${max}, not "${text}"`);
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

/** The name of a result, as the flag `flag` gives it. Throws OptionError. */
export function resultName(flag: string, text: string): string {
  if (NAME.test(text)) return text;
  throw new OptionError(`${flag} takes letters, digits and . _ -, not "${text}"`);
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
  const given = flagsIn(args, [...Object.keys(NUMBERS), ...OTHER_FLAGS]);
  return given === "help" ? "help" : withDefaults(given);
}

/** Reads the arguments after `scale`; returns "help" if they ask for it. Throws OptionError. */
export function readScaleOptions(args: readonly string[]): ScaleOptions | "help" {
  const given = flagsIn(args, ["connections", "workers"]);
  if (given === "help") return "help";
  const number = (flag: string, max: number) => {
    const text = given.get(flag);
    if (text === undefined) return undefined;
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= 1 && value <= max) return value;
    throw new OptionError(`--${flag} takes a whole number from 1 to ${max}, not "${text}"`);
  };
  return {
    connections: number("connections", 10_000_000) ?? 100_000,
    workers: number("workers", 1_000),
  };
}

function withDefaults(given: ReadonlyMap<string, string>): Options {
  const quick = given.has("quick");
  const number = (flag: NumberFlag) => {
    const text = given.get(flag);
    return text === undefined ? NUMBERS[flag][quick ? "quick" : "normal"] : numberOf(flag, text);
  };
  const names = (flag: string, known: readonly { name: string }[], normal = known) => {
    const text = given.get(flag);
    return text === undefined ? normal.map((each) => each.name) : namesOf(flag, text, known);
  };
  const partial = given.has("only") || given.has("targets");
  const scenarios = SCENARIOS.filter(({ isInQuick }) => !quick || isInQuick !== false);
  const present = TARGETS.filter(({ program }) => program === undefined || Bun.which(program));
  return {
    quick,
    connections: number("connections"),
    subscribers: number("subscribers"),
    runs: number("runs"),
    seconds: number("seconds"),
    rate: number("rate"),
    processes: number("processes"),
    slices: quick ? 1 : SLICES,
    scenarios: names("only", SCENARIOS, scenarios),
    targets: names("targets", TARGETS, present),
    out: resultName(
      "--out",
      given.get("out") ?? (quick ? "quick" : partial ? "partial" : "latest"),
    ),
  };
}
