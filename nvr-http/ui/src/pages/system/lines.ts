// Lines of the log, and what happened, in words.
export const LEVELS = ["error", "warn", "info", "debug", "trace"] as const;
export type Level = (typeof LEVELS)[number];

export interface Line {
  key: string;
  at: string;
  level: Level;
  target: string;
  text: string;
}

let last = 0;

/** A line of whatever shape, or null when it is none. */
export function readLine(value: unknown): Line | null {
  if (!value || typeof value !== "object") return null;
  const v = value as Record<string, unknown>;
  const fields = (v["fields"] && typeof v["fields"] === "object" ? v["fields"] : {}) as Record<string, unknown>;
  const message = v["message"] ?? fields["message"];
  if (typeof message !== "string") return null;
  const level = String(v["level"] ?? "info").toLowerCase();
  const rest = Object.entries(fields).filter(([k]) => k !== "message");
  return {
    key: v["id"] !== undefined ? `i${String(v["id"])}` : `n${++last}`,
    at: String(v["at"] ?? v["time"] ?? v["timestamp"] ?? ""),
    level: LEVELS.find((l) => l === level) ?? "info",
    target: String(v["target"] ?? ""),
    text: [message, ...rest.map(([k, x]) => `${k}=${typeof x === "string" ? x : JSON.stringify(x)}`)].join(" "),
  };
}

/** The lines with new ones behind; old ones go when there are too many, and none is there twice. */
export function withLines(lines: readonly Line[], fresh: readonly Line[], most = 2000): Line[] {
  const known = new Set(lines.slice(-500).map((l) => l.key));
  return [...lines, ...fresh.filter((l) => !known.has(l.key))].slice(-most);
}

/** Whether a line is as grave as `level` or graver, and has the words. */
export function matches(line: Line, level: Level, words: string): boolean {
  if (LEVELS.indexOf(line.level) > LEVELS.indexOf(level)) return false;
  const text = `${line.target} ${line.text}`.toLowerCase();
  return words.toLowerCase().split(/\s+/).every((w) => text.includes(w));
}
