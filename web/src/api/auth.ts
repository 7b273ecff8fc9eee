/** Whether somebody is logged in, and what keeps it so.
 *
 * The tokens are HttpOnly cookies: this page never sees them. What it knows is when the access token ends, and it
 * renews it before, because WebSockets and pictures cannot be repeated after a refusal as requests can.
 */
import { create } from "zustand";
import { Problem } from "./problem";
import type { Me, User } from "./types";
import { read, send } from "./wire";

/** Words between the tabs of a browser. */
type Word = "in" | "out" | "left";

interface Life {
  /** Milliseconds since 1970. */
  renewAt: number;
  endsAt: number;
}

interface SessionAnswer {
  user: User;
  expires_in: number;
}

interface Auth {
  state: "unknown" | "in" | "out";
  /** Why nobody is logged in any more; null when nobody was. */
  reason: "ended" | "left" | null;
  me: Me | null;
  /** Null where it is not known, after a reload for example. */
  life: Life | null;
}

const LIFE = "llmgate.session";
const LOCK = "llmgate.refresh";
/** The part of its life after which a session is renewed. */
const RENEW_AFTER = 0.75;

export const useAuth = create<Auth>(() => ({ state: "unknown", reason: null, me: null, life: null }));

/** What this module does to the page as a whole. */
export const page = { reload: () => location.reload() };

let refreshing: Promise<void> | null = null;
let channel: BroadcastChannel | null = null;

/** Whether somebody was logged in here when the page was used last: then its parts are worth loading early. */
export function wasLoggedIn(): boolean {
  return storedLife() !== null;
}

/** Ask who is logged in, once, when the page starts. Throws Problem when that cannot be told. */
export async function whoAmI(): Promise<Me | null> {
  const life = storedLife();
  useAuth.setState({ life });
  try {
    await ensureSession();
    let me = await askMe();
    if (me?.kind !== "session") {
      // Nobody, or an address that is let in without a session: there may be one that only has to be renewed.
      await refreshSession();
      me = await askMe();
    }
    if (me?.kind !== "session") throw noSession();
    arrive(me);
    return me;
  } catch (error) {
    if (!(error instanceof Problem) || error.status !== 401) throw error;
    if (useAuth.getState().state !== "out") depart(life ? "ended" : null);
    return null;
  }
}

async function askMe(): Promise<Me | null> {
  try {
    return await read<Me>(await send("GET", "gate/auth/me"));
  } catch (error) {
    if (error instanceof Problem && error.status === 401) return null;
    throw error;
  }
}

/** Start a session. The page is reloaded when it was another user's before: nothing of it may be left over. */
export async function login(name: string, password: string): Promise<void> {
  const before = useAuth.getState().me;
  const answer = await read<SessionAnswer>(
    await send("POST", "gate/auth/login", { body: { name, password, cookie: true } }),
  );
  keepLife(answer.expires_in);
  if (before && before.user_id !== answer.user.id) {
    reload();
    return;
  }
  const me = await askMe();
  if (!me) throw noCookie();
  arrive(me);
  channel?.postMessage("in" satisfies Word);
}

/** Change the password: every session ends, and this browser gets a new one. */
export async function changePassword(current: string, password: string): Promise<void> {
  await ensureSession();
  const body = { current_password: current, password, cookie: true };
  keepLife((await read<SessionAnswer>(await send("POST", "gate/auth/password", { body }))).expires_in);
  // It is another session now. Who asked for it finds that out with the next request in any case.
  const me = await askMe().catch(() => null);
  if (me) useAuth.setState({ me });
}

/** End the session, here and in every tab. Whatever the page had in memory is dropped. */
export async function logout(): Promise<void> {
  await ensureSession().catch(() => undefined);
  await send("POST", "gate/auth/logout").catch((error: unknown) => {
    if (!(error instanceof Problem) || error.status !== 401) throw error;
  });
  leave();
  channel?.postMessage("left" satisfies Word);
}

/** Renew the session if it has ended, or is about to. For what cannot be repeated: sockets, beacons. */
export async function ensureSession(): Promise<void> {
  const { life } = useAuth.getState();
  if (life && Date.now() >= life.endsAt - 5_000) await refreshSession();
}

/** Renew the session; all who ask at the same time wait for the same answer. Throws Problem; after a 401 nobody is
 * logged in any more. */
export function refreshSession(): Promise<void> {
  refreshing ??= alone(renew).finally(() => {
    refreshing = null;
  });
  return refreshing;
}

/** One tab at a time: a refresh token that is used twice counts as stolen. */
async function alone(work: () => Promise<void>): Promise<void> {
  const asked = Date.now();
  if (!("locks" in navigator)) return work();
  await navigator.locks.request(LOCK, async () => {
    const stored = storedLife();
    const known = useAuth.getState().life;
    const isNews = stored && stored.endsAt !== known?.endsAt && stored.renewAt > asked;
    if (isNews) useAuth.setState({ life: stored });
    else await work();
  });
}

async function renew(): Promise<void> {
  try {
    keepLife((await read<SessionAnswer>(await send("POST", "gate/auth/refresh"))).expires_in);
  } catch (error) {
    if (error instanceof Problem && (error.status === 401 || error.status === 403)) {
      sessionEnded();
      throw noSession();
    }
    throw error;
  }
}

/** The daemon does not know our session any more. The page keeps where it was, and shows the login there. */
export function sessionEnded(): void {
  if (useAuth.getState().state !== "in") return;
  depart("ended");
  channel?.postMessage("out" satisfies Word);
}

/** Renew the session in time while the page is visible, and hear what other tabs say. Returns what ends that. */
export function watchSession(): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const plan = () => {
    clearTimeout(timer);
    const { state, life } = useAuth.getState();
    if (state !== "in" || document.visibilityState !== "visible") return;
    const wait = life ? life.renewAt - Date.now() : 0;
    timer = setTimeout(() => refreshSession().catch(retryLater), Math.min(Math.max(wait, 0), 2 ** 31 - 1));
  };
  const retryLater = () => {
    clearTimeout(timer);
    timer = setTimeout(plan, 15_000);
  };
  const onStorage = (event: StorageEvent) => {
    if (event.key === LIFE) useAuth.setState({ life: storedLife() });
  };
  const unsubscribe = useAuth.subscribe((now, before) => {
    if (now.life !== before.life || now.state !== before.state) plan();
  });
  const deaf = listen();
  document.addEventListener("visibilitychange", plan);
  window.addEventListener("storage", onStorage);
  plan();
  return () => {
    clearTimeout(timer);
    unsubscribe();
    deaf();
    document.removeEventListener("visibilitychange", plan);
    window.removeEventListener("storage", onStorage);
  };
}

function listen(): () => void {
  if (typeof BroadcastChannel === "undefined") return () => undefined;
  const own = new BroadcastChannel("llmgate.session");
  channel = own;
  own.onmessage = ({ data }: MessageEvent<Word>) => {
    const { state } = useAuth.getState();
    if (data === "left" && state === "in") leave();
    if (data === "out" && state === "in") void whoAmI().catch(() => undefined);
    if (data === "in" && state === "out") void whoAmI().catch(() => undefined);
  };
  return () => {
    own.close();
    if (channel === own) channel = null;
  };
}

function arrive(me: Me): void {
  const before = useAuth.getState().me;
  if (before && before.user_id !== me.user_id) reload();
  else useAuth.setState({ state: "in", reason: null, me });
}

function depart(reason: Auth["reason"]): void {
  forgetLife();
  useAuth.setState({ state: "out", reason });
}

function leave(): void {
  depart("left");
  useAuth.setState({ me: null });
  reload("#/login");
}

/** Drops everything that is in memory. */
function reload(hash?: string): void {
  if (hash) history.replaceState(null, "", hash);
  page.reload();
}

function keepLife(expiresIn: number): void {
  const now = Date.now();
  const life = { renewAt: now + expiresIn * 1000 * RENEW_AFTER, endsAt: now + expiresIn * 1000 };
  // Another tab reads it. It tells nothing secret.
  withStorage((storage) => storage.setItem(LIFE, JSON.stringify(life)));
  useAuth.setState({ life });
}

function forgetLife(): void {
  withStorage((storage) => storage.removeItem(LIFE));
  useAuth.setState({ life: null });
}

function storedLife(): Life | null {
  return (
    withStorage((storage) => {
      const stored: unknown = JSON.parse(storage.getItem(LIFE) ?? "null");
      const { renewAt, endsAt } = (stored ?? {}) as Partial<Life>;
      return typeof renewAt === "number" && typeof endsAt === "number" ? { renewAt, endsAt } : null;
    }) ?? null
  );
}

/** Browsers can forbid storage; then tabs know less of each other. */
function withStorage<T>(use: (storage: Storage) => T): T | undefined {
  try {
    return use(localStorage);
  } catch {
    return undefined;
  }
}

function noSession(): Problem {
  return new Problem({
    title: "No session",
    status: 401,
    code: "unauthenticated",
    detail: "You are not logged in any more.",
    hint: "Log in to go on.",
  });
}

function noCookie(): Problem {
  return new Problem({
    title: "No cookie",
    status: 0,
    code: "cookie_refused",
    detail: "Your browser did not keep the session.",
    hint: "Allow cookies for this site, then log in again.",
  });
}
