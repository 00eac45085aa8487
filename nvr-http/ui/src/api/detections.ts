import { url } from "./client";
import type { NvrEvent } from "./types";

export const DETECTION_KINDS = ["motion", "object", "line", "camera", "external"] as const;
export type DetectionKind = (typeof DETECTION_KINDS)[number];

export interface Detection {
  id: number;
  camera: string;
  kind: DetectionKind;
  label: string | null;
  zone: string | null;
  /** How sure it is, 0 to 1. Who crossed a line has none, whatever stands here. */
  score: number | null;
  from: string;
  /** Null while it goes on. */
  to: string | null;
  best_at: string;
  source: string | null;
  /** JSON as a text, whatever was sent with it. */
  data?: string | null;
}

/** The detection that an event tells of. */
export function detectionOf(event: NvrEvent): Detection | null {
  return event.kind === "detection_started" || event.kind === "detection_ended" ? (event.detail["detection"] as Detection) : null;
}

/** How sure it is, where that says something: null of what is certain, and of what nobody can be sure of by degrees. */
export const sureOf = ({ kind, score }: Detection): number | null => (kind === "line" || score === null || score >= 1 ? null : score);

/** Address of its picture. */
export const pictureOf = (d: Detection, width: number): string => url(`/detections/${d.id}/thumbnail`, { width });
