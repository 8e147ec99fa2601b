// The keys of the backend, of the table in definitions.ts.
import { list } from "./kinds";

export const API_KEYS = list({
  variable: "BATON_API_KEYS",
  secret: "lines",
  default: "",
  allowed: "a comma-separated list of keys without spaces",
  accepts: (item) => /^[\x21-\x7e]{1,512}$/.test(item),
  description:
    "The keys of your backend. Once there is one, registering, unregistering, publishing, history, presence, users and /api require a key. Several keys let you replace one without an interruption. If it is not set, all of that is open, which is allowed on loopback only.",
});
