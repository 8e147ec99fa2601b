// What `import … from "baton"` gives.
export {
  type AnyTopics,
  type DataOf,
  type TopicName,
  type TopicSchema,
  type TopicSchemas,
  type Topics,
  topics,
} from "./topics";
