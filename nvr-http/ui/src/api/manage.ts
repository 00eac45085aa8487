// What the recorder answers about itself: storage, jobs, uploads, settings, accounts (docs/http.md).
import { ApiError } from "./client";
import type { CameraState, Cause, Role, Tracks } from "./types";

/** Whether a recorder has no such address: it was built without that part, or is an older one. */
export const isAbsent = (e: unknown): boolean => e instanceof ApiError && ([405, 501].includes(e.status) || (e.status === 404 && /nothing at this address/i.test(e.problem.detail)));

export interface CameraStorage {
  camera: string;
  segments: number;
  size_bytes: number;
  /** What of that lies below the second root. */
  tier_bytes?: number;
  recorded_seconds: number;
  oldest: string | null;
  newest: string | null;
  bytes_per_hour: number;
  days_left: number | null;
}

export interface Storage {
  cameras: CameraStorage[];
  disk_total_bytes: number;
  disk_available_bytes: number;
  disk_min_free_bytes: number;
  /** The second root, if there is one. */
  tier?: Tier | null;
  bytes_per_hour: number;
  days_left: number | null;
}

export interface Tier {
  root: string;
  reachable: boolean;
  segments: number;
  size_bytes: number;
  /** 0 while it is not reachable. */
  disk_total_bytes: number;
  disk_available_bytes: number;
  disk_min_free_bytes: number;
}

export interface Deleted {
  camera: string;
  segments: number;
  size_bytes: number;
  from: string;
  until: string;
  reason: string;
}

export interface Cleanup {
  dry_run: boolean;
  deleted: Deleted[];
  more: boolean;
  short_bytes: number;
  failed: string[];
}

export interface Day {
  date: string;
  start: string;
  end: string;
  length_seconds: number;
  recorded_seconds: number;
}

export type UploadState = "waiting" | "queued" | "done" | "failed" | "cancelled";

export interface Target {
  name: string;
  place: string;
  open: boolean;
  changes: string | null;
  counts: { state: UploadState; segments: number; size_bytes: number }[];
  waits_since: string | null;
  trouble_since: string | null;
  last_failure: string | null;
}

export interface Upload {
  segment: number;
  target: string;
  key: string;
  state: UploadState;
  start: string;
  size_bytes: number;
  required: boolean;
  entered: string;
  job: number | null;
  uploaded: string | null;
  error: string | null;
}

export interface Transcoding {
  enabled: boolean;
  cameras: { camera: string; segments: number; kept: number; bytes_before: number; bytes_after: number; seconds: number; ssim: number | null; worst_ssim: number | null; psnr_db: number | null }[];
}

export interface JobKind {
  kind: string;
  enabled: boolean;
  max_running: number;
  running: number;
  queued: number;
  queued_bytes: number;
  failed: number;
  windows: string;
  open: boolean;
  changes: string | null;
  yielding: boolean;
}

export interface User {
  name: string;
  role: Role;
  cameras: string[] | null;
  created: string;
  last_login: string | null;
  locked_until: string | null;
}

export type Scope = "read" | "control" | "export" | "events" | "admin";

export interface Token {
  id: number;
  user?: string | null;
  label: string;
  scopes: Scope[];
  cameras: string[] | null;
  expires: string | null;
  created: string;
  last_used: string | null;
  token?: string;
}

export interface Share {
  id: number | string;
  url?: string;
  camera: string;
  from: string;
  to: string;
  expires: string;
  user?: string | null;
  created?: string;
}

export interface AuditEntry {
  at: string;
  user: string | null;
  address: string | null;
  action: string;
  camera: string | null;
  detail: string | null;
}

export interface ProbeAnswer {
  source: string;
  tracks: Tracks;
  picture?: string | null;
  picture_problem?: string | null;
  report: Record<string, unknown>;
}

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
export type JsonObject = { [key: string]: Json };

export interface ConfigAnswer {
  config: JsonObject;
  version: string;
  problems: ({ path?: string; key?: string; message: string; hint?: string } | string)[];
}

export type { CameraState, Cause };
