// The command line of the bench.
import { expect, test } from "bun:test";
import { OptionError, readOptions, readScaleOptions } from "../../bench/options";

test.each([[["--help"]], [["--runs", "3", "-h"]]])(
  "%j asks for the help, and nothing is run",
  (args) => {
    expect(readOptions(args)).toBe("help");
    expect(readScaleOptions(["--workers", "2", ...args.slice(-1)])).toBe("help");
  },
);

test("bench scale takes how many connections and workers there are, and chooses where it is not told", () => {
  expect(readScaleOptions([])).toEqual({ connections: 100_000, workers: undefined });
  expect(readScaleOptions(["--connections", "5", "--workers=2"])).toEqual({
    connections: 5,
    workers: 2,
  });
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
