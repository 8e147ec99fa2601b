// Makes elements. Every text goes in as text, never as HTML, so that no name of a topic or user can become an element.

type Child = Node | string | undefined;

interface Attributes {
  readonly class?: string;
  readonly [name: string]: unknown;
}

/** An element with attributes, listeners ("onclick") and children. */
export function h<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  attributes: Attributes = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[Tag] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) continue;
    if (typeof value === "function") {
      element.addEventListener(name.slice(2), value as EventListener);
    } else element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children) if (child !== undefined) element.append(child);
  return element;
}

/** Replaces what an element contains. */
export function fill(element: Element, ...children: readonly Child[]): void {
  element.replaceChildren(...children.filter((child) => child !== undefined));
}

/** A labelled input. */
export function field(label: string, input: HTMLElement, hint?: string): HTMLLabelElement {
  const more = hint === undefined ? undefined : h("small", {}, hint);
  return h("label", { class: "field" }, h("span", {}, label), input, more);
}

interface Column {
  readonly title: string;
  /** Numbers stand on the right. */
  readonly isNumber?: true;
}

/** A table that has its own name for screen readers. */
export function table(
  name: string,
  columns: readonly Column[],
  rows: readonly (readonly Child[])[],
  empty = "Nothing here.",
): HTMLElement {
  if (rows.length === 0) return h("p", { class: "empty" }, empty);
  const kind = ({ isNumber }: Column, i: number) => (isNumber ? "number" : i === 0 ? "name" : "");
  const head = columns.map((column, i) =>
    h("th", { scope: "col", role: "columnheader", class: kind(column, i) }, column.title),
  );
  const cellOf = (column: Column, i: number, content: Child) =>
    h("td", { role: "cell", class: kind(column, i), "data-title": column.title }, content);
  const body = rows.map((cells) =>
    h("tr", { role: "row" }, ...columns.map((column, i) => cellOf(column, i, cells[i]))),
  );
  return h(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": name },
    // The roles stay what they are where a small screen shows the rows one below the other.
    h(
      "table",
      { role: "table" },
      h("caption", { class: "hidden-label" }, name),
      h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, ...head)),
      h("tbody", { role: "rowgroup" }, ...body),
    ),
  );
}

/** Asks before something is done that cannot be undone. */
export function confirm(question: string, action: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const closed = () => {
    dialog.remove();
    resolve(dialog.returnValue === "yes");
  };
  const dialog = h(
    "dialog",
    { "aria-label": action, onclose: closed },
    h(
      "form",
      { method: "dialog", class: "stack" },
      h("p", {}, question),
      h(
        "div",
        { class: "row" },
        h("button", { value: "no" }, "Cancel"),
        h("button", { value: "yes", class: "bad" }, action),
      ),
    ),
  );
  document.body.append(dialog);
  dialog.showModal();
  return promise;
}
