// Fan-out: every publication goes to every connection. With one publication in flight each delivery is a send of its own; with
// many, a server can send several messages to a socket at once. How many depends on how much it has to send, so on their length.
import { MESSAGE_BYTES } from "../load/message";
import type { Scenario } from "../run/scenario";
import { runTarget } from "../run/target-run";
import { CONTROL, OTHER_WIRES, TEXT_WIRES, withWaves } from "../targets";
import type { Target } from "../targets/target";

const LENGTHS = [MESSAGE_BYTES, 128, 400];
const IN_FLIGHT = [1, 16, 64];

/** Only some of them in a quick run, in which each length and each number of publications in flight occurs once. */
const isInQuick = (bytes: number, inFlight: number) =>
  LENGTHS.indexOf(bytes) === IN_FLIGHT.indexOf(inFlight);

/** `bytesOn`: the length of the messages on the wire of a target, where it is not the same on all. */
function fanOut(
  bytes: number,
  inFlight: number,
  bytesOn: (target: Target) => number = () => bytes,
): Scenario {
  const isShort = bytes === MESSAGE_BYTES;
  return {
    name: `fan-out-${inFlight}${isShort ? "" : `-${bytes}b`}`,
    title: ({ subscribers }) =>
      `Fan-out to ${subscribers.toLocaleString("en")} connections, ${bytes} bytes, ${inFlight} in flight`,
    isInQuick: isInQuick(bytes, inFlight),
    // Those on Node send each message by itself, so that their costs hardly depend on its length.
    targets: (asked) =>
      withWaves(isShort ? asked : asked.filter((name) => !/^(ws|socket\.io)$/.test(name))),
    figures: () => [
      { name: "cpu", label: "server CPU per delivery", unit: "µs" },
      { name: "rate", label: "deliveries", unit: "1/s" },
      { name: "p50", label: "p50 latency", unit: "ms" },
      { name: "p99", label: "p99 latency", unit: "ms" },
    ],
    run: (target, options) =>
      runTarget(target, options, async function* (run) {
        const { subscribers, seconds } = options;
        await run.open(0, subscribers);
        await run.warmUp();
        const plan = { inFlight, bytes: bytesOn(target), receivers: subscribers };
        await run.publish({ ...plan, seconds: seconds / 2 });
        const phase = yield* run.publishInTurns(plan);
        return {
          values: {
            cpu: phase.cpuUs / phase.received,
            rate: (phase.received / phase.wallUs) * 1e6,
            p50: phase.latency.quantile(0.5) / 1e3,
            p99: phase.latency.quantile(0.99) / 1e3,
          },
          expected: phase.expected,
          received: phase.received,
          serverCores: phase.serverCores,
        };
      }),
  };
}

export const fanOuts: readonly Scenario[] = LENGTHS.flatMap((bytes) =>
  IN_FLIGHT.map((inFlight) => fanOut(bytes, inFlight)),
);

/** Baton's other WebSocket protocols, whose frames are longer than the control's. */
export const fanOutWires: Scenario = {
  ...fanOut(MESSAGE_BYTES, 16),
  name: "fan-out-wires",
  title: ({ subscribers }) =>
    `Fan-out to ${subscribers.toLocaleString("en")} connections over other protocols, 16 in flight`,
  isInQuick: true,
  targets: (asked) => [
    ...(asked.includes("baton") ? OTHER_WIRES : []),
    ...asked.filter((name) => name === CONTROL),
  ],
};

/** A frame of `fan-out-frames`: the longest envelope, and a message that has 100 bytes in it. */
const FRAME_BYTES = 160;

/** Those whose frames are text, with messages of such lengths that all frames have as many bytes, the control's too. */
export const fanOutFrames: Scenario = {
  ...fanOut(FRAME_BYTES, 16, ({ wire }) => FRAME_BYTES - (wire.envelope ?? 0)),
  name: "fan-out-frames",
  title: ({ subscribers }) =>
    `Fan-out to ${subscribers.toLocaleString("en")} connections in frames of ${FRAME_BYTES} bytes, 16 in flight`,
  isInQuick: true,
  targets: (asked) => [
    ...(asked.includes("baton") ? ["baton", ...TEXT_WIRES] : []),
    ...asked.filter((name) => name === CONTROL),
  ],
};

/** The same over Server-Sent Events, next to Baton's WebSockets, and to bare Bun if it writes each stream less often. */
function streams(inFlight: number): Scenario {
  return {
    ...fanOut(MESSAGE_BYTES, inFlight),
    name: `streams-${inFlight}`,
    title: ({ subscribers }) =>
      `Fan-out to ${subscribers.toLocaleString("en")} EventSources, ${inFlight} in flight`,
    isInQuick: inFlight > 1,
    control: "control-sse-publication",
    targets: (asked) => [
      ...(asked.includes("baton") ? ["baton", "baton-sse"] : []),
      ...(asked.includes(CONTROL) ? ["control-sse-publication", "control-sse-turn"] : []),
      ...(asked.includes("centrifugo") ? ["centrifugo-sse"] : []),
    ],
  };
}

export const streamFanOuts: readonly Scenario[] = [streams(1), streams(16)];
