// The console: asks for the API key, then shows one of its views at a time and follows the stream of figures.
import { CallFailure, call, hasKey, keepKey, messageOf } from "./api";
import { field, fill, h } from "./dom";
import { follow } from "./figures";
import { overview } from "./views/overview";
import { topics } from "./views/topics";
import { tryIt } from "./views/try-it";
import { users } from "./views/users";
import type { View } from "./views/view";
import { why } from "./views/why";

/** Resolves with what keeps the console from working with the key that it has; undefined when nothing does. */
async function problem(): Promise<CallFailure | undefined> {
  try {
    await call("GET", "topics?limit=1");
    return undefined;
  } catch (error) {
    return error instanceof CallFailure ? error : new CallFailure(0, messageOf(error));
  }
}

function login(why: string): void {
  const key = h("input", { type: "password", required: true, autocomplete: "off", id: "key" });
  const message = h("p", { class: "message bad", role: "alert" }, why);
  const open = async (event: Event) => {
    event.preventDefault();
    keepKey(key.value.trim());
    const failure = await problem();
    if (failure === undefined) {
      run();
      return;
    }
    keepKey("");
    message.textContent =
      failure.status === 401 ? "This is not an API key of this relay." : failure.message;
    key.select();
  };
  fill(
    document.body,
    h(
      "main",
      { class: "login" },
      h(
        "form",
        { class: "card stack", onsubmit: open },
        h("h1", {}, "Baton console"),
        field("API key", key, "One of BATON_API_KEYS. It is kept for this tab alone."),
        message,
        h("div", { class: "row" }, h("button", { class: "main" }, "Open")),
      ),
    ),
  );
  key.focus();
}

/** Where a view's own title would be too long. */
const NAV_TITLES: Record<string, string> = { why: "Why not?" };

function linksOf(views: Readonly<Record<string, View>>): Map<View, HTMLAnchorElement> {
  const link = (name: string, { title }: View) =>
    h("a", { href: `#${name}` }, NAV_TITLES[name] ?? title);
  return new Map(Object.entries(views).map(([name, view]) => [view, link(name, view)]));
}

function run(): void {
  const first = overview();
  const views: Record<string, View> = {
    overview: first,
    topics: topics(),
    users: users(),
    try: tryIt(),
    why: why(),
  };
  const links = linksOf(views);
  const state = h("span", { class: "state", role: "status" }, "connecting");
  const main = h("main", { id: "main", tabindex: "-1" });
  fill(
    document.body,
    h("a", { class: "skip", href: "#main", onclick: skip }, "Skip to the content"),
    h(
      "header",
      { class: "top" },
      h("h1", {}, "Baton"),
      h("nav", { "aria-label": "Views" }, ...links.values()),
      state,
      hasKey() ? h("button", { class: "small", onclick: leave }, "Lock") : undefined,
    ),
    main,
  );
  function skip(event: Event): void {
    event.preventDefault();
    main.focus();
  }
  let shown: View | undefined;
  const show = () => {
    const [name = "", query = ""] = location.hash.slice(1).split("?");
    const view = views[name] ?? first;
    for (const link of links.values()) link.removeAttribute("aria-current");
    const link = links.get(view) as HTMLAnchorElement;
    link.setAttribute("aria-current", "page");
    // Whoever comes back to a view finds there what it showed.
    if (views[name] === view) link.href = location.hash;
    document.title = `${view.title} · Baton console`;
    if (shown !== view) {
      shown?.hide?.();
      fill(main, view.element);
      shown = view;
    }
    view.show?.(new URLSearchParams(query));
  };
  addEventListener("hashchange", show);
  show();
  follow({
    onSecond: (second) => first.onSecond(second),
    onState(now, why) {
      state.className = now === "live" ? "state live" : "state";
      state.textContent = now === "live" ? "live" : `reconnecting. ${why}`;
    },
  });
}

/** Forgets the key, and all that was shown. */
function leave(): void {
  keepKey("");
  location.reload();
}

async function begin(): Promise<void> {
  const failure = await problem();
  if (failure === undefined) run();
  else login(failure.status === 401 ? "" : failure.message);
}

begin();
