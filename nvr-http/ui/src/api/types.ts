// What the recorder answers (docs/http.md). Times are RFC 3339 in UTC, lengths seconds, sizes bytes.

export interface Problem {
  type: string;
  title: string;
  status: number;
  detail: string;
  hint?: string;
  /** Of a refused configuration: what is wrong, by field. */
  errors?: { path: string; message: string; hint?: string }[];
}

export interface Cause {
  kind: string;
  message: string;
}

export type CameraState = "stopped" | "connecting" | "standby" | "recording" | "stalled" | "backing_off" | "failed";

export interface Tracks {
  video: { codec: "h264" | "h265"; width: number; height: number; frame_rate: number | null };
  audio: { codec: string; sample_rate: number; channels: number } | null;
}

export type RecordMode = "continuous" | "motion" | "manual" | "off";

export interface Camera {
  id: string;
  name: string;
  source: string;
  enabled: boolean;
  record: RecordMode;
  /** What holds now: `record`, or what the schedule says. */
  mode: RecordMode;
  schedule: { rules: string; next_change: string | null; next_mode: RecordMode | null } | null;
  state: CameraState;
  cause: Cause;
  since: string;
  next_try: string | null;
  recording: boolean;
  manual: { since: string; until: string | null } | null;
  run: string | null;
  tracks: Tracks | null;
  ingest: { client: string; reason: string | null } | null;
  /** Whether it is asked by ONVIF. */
  onvif?: boolean;
  /** What of its picture nobody is to see. */
  privacy?: { masks: string[]; style: string; transcode: boolean } | null;
  last_frame: string | null;
  counters: { frames: number; bytes_in: number; frames_dropped: number; segments: number; segment_bytes: number; restarts: number; index_lost: number };
}

export interface RecordedRange {
  start: string;
  end: string;
  growing: boolean;
  run: string;
  codecs: ("h264" | "h265")[];
}

export interface Gap {
  start: string;
  end: string;
  cause: Cause;
}

export interface NvrEvent {
  at: string;
  camera: string | null;
  kind: string;
  detail: Record<string, unknown>;
}

export interface TimelineAnswer {
  camera: string;
  from: string;
  to: string;
  ranges: RecordedRange[];
  gaps: Gap[];
  events: NvrEvent[];
  totals: { recorded_seconds: number; missing_seconds: number; bytes: number; segments: number };
}

export interface Segment {
  id: number;
  camera: string;
  run: string;
  sequence: number;
  path: string;
  state: "open" | "closed" | "recovered" | "missing" | "remote";
  start: string;
  duration_seconds: number;
  size_bytes: number;
  container: string;
  tracks: Tracks;
  hash: string | null;
  protected: boolean;
  event: boolean;
  transcoded: boolean;
  /** Whether privacy masks are burnt in. */
  masked?: boolean;
  masks?: string | null;
}

export interface Segments {
  segments: Segment[];
  next: string | null;
}

export interface Job {
  id: number;
  kind: string;
  params: Record<string, unknown>;
  camera: string | null;
  priority: number;
  anytime: boolean;
  state: "queued" | "running" | "done" | "failed" | "cancelled";
  attempts: number;
  progress: number;
  message: string;
  result: Record<string, unknown> | null;
  error: string | null;
  input_bytes: number;
  created: string;
  not_before: string;
  started: string | null;
  ended: string | null;
}

export interface Health {
  status: "ok" | "degraded";
  ready: boolean;
  problems: { camera: string | null; since: string; cause: Cause }[];
  version: string;
  started: string;
}

export type Role = "admin" | "operator" | "viewer";

export interface Session {
  auth: "none" | "accounts";
  /** The first account has still to be made. */
  setup: boolean;
  demo: boolean;
  /** What the button says with which a login provider is gone to. */
  sso?: string | null;
  user: null | { name: string; role: Role; cameras: string[] | null; csrf: string };
}

export type LivePath = "whep" | "mse" | "hls" | "mjpeg" | "preview";

export type LiveStream = "main" | "sub";

export interface LiveInfo {
  /** What this is about: the main stream where the camera has no other. */
  stream?: LiveStream;
  has_sub?: boolean;
  /** Null while the stream sends nothing. */
  codec: string | null;
  width: number | null;
  height: number | null;
  audio: string | null;
  b_frames: boolean;
  paths: Partial<Record<LivePath, { ok: true; mime?: string } | { ok: false; why: string }>>;
}
