// The list of scenarios, in the order of the tables.
// A new scenario is one file and one line here.
import type { Scenario } from "../run/scenario";
import { engines } from "./engines";
import { fanOutFrames, fanOuts, fanOutWires, streamFanOuts } from "./fan-out";
import { idleMemory, idleStreams } from "./idle-memory";
import { latency } from "./latency";
import { nodes } from "./nodes";
import { open } from "./open";
import { publishCost } from "./publish-cost";
import { resume } from "./resume";
import { userPublish } from "./user-publish";
import { workers } from "./workers";

export const SCENARIOS: readonly Scenario[] = [
  ...fanOuts,
  fanOutWires,
  fanOutFrames,
  ...streamFanOuts,
  publishCost,
  idleMemory,
  idleStreams,
  userPublish,
  open,
  resume,
  latency,
  workers,
  engines,
  nodes,
];
