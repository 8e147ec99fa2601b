// The parts of the relay that sessions are made of.
import type { RateLimit } from "../connecting/rate-limit";
import type { RelayOptions } from "../contracts/options";
import type { Publisher } from "../publishing/publisher";
import type { Recovery } from "../recovery/recovery";
import type { Connections } from "../state/connections";
import type { Permissions } from "../topics/permissions";
import type { Topics } from "../topics/topics";
import type { Replies } from "./replies";

export interface RelayParts {
  readonly options: RelayOptions;
  readonly connections: Connections;
  readonly rateLimit: RateLimit;
  readonly permissions: Permissions;
  readonly topics: Topics;
  readonly recovery: Recovery;
  readonly publisher: Publisher;
}

export interface SessionParts extends RelayParts {
  readonly replies: Replies;
}
