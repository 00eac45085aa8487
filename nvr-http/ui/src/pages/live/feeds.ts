import { useCallback, useEffect, useState } from "react";
import type { LiveStream } from "~/api/types";
import { BEFORE, type LiveState, type LiveView } from "~/live/view";
import { store, useStore } from "~/lib/store";

/** What a tile shows. */
export interface Feed {
  stream: LiveStream;
  /** With sound where that has to be asked for. */
  audio: boolean;
}

export const nameOf = (feed: Feed): string => `${feed.stream}${feed.audio ? "+" : ""}`;

/** Whether another feed would show (or sound) different from the one that is shown. */
export function differs(shown: Feed, wanted: Feed, state: Pick<LiveState, "hasSub" | "path">): boolean {
  if (shown.stream !== wanted.stream && state.hasSub) return true;
  // The other ways bring the sound along, or have none.
  return shown.audio !== wanted.audio && state.path === "mse";
}

const none = store<LiveState>(BEFORE);

/** What a view does, also as long as there is none. */
export const useLive = (view: LiveView | null): LiveState => useStore(view?.state ?? none);

/**
 * What a tile shows, and behind it what it will show, once that has a picture: so there is no black in between. What
 * has no picture yet is exchanged at once.
 */
export function useFeeds(wanted: Feed): { feeds: Feed[]; view: LiveView | null; onView(feed: Feed, view: LiveView | null): void; onCome(feed: Feed): void } {
  const [shown, setShown] = useState(wanted);
  const [views, setViews] = useState<ReadonlyMap<string, LiveView>>(new Map());
  const view = views.get(nameOf(shown)) ?? null;
  const { phase, path, hasSub, sounds, stream: showing } = useLive(view);
  // Small streams often have no sound: who wants to hear is shown the main one.
  const [silentSub, setSilentSub] = useState(false);
  useEffect(() => {
    if (hasSub && showing === "sub") setSilentSub(!sounds);
  }, [hasSub, showing, sounds]);
  const { audio } = wanted;
  const stream = audio && silentSub ? "main" : wanted.stream;
  const coming = differs(shown, { stream, audio }, { hasSub, path }) ? { stream, audio } : null;

  useEffect(() => {
    if (coming && phase !== "playing") setShown({ stream, audio });
  }, [coming !== null, phase, stream, audio]);

  const onView = useCallback((feed: Feed, view: LiveView | null) => {
    setViews((old) => {
      const next = new Map(old);
      if (view) next.set(nameOf(feed), view);
      else next.delete(nameOf(feed));
      return next;
    });
  }, []);
  const onCome = useCallback((feed: Feed) => setShown(feed), []);
  return { feeds: coming ? [shown, coming] : [shown], view, onView, onCome };
}
