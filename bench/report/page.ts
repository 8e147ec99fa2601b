// The figures in docs/performance.md: each place between `<!-- figures: NAME -->` and `<!-- /figures -->` is filled from a result.
// What stands around them is written by hand and has no figures of a result, so that it stays true when they are renewed.
import { CONTROL, OTHER_WIRES, targetNamed, withWires } from "../targets";
import { chartsOf, filled } from "./chart";
import { CHARTS } from "./charts";
import { markdownTable } from "./markdown";
import { factor, type Panel, type Results, readable } from "./results";

/** A figure and what the page calls it. */
type Figure = readonly [label: string, scenario: string, figure: string];

interface Section {
  /** The targets that are compared, in the order of the page. */
  readonly targets: readonly string[];
  readonly figures: readonly Figure[];
  /** What the table has a row for; the other has the columns. */
  readonly rowsAre: "figures" | "targets";
}

const LENGTHS = [
  ["64", ""],
  ["128", "-128b"],
  ["400", "-400b"],
] as const;

function fanOuts(label: string, figure: string, inFlights: readonly number[]): Figure[] {
  return LENGTHS.flatMap(([bytes, suffix]) =>
    inFlights.map((inFlight): Figure => {
      const scenario = `fan-out-${inFlight}${suffix}`;
      return [`${bytes} bytes, ${inFlight} in flight: ${label}`, scenario, figure];
    }),
  );
}

const CPU_FOR_EACH = "CPU for each delivery, µs";

const SECTIONS: Readonly<Record<string, Section>> = {
  summary: {
    targets: ["baton", CONTROL, "centrifugo", "ws", "socket.io"],
    figures: [
      [`fan-out to 1,000, 1 in flight: ${CPU_FOR_EACH}`, "fan-out-1", "cpu"],
      [`fan-out to 1,000, 16 in flight: ${CPU_FOR_EACH}`, "fan-out-16", "cpu"],
      [`fan-out to 1,000, 64 in flight: ${CPU_FOR_EACH}`, "fan-out-64", "cpu"],
      ["memory of an idle connection, KB", "idle-memory", "rss"],
      ["opening a connection, registration included: CPU, µs", "open", "whole"],
      ["100 publications/s to 1,000: CPU for each delivery, µs", "latency", "cpu"],
      ["100 publications/s to 1,000: half arrive within, ms", "latency", "p50"],
      ["100 publications/s to 1,000: 99% arrive within, ms", "latency", "p99"],
    ],
    rowsAre: "figures",
  },
  "fan-out": {
    targets: ["baton", CONTROL, "control-waves", "centrifugo"],
    figures: [
      ...fanOuts(CPU_FOR_EACH, "cpu", [1, 16, 64]),
      ...fanOuts("deliveries a second", "rate", [16]),
      ...fanOuts("half arrive within, ms", "p50", [16]),
      ...fanOuts("99% arrive within, ms", "p99", [16]),
    ],
    rowsAre: "figures",
  },
  wires: {
    targets: ["baton", ...OTHER_WIRES, CONTROL],
    figures: [
      [CPU_FOR_EACH, "fan-out-wires", "cpu"],
      ["in frames of 160 bytes", "fan-out-frames", "cpu"],
    ],
    rowsAre: "targets",
  },
  streams: {
    targets: [
      ...["baton", "baton-sse", "control-sse-publication", "control-sse-turn"],
      "centrifugo-sse",
    ],
    figures: [
      ["CPU for each delivery, 1 in flight, µs", "streams-1", "cpu"],
      ["CPU for each delivery, 16 in flight, µs", "streams-16", "cpu"],
      ["half arrive within, 16 in flight, ms", "streams-16", "p50"],
      ["memory of an idle stream, KB", "idle-streams", "rss"],
    ],
    rowsAre: "targets",
  },
  publishing: {
    targets: ["baton", CONTROL],
    figures: [
      ["one in a request: CPU for each publication, µs", "publish", "alone"],
      ["100 in a request: CPU for each publication, µs", "publish", "batch"],
      ["a line each in an open request: CPU for each publication, µs", "publish", "lines"],
      ["to one user with 2 connections, 100 connected: CPU for each, µs", "user-publish", "few"],
      ["to one user with 2 connections, 5,000 connected: CPU for each, µs", "user-publish", "many"],
    ],
    rowsAre: "figures",
  },
  engines: {
    targets: [CONTROL, "baton", "baton-sqlite", "baton-redis"],
    figures: [
      ["CPU for each publication, µs", "engines", "cpu"],
      ["publications a second", "engines", "rate"],
      ["in batches of 100", "engines", "batched"],
      ["answered after, one in flight, ms", "engines", "ack"],
    ],
    rowsAre: "targets",
  },
  workers: {
    targets: [CONTROL, "baton", "baton-2", "baton-4"],
    figures: [
      ["CPU of all processes for each delivery, µs", "workers", "cpu"],
      ["half arrive within, ms", "workers", "p50"],
      ["most / fewest connections of a process", "workers", "evenness"],
    ],
    rowsAre: "targets",
  },
  nodes: {
    targets: [CONTROL, "baton", "baton-redis", "baton-nodes"],
    figures: [
      ["CPU for each delivery, Redis included, µs", "nodes", "cpu"],
      ["half arrive within, ms", "nodes", "p50"],
      ["99% arrive within, ms", "nodes", "p99"],
    ],
    rowsAre: "targets",
  },
  forms: {
    targets: [...withWires(["baton"]), CONTROL],
    figures: [
      ["CPU to open one, µs", "open", "whole"],
      ["memory of an idle one, KB", "idle-memory", "rss"],
    ],
    rowsAre: "targets",
  },
  clients: {
    targets: ["baton-json"],
    figures: [
      ["CPU for each that registers and connects, µs", "resume", "cold"],
      ["CPU for each that reconnects and missed 10 publications, µs", "resume", "resumed"],
    ],
    rowsAre: "figures",
  },
};

/** The value, and in parentheses how many times the control's it is. */
function shown(panel: Panel, target: string, figure: string): string {
  const row = panel.rows.find((each) => each.target === target);
  const cell = row?.cells.find((each) => each.figure === figure);
  if (row?.failure !== undefined) return "failed";
  if (cell?.value === undefined) return "";
  const value = readable(cell.value.median);
  if (target === panel.control || cell.ratio === undefined) return value;
  return `${value} (${factor(cell.ratio.median)}×)`;
}

function tableOf({ targets, figures, rowsAre }: Section, results: Results): string {
  const measured = figures.flatMap(([label, scenario, figure]) => {
    const panel = results.panels.find((each) => each.scenario === scenario);
    const isKnown = panel?.figures.some(({ name }) => name === figure) ?? false;
    return panel === undefined || !isKnown ? [] : [{ label, panel, figure }];
  });
  if (measured.length === 0) return "Not measured in this run.";
  const present = targets.filter((target) =>
    measured.some(({ panel }) => panel.rows.some((row) => row.target === target)),
  );
  const titles = present.map((target) => targetNamed(target).title);
  const cells = measured.map(({ label, panel, figure }) => [
    label,
    ...present.map((target) => shown(panel, target, figure)),
  ]);
  const byFigure = [["", ...titles], ...cells];
  return markdownTable(rowsAre === "figures" ? byFigure : transposed(byFigure));
}

function transposed(rows: readonly (readonly string[])[]): string[][] {
  return (rows[0] ?? []).map((_, i) => rows.map((row) => row[i] ?? ""));
}

function pictureOf(suffix: string, results: Results, name: string): string {
  const title = CHARTS.find((each) => each.suffix === suffix)?.title ?? "";
  return `![${filled(title, results)}](../bench/results/${name}${suffix}.svg)`;
}

/** What was measured, when and where. */
function runOf({ date, machine, parameters }: Results, name: string): string {
  return (
    `Medians of ${parameters.runs} runs on ${date.slice(0, 10)}: Baton ${machine.commit}, Bun ${machine.bun}, ` +
    `Node ${machine.node}, Linux ${machine.kernel}, ${machine.cores} cores (${machine.processor}), ` +
    `${machine.memoryGiB} GiB. [${name}.json](../bench/results/${name}.json) has every single run.`
  );
}

/** The page with its figures renewed: those of the result with this name. */
export function withFigures(page: string, results: Results, name: string): string {
  const charts = chartsOf(results);
  return page.replace(
    /(<!-- figures: ([\w-]+) -->\n)[\s\S]*?(<!-- \/figures -->)/g,
    (_, begin: string, place: string, end: string) => {
      const section = SECTIONS[place];
      if (place === "run") return `${begin}\n${runOf(results, name)}\n\n${end}`;
      if (place.startsWith("chart")) {
        const suffix = place.slice("chart".length);
        const picture = charts.has(suffix) ? `\n${pictureOf(suffix, results, name)}\n\n` : "";
        return `${begin}${picture}${end}`;
      }
      if (section === undefined)
        throw new Error(`the page has a place for unknown figures: ${place}`);
      return `${begin}\n${tableOf(section, results)}\n\n${end}`;
    },
  );
}
