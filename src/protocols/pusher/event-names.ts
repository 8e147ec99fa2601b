// What the names of events say: whether a client may send one, and which are the protocol's own. Clients act upon those instead of
// giving them to the app, so no backend may publish under them.
import { Refusal } from "../../relay/contracts/errors";
import type { CheckDeclared } from "../../relay/contracts/options";

const OWN_PREFIXES = ["pusher:", "pusher_internal:"];

/** Whether an event is one that clients may send; backends may, too. */
export function isClientEvent(name: string): boolean {
  return name.startsWith("client-");
}

/** Refuses (`invalid_event`) what `check` does not, where it has a name that only the relay may use. */
export function withOwnEvents(check: CheckDeclared | undefined): CheckDeclared {
  return (publication) => {
    const { event } = publication;
    const isOwn = event !== undefined && OWN_PREFIXES.some((prefix) => event.startsWith(prefix));
    return isOwn ? ownEvent() : check?.(publication);
  };
}

function ownEvent(): Refusal {
  return new Refusal(
    "invalid_event",
    `Names of events must not begin with ${OWN_PREFIXES.map((prefix) => `"${prefix}"`).join(" or ")}, since clients of the Pusher protocol take those for the relay's own.`,
  );
}
