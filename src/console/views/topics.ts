// The topics that have subscribers; of one of them its rule, its last publications, and a form to publish to it.
import { call, messageOf, path } from "../api";
import { field, fill, h, table } from "../dom";
import { count, counted, span } from "../text";
import { list, replaceKeepingFocus } from "./list";
import { repeating, type View } from "./view";

const LAST_MAX = 20;
const DATA_CHARACTERS_MAX = 300;

const ROWS = 25;

/** Among so many whose names contain that of a topic, it is looked for. */
const FOUND_MAX = 100;

interface TopicRow {
  readonly topic: string;
  readonly subscribers: number;
  readonly position?: string;
  readonly rule?: string;
  readonly history_size: number;
  readonly history_ttl_ms: number;
}

interface History {
  readonly offset: number;
  readonly epoch: string;
  readonly publications: readonly { offset: number; data: unknown; user_id?: string }[];
}

export function topics(): View {
  const rates = rateMeter();
  const detail = topicDetail();
  const read = async (search: string, after: string) => {
    const { topics: rows, next } = await topicsWith({ search, after, limit: ROWS });
    const cells = rows.map((row) => [
      h("a", { href: addressOf(row.topic), "data-key": row.topic }, row.topic),
      count(row.subscribers),
      h("span", { class: "code" }, row.position ?? "–"),
      rates.of(row),
      ruleText(row.rule),
    ]);
    const content = table("Topics", COLUMNS, cells, "No topic with subscribers has such a name.");
    return { content, next };
  };
  const all = list({ label: "Find topics by a part of their name", addressOf, read });
  return {
    title: "Topics",
    element: h(
      "div",
      { class: "view" },
      h("h2", {}, "Topics"),
      h("div", { class: "columns" }, all.element, detail.element),
    ),
    show(words) {
      detail.open(words.get("topic") ?? "");
      all.start();
      detail.refreshing.start();
    },
    hide() {
      all.stop();
      detail.refreshing.stop();
    },
  };
}

function addressOf(topic: string): string {
  return `#topics?${new URLSearchParams({ topic })}`;
}

function topicsWith(
  query: Readonly<Record<string, string | number>>,
): Promise<{ topics: TopicRow[]; next?: string }> {
  return call("GET", path(["topics"], query));
}

const COLUMNS = [
  { title: "Topic" },
  { title: "Subscribers", isNumber: true },
  { title: "Position" },
  { title: "A second", isNumber: true },
  { title: "Rule" },
] as const;

/** Publications a second of each topic, by how far its position has moved since it was last seen. */
function rateMeter() {
  const seen = new Map<
    string,
    { readonly epoch: string; readonly offset: number; readonly at: number }
  >();
  const of = ({ topic, position }: TopicRow): string => {
    const now = performance.now();
    const [epoch = "", offset = ""] = position?.split(":") ?? [];
    const before = seen.get(topic);
    if (position !== undefined) seen.set(topic, { epoch, offset: Number(offset), at: now });
    // Names that were seen on other pages need not be kept for ever.
    if (seen.size > 1_000) seen.delete(seen.keys().next().value as string);
    if (before === undefined || before.epoch !== epoch) return "–";
    return count((Number(offset) - before.offset) / Math.max(0.1, (now - before.at) / 1_000));
  };
  return { of };
}

function topicDetail() {
  let shown = "";
  const facts = h("dl", { class: "facts" });
  const last = h("div");
  const title = h("h3", { tabindex: "-1" });
  const follow = h("a", {}, "Follow it live");
  const form = publishForm(() => refresh());
  const body = h(
    "div",
    { class: "stack" },
    h("div", { class: "between" }, title, follow),
    facts,
    form.element,
    h("h3", {}, "Last publications"),
    last,
  );
  const hint = h(
    "p",
    { class: "empty" },
    "Choose a topic to see its rule and its last publications, and to publish to it.",
  );
  const element = h("section", { class: "card stack", "aria-label": "The chosen topic" }, hint);
  const refresh = async () => {
    const topic = shown;
    if (topic === "") return;
    try {
      const address = path(["topics", topic, "history"], { reverse: "true", limit: LAST_MAX });
      const [history, found] = await Promise.all([
        call<History>("GET", address),
        topicsWith({ search: topic, limit: FOUND_MAX }),
      ]);
      if (shown !== topic) return;
      const row = found.topics.find((one) => one.topic === topic);
      fill(facts, ...topicFacts(row, found.next === undefined ? "none" : "–"));
      replaceKeepingFocus(last, historyTable(topic, history));
    } catch (error) {
      if (shown === topic) fill(last, h("p", { class: "empty" }, messageOf(error)));
    }
  };
  const open = (topic: string) => {
    if (topic === shown) return;
    shown = topic;
    title.textContent = topic;
    follow.href = `#try?${new URLSearchParams({ topics: topic })}`;
    form.use(topic);
    fill(facts);
    fill(last);
    fill(element, topic === "" ? hint : body);
    title.focus();
    refresh();
  };
  return { element, open, refreshing: repeating(refresh, 2_000) };
}

/** The names that a rule is for. */
function ruleText(prefix: string | undefined): string {
  if (prefix === undefined) return "none";
  return prefix === "" ? "all topics" : `${prefix}…`;
}

/** The rule is known of topics with subscribers. */
function topicFacts(row: TopicRow | undefined, noSubscribers: string): HTMLElement[] {
  const fact = (name: string, text: string) => [h("dt", {}, name), h("dd", {}, text)];
  if (row === undefined) return fact("Subscribers", noSubscribers);
  const { subscribers, rule, history_size, history_ttl_ms } = row;
  const kept =
    history_size > 0 && history_ttl_ms > 0
      ? `${counted(history_size, "publication")} for ${span(history_ttl_ms)}`
      : "nothing";
  return [
    ...fact("Subscribers", count(subscribers)),
    ...fact("Rule", ruleText(rule)),
    ...fact("History keeps", kept),
  ];
}

function historyTable(topic: string, { epoch, publications }: History): HTMLElement {
  const rows = publications.map(({ offset, data, user_id }) => [
    h("span", { class: "code" }, `${epoch}:${offset}`),
    user_id ?? "all",
    h("span", { class: "code" }, shortened(typeof data === "string" ? data : JSON.stringify(data))),
    h(
      "a",
      {
        href: `#why?${new URLSearchParams({ topic, position: `${epoch}:${offset}` })}`,
        "data-key": String(offset),
      },
      "Who got it?",
    ),
  ]);
  const columns = [
    { title: "Position" },
    { title: "For" },
    { title: "Data" },
    { title: "Explain" },
  ];
  return table("Last publications", columns, rows, "Nothing is kept.");
}

function shortened(text: string): string {
  return text.length <= DATA_CHARACTERS_MAX ? text : `${text.slice(0, DATA_CHARACTERS_MAX)}…`;
}

function publishForm(onPublished: () => void) {
  let topic = "";
  const text = h("textarea", { required: true, spellcheck: "false" });
  const user = h("input", { maxlength: 128, autocomplete: "off" });
  const kind = h(
    "select",
    {},
    h("option", { value: "message" }, "Text"),
    h("option", { value: "data" }, "JSON"),
  );
  const outcome = h("p", { class: "message", role: "status" });
  const publish = async (event: Event) => {
    event.preventDefault();
    outcome.className = "message";
    try {
      const value = kind.value === "data" ? JSON.parse(text.value) : text.value;
      const to = user.value === "" ? {} : { user_id: user.value };
      const answer = await call<{ delivered: number; offset?: number; epoch?: string }>(
        "POST",
        "publish",
        {
          topic,
          [kind.value]: value,
          ...to,
        },
      );
      const position =
        answer.offset === undefined ? "" : ` Its position is ${answer.epoch}:${answer.offset}.`;
      outcome.textContent = `Published: sent to ${counted(answer.delivered, "connection")} of the process that took it.${position}`;
      outcome.classList.add("good");
      onPublished();
    } catch (error) {
      outcome.textContent = messageOf(error);
      outcome.classList.add("bad");
    }
  };
  const element = h(
    "form",
    { class: "stack", onsubmit: publish },
    field("Publish to this topic", text),
    h(
      "div",
      { class: "row" },
      field("As", kind),
      field("For one user alone (optional)", user),
      h("button", { class: "main" }, "Publish"),
    ),
    outcome,
  );
  const use = (name: string) => {
    if (name === topic) return;
    topic = name;
    outcome.textContent = "";
  };
  return { element, use };
}
