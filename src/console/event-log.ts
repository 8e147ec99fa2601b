// A list of what happens, the newest first, each with its time; old entries are dropped.
import { h } from "./dom";
import { clock } from "./text";

const ENTRIES_MAX = 100;

export interface EventLog {
  readonly element: HTMLElement;
  note(at: Date, text: string, kind?: "good" | "bad"): void;
}

export function eventLog(name: string, precision: "s" | "ms"): EventLog {
  const entries = h("ol");
  const element = h("div", { class: "log", role: "log", "aria-label": name }, entries);
  return {
    element,
    note(at, text, kind) {
      const time = h("time", {}, clock(at, precision));
      entries.prepend(h("li", {}, time, h("span", { class: kind ?? "" }, text)));
      // So that the keyboard can scroll it; an empty list would be a stop for nothing.
      element.tabIndex = 0;
      while (entries.childElementCount > ENTRIES_MAX) entries.lastElementChild?.remove();
    },
  };
}
