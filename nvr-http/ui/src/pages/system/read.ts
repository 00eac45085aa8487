// What the machine and the recorder use, read from answers whose parts may be missing.
import type { Camera } from "~/api/types";

export interface Machine {
  /** Percent: of the process, 100 is one processor; of the machine, all of them. */
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

function number(from: Bag, name: string): number | null {
  const value = from[name];
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

export function readMachine(answer: unknown): Machine {
  const all = bag(answer);
  const [cpu, memory, uptime] = [bag(all["cpu"]), bag(all["memory"]), bag(all["uptime"])];
  const disks = Array.isArray(all["disks"]) ? all["disks"].map(bag) : [];
  const disk = disks.find((d) => d["of"] === "recordings") ?? disks[0] ?? {};
  const total = number(memory, "total_bytes");
  const available = number(memory, "available_bytes");
  const load = Array.isArray(all["load"]) ? all["load"] : [];
  const list = Array.isArray(all["pipelines"]) ? all["pipelines"].map(bag) : [];
  const versions = Object.entries(bag(all["version"])).filter((v): v is [string, string] => typeof v[1] === "string");
  return {
    cpu: { process: number(cpu, "process_percent"), machine: number(cpu, "machine_percent"), cores: number(cpu, "cores") },
    memory: { process: number(memory, "process_bytes"), used: total !== null && available !== null ? total - available : null, total },
    load: load.filter((n): n is number => typeof n === "number"),
    disk: { available: number(disk, "available_bytes"), total: number(disk, "total_bytes") },
    threads: number(all, "threads"),
    uptime: number(uptime, "machine_seconds"),
    versions,
    pipelines: new Map(list.map((p) => [String(p["camera"]), p])),
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
