// The browser's EventSource. The last id that it has got holds the positions of its topics.
import { register } from "../api";
import { type ClientEvents, noteRecovery, type TryClient, tryClient } from "./client";

export function eventSourceClient(events: ClientEvents): TryClient {
  const description = {
    name: "EventSource",
    about: "Server-Sent Events. The browser resumes by the id of the last event.",
  };
  let lastId = "";
  return tryClient(description, events, async (user, topics) => {
    const { sse } = await register(user, topics);
    const source = new EventSource(`${sse}?${queryOf(topics, lastId)}`);
    source.onopen = () => events.onState("connected");
    source.onerror = () =>
      events.onState(source.readyState === EventSource.CLOSED ? "off" : "connecting");
    source.addEventListener("$positions", ({ lastEventId }) => {
      lastId = lastEventId;
    });
    for (const topic of topics) {
      source.addEventListener(topic, ({ data, lastEventId }) => {
        lastId = lastEventId;
        events.onData(topic, data);
      });
    }
    source.onmessage = ({ data, lastEventId }) => {
      lastId = lastEventId;
      const { topics: told } = JSON.parse(data) as {
        topics: Record<string, { recovered?: boolean }>;
      };
      for (const [topic, one] of Object.entries(told)) noteRecovery(events, topic, one);
    };
    return () => source.close();
  });
}

/** A comma in a topic's name is escaped within the list. */
function queryOf(topics: readonly string[], since: string): string {
  const list = topics.map((topic) => topic.replaceAll(",", "%2C")).join(",");
  const given = { topics: list, positions: "event", ...(since !== "" && { since }) };
  return new URLSearchParams(given).toString();
}
