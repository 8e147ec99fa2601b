// Templates such as orders:{customer.id}, which BATON_SOURCES_FILE makes topics and other texts of: {path} stands for a value in the body,
// {@name} for something that is known of the record beside it, and {{ for a brace.

/** A part that stands for something: the names that lead to a value in the body, or the name of an attribute. */
interface Place {
  readonly path?: readonly string[];
  readonly attribute?: string;
}

/** Texts as they are, and places. */
export type Template = readonly (string | Place)[];

/** The attribute that is the whole body. */
export const BODY = "body";

const PART = /\{\{|\}\}|\{([^{}]*)\}|[{}]|[^{}]+/g;

/** The template in a text, or what is wrong with it, as the end of the sentence "It …". */
export function templateOf(text: string): Template | string {
  const parts: (string | Place)[] = [];
  for (const [part, place] of text.matchAll(PART)) {
    if (place !== undefined) {
      const found = placeIn(place);
      if (found === undefined) return `has {${place}}, which names nothing`;
      parts.push(found);
    } else if (part === "{" || part === "}") {
      return `has a ${part} without its other half; {{ and }} stand for braces`;
    } else parts.push(part === "{{" || part === "}}" ? part.slice(1) : part);
  }
  return parts;
}

function placeIn(text: string): Place | undefined {
  if (text.startsWith("@")) return text.length > 1 ? { attribute: text.slice(1) } : undefined;
  const path = text.split(".");
  return path.includes("") ? undefined : { path };
}

/** The place that a template consists of; undefined where it is more than one place, or a text. */
export function onlyPlace(template: Template): Place | undefined {
  const [first] = template;
  return template.length === 1 && typeof first === "object" ? first : undefined;
}

/** Whether it needs the body as JSON. */
export function readsBody(template: Template): boolean {
  return template.some((part) => typeof part === "object" && part.path !== undefined);
}
