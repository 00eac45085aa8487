import { useStore, store } from "~/lib/store";
import { ApiError, ask, remove, setCsrf, unauthorized } from "./client";
import { restartEvents } from "./events";
import { forgetAnswers } from "./query";
import type { Role, Session } from "./types";

/** Characters of a password, as the recorder wants it. */
export const MIN_PASSWORD = 8;

/** Who is asking; null until the recorder said so. */
export const session = store<Session | null>(null);
/** Whether a session ended by itself, so that the login says why it is there. */
export const expired = store(false);

function take(fresh: Session): void {
  const before = session.get();
  setCsrf(fresh.user?.csrf ?? null);
  session.set(fresh);
  if (before && before.user?.name !== fresh.user?.name) {
    forgetAnswers();
    restartEvents();
  }
  if (fresh.user) expired.set(false);
}

/** Asks who we are. */
export async function loadSession(): Promise<void> {
  try {
    take(await ask<Session>("/session"));
  } catch (e) {
    if (!(e instanceof ApiError) || e.status !== 404) throw e;
    // A recorder built without accounts.
    take({ auth: "none", setup: false, demo: false, user: null });
  }
}

export async function logIn(name: string, password: string, remember: boolean): Promise<void> {
  take(await ask<Session>("/session", { method: "POST", body: { name, password, remember } }));
}

export async function setUp(token: string, name: string, password: string): Promise<void> {
  const made = await ask<Partial<Session> | undefined>("/setup", { method: "POST", body: { token, name, password } });
  if (made?.auth) take(made as Session);
  else await loadSession();
}

export async function logOut(): Promise<void> {
  const left = await remove<{ provider?: string } | undefined>("/session");
  // Who was let in by a login provider would be let in again at once: he logs out there as well.
  if (left?.provider) return void window.location.assign(left.provider);
  const now = session.get();
  if (now) take({ ...now, user: null });
}

unauthorized.add(() => {
  const now = session.get();
  if (!now?.user) return void loadSession().catch(() => {});
  expired.set(true);
  take({ ...now, user: null });
});

const RANK: Record<Role, number> = { viewer: 0, operator: 1, admin: 2 };

/** Whether one may: look (`viewer`), order (`operator`), or all (`admin`). */
export function may(role: Role, of: Session | null = session.get()): boolean {
  if (!of) return false;
  if (of.auth === "none") return true;
  return !!of.user && RANK[of.user.role] >= RANK[role];
}

/** Whether one may see some cameras only: what takes all of them is refused. */
export function useLimited(): boolean {
  return !!useStore(session)?.user?.cameras;
}

export function useMay(role: Role): boolean {
  return may(role, useStore(session));
}
