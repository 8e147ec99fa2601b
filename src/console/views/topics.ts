// The topics that have subscribers; of one of them its rule, its last publications, and a form to publish to it.
import { call, messageOf, path } from "../api";
import { field, fill, h, table } from "../dom";
import { age, count } from "../text";
import { list } from "./list";
import { repeating, type View } from "./view";

const LAST_MAX = 20;
const DATA_CHARACTERS_MAX = 300;

const ROWS = 25;

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
  const all = list("Find topics by a part of their name", async (search, after) => {
    const address = path(["topics"], { search, after, limit: ROWS });
    const { topics: rows, next } = await call<{ topics: TopicRow[]; next?: string }>(
      "GET",
      address,
    );
    const cells = rows.map((row) => [
      h(
        "button",
        { class: "link", "data-key": row.topic, onclick: () => detail.open(row) },
        row.topic,
      ),
      count(row.subscribers),
      h("span", { class: "code" }, row.position ?? "–"),
      rates.of(row),
      ruleText(row.rule),
    ]);
    const content = table("Topics", COLUMNS, cells, "No topic with subscribers has such a name.");
    return { content, next };
  });
  const element = h(
    "div",
    { class: "view" },
    h("h2", {}, "Topics"),
    h("div", { class: "columns" }, all.element, detail.element),
  );
  return {
    title: "Topics",
    element,
    show(words) {
      all.start();
      detail.refreshing.start();
      const topic = words.get("topic");
      if (topic !== null)
        detail.open({ topic, subscribers: 0, history_size: 0, history_ttl_ms: 0 });
    },
    hide() {
      all.stop();
      detail.refreshing.stop();
    },
  };
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
  let shown: TopicRow | undefined;
  const facts = h("dl", { class: "facts" });
  const last = h("div");
  const title = h("h3", { tabindex: "-1" });
  const form = publishForm(() => refresh());
  const body = h(
    "div",
    { class: "stack" },
    title,
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
    const row = shown;
    if (row === undefined) return;
    try {
      const address = path(["topics", row.topic, "history"], { reverse: "true", limit: LAST_MAX });
      const history = await call<History>("GET", address);
      if (shown === row) fill(last, historyTable(row.topic, history));
    } catch (error) {
      if (shown === row) fill(last, h("p", { class: "empty" }, messageOf(error)));
    }
  };
  const open = (row: TopicRow) => {
    shown = row;
    title.textContent = row.topic;
    fill(facts, ...ruleFacts(row));
    form.use(row.topic);
    fill(last);
    fill(element, body);
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

function ruleFacts({ rule, history_size, history_ttl_ms }: TopicRow): HTMLElement[] {
  const which = ruleText(rule);
  const kept =
    history_size > 0 && history_ttl_ms > 0
      ? `${count(history_size)} publications for ${age(new Date(Date.now() - history_ttl_ms).toISOString())}`
      : "nothing";
  return [h("dt", {}, "Rule"), h("dd", {}, which), h("dt", {}, "History keeps"), h("dd", {}, kept)];
}

function historyTable(topic: string, { epoch, publications }: History): HTMLElement {
  const rows = publications.map(({ offset, data, user_id }) => [
    h("span", { class: "code" }, `${epoch}:${offset}`),
    user_id ?? "all",
    h("span", { class: "code" }, shortened(typeof data === "string" ? data : JSON.stringify(data))),
    h(
      "a",
      { href: `#why?${new URLSearchParams({ topic, position: `${epoch}:${offset}` })}` },
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
      outcome.textContent = `Published: sent to ${count(answer.delivered)} connections here.${position}`;
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
