import { ask } from "./client";
import { type Query, useQuery } from "./query";
import type { Camera } from "./types";

/** All cameras that one may see, asked again when one changes. */
export function useCameras(): Query<Camera[]> {
  return useQuery("cameras", (signal) => ask<Camera[]>("/cameras", { signal }), { every: 15_000, on: ["camera_state", "config_reloaded", "run_started"] });
}
