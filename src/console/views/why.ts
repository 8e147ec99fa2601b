// Why did it not arrive? Asks GET /explain, and shows what the relay knows.
import { call, messageOf, path } from "../api";
import { field, fill, h, table } from "../dom";
import { age, bytes, clock, count, kindOf } from "../text";
import { receiversCard } from "./receivers";
import type { View } from "./view";

interface Explanation {
  readonly verdict: string;
  readonly findings: readonly { code: string; message: string; action: string }[];
  readonly publication?: { position: string; state: string; top?: string; user_id?: string };
  readonly subscribers: number;
  readonly connections: readonly {
    id: string;
    protocol: string;
    since: string;
    state: string;
    sent_to?: string;
    waiting_bytes: number;
  }[];
  readonly ends: readonly {
    at: string;
    protocol: string;
    why: string;
    code?: number;
    position?: string;
  }[];
  readonly resumptions: readonly { at: string; recovered: boolean; from: string; to?: string }[];
  readonly remembered_since: string;
  readonly nodes: { readonly answered: number; readonly silent: number };
}

export function why(): View {
  const topic = h("input", { required: true, maxlength: 255, autocomplete: "off" });
  const user = h("input", { maxlength: 128, autocomplete: "off" });
  const position = h("input", {
    maxlength: 80,
    autocomplete: "off",
    spellcheck: "false",
  });
  const answer = h("div", { class: "stack", "aria-live": "polite" });
  const given = () => ({
    topic: topic.value,
    user: user.value.trim(),
    position: position.value.trim(),
  });
  const ask = async () => {
    try {
      const asked = given();
      const explanation = await call<Explanation>("GET", path(["explain"], asked));
      const receivers =
        asked.user === "" ? await receiversCard(asked.topic, asked.position) : undefined;
      fill(answer, ...answerOf(explanation, receivers));
    } catch (error) {
      fill(answer, h("p", { class: "message bad" }, messageOf(error)));
    }
  };
  const submit = (event: Event) => {
    event.preventDefault();
    // The address can be handed on, and asks again.
    const address = `#why?${new URLSearchParams(given())}`;
    if (location.hash === address) ask();
    else location.hash = address;
  };
  const form = questionForm({ topic, user, position }, submit);
  return {
    title: "Why did it not arrive?",
    element: h("div", { class: "view" }, h("h2", {}, "Why did it not arrive?"), form, answer),
    show(words) {
      if (words.size === 0) return;
      topic.value = words.get("topic") ?? "";
      user.value = words.get("user") ?? "";
      position.value = words.get("position") ?? "";
      fill(answer);
      if (topic.value === "") topic.focus();
      else ask();
    },
  };
}

function questionForm(
  { topic, user, position }: Readonly<Record<"topic" | "user" | "position", HTMLInputElement>>,
  onsubmit: (event: Event) => void,
): HTMLElement {
  return h(
    "form",
    { class: "card stack", onsubmit },
    h(
      "div",
      { class: "row" },
      field("Topic", topic),
      field("User", user),
      field("Position, if it is known", position),
      h("button", { class: "main" }, "Explain"),
    ),
    h(
      "p",
      { class: "quiet" },
      "Give a user, a publication's position (epoch:offset, as its publish was answered), or both.",
    ),
  );
}

/** Whom it reached is asked where no user is named; otherwise, what is known of the user. */
function answerOf(explanation: Explanation, receivers: HTMLElement | undefined): HTMLElement[] {
  const { verdict, findings, publication, subscribers, nodes, remembered_since } = explanation;
  const known = `${nodes.answered === 1 ? "1 process" : `${count(nodes.answered)} processes`} at ${clock(new Date())}`;
  const silent =
    nodes.silent === 0
      ? ""
      : `; ${count(nodes.silent)} did not answer, and what they know is missing`;
  const facts = [
    h("dt", {}, "Subscribers now"),
    h("dd", {}, count(subscribers)),
    ...(publication === undefined ? [] : publicationFacts(publication)),
    h("dt", {}, "Asked"),
    h(
      "dd",
      {},
      `${known}${silent}. Ends of connections are remembered for the last ${age(remembered_since)}.`,
    ),
  ];
  return [
    h(
      "section",
      { class: "card stack" },
      h(
        "div",
        { class: "between" },
        h("h3", {}, "Answer"),
        h("span", { class: "tag code" }, verdict),
      ),
      h("div", { class: "stack" }, ...findings.map(findingElement)),
      h("dl", { class: "facts" }, ...facts),
    ),
    receivers ??
      h("div", { class: "columns" }, connectionsCard(explanation), endsCard(explanation)),
  ];
}

function findingElement({ code, message, action }: Explanation["findings"][number]): HTMLElement {
  return h(
    "div",
    { class: "finding", "data-code": code },
    h("p", {}, withoutMarks(message)),
    h("p", { class: "quiet" }, `What to do: ${withoutMarks(action)}`),
  );
}

/** The sentences mark names of settings for pages in Markdown, which this one is not. */
function withoutMarks(text: string): string {
  return text.replaceAll("`", "");
}

function publicationFacts({
  position,
  state,
  top,
  user_id,
}: NonNullable<Explanation["publication"]>) {
  const whom = user_id === undefined ? "" : `, for the user ${user_id} alone`;
  const now = top === undefined ? "" : `; the topic is at ${top}`;
  return [
    h("dt", {}, "Publication"),
    h(
      "dd",
      {},
      h("span", { class: "code" }, position),
      ` ${state.replaceAll("_", " ")}${whom}${now}`,
    ),
  ];
}

function connectionsCard({ connections }: Explanation): HTMLElement {
  const columns = [
    { title: "Connection" },
    { title: "Topic" },
    { title: "Sent up to" },
    { title: "Waiting", isNumber: true },
  ] as const;
  const rows = connections.map(({ id, protocol, since, state, sent_to, waiting_bytes }) => [
    `${id.slice(0, 8)} (${kindOf(protocol)}, open for ${age(since)})`,
    state.replaceAll("_", " "),
    h("span", { class: "code" }, sent_to ?? "–"),
    bytes(waiting_bytes),
  ]);
  return h(
    "section",
    { class: "card stack" },
    h("h3", {}, "Open connections"),
    table("Open connections", columns, rows, "None."),
  );
}

function endsCard({ ends, resumptions }: Explanation): HTMLElement {
  const columns = [{ title: "What happened" }, { title: "When" }, { title: "Position" }];
  const all = [
    ...ends.map(({ at, protocol, why: reason, code, position }) => ({
      at,
      what: `${kindOf(protocol)} ended: ${reason.replaceAll("_", " ")}${code === undefined ? "" : ` (${code})`}`,
      position,
    })),
    ...resumptions.map(({ at, recovered, from, to }) => ({
      at,
      what: recovered
        ? "a client came back and was sent what it missed"
        : "a client came back too late: what it missed is lost",
      position: to === undefined ? from : `${from} to ${to}`,
    })),
  ].toSorted((a, b) => Date.parse(b.at) - Date.parse(a.at));
  const rows = all.map(({ at, what, position }) => [
    what,
    `${age(at)} ago`,
    h("span", { class: "code" }, position ?? "–"),
  ]);
  return h(
    "section",
    { class: "card stack" },
    h("h3", {}, "Before"),
    table("Before", columns, rows, "Nothing is remembered."),
  );
}
