// What the machine and the recorder use, read from answers whose parts may be missing.
import type { Camera } from "~/api/types";

export interface Machine {
  cpu: { process: number | null; machine: number | null; cores: number | null };
  memory: { process: number | null; used: number | null; total: number | null };
  load: number[];
  disk: { available: number | null; total: number | null };
  threads: number | null;
  uptime: number | null;
  versions: [string, string][];
  pipelines: Map<string, Record<string, unknown>>;
}

type Bag = Record<string, unknown>;
const bag = (v: unknown): Bag => (v && typeof v === "object" && !Array.isArray(v) ? (v as Bag) : {});

function number(from: Bag, ...names: string[]): number | null {
  for (const name of names) {
    const value = from[name];
    if (typeof value === "number" && Number.isFinite(value)) return value;
  }
  return null;
}

export function readMachine(answer: unknown): Machine {
  const all = bag(answer);
  const [cpu, memory, disk, process] = [bag(all["cpu"]), bag(all["memory"]), bag(all["disk"]), bag(all["process"])];
  const total = number(memory, "total_bytes");
  const available = number(memory, "available_bytes");
  const load = Array.isArray(all["load"]) ? all["load"] : ["one", "five", "fifteen"].map((k) => bag(all["load"])[k]);
  const list = all["pipelines"] ?? all["cameras"];
  const pipelines = Array.isArray(list) ? list.map((p) => [String(bag(p)["camera"] ?? bag(p)["id"]), bag(p)] as const) : Object.entries(bag(list)).map(([k, p]) => [k, bag(p)] as const);
  const version = all["version"];
  const versions: [string, string][] = typeof version === "string" ? [["nvr", version]] : [];
  for (const [name, text] of Object.entries({ ...bag(version), ...bag(all["versions"]) })) if (typeof text === "string") versions.push([name, text]);
  for (const name of ["gstreamer", "os", "kernel", "host"]) if (typeof all[name] === "string") versions.push([name, all[name]]);
  return {
    cpu: { process: number(cpu, "process_percent", "process"), machine: number(cpu, "machine_percent", "machine"), cores: number(cpu, "cores", "processors") },
    memory: { process: number(memory, "process_bytes", "resident_bytes"), used: number(memory, "used_bytes") ?? (total !== null && available !== null ? total - available : null), total },
    load: load.filter((n): n is number => typeof n === "number"),
    disk: { available: number(disk, "available_bytes"), total: number(disk, "total_bytes") },
    threads: number(process, "threads") ?? number(cpu, "threads") ?? number(all, "threads"),
    uptime: number(all, "uptime_seconds") ?? number(process, "uptime_seconds"),
    versions,
    pipelines: new Map(pipelines),
  };
}

export interface Rates {
  /** Bits a second that arrive. */
  bits: number;
  /** Frames a second that arrive. */
  frames: number;
}

/** What came in between two looks at a camera; null when its counters began anew. */
export function rates(before: Camera, now: Camera, seconds: number): Rates | null {
  const [bytes, frames] = [now.counters.bytes_in - before.counters.bytes_in, now.counters.frames - before.counters.frames];
  if (seconds <= 0 || bytes < 0 || frames < 0) return null;
  return { bits: (bytes * 8) / seconds, frames: frames / seconds };
}
