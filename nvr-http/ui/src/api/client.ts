import { at } from "~/lib/base";
import { store } from "~/lib/store";
import type { Problem } from "./types";

/** An error that the recorder told, or that kept it from answering. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly problem: Problem,
    /** Seconds after which another try makes sense, if it said so. */
    readonly retryAfter: number | null = null,
  ) {
    super(problem.detail || problem.title);
    this.name = "ApiError";
  }

  /** Stable name of what went wrong; `offline` when the recorder did not answer. */
  get kind(): string {
    return this.problem.type;
  }

  get hint(): string | undefined {
    return this.problem.hint;
  }
}

/** What went wrong and, in a line of its own, what to do; nothing where the recorder did not answer. */
export const wordsOf = ({ message, hint }: { message: string; hint?: string | undefined }): string => [message, hint].filter(Boolean).join("\n");

/** Whether the recorder answered the last time. */
export const online = store(true);

/** The token of the session that orders have to carry. */
let csrf: string | null = null;
export const setCsrf = (token: string | null): void => {
  csrf = token;
};

/** Told when the recorder says that nobody is logged in (any more). */
export const unauthorized = new Set<() => void>();

export interface Ask {
  method?: "GET" | "HEAD" | "POST" | "PATCH" | "PUT" | "DELETE";
  query?: Record<string, string | number | boolean | null | undefined>;
  body?: unknown;
  signal?: AbortSignal | undefined;
  headers?: Record<string, string>;
}

/** Address of a request below /api/v1. Absent values are left out. */
export function url(path: string, query: Ask["query"] = {}): string {
  const pairs = Object.entries(query).filter(([, v]) => v !== null && v !== undefined);
  const text = new URLSearchParams(pairs.map(([k, v]) => [k, String(v)])).toString();
  return at(`/api/v1${path}${text ? `?${text}` : ""}`);
}

async function problemOf(response: Response): Promise<Problem> {
  const plain = { type: "http", title: response.statusText, status: response.status, detail: `${response.status} ${response.statusText}`.trim() };
  if (!response.headers.get("content-type")?.includes("json")) return plain;
  return { ...plain, ...((await response.json().catch(() => ({}))) as Partial<Problem>) };
}

/** A request below /api/v1; its answer, whatever it is, unless it is an error. */
export async function request(path: string, { method = "GET", query, body, signal, headers = {} }: Ask = {}): Promise<Response> {
  const all: Record<string, string> = { accept: "application/json", ...headers };
  if (body !== undefined && !(body instanceof Blob)) all["content-type"] ??= "application/json";
  if (method !== "GET" && method !== "HEAD" && csrf) all["x-csrf-token"] = csrf;
  let response: Response;
  try {
    response = await fetch(url(path, query), {
      method,
      headers: all,
      credentials: "same-origin",
      signal: signal ?? null,
      // What is deleted when the page is left still has to arrive.
      keepalive: method === "DELETE",
      body: body === undefined ? null : typeof body === "string" || body instanceof Blob ? body : JSON.stringify(body),
    });
  } catch (e) {
    if (signal?.aborted) throw e;
    online.set(false);
    throw new ApiError(0, { type: "offline", title: "offline", status: 0, detail: "" });
  }
  online.set(true);
  if (!response.ok) {
    const error = new ApiError(response.status, await problemOf(response), Number(response.headers.get("retry-after")) || null);
    // There it is a wrong password, and the session goes on.
    if (response.status === 401 && path !== "/session" && path !== "/session/password") for (const tell of unauthorized) tell();
    throw error;
  }
  return response;
}

/** The same, with its JSON. */
export async function ask<T>(path: string, options?: Ask): Promise<T> {
  const response = await request(path, options);
  return response.status === 204 ? (undefined as T) : ((await response.json()) as T);
}

export const post = <T>(path: string, body?: unknown, query?: Ask["query"]): Promise<T> => ask<T>(path, { method: "POST", body, query });
export const patch = <T>(path: string, body: unknown): Promise<T> => ask<T>(path, { method: "PATCH", body });
export const remove = <T = void>(path: string, query?: Ask["query"]): Promise<T> => ask<T>(path, { method: "DELETE", query });
