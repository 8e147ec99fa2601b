// Clients of each kind next to each other: they connect from this page, and each arrival is shown with its time.
import { call, messageOf } from "../api";
import { centrifugeClient } from "../clients/centrifuge";
import type { ClientEvents, TryClient } from "../clients/client";
import { eventSourceClient } from "../clients/event-source";
import { pusherClient } from "../clients/pusher";
import { jsonClient, plainClient } from "../clients/sockets";
import { field, fill, h } from "../dom";
import { eventLog } from "../event-log";
import { counted, milliseconds } from "../text";
import type { View } from "./view";

/** What is remembered of what was published here, to say how long it took. */
const SENT_MAX = 200;

const STATES = {
  connecting: "connecting",
  connected: "connected",
  away: "unplugged",
  off: "not connected",
} as const;

export function tryIt(): View {
  const sent = new Map<string, number>();
  const topics = h("input", {
    value: "try",
    required: true,
    maxlength: 1_000,
    autocomplete: "off",
  });
  const user = h("input", {
    value: "visitor",
    required: true,
    maxlength: 128,
    autocomplete: "off",
  });
  const token = h("input", { autocomplete: "off", spellcheck: "false" });
  const appKey = h("input", { autocomplete: "off", spellcheck: "false" });
  const names = () =>
    topics.value
      .split(",")
      .map((name) => name.trim())
      .filter((name) => name !== "");
  const start = (client: TryClient) => client.start(user.value.trim(), names());
  const pusher = card((events) => pusherClient(events, () => appKey.value.trim()), start, sent);
  const cards = [
    card((events) => plainClient(events), start, sent),
    card((events) => jsonClient(events), start, sent),
    card((events) => eventSourceClient(events), start, sent),
    card((events) => centrifugeClient(events, () => token.value.trim()), start, sent),
    pusher,
  ];
  const connectAll = () => {
    for (const one of cards) if (one !== pusher || appKey.value.trim() !== "") start(one.client);
  };
  const element = h(
    "div",
    { class: "view" },
    h("h2", {}, "Try it"),
    h(
      "p",
      { class: "lead" },
      "Clients of each kind, in this page. Pull the plug of one, publish, and see it recover when it comes back after four seconds.",
    ),
    connectForm({ topics, user, token, appKey }, connectAll),
    publishCard(() => names()[0] ?? "", sent),
    h("div", { class: "columns" }, ...cards.map((one) => one.element)),
  );
  return {
    title: "Try it",
    element,
    show(words) {
      topics.value = words.get("topics") ?? topics.value;
    },
  };
}

function connectForm(
  {
    topics,
    user,
    token,
    appKey,
  }: Readonly<Record<"topics" | "user" | "token" | "appKey", HTMLInputElement>>,
  onConnect: () => void,
): HTMLElement {
  const submit = (event: Event) => {
    event.preventDefault();
    onConnect();
  };
  return h(
    "form",
    { class: "card stack", onsubmit: submit },
    h(
      "div",
      { class: "row" },
      field("Topics, separated by commas", topics),
      field("As the user", user),
      field("Token for the Centrifuge client", token),
      field("App key for the Pusher client", appKey),
      h("button", { class: "main" }, "Connect all"),
    ),
    h(
      "p",
      { class: "quiet" },
      "The token says who the Centrifuge client is. An open relay needs none, nor does one with BATON_ANONYMOUS=1. The app key is that of an app in BATON_PUSHER_APPS; without one, there are no Pusher clients.",
    ),
  );
}

function card(
  make: (events: ClientEvents) => TryClient,
  start: (client: TryClient) => void,
  sent: ReadonlyMap<string, number>,
) {
  const state = h("span", { class: "tag", role: "status" }, STATES.off);
  const log = eventLog("Arrivals", "ms");
  const note = (text: string, kind?: "good" | "bad") => log.note(new Date(), text, kind);
  const stop = h(
    "button",
    { class: "small", disabled: true, onclick: () => client.stop() },
    "Disconnect",
  );
  const pull = h(
    "button",
    { class: "small", disabled: true, onclick: () => client.pull() },
    "Pull the plug",
  );
  const connect = h("button", { class: "small", onclick: () => start(client) }, "Connect");
  const client = make({
    onState(now) {
      state.textContent = STATES[now];
      connect.disabled = now === "connecting" || now === "connected";
      stop.disabled = now === "off";
      pull.disabled = now !== "connected";
      if (now === "connected" || now === "away") note(STATES[now]);
    },
    onData(topic, data) {
      const text = typeof data === "string" ? data : JSON.stringify(data);
      const at = sent.get(text);
      const took = at === undefined ? "" : ` (${milliseconds(performance.now() - at)})`;
      note(`${topic === "" ? "" : `${topic}: `}${text}${took}`);
    },
    onNote: note,
  });
  log.element.setAttribute("aria-label", `Arrivals at the ${client.name}`);
  const element = h(
    "section",
    { class: "card stack", "aria-label": client.name },
    h("div", { class: "between" }, h("h3", {}, client.name), state),
    h("p", { class: "quiet" }, client.about),
    h("div", { class: "row" }, connect, stop, pull),
    log.element,
  );
  return { client, element };
}

function publishCard(topic: () => string, sent: Map<string, number>): HTMLElement {
  let number = 0;
  const message = h("input", { maxlength: 10_000, autocomplete: "off", placeholder: "hello 1" });
  const outcome = h("p", { class: "message", role: "status" });
  const publish = async (event: Event) => {
    event.preventDefault();
    number++;
    const text = message.value === "" ? `hello ${number}` : message.value;
    message.placeholder = `hello ${number + 1}`;
    message.value = "";
    sent.set(text, performance.now());
    if (sent.size > SENT_MAX) sent.delete(sent.keys().next().value as string);
    try {
      const body = { topic: topic(), message: text };
      const { delivered, offset, epoch } = await call<{
        delivered: number;
        offset?: number;
        epoch?: string;
      }>("POST", "publish", body);
      const position = offset === undefined ? "" : ` at ${epoch}:${offset}`;
      fill(
        outcome,
        `"${text}" was published to ${body.topic}${position}, to ${counted(delivered, "connection")} of the process that took it.`,
      );
      outcome.className = "message good";
    } catch (error) {
      fill(outcome, messageOf(error));
      outcome.className = "message bad";
    }
  };
  return h(
    "form",
    { class: "card stack", onsubmit: publish },
    h(
      "div",
      { class: "row" },
      field("Publish to the first topic", message),
      h("button", { class: "main" }, "Publish"),
    ),
    outcome,
  );
}
