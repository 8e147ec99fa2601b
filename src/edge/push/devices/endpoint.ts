// Where pushes go: addresses that browsers give to pages and pages to a backend. Each is checked when it comes in, and again before it
// is called, since its name may mean another address by then.
import { Refusal } from "../../../relay/contracts/errors";
import { publicAddressOf } from "../../hooks/public-address";

/** The longest that is kept. Those of the known services have 150 to 800 characters. */
const CHARACTERS_MAX = 2_048;

/** What may be called: public addresses only, or those of this machine and of private networks too. */
export type Addresses = "any" | "public";

/** Refuses (`invalid_device`) what is not an address of a push service, without looking up its name. */
export function endpointOf(text: string, addresses: Addresses): URL | Refusal {
  if (text.length > CHARACTERS_MAX || !URL.canParse(text)) {
    return invalid(`must be an address of at most ${CHARACTERS_MAX} characters`);
  }
  const url = new URL(text);
  const isOwn = addresses === "any" && /^(?:localhost|127\.[\d.]+|\[::1\])$/.test(url.hostname);
  if (url.protocol !== "https:" && !(url.protocol === "http:" && isOwn)) {
    return invalid("must begin with https://");
  }
  if (url.username + url.password + url.hash !== "") {
    return invalid("must have no user, password or fragment");
  }
  return url;
}

/** Why an address may not be called now; undefined when it may. */
export async function obstacleOf(url: URL, addresses: Addresses): Promise<Refusal | undefined> {
  if (addresses === "any") return undefined;
  try {
    if ((await publicAddressOf(url.hostname)) !== undefined) return undefined;
    return invalid(
      "must not be an address of this machine or of a private network, unless BATON_WEBHOOKS_PRIVATE is 1",
    );
  } catch {
    return invalid("has a host whose name cannot be looked up");
  }
}

function invalid(problem: string): Refusal {
  return new Refusal("invalid_device", `The endpoint of a device ${problem}.`);
}
