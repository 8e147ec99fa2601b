// Which Baton this is: the version of its package, and the revision of its source where `bun run build` has stamped one.
import { version } from "../package.json";

/** Defined by docs/deploy/binary.ts. */
declare const BATON_REVISION: string | undefined;

export { version };

/** A commit, or empty where Baton runs from its source. */
export const revision = typeof BATON_REVISION === "undefined" ? "" : BATON_REVISION;
