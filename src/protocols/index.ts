// The list of protocols. The contract suite runs for each row of it.
import type { Protocol } from "../relay/protocol";
import { plain } from "./plain";

export const PROTOCOLS: readonly Protocol[] = [plain];
