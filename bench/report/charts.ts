// Which charts are drawn from a result: one for the README, which is understood at a glance, and one for each section of
// docs/performance.md. A column whose scenario is not in the result is left out, and so is a chart without columns.
// In texts, `{subscribers}` and the like stand for the sizes of the run.

export interface Column {
  readonly scenario: string;
  readonly figure: string;
  /** What its bars show. */
  readonly caption: string;
}

/** Rows of targets, with a bar in each column. */
export interface Panel {
  readonly title?: string;
  /** Those that are shown, and in which order; all that were measured if not set. */
  readonly targets?: readonly string[];
  readonly columns: readonly Column[];
}

export interface Chart {
  /** What its file's name adds to that of the result. */
  readonly suffix: string;
  readonly title: string;
  readonly panels: readonly Panel[];
  /** What a reader must know to understand the bars. */
  readonly note: string;
}

const WAYS_OF_FAN_OUT = ["baton", "control", "control-waves", "centrifugo"];

/** Fan-out of messages of this length; `suffix` is that of the scenarios' names. */
function fanOut(bytes: number, suffix: string): Panel {
  return {
    title: `${bytes} bytes`,
    targets: WAYS_OF_FAN_OUT,
    columns: [1, 16, 64].map((inFlight) => ({
      scenario: `fan-out-${inFlight}${suffix}`,
      figure: "cpu",
      caption: `${inFlight} in flight`,
    })),
  };
}

export const CHARTS: readonly Chart[] = [
  {
    suffix: "",
    title: "What a message and a client cost the server",
    panels: [
      {
        targets: ["baton", "control", "centrifugo", "ws", "socket.io"],
        columns: [
          {
            scenario: "fan-out-16",
            figure: "cpu",
            caption: "CPU time to send one client a message",
          },
          { scenario: "idle-memory", figure: "rss", caption: "memory of one idle client" },
        ],
      },
    ],
    note: "Every message goes to {subscribers} clients, and 16 are being published at any time.",
  },
  {
    suffix: "-fan-out",
    title: "CPU time for each delivery",
    panels: [fanOut(64, ""), fanOut(128, "-128b"), fanOut(400, "-400b")],
    note: "Every message goes to {subscribers} clients. In flight: publications that are sent and not yet answered.",
  },
  {
    suffix: "-streams",
    title: "{subscribers} EventSources",
    panels: [
      {
        columns: [
          { scenario: "streams-1", figure: "cpu", caption: "CPU for each delivery, 1 in flight" },
          { scenario: "streams-16", figure: "cpu", caption: "CPU for each delivery, 16 in flight" },
          { scenario: "idle-streams", figure: "rss", caption: "memory of an idle stream" },
        ],
      },
    ],
    note: "The first row is of WebSockets. The streams of bare Bun are written once for each publication, or once in a turn of the event loop.",
  },
  {
    suffix: "-publishing",
    title: "CPU time for each publication",
    panels: [
      {
        title: "To one subscriber",
        targets: ["baton", "control"],
        columns: [
          { scenario: "publish", figure: "alone", caption: "one in a request" },
          { scenario: "publish", figure: "batch", caption: "100 in a request" },
          { scenario: "publish", figure: "lines", caption: "a line each in an open request" },
        ],
      },
      {
        title: "With each engine, 64 in flight",
        columns: [{ scenario: "engines", figure: "cpu", caption: "CPU, that of Redis included" }],
      },
      {
        title: "To one user with two connections",
        columns: [
          { scenario: "user-publish", figure: "few", caption: "100 connected" },
          { scenario: "user-publish", figure: "many", caption: "{connections} connected" },
        ],
      },
    ],
    note: "The control delivers from memory and keeps nothing. It takes one publication in a request.",
  },
  {
    suffix: "-processes",
    title: "Several processes and machines",
    panels: [
      {
        title: "Workers",
        columns: [
          { scenario: "workers", figure: "cpu", caption: "CPU for each delivery, 16 in flight" },
          { scenario: "workers", figure: "p50", caption: "half arrive within, at {rate} a second" },
        ],
      },
      {
        title: "Nodes joined by Redis",
        columns: [
          { scenario: "nodes", figure: "cpu", caption: "CPU for each delivery, 16 in flight" },
          { scenario: "nodes", figure: "p50", caption: "half arrive within, at {rate} a second" },
        ],
      },
    ],
    note: "CPU is that of all processes, Redis included. Every message goes to {subscribers} clients.",
  },
  {
    suffix: "-clients",
    title: "Connecting, reconnecting and latency",
    panels: [
      {
        title: "Opening connections, and reaching {subscribers} of them {rate} times a second",
        targets: ["baton", "control", "centrifugo", "ws", "socket.io"],
        columns: [
          { scenario: "open", figure: "whole", caption: "CPU to register and connect" },
          { scenario: "latency", figure: "p50", caption: "half arrive within" },
          { scenario: "latency", figure: "p99", caption: "99% arrive within" },
        ],
      },
      {
        title: "Clients with positions",
        columns: [
          { scenario: "resume", figure: "cold", caption: "CPU to register and connect" },
          {
            scenario: "resume",
            figure: "resumed",
            caption: "CPU to reconnect and get what it missed",
          },
        ],
      },
    ],
    note: "",
  },
];
