/** A camera or device that was found. */
export interface Found {
  key: string;
  name: string;
  model: string;
  address: string;
  source: string;
  sub: string;
  device: boolean;
}

const bag = (v: unknown) => (v && typeof v === "object" ? (v as Record<string, unknown>) : {});
const text = (from: Record<string, unknown>, ...names: string[]) => names.map((n) => from[n]).find((v): v is string => typeof v === "string" && v !== "") ?? "";

export function readFound(answer: unknown): Found[] {
  const all = bag(answer);
  const list = (value: unknown, device: boolean) =>
    (Array.isArray(value) ? value : []).map((entry, n): Found => {
      const one = bag(entry);
      const address = text(one, "address", "path", "device");
      const model = [text(one, "manufacturer"), text(one, "model", "hardware", "card")].filter(Boolean).join(" ");
      const source = text(one, "source", "uri", "url") || (device && address ? `v4l2:${address}` : "");
      return { key: `${device} ${address} ${source} ${n}`, name: text(one, "name") || model || address || source, model, address, source, sub: text(one, "sub", "sub_source"), device };
    });
  return [...list(all["cameras"], false), ...list(all["devices"], true)];
}
