import { url } from "./client";

/** A picture that was kept. */
export interface Still {
  /** When it is of, to the millisecond. */
  at: string;
  size_bytes: number;
}

/** Where its picture is; smaller than it was kept, with a width in pixels. */
export const stillUrl = (camera: string, still: Still, width?: number): string => url(`/cameras/${encodeURIComponent(camera)}/stills/${encodeURIComponent(still.at)}.jpg`, { width: width ?? null });
