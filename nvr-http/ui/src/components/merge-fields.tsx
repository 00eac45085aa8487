import { LAYOUTS, type Layout } from "~/api/merge";
import { useT } from "~/i18n";
import { Select } from "./field";

export interface Merging {
  layout: Layout;
  /** Id of the camera that is heard; empty for nobody. */
  sound: string;
}

/** How cameras are put into one file. */
export function MergeFields({ value, onChange, cameras }: { value: Merging; onChange(value: Merging): void; cameras: { id: string; name: string }[] }) {
  const t = useT();
  return (
    <div className="two">
      <Select label={t("timeline.make_layout")} value={value.layout} onChange={(e) => onChange({ ...value, layout: e.target.value as Layout })}>
        {LAYOUTS.map((one) => <option key={one} value={one}>{t(`timeline.layout_${one}`)}</option>)}
      </Select>
      <Select label={t("timeline.make_sound")} value={cameras.some((c) => c.id === value.sound) ? value.sound : ""} onChange={(e) => onChange({ ...value, sound: e.target.value })}>
        <option value="">{t("timeline.make_silent")}</option>
        {cameras.map((c) => <option key={c.id} value={c.id}>{c.name}</option>)}
      </Select>
    </div>
  );
}
