import type { CameraStorage, Cleanup, Storage, Target, UploadState } from "~/api/manage";

/** What the disk holds: footage of each camera, other things, what is to stay free, what is free. */
export function diskParts(s: Storage): { footage: number; other: number; reserve: number; free: number; markAt: number } {
  const footage = s.cameras.reduce((sum, c) => sum + c.size_bytes, 0);
  const used = Math.max(0, s.disk_total_bytes - s.disk_available_bytes);
  const reserve = Math.min(s.disk_min_free_bytes, s.disk_available_bytes);
  return {
    footage,
    // Copies elsewhere count as footage, and are not on this disk.
    other: Math.max(0, used - footage),
    reserve,
    free: s.disk_available_bytes - reserve,
    markAt: s.disk_total_bytes ? 1 - s.disk_min_free_bytes / s.disk_total_bytes : 1,
  };
}

/** Mean bit rate of what a camera has, in bits a second. */
export const meanRate = (c: CameraStorage): number => (c.recorded_seconds > 0 ? (c.size_bytes * 8) / c.recorded_seconds : 0);

export function cleanupTotal(c: Cleanup): { segments: number; bytes: number } {
  return c.deleted.reduce((sum, d) => ({ segments: sum.segments + d.segments, bytes: sum.bytes + d.size_bytes }), { segments: 0, bytes: 0 });
}

export const uploadsIn = (target: Target, state: UploadState) => target.counts.find((c) => c.state === state) ?? { state, segments: 0, size_bytes: 0 };
