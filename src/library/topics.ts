// The declaration of topics: which there are, and by TypeBox schemas what is published to each. The types here follow from it, for
// whoever publishes and whoever subscribes. Only types are imported from this file by clients, so it imports nothing itself.

/** A schema of TypeBox 0.34, as `t` of Elysia and the package @sinclair/typebox make them. */
export interface TopicSchema {
  readonly params: unknown[];
  readonly static: unknown;
}

/** Schemas by topic. A name that ends in `*` stands for all topics that begin with what is before it. */
export type TopicSchemas = Readonly<Record<string, TopicSchema>>;

/** Declared topics. */
export interface Topics<Schemas extends TopicSchemas = TopicSchemas> {
  readonly schemas: Schemas;
}

/** Where no topics are declared: any name, any data. */
export type AnyTopics = Topics<{ readonly "*": TopicSchema }>;

/** The names that may be published to, such as "orders" | `chat:${string}`. */
export type TopicName<Declared extends Topics> = NameOf<Pattern<Declared>>;

/**
 * What is published to a topic. A name that is declared as it stands comes before prefixes, and a longer prefix before a shorter
 * one. For a name that is known only in part, such as `chat:${string}`, it is that of the prefix.
 */
export type DataOf<Declared extends Topics, Name extends string> = Name extends string
  ? DataBy<Declared, PatternOf<Declared, Name>>
  : never;

/** What may be published to a topic that is one of several, such as `cond ? "a" : "b"`: only what each of them takes. */
export type DataFor<Declared extends Topics, Name extends string> = (
  Name extends string
    ? (data: DataOf<Declared, Name>) => void
    : never
) extends (data: infer Data) => void
  ? Data
  : never;

type Pattern<Declared extends Topics> = keyof Declared["schemas"] & string;

/** The names that a declared one stands for. */
export type NameOf<Name extends string> = Name extends `${infer Prefix}*`
  ? `${Prefix}${string}`
  : Name;

/** The patterns that fit a name. */
type PatternOf<Declared extends Topics, Name extends string> = {
  [One in Pattern<Declared>]: Name extends NameOf<One> ? One : never;
}[Pattern<Declared>];

/** What the narrowest of these patterns says: the one that no other one is a part of. */
type DataBy<Declared extends Topics, Patterns extends Pattern<Declared>> = {
  [One in Patterns]: [NarrowerPattern<Patterns, One>] extends [never]
    ? DataIn<Declared["schemas"][One]>
    : never;
}[Patterns];

type NarrowerPattern<Patterns extends string, Than extends string> = {
  [One in Patterns]: One extends Than ? never : NameOf<One> extends NameOf<Than> ? One : never;
}[Patterns];

/** The data that a schema describes. */
export type DataIn<Schema extends TopicSchema> = (Schema & { params: [] })["static"];

/**
 * Declares topics, once for whoever publishes and whoever subscribes:
 * `topics({ orders: t.Object({ id: t.Integer() }), "chat:*": t.Object({ text: t.String() }) })`.
 */
export function topics<const Schemas extends TopicSchemas>(schemas: Schemas): Topics<Schemas> {
  return { schemas };
}
