/** A camera or device that was found. */
export interface Found {
  key: string;
  name: string;
  model: string;
  address: string;
  source: string;
  device: boolean;
  /** Where its ONVIF service answers; empty for devices. */
  service: string;
  /** What is left to do with its address, or why it cannot be used. */
  hint: string;
}

const bag = (v: unknown) => (v && typeof v === "object" ? (v as Record<string, unknown>) : {});
const text = (from: Record<string, unknown>, ...names: string[]) => names.map((n) => from[n]).find((v): v is string => typeof v === "string" && v !== "") ?? "";

/** What could not be looked at. */
export const problemsOf = (answer: unknown): string[] => {
  const list = bag(answer)["problems"];
  return Array.isArray(list) ? list.map(String) : [];
};

export function readFound(answer: unknown): Found[] {
  const all = bag(answer);
  const list = (value: unknown, device: boolean) =>
    (Array.isArray(value) ? value : []).map((entry, n): Found => {
      const one = bag(entry);
      const address = [text(one, "address"), text(one, "location"), Array.isArray(one["formats"]) ? one["formats"].join(", ") : ""].filter(Boolean).join(" · ");
      const model = text(one, "model");
      const source = text(one, "source");
      const services = Array.isArray(one["services"]) ? one["services"].map(String) : [];
      const service = device ? "" : (services.find((s) => s.startsWith("http://") && s.includes(text(one, "address"))) ?? services[0] ?? text(one, "address"));
      return { key: `${device} ${address} ${source} ${n}`, name: text(one, "name") || model || address || source, model, address, source, device, service, hint: text(one, "problem", "hint") };
    });
  return [...list(all["cameras"], false), ...list(all["devices"], true)];
}
