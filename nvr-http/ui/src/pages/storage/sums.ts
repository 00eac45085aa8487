import type { CameraStorage, Cleanup, Storage, Target, UploadState } from "~/api/manage";

/** Bytes of a camera on the disk of the recordings, the second root left out. */
export const hereOf = (c: CameraStorage): number => Math.max(0, c.size_bytes - (c.tier_bytes ?? 0));

type Disk = Pick<Storage, "disk_total_bytes" | "disk_available_bytes" | "disk_min_free_bytes">;

/** What a disk with so much footage holds: footage, other things, what is to stay free, what is free. */
export function diskParts(disk: Disk, footage: number): { footage: number; other: number; reserve: number; free: number; markAt: number } {
  const used = Math.max(0, disk.disk_total_bytes - disk.disk_available_bytes);
  const reserve = Math.min(disk.disk_min_free_bytes, disk.disk_available_bytes);
  return {
    footage,
    // Copies elsewhere count as footage, and are not on this disk.
    other: Math.max(0, used - footage),
    reserve,
    free: disk.disk_available_bytes - reserve,
    markAt: disk.disk_total_bytes ? 1 - disk.disk_min_free_bytes / disk.disk_total_bytes : 1,
  };
}

/** Mean bit rate of what a camera has, in bits a second. */
export const meanRate = (c: CameraStorage): number => (c.recorded_seconds > 0 ? (c.size_bytes * 8) / c.recorded_seconds : 0);

export function cleanupTotal(c: Cleanup): { segments: number; bytes: number } {
  return c.deleted.reduce((sum, d) => ({ segments: sum.segments + d.segments, bytes: sum.bytes + d.size_bytes }), { segments: 0, bytes: 0 });
}

export const uploadsIn = (target: Target, state: UploadState) => target.counts.find((c) => c.state === state) ?? { state, segments: 0, size_bytes: 0 };
