/** Requests to the daemon, as the one who is logged in. */
import { ensureSession, refreshSession, sessionEnded } from "./auth";
import { Problem } from "./problem";
import { type Exchange, type Method, read, send } from "./wire";

export { ensureSession, refreshSession, useAuth } from "./auth";
export { isAbort, Problem, problemOf } from "./problem";
export { type Exchange, type Method, type Query, urlOf } from "./wire";

/** The JSON that the daemon answers; undefined for an empty answer. `path` is relative, like `gate/models`.
 *
 * Throws Problem, and AbortError when `signal` says so. When the session has to be renewed, that happens once for all
 * who wait, and the request is repeated. */
export async function request<T>(method: Method, path: string, exchange: Exchange = {}): Promise<T> {
  return read<T>(await open(method, path, exchange));
}

/** Like `request`, for who reads the body by himself: a stream, or a file. */
export async function open(method: Method, path: string, exchange: Exchange = {}): Promise<Response> {
  await ensureSession();
  try {
    return await send(method, path, exchange);
  } catch (error) {
    if (!isUnauthenticated(error)) throw error;
  }
  await refreshSession();
  exchange.signal?.throwIfAborted();
  try {
    return await send(method, path, exchange);
  } catch (error) {
    if (isUnauthenticated(error)) sessionEnded();
    throw error;
  }
}

function isUnauthenticated(error: unknown): boolean {
  return error instanceof Problem && error.status === 401;
}
