import type { Job, NvrEvent } from "~/api/types";
import { bytes } from "~/lib/format";

/** The list with what an event says of one of its jobs; null when the job is not in it, or is over, so that more than the event says has changed. */
export function withNews(jobs: Job[], event: NvrEvent): Job[] | null {
  const { job, state, progress, message } = event.detail as { job?: number; state?: Job["state"]; progress?: number; message?: string };
  const n = jobs.findIndex((j) => j.id === job);
  const old = jobs[n];
  if (!old || !state || old.state !== state) return null;
  const fresh = [...jobs];
  fresh[n] = { ...old, progress: progress ?? old.progress, message: message ?? old.message };
  return fresh;
}

/** Seconds that a job has still to go at its pace, or null while that cannot be said. */
export function timeLeft(job: Job, now = Date.now()): number | null {
  if (job.state !== "running" || !job.started || job.progress < 0.02 || job.progress >= 1) return null;
  const gone = (now - Date.parse(job.started)) / 1000;
  if (gone < 2) return null;
  return (gone / job.progress) * (1 - job.progress);
}

/** The recorder's words with sizes as the page writes them. */
export const readable = (text: string): string => text.replace(/\b(?:(\d+) (to) )?(\d+) bytes\b/g, (_, from: string | undefined, to: string, size: string) => (from ? `${bytes(Number(from))} ${to} ${bytes(Number(size))}` : bytes(Number(size))));

/** An order or a result as JSON, its sizes as the page writes them. */
export const detailOf = (value: unknown): string => JSON.stringify(value, (key, one: unknown) => (typeof one === "number" && /(^|_)bytes$/.test(key) ? bytes(one) : one));

/** Highest priority of a job; the lowest is the same below zero. */
export const MOST_PRIORITY = 1000;

/** The priority that a field holds, or null when the recorder would refuse it. */
export function priorityOf(text: string): number | null {
  const n = Number(text);
  return Number.isInteger(n) && Math.abs(n) <= MOST_PRIORITY ? n : null;
}

export const isOver = (job: Job): boolean => job.state === "done" || job.state === "failed" || job.state === "cancelled";
