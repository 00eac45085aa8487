import { ask, post, remove } from "./client";
import { isAbsent } from "./manage";
import { useQuery } from "./query";
import type { LiveStream } from "./types";

export type PushState = "waiting" | "connecting" | "live" | "retrying";

/** A camera that is sent to an address elsewhere. */
export interface Push {
  id: number;
  camera: string;
  /** Without keys and passwords. */
  url: string;
  stream: LiveStream;
  audio: boolean;
  /** Kept when the recorder is started again. */
  keep: boolean;
  state: PushState;
  since: string;
  started_at: string;
  by: string | null;
  bytes: number;
  frames_lost: number;
  connections: number;
  failures: number;
  last_failure: { at: string; message: string } | null;
}

export interface PushWish {
  url: string;
  stream: LiveStream;
  audio: boolean;
  keep: boolean;
}

export interface Pushes {
  list: Push[];
  reload(): void;
}

/** What is pushed, of all cameras; null where the recorder does not do that, or not for whom asks. */
export function usePushes(asks: boolean): Pushes | null {
  const { data, error, reload } = useQuery(asks ? "pushes" : null, (signal) => ask<{ pushes: Push[] }>("/pushes", { signal }), {
    on: ["push_started", "push_live", "push_down", "push_stopped"],
  });
  if (!data || (error && (isAbsent(error) || error.status === 403))) return null;
  return { list: data.pushes, reload: () => void reload() };
}

export const startPush = (camera: string, wish: PushWish): Promise<Push> => post<Push>(`/cameras/${camera}/pushes`, wish);
export const stopPush = (push: Push): Promise<void> => remove(`/cameras/${push.camera}/pushes/${push.id}`);
