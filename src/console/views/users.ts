// The users who are connected; of one of them the connections, which can be ended.
import { call, messageOf, path } from "../api";
import { confirm, fill, h, table } from "../dom";
import { age, bytes, count, kindOf } from "../text";
import { list } from "./list";
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
  const all = list("Find users by a part of their name", async (search, after) => {
    const address = path(["users"], { search, after, limit: ROWS });
    const { users: rows, next } = await call<{ users: UserRow[]; next?: string }>("GET", address);
    const cells = rows.map(({ user, connections, protocols, since, waiting_bytes }) => [
      h("button", { class: "link", "data-key": user, onclick: () => detail.open(user) }, user),
      count(connections),
      Object.entries(protocols)
        .map(([name, times]) => (times > 1 ? `${times} × ${kindOf(name)}` : kindOf(name)))
        .join(", "),
      age(since),
      bytes(waiting_bytes),
    ]);
    return {
      content: table("Users", COLUMNS, cells, "Nobody who is connected has such a name."),
      next,
    };
  });
  const element = h(
    "div",
    { class: "view" },
    h("h2", {}, "Users"),
    h(
      "p",
      { class: "lead" },
      "Who is connected. Anonymous clients have no user and are not listed; the overview counts them.",
    ),
    h("div", { class: "columns" }, all.element, detail.element),
  );
  return {
    title: "Users",
    element,
    show() {
      all.start();
      detail.refreshing.start();
    },
    hide() {
      all.stop();
      detail.refreshing.stop();
    },
  };
}

const COLUMNS = [
  { title: "User" },
  { title: "Connections", isNumber: true },
  { title: "Kinds" },
  { title: "Open for" },
  { title: "Waiting", isNumber: true },
] as const;

function userDetail() {
  let shown: string | undefined;
  const title = h("h3", { tabindex: "-1" });
  const rows = h("div");
  const outcome = h("p", { class: "message", role: "status" });
  const all = h(
    "button",
    {
      class: "bad",
      onclick: () => end(["users", shown ?? "", "connections"], "all connections of this user"),
    },
    "Disconnect all",
  );
  const body = h(
    "div",
    { class: "stack" },
    h("div", { class: "between" }, title, all),
    outcome,
    rows,
  );
  const hint = h("p", { class: "empty" }, "Choose a user to see the connections.");
  const element = h("section", { class: "card stack", "aria-label": "The chosen user" }, hint);
  const end = async (steps: readonly string[], what: string) => {
    await disconnect(steps, what, outcome);
    refresh();
  };
  const refresh = async () => {
    const user = shown;
    if (user === undefined) return;
    try {
      const { connections } = await call<{ connections: ConnectionRow[] }>(
        "GET",
        path(["users", user, "connections"]),
      );
      if (shown !== user) return;
      // A row that has the focus stays as it is until the focus has gone elsewhere.
      if (rows.contains(document.activeElement)) return;
      all.disabled = connections.length === 0;
      fill(rows, connectionTable(connections, end));
    } catch (error) {
      if (shown === user) fill(rows, h("p", { class: "message bad" }, messageOf(error)));
    }
  };
  const open = (user: string) => {
    shown = user;
    title.textContent = user;
    outcome.textContent = "";
    fill(rows);
    fill(element, body);
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
    outcome.textContent = `${count(disconnected)} connections were ended.`;
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
          "aria-label": `Disconnect connection ${id.slice(0, 8)}`,
          onclick: () => end(["connections", id], "this connection"),
        },
        "Disconnect",
      ),
    ]);
  const shown = table("Connections", columns, rows, "No open connections.");
  if (connections.length <= CONNECTIONS_SHOWN) return shown;
  const rest = `The first ${CONNECTIONS_SHOWN} of ${count(connections.length)} connections.`;
  return h("div", { class: "stack" }, shown, h("p", { class: "quiet" }, rest));
}

function topicsText(topics: readonly string[]): string {
  if (topics.length === 0) return "none";
  const more = topics.length - TOPICS_SHOWN;
  return topics.slice(0, TOPICS_SHOWN).join(", ") + (more > 0 ? ` and ${more} more` : "");
}
