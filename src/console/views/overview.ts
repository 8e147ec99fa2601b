// What the whole relay does now: connections, publications, deliveries, delays, and what each process takes.
import { Chart } from "../charts";
import { fill, h, table } from "../dom";
import { type EventLog, eventLog } from "../event-log";
import type { ProcessSecond, Second } from "../figures";
import type { SourceFigures, WayOutFigures } from "../node-figures";
import { bytes, count, kindOf, milliseconds, span } from "../text";
import type { View } from "./view";

const MEGABYTE = 1_048_576;

interface Overview extends View {
  onSecond(second: Second): void;
}

export function overview(): Overview {
  const { charts, add } = figureCharts();
  const processes = h("div");
  const sources = h("section", { class: "card stack", hidden: true });
  const waysOut = h("section", { class: "card stack", hidden: true });
  const log = eventLog("Refusals and slow consumers", "s");
  const quiet = h("p", { class: "empty" }, "None since this page was opened.");
  const element = h(
    "div",
    { class: "view" },
    h("h2", {}, "Overview"),
    h("div", { class: "charts" }, ...charts.map((chart) => chart.element)),
    h(
      "div",
      { class: "columns" },
      h(
        "section",
        { class: "card stack" },
        h("h3", {}, "Refusals and slow consumers"),
        quiet,
        log.element,
      ),
      h("section", { class: "card stack" }, h("h3", {}, "Processes"), processes),
      sources,
      waysOut,
    ),
  );
  return {
    title: "Overview",
    element,
    onSecond(second) {
      add(second);
      fill(processes, processTable(second.processes), silentText(second.silent));
      sources.hidden = second.sources.length === 0;
      fill(sources, h("h3", {}, "Sources"), sourceTable(second.sources));
      waysOut.hidden = second.waysOut.length === 0;
      fill(waysOut, h("h3", {}, "Webhooks and pushes"), wayOutTable(second.waysOut));
      noteRefusals(second, log);
      if (log.element.textContent !== "") quiet.remove();
    },
  };
}

function figureCharts() {
  const connections = new Chart("Connections", count);
  const publications = new Chart("Publications a second", count);
  const deliveries = new Chart("Deliveries a second", count);
  const departure = new Chart("Time to departure", milliseconds);
  const cpu = new Chart("CPU of each process", percent);
  const memory = new Chart("Memory of each process", megabytes);
  const add = (second: Second) => {
    const { at, processes, p50Ms, p99Ms } = second;
    const kinds = Object.entries(second.open).map(([protocol, open]) => [kindOf(protocol), open]);
    connections.add(at, Object.fromEntries(kinds), count(second.connections));
    publications.add(at, { all: second.publications }, count(second.publications));
    deliveries.add(at, { all: second.deliveries }, count(second.deliveries));
    const now = p99Ms === undefined ? "–" : `p99 ${milliseconds(p99Ms)}`;
    departure.add(at, { median: p50Ms, p99: p99Ms }, now);
    const cpus = processes.map((one) => [one.title, one.cpuPercent] as const);
    cpu.add(at, Object.fromEntries(cpus), percent(sumOf(cpus)));
    const memories = processes.map((one) => [one.title, one.memoryBytes / MEGABYTE] as const);
    memory.add(at, Object.fromEntries(memories), megabytes(sumOf(memories)));
  };
  return { charts: [connections, publications, deliveries, departure, cpu, memory], add };
}

function sumOf(values: readonly (readonly [string, number])[]): number {
  return values.reduce((sum, [, value]) => sum + value, 0);
}

function noteRefusals({ at, refusals, slow }: Second, log: EventLog): void {
  for (const [code, times] of Object.entries(refusals)) {
    log.note(at, `refused ${count(times)} × ${code}`);
  }
  for (const { user, protocol, at: when } of slow) {
    const whose = user === "" ? "an anonymous client" : `user ${user}`;
    log.note(when, `slow consumer: ${whose} (${kindOf(protocol)}) was cut off`, "bad");
  }
}

function megabytes(value: number): string {
  return `${count(value)} MB`;
}

function percent(value: number): string {
  return `${count(value)}%`;
}

function processTable(processes: readonly ProcessSecond[]): HTMLElement {
  const columns = [
    { title: "Process" },
    { title: "Connections", isNumber: true },
    { title: "CPU", isNumber: true },
    { title: "Memory", isNumber: true },
  ] as const;
  return table(
    "Processes",
    columns,
    processes.map((one) => [
      one.title,
      one.connections === undefined ? "–" : count(one.connections),
      percent(one.cpuPercent),
      bytes(one.memoryBytes),
    ]),
  );
}

function sourceTable(sources: readonly SourceFigures[]): HTMLElement {
  const columns = [
    { title: "Source" },
    { title: "Kind" },
    { title: "State" },
    { title: "Waiting records", isNumber: true },
  ] as const;
  return table(
    "Sources",
    columns,
    sources.map(({ name, kind, state, sinceMs, lag, failure }) => [
      name,
      kind,
      `${state} for ${span(sinceMs)}${failure === undefined ? "" : `: ${failure}`}`,
      lag === undefined ? "–" : count(lag),
    ]),
  );
}

function wayOutTable(waysOut: readonly WayOutFigures[]): HTMLElement {
  const columns = [
    { title: "What" },
    { title: "Waiting", isNumber: true },
    { title: "Oldest", isNumber: true },
    { title: "Given up", isNumber: true },
  ] as const;
  return table(
    "Webhooks and pushes",
    columns,
    waysOut.map(({ name, waiting, lateMs, givenUp }) => [
      name,
      count(waiting),
      lateMs === undefined || waiting === 0 ? "–" : span(lateMs),
      count(givenUp),
    ]),
  );
}

function silentText(silent: number): HTMLElement | undefined {
  if (silent === 0) return undefined;
  return h("p", { class: "message bad" }, `${silent} processes have not answered within a second.`);
}
