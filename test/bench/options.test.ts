// The command line of the bench.
import { expect, spyOn, test } from "bun:test";
import { OptionError, readChartName, readOptions, readScaleOptions } from "../../bench/options";
import { checkTargets } from "../../bench/requirements";
import type { Options } from "../../bench/run/scenario";

test.each([[["--help"]], [["--runs", "3", "-h"]]])(
  "%j asks for the help, and nothing is run",
  (args) => {
    expect(readOptions(args)).toBe("help");
    expect(readScaleOptions(["--workers", "2", ...args.slice(-1)])).toBe("help");
  },
);

test("bench scale takes how many connections and workers there are, and chooses where it is not told", () => {
  expect(readScaleOptions([])).toEqual({
    connections: 100_000,
    workers: undefined,
    out: "scale-partial",
  });
  expect(readScaleOptions(["--connections", "5", "--workers=2", "--out", "five"])).toEqual({
    connections: 5,
    workers: 2,
    out: "five",
  });
});

test.each([
  [[], "latest"],
  [["--runs", "9"], "latest"],
  [["--quick"], "quick"],
  [["--only", "latency"], "partial"],
  [["--connections", "200"], "partial"],
  [["--connections", "200", "--out", "few"], "few"],
])(
  "%j writes its result under the name %s, so that only a full run replaces what the docs quote",
  (args, out) => {
    expect(readOptions(args)).toMatchObject({ out });
  },
);

test.each([
  [["--connections", "1000000"], "scale"],
  [["--connections", "1000"], "scale-partial"],
])("bench scale %j writes its result under the name %s", (args, out) => {
  expect(readScaleOptions(args)).toMatchObject({ out });
});

test("without --only, a scenario that has nothing to run on the chosen targets is left out; named, it is refused", () => {
  const all = readOptions(["--targets", "ws"]) as Options;
  expect(all.scenarios).toContain("open");
  expect(all.scenarios).not.toContain("streams-1");
  checkTargets(all);
  const named = readOptions(["--only", "streams-1", "--targets", "ws"]) as Options;
  expect(() => checkTargets(named)).toThrow("streams-1 does not run on ws");
});

test("a program that is missing is named before anything starts, with the way to get it", () => {
  using _which = spyOn(Bun, "which").mockReturnValue(null);
  const options = readOptions(["--only", "engines"]) as Options;
  expect(options.targets).not.toContain("centrifugo");
  expect(() => checkTargets(options)).toThrow(OptionError);
  expect(() => checkTargets(options)).toThrow(
    "redis-server is not on PATH, and baton-redis in engines needs it: apt-get install redis-server",
  );
  const named = readOptions(["--targets", "centrifugo"]) as Options;
  expect(() => checkTargets(named)).toThrow("go install");
});

test("bench chart takes the name of one result", () => {
  expect(readChartName(["latest"])).toEqual({ name: "latest" });
  expect(readChartName(["--help"])).toBe("help");
  for (const args of [[], ["a", "b"], ["../a"]]) {
    expect(() => readChartName(args)).toThrow(OptionError);
  }
});

test.each([
  [["--conections", "5"], "there is no flag"],
  [["--connections", "many"], "from 1 to 10000000"],
  [["--connections", "0"], "from 1 to 10000000"],
  [["--connections"], "needs a value"],
  [["--runs", "3"], "there is no flag"],
])("bench scale refuses %j before it starts anything", (args, message) => {
  expect(() => readScaleOptions(args)).toThrow(OptionError);
  expect(() => readScaleOptions(args)).toThrow(message);
});
