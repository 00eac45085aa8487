import { locale } from "~/i18n";

const UNITS = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte", "petabyte"] as const;

/** `1.4 GB` */
export function bytes(n: number): string {
  const power = n < 1 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log10(n) / 3));
  const value = n / 1000 ** power;
  return value.toLocaleString(locale(), {
    style: "unit",
    unit: UNITS[power] ?? "byte",
    unitDisplay: power === 0 ? "long" : "short",
    maximumFractionDigits: power === 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2,
  });
}

/** `2.1 Mbit/s` of bits a second. */
export function bitRate(bits: number): string {
  const mega = bits >= 1e6;
  const value = mega ? bits / 1e6 : bits / 1e3;
  return `${value.toLocaleString(locale(), { maximumFractionDigits: mega && value < 100 ? 1 : 0 })} ${mega ? "Mbit/s" : "kbit/s"}`;
}

export const number = (n: number, digits = 0): string => n.toLocaleString(locale(), { maximumFractionDigits: digits });

export const percent = (share: number): string => share.toLocaleString(locale(), { style: "percent", maximumFractionDigits: 0 });

/** `2 h 5 min`, `12.5 s`: the two largest parts. */
export function duration(seconds: number): string {
  const unit = (n: number, name: "day" | "hour" | "minute" | "second", digits = 0) =>
    n.toLocaleString(locale(), { style: "unit", unit: name, unitDisplay: name === "day" ? "long" : "short", maximumFractionDigits: digits });
  if (seconds < 60) return unit(seconds, "second", seconds < 10 ? 1 : 0);
  const whole = Math.round(seconds);
  const two = (a: string, rest: number, b: string) => (rest ? `${a} ${b}` : a);
  if (whole < 3600) return two(unit(Math.floor(whole / 60), "minute"), whole % 60, unit(whole % 60, "second"));
  if (whole < 86_400) {
    const minutes = Math.floor((whole % 3600) / 60);
    return two(unit(Math.floor(whole / 3600), "hour"), minutes, unit(minutes, "minute"));
  }
  const hours = Math.floor((whole % 86_400) / 3600);
  return two(unit(Math.floor(whole / 86_400), "day"), hours, unit(hours, "hour"));
}

const formats = new Map<string, Intl.DateTimeFormat>();

/** Formatters are slow to make and asked for often. */
export function dateFormat(options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const key = `${locale()} ${JSON.stringify(options)}`;
  let format = formats.get(key);
  if (!format) formats.set(key, (format = new Intl.DateTimeFormat(locale(), options)));
  return format;
}

type Time = number | string | Date;
const date = (time: Time) => (time instanceof Date ? time : new Date(time));

/** `14:03:22` */
export const clock = (time: Time): string => dateFormat({ hour: "2-digit", minute: "2-digit", second: "2-digit" }).format(date(time));

/** `28 Nov 2026, 14:03:22` */
export const moment = (time: Time): string => dateFormat({ dateStyle: "medium", timeStyle: "medium" }).format(date(time));

/** `28 Nov 2026` */
export const day = (time: Time): string => dateFormat({ dateStyle: "medium" }).format(date(time));

/** `5 minutes ago` */
export function ago(time: Time, now = Date.now()): string {
  const seconds = (date(time).getTime() - now) / 1000;
  const format = new Intl.RelativeTimeFormat(locale(), { numeric: "auto", style: "short" });
  const size = Math.abs(seconds);
  if (size < 60) return format.format(Math.round(seconds), "second");
  if (size < 3600) return format.format(Math.round(seconds / 60), "minute");
  if (size < 86_400) return format.format(Math.round(seconds / 3600), "hour");
  return format.format(Math.round(seconds / 86_400), "day");
}
