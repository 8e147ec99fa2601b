// The users who are connected; of one of them the connections, which can be ended.
import { call, messageOf, path } from "../api";
import { confirm, fill, h, table } from "../dom";
import { age, bytes, count, counted, kindOf } from "../text";
import { list, replaceKeepingFocus } from "./list";
import { repeating, type View } from "./view";

const ROWS = 25;

interface UserRow {
  readonly user: string;
  readonly connections: number;
  readonly protocols: Readonly<Record<string, number>>;
  readonly since: string;
  readonly waiting_bytes: number;
}

interface ConnectionRow {
  readonly id: string;
  readonly protocol: string;
  readonly topics: readonly string[];
  readonly since: string;
  readonly waiting_bytes: number;
}

const TOPICS_SHOWN = 10;
const CONNECTIONS_SHOWN = 50;

export function users(): View {
  const detail = userDetail();
  const read = async (search: string, after: string) => {
    const address = path(["users"], { search, after, limit: ROWS });
    const { users: rows, next } = await call<{ users: UserRow[]; next?: string }>("GET", address);
    const cells = rows.map(({ user, connections, protocols, since, waiting_bytes }) => [
      h("a", { href: addressOf(user), "data-key": user }, user),
      count(connections),
      Object.entries(protocols)
        .map(([name, times]) => (times > 1 ? `${times} × ${kindOf(name)}` : kindOf(name)))
        .join(", "),
      age(since),
      bytes(waiting_bytes),
    ]);
    const content = table("Users", COLUMNS, cells, "Nobody who is connected has such a name.");
    return { content, next };
  };
  const all = list({ label: "Find users by a part of their name", addressOf, read });
  return {
    title: "Users",
    element: h(
      "div",
      { class: "view" },
      h("h2", {}, "Users"),
      h(
        "p",
        { class: "lead" },
        "Who is connected. Anonymous clients have no user and are not listed; the overview counts them.",
      ),
      h("div", { class: "columns" }, all.element, detail.element),
    ),
    show(words) {
      detail.open(words.get("user") ?? "");
      all.start();
      detail.refreshing.start();
    },
    hide() {
      all.stop();
      detail.refreshing.stop();
    },
  };
}

function addressOf(user: string): string {
  return `#users?${new URLSearchParams({ user })}`;
}

const COLUMNS = [
  { title: "User" },
  { title: "Connections", isNumber: true },
  { title: "Kinds" },
  { title: "Open for" },
  { title: "Waiting", isNumber: true },
] as const;

function userDetail() {
  let shown = "";
  const title = h("h3", { tabindex: "-1" });
  const why = h("a", {}, "Why did something not arrive?");
  const rows = h("div");
  const outcome = h("p", { class: "message", role: "status" });
  const all = h(
    "button",
    {
      class: "bad",
      onclick: () => end(["users", shown, "connections"], "all connections of this user"),
    },
    "Disconnect all",
  );
  const body = h(
    "div",
    { class: "stack" },
    h("div", { class: "between" }, title, all),
    why,
    outcome,
    rows,
  );
  const hint = h("p", { class: "empty" }, "Choose a user to see the connections.");
  const element = h("section", { class: "card stack", "aria-label": "The chosen user" }, hint);
  const end = async (steps: readonly string[], what: string) => {
    await disconnect(steps, what, outcome);
    await refresh();
    // The button may have gone with its row.
    if (document.activeElement === document.body) title.focus();
  };
  const refresh = async () => {
    const user = shown;
    if (user === "") return;
    try {
      const { connections } = await call<{ connections: ConnectionRow[] }>(
        "GET",
        path(["users", user, "connections"]),
      );
      if (shown !== user) return;
      all.disabled = connections.length === 0;
      replaceKeepingFocus(rows, connectionTable(connections, end));
    } catch (error) {
      if (shown === user) fill(rows, h("p", { class: "message bad" }, messageOf(error)));
    }
  };
  const open = (user: string) => {
    if (user === shown) return;
    shown = user;
    title.textContent = user;
    why.href = `#why?${new URLSearchParams({ user })}`;
    outcome.textContent = "";
    fill(rows);
    fill(element, user === "" ? hint : body);
    title.focus();
    refresh();
  };
  return { element, open, refreshing: repeating(refresh, 2_000) };
}

/** Asks, then ends what the path names, and says how many that were. */
async function disconnect(
  steps: readonly string[],
  what: string,
  outcome: HTMLElement,
): Promise<void> {
  const question = `End ${what}? The registrations end with them, so clients need new ones.`;
  if (!(await confirm(question, "Disconnect"))) return;
  outcome.className = "message";
  try {
    const { disconnected } = await call<{ disconnected: number }>("DELETE", path(steps));
    outcome.textContent = `Ended: ${counted(disconnected, "connection")}.`;
    outcome.classList.add("good");
  } catch (error) {
    outcome.textContent = messageOf(error);
    outcome.classList.add("bad");
  }
}

function connectionTable(
  connections: readonly ConnectionRow[],
  end: (steps: readonly string[], what: string) => void,
): HTMLElement {
  const columns = [
    { title: "Topics" },
    { title: "Kind" },
    { title: "Open for" },
    { title: "Waiting", isNumber: true },
    { title: "End" },
  ] as const;
  const rows = connections
    .slice(0, CONNECTIONS_SHOWN)
    .map(({ id, protocol, topics, since, waiting_bytes }) => [
      topicsText(topics),
      kindOf(protocol),
      age(since),
      bytes(waiting_bytes),
      h(
        "button",
        {
          class: "small bad",
          "data-key": id,
          "aria-label": `Disconnect connection ${id.slice(0, 8)}`,
          onclick: () => end(["connections", id], "this connection"),
        },
        "Disconnect",
      ),
    ]);
  const shown = table("Connections", columns, rows, "No open connections.");
  if (connections.length <= CONNECTIONS_SHOWN) return shown;
  const rest = `The first ${CONNECTIONS_SHOWN} of ${counted(connections.length, "connection")}.`;
  return h("div", { class: "stack" }, shown, h("p", { class: "quiet" }, rest));
}

function topicsText(topics: readonly string[]): string {
  if (topics.length === 0) return "none";
  const more = topics.length - TOPICS_SHOWN;
  return topics.slice(0, TOPICS_SHOWN).join(", ") + (more > 0 ? ` and ${more} more` : "");
}
