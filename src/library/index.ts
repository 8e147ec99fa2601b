// What `import … from "baton"` gives.
export type { PushContent } from "../relay/contracts/publication";
export type { Addresses, Publish, User } from "./answers";
export type {
  BatonOptions,
  Counts,
  EmbeddedRelay,
  OpenConnection,
  PublishOptions,
} from "./contract";
export { baton } from "./plugin";
export { RelayError } from "./relay-error";
export type { RelaySettings } from "./relay-settings";
export {
  type AnyTopics,
  type DataFor,
  type DataOf,
  type TopicName,
  type TopicSchema,
  type TopicSchemas,
  type Topics,
  topics,
} from "./topics";
