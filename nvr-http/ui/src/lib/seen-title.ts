import { DETECTION_KINDS, type Detection } from "~/api/detections";
import type { useT } from "~/i18n";

/** What was seen in one line: the label, or else the kind in words, with its zone; of a crossed line its name and the way. */
export function titleOf(t: ReturnType<typeof useT>, seen: Detection): string {
  const kind = t(`events.kind_${DETECTION_KINDS.find((k) => k === seen.kind) ?? "external"}`);
  const zone = seen.zone ? ` (${seen.zone})` : "";
  if (seen.kind === "line" && (seen.label === "left_to_right" || seen.label === "right_to_left")) return `${kind}${zone}, ${t(`events.way_${seen.label}`)}`;
  return `${seen.label ?? kind}${zone}`;
}
