import { useCameras } from "~/api/cameras";
import { useT } from "~/i18n";
import { fieldText, fieldTime } from "~/lib/days";
import { duration } from "~/lib/format";
import { Select, TextField } from "./field";
import { Button } from "./button";

export interface CameraRange {
  camera: string;
  from: string;
  to: string;
}

/** The last hour of a camera, to begin with. */
export function freshRange(camera = ""): CameraRange {
  const now = new Date();
  now.setMilliseconds(0);
  return { camera, from: fieldText(new Date(now.getTime() - 3_600_000)), to: fieldText(now) };
}

/** The moments of a range, or what is wrong with it. */
export function readRange({ camera, from, to }: CameraRange): { camera: string; from: string; to: string } | "camera" | "time" | "order" {
  const [a, b] = [fieldTime(from), fieldTime(to)];
  if (!camera) return "camera";
  if (!a || !b) return "time";
  if (a >= b) return "order";
  return { camera, from: a.toISOString(), to: b.toISOString() };
}

/** A camera and a range of time. */
export function RangeFields({ value, onChange, withoutCamera }: { value: CameraRange; onChange(value: CameraRange): void; withoutCamera?: boolean }) {
  const t = useT();
  const cameras = useCameras();
  const read = readRange(value);
  const back = (hours: number) => {
    const to = new Date();
    to.setMilliseconds(0);
    onChange({ ...value, from: fieldText(new Date(to.getTime() - hours * 3_600_000)), to: fieldText(to) });
  };
  return (
    <>
      {!withoutCamera && (
        <Select label={t("common.camera")} value={value.camera} onChange={(e) => onChange({ ...value, camera: e.target.value })}>
          {!value.camera && <option value="">{t("jobs.choose_camera")}</option>}
          {cameras.data?.map((c) => <option key={c.id} value={c.id}>{c.name}</option>)}
        </Select>
      )}
      <div className="two">
        <TextField label={t("common.from")} type="datetime-local" step={1} value={value.from} onChange={(e) => onChange({ ...value, from: e.target.value })} />
        <TextField label={t("common.to")} type="datetime-local" step={1} value={value.to} error={read === "order" ? t("jobs.order") : null} onChange={(e) => onChange({ ...value, to: e.target.value })} />
      </div>
      <div className="row">
        {[1 / 6, 1, 6, 24].map((hours) => <Button key={hours} size="small" onClick={() => back(hours)}>{t("jobs.last", { length: duration(hours * 3600) })}</Button>)}
      </div>
    </>
  );
}
