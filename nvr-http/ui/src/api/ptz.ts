import { ask, post, remove } from "./client";

export interface Preset {
  token: string;
  name: string;
}

/** What a camera can do, and the places that it remembers. */
export interface PtzFacts {
  turns: boolean;
  zooms: boolean;
  relative: boolean;
  absolute: boolean;
  home: boolean;
  max_presets: number;
  presets: Preset[];
}

export interface Speed {
  pan: number;
  tilt: number;
  zoom: number;
}

const at = (camera: string) => `/cameras/${camera}/ptz`;

export const readPtz = (camera: string, signal?: AbortSignal): Promise<PtzFacts> => ask<PtzFacts>(at(camera), { signal });
export const move = (camera: string, speed: Speed, holdMs: number): Promise<void> => post(`${at(camera)}/move`, { ...speed, hold_ms: holdMs });
export const stop = (camera: string): Promise<void> => ask(`${at(camera)}/stop`, { method: "POST" });
export const goTo = (camera: string, preset: string): Promise<void> => post(`${at(camera)}/presets/${encodeURIComponent(preset)}/goto`);
export const savePreset = (camera: string, name: string): Promise<Preset> => post<Preset>(`${at(camera)}/presets`, { name });
export const forgetPreset = (camera: string, preset: string): Promise<void> => remove(`${at(camera)}/presets/${encodeURIComponent(preset)}`);
export const goHome = (camera: string): Promise<void> => post(`${at(camera)}/home`, {});
