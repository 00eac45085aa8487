import { ask } from "./client";
import { useQuery } from "./query";

export type Severity = "info" | "warning" | "critical";

export interface Alert {
  id: number;
  rule: string;
  kind: string;
  severity: Severity;
  camera: string | null;
  summary: string;
  since: string;
  resolved: string | null;
  told: string | null;
  acknowledged: string | null;
  acknowledged_by: string | null;
}

export interface Mute {
  id: number;
  rule: string | null;
  camera: string | null;
  until: string;
}

export interface Alerts {
  active: Alert[];
  history: Alert[];
  mutes: Mute[];
}

export interface Channel {
  name: string;
  kind: string;
  place: string;
  waiting: number;
  delivered: number;
  failing_since: string | null;
  last_failure: string | null;
}

/** What is wrong now and was; one answer for the bell and the page. */
export const useAlerts = () => useQuery("alerts", (signal) => ask<Alerts>("/alerts", { signal }), { every: 10_000 });
