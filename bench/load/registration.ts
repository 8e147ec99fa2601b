// Registrations for a load process: one POST for each connection to come, a few at a time.
// Gives the paths in the order of the users.
import type { Target } from "../targets/target";
import { Lane, postRequest } from "./http";

/** HTTP connections that register at once, for each load process. */
const LANES = 16;

/** The path for each user's connection, by POSTs to `registration.path`. Throws unless all are 200. */
export async function register(
  registration: NonNullable<Target["registration"]>,
  port: number,
  users: readonly number[],
): Promise<string[]> {
  const paths = new Array<string>(users.length);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let started = 0;
  let done = 0;
  const lanes = await Promise.all(Array.from({ length: LANES }, () => Lane.connect(port, reject)));
  const next = (lane: Lane) => {
    const n = started++;
    const user = users[n];
    if (user === undefined) return;
    lane.send(postRequest(registration.path, registration.body(user)).bytes, (status, body) => {
      if (status !== 200) {
        reject(new Error(`a registration was answered ${status}: ${body.slice(0, 200)}`));
        return;
      }
      paths[n] = registration.addressIn(body);
      if (++done === users.length) resolve();
      else next(lane);
    });
  };
  if (users.length === 0) resolve();
  for (const lane of lanes) next(lane);
  try {
    await promise;
  } finally {
    for (const lane of lanes) lane.close();
  }
  return paths;
}
