// What a process reports when the metrics are asked for, in the form that prom-client adds up and writes as text.
import type { Histogram } from "../relay/contracts/tally";
import type { MeteredProcess } from "./metered-process";
import { SERIES, type Series } from "./series";

interface ReportedValue {
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
  /** The name of a part of a histogram. */
  readonly metricName?: string;
}

interface ReportedSeries {
  readonly name: string;
  readonly help: string;
  readonly type: Series["type"];
  readonly aggregator: Series["together"];
  readonly values: readonly ReportedValue[];
}

/** JSON: workers send theirs to their supervisor. */
export type Report = readonly ReportedSeries[];

export function reportOf(process: MeteredProcess): Report {
  return Object.entries(SERIES).map(([name, { help, type, together, read }]) => ({
    name,
    help,
    type,
    aggregator: together,
    values: Array.from(read(process)).flatMap(([labels, value]) =>
      typeof value === "number" ? [{ labels, value }] : parts(name, labels, value),
    ),
  }));
}

/** A histogram's buckets, each with all below it, its sum and its count. */
function parts(
  name: string,
  labels: ReportedValue["labels"],
  { bounds, counts, sum }: Histogram,
): ReportedValue[] {
  let count = 0;
  const buckets = counts.map((own, i) => {
    count += own;
    return {
      metricName: `${name}_bucket`,
      labels: { ...labels, le: bounds[i] ?? "+Inf" },
      value: count,
    };
  });
  return [
    ...buckets,
    { metricName: `${name}_sum`, labels, value: sum },
    { metricName: `${name}_count`, labels, value: count },
  ];
}

/** The reports of several processes as one. */
export async function sumOf(reports: readonly Report[]): Promise<Report> {
  return (await aggregate(reports)).getMetricsAsArray().map((series) => {
    const { name, help, type, aggregator, values } = series as unknown as ReportedSeries;
    return { name, help, type, aggregator, values };
  });
}

/** The part of a process' report that stays true when it has ended: counts never go down, however processes come and go. */
export function lastingPart(report: Report): Report {
  return report.filter(({ type }) => type !== "gauge");
}

/** In the Prometheus text format, version 0.0.4. */
export async function textOf(reports: readonly Report[]): Promise<string> {
  return (await aggregate(reports)).metrics();
}

/** Loads prom-client when somebody asks for the metrics: with what it depends on, it takes an eighth of the CPU of a start. */
async function aggregate(reports: readonly Report[]) {
  const { AggregatorRegistry } = await import("prom-client");
  return AggregatorRegistry.aggregate([...reports]);
}

const HEADERS = {
  "content-type": "text/plain; version=0.0.4; charset=utf-8",
  "cache-control": "no-store",
  "x-content-type-options": "nosniff",
};

/** The answer to a request for the metrics. */
export function metricsResponse(text: string): Response {
  return new Response(text, { headers: HEADERS });
}
