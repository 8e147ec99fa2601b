// A searchable list of what the relay has, a page at a time, which is read again every two seconds while it is shown.
import { messageOf } from "../api";
import { field, fill, h } from "../dom";
import { repeating } from "./view";

const REFRESH_MS = 2_000;

interface Page {
  readonly content: HTMLElement;
  /** Where the next page begins. */
  readonly next: string | undefined;
}

interface ListOptions {
  /** Of the field that searches. */
  readonly label: string;
  /** The address of what has just this name, whether it is in the list or not. */
  readonly addressOf: (name: string) => string;
  /** Makes a page of the names that contain `search` and come after `after`. */
  readonly read: (search: string, after: string) => Promise<Page>;
}

export function list({ label, addressOf, read }: ListOptions) {
  /** Where the pages before this one began. */
  let earlier: string[] = [];
  let after = "";
  let next: string | undefined;
  const search = h("input", {
    type: "search",
    maxlength: 255,
    autocomplete: "off",
    oninput: () => turn(""),
  });
  const first = h(
    "button",
    { class: "small", onclick: () => turn(earlier.pop() ?? "", earlier) },
    "Back",
  );
  const more = h(
    "button",
    { class: "small", onclick: () => turn(next ?? "", [...earlier, after]) },
    "Next",
  );
  const content = h("div");
  const problem = h("p", { class: "message bad", role: "alert" });
  const element = h(
    "section",
    { class: "card stack" },
    searchForm(label, search, addressOf),
    problem,
    content,
    h("div", { class: "row" }, first, more),
  );
  let asked = 0;
  const refresh = async () => {
    const number = ++asked;
    try {
      const page = await read(search.value, after);
      // A newer question has been asked meanwhile.
      if (number !== asked) return;
      next = page.next;
      problem.textContent = "";
      replaceKeepingFocus(content, page.content);
    } catch (error) {
      if (number === asked) problem.textContent = messageOf(error);
    }
    first.disabled = earlier.length === 0;
    more.disabled = next === undefined;
  };
  const turn = (where: string, before: string[] = []) => {
    after = where;
    earlier = before;
    refresh();
  };
  return { element, ...repeating(refresh, REFRESH_MS) };
}

/** Below the search, a link to what has just the name that was typed in; Enter follows it. */
function searchForm(
  label: string,
  search: HTMLInputElement,
  addressOf: ListOptions["addressOf"],
): HTMLElement {
  const exact = h("a", { hidden: true });
  search.addEventListener("input", () => {
    exact.hidden = search.value === "";
    exact.href = addressOf(search.value);
    exact.textContent = `Open just "${search.value}"`;
  });
  const open = (event: Event) => {
    event.preventDefault();
    if (!exact.hidden) exact.click();
  };
  return h("form", { class: "stack", role: "search", onsubmit: open }, field(label, search), exact);
}

/** New rows must not take the focus away from whoever uses the keyboard. */
export function replaceKeepingFocus(content: HTMLElement, fresh: HTMLElement): void {
  const focused = document.activeElement;
  const isInside = focused instanceof HTMLElement && content.contains(focused);
  const key = isInside ? (focused.dataset.key ?? "") : "";
  const scrolled = content.querySelector(".scroll")?.scrollLeft ?? 0;
  fill(content, fresh);
  const scroller = content.querySelector(".scroll");
  if (scroller !== null) scroller.scrollLeft = scrolled;
  if (!isInside) return;
  const same = [...content.querySelectorAll<HTMLElement>("[data-key]")].find(
    (one) => one.dataset.key === key,
  );
  (same ?? content.querySelector<HTMLElement>("[tabindex]"))?.focus();
}
