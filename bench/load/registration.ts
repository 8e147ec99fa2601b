// Registrations for a load process: one POST for each connection, a few at a time.
import type { Registration } from "../targets/target";
import { HttpConnection, postRequest } from "./http";

/** HTTP connections that a load process registers over at once. */
const HTTP_CONNECTIONS = 16;

/** Registers each user and returns the paths to connect to, in the order of the users. Throws unless all answers are 200. */
export async function register(
  registration: Registration,
  port: number,
  users: readonly number[],
): Promise<string[]> {
  const paths = new Array<string>(users.length);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let started = 0;
  let done = 0;
  const connections = await Promise.all(
    Array.from({ length: HTTP_CONNECTIONS }, () => HttpConnection.open(port, reject)),
  );
  const registerNext = (http: HttpConnection) => {
    const n = started++;
    const user = users[n];
    if (user === undefined) return;
    http.send(postRequest(registration.path, registration.body(user)).bytes, (status, body) => {
      if (status !== 200) {
        reject(new Error(`a registration was answered ${status}: ${body.slice(0, 200)}`));
        return;
      }
      paths[n] = registration.addressIn(body);
      if (++done === users.length) resolve();
      else registerNext(http);
    });
  };
  if (users.length === 0) resolve();
  for (const http of connections) registerNext(http);
  try {
    await promise;
  } finally {
    for (const http of connections) http.close();
  }
  return paths;
}
