// The types of Baton's HTTP API, for Eden's treaty: `treaty<typeof app>("http://127.0.0.1:3000")`.
import type { Addresses, Publish, User } from "./answers";
import type { DataIn, NameOf, TopicSchema, Topics } from "./topics";

/** As Elysia describes the routes of an app. The paths are those without a prefix. */
export interface HttpRoutes<Declared extends Topics> {
  register: { post: Route<RegisterBody<Declared>, { 200: Addresses }> } & {
    ":id": { delete: Route<unknown, { 200: string; 404: string }, { id: string }> };
  };
  publish: { post: Route<PublishBody<Declared>, { 200: Publish }> };
  users: {
    ":user": {
      connections: {
        get: Route<unknown, { 200: { connections: ConnectionRow[] } }, { user: string }>;
        delete: Route<unknown, { 200: { disconnected: number } }, { user: string }>;
      };
    };
  };
  health: { get: Route<unknown, { 200: "ok" }> };
}

interface Route<Body, Answers, Params = Record<never, never>> {
  body: Body;
  params: Params;
  query: unknown;
  headers: unknown;
  response: Answers & Record<Exclude<ErrorStatus, keyof Answers>, ErrorAnswer>;
}

type ErrorStatus = 400 | 401 | 403 | 404 | 409 | 413 | 415 | 422 | 429 | 503;

interface ErrorAnswer {
  error: { code: string; message: string };
}

interface RegisterBody<Declared extends Topics> {
  user_id: User;
  topics?: NameOf<keyof Declared["schemas"] & string>[];
}

/** One publication; arrays and lines are for those who need no types. */
type PublishBody<Declared extends Topics> = {
  [Name in keyof Declared["schemas"] & string]: {
    topic: NameOf<Name>;
    user_id?: User;
    except?: string;
    event?: string;
    idempotency_key?: string;
  } & Content<Declared["schemas"][Name]>;
}[keyof Declared["schemas"] & string];

/** A text may be a message too, which is the same to its receivers. */
type Content<Schema extends TopicSchema> =
  string extends DataIn<Schema>
    ? { data: DataIn<Schema>; message?: never } | { message: string; data?: never }
    : { data: DataIn<Schema> };

interface ConnectionRow {
  id: string;
  protocol: string;
  topics: string[];
  since: string;
  waiting_bytes: number;
}
