import { useMemo, useState } from "react";
import { ApiError, patch } from "~/api/client";
import type { ConfigAnswer } from "~/api/manage";
import { type Draft, type Section, type Mistake, changesOf, check, draftOf, placeOf, valueAt } from "./schema";

export interface Told {
  message: string;
  hint?: string | undefined;
}

export interface Form {
  edits: ReadonlyMap<string, Draft>;
  /** What the recorder found wrong, by path. */
  refused: ReadonlyMap<string, Told>;
  /** What it found wrong where no field is. */
  others: (Told & { path: string })[];
  state: "idle" | "saving" | "conflict";
  draft(path: string): Draft;
  mistake(path: string): Mistake | null;
  set(path: string, draft: Draft): void;
  /** Several at once. */
  setAll(drafts: readonly (readonly [string, Draft])[]): void;
  /** Forgets all edits, or those below a path. */
  discard(below?: string): void;
  /** Sends the edits; what needs a restart when it went well. */
  save(): Promise<{ needs_restart: string[] } | null>;
}

/** Edits of the configuration that are not sent yet, over what the file has. */
export function useForm(sections: Section[], file: ConfigAnswer | undefined, onFile: (fresh: ConfigAnswer) => void, reload: () => Promise<void>): Form {
  const [edits, setEdits] = useState<ReadonlyMap<string, Draft>>(new Map());
  const [refused, setRefused] = useState<ReadonlyMap<string, Told>>(new Map());
  const [others, setOthers] = useState<(Told & { path: string })[]>([]);
  const [state, setState] = useState<Form["state"]>("idle");
  const config = useMemo(() => file?.config ?? {}, [file]);
  const stored = (path: string): Draft => {
    const field = placeOf(sections, path)?.field;
    return field ? draftOf(field, valueAt(config, sections, path)) : null;
  };
  const setAll = (drafts: readonly (readonly [string, Draft])[]) => {
    const next = new Map(edits);
    for (const [path, draft] of drafts) {
      if (draft === stored(path)) next.delete(path);
      else next.set(path, draft);
    }
    setEdits(next);
    const changed = new Set(drafts.map(([path]) => path));
    if ([...changed].some((path) => refused.has(path))) setRefused(new Map([...refused].filter(([p]) => !changed.has(p))));
  };
  return {
    edits,
    refused,
    others,
    state,
    draft: (path) => (edits.has(path) ? (edits.get(path) ?? null) : stored(path)),
    mistake: (path) => {
      const field = placeOf(sections, path)?.field;
      return field && edits.has(path) ? check(field, edits.get(path) ?? null, stored(path)) : null;
    },
    set: (path, draft) => setAll([[path, draft]]),
    setAll,
    discard(below) {
      setEdits(below ? new Map([...edits].filter(([p]) => !p.startsWith(`${below}.`))) : new Map());
      setRefused(new Map());
      setOthers([]);
      setState("idle");
    },
    async save() {
      setState("saving");
      setRefused(new Map());
      setOthers([]);
      try {
        const fresh = await patch<ConfigAnswer & { needs_restart?: string[] }>("/config", { version: file?.version, changes: changesOf(sections, edits) });
        setEdits(new Map());
        setState("idle");
        if (fresh.config) onFile(fresh);
        else await reload();
        return { needs_restart: fresh.needs_restart ?? [] };
      } catch (e) {
        if (e instanceof ApiError && e.status === 409) {
          // The file is another one now: it is shown under the edits, which are sent when they are still wanted.
          await reload();
          setState("conflict");
          return null;
        }
        setState("idle");
        if (!(e instanceof ApiError) || e.status !== 422) throw e;
        const told = new Map<string, Told>();
        const rest: (Told & { path: string })[] = [];
        for (const one of e.problem.errors ?? []) {
          if (placeOf(sections, one.path)?.field) told.set(one.path, { message: one.message, hint: one.hint });
          else rest.push(one);
        }
        if (!told.size && !rest.length) rest.push({ path: "", message: e.message, hint: e.hint });
        setRefused(told);
        setOthers(rest);
        return null;
      }
    },
  };
}
