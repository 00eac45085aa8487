import { useCameras } from "~/api/cameras";
import { Checkbox } from "~/components/field";
import { useT } from "~/i18n";

/** Which cameras: all, or some. */
export function CameraChoice({ value, onChange }: { value: string[] | null; onChange(value: string[] | null): void }) {
  const t = useT();
  const cameras = useCameras();
  // One that is gone meanwhile stays to be seen, so that it can be taken out.
  const ids = [...new Set([...(cameras.data?.map((c) => c.id) ?? []), ...(value ?? [])])];
  const name = (id: string) => cameras.data?.find((c) => c.id === id)?.name ?? id;
  return (
    <fieldset className="choices">
      <legend className="field-label">{t("common.cameras")}</legend>
      <Checkbox label={t("users.every_camera")} hint={t("users.every_camera_hint")} checked={value === null} onChange={(e) => onChange(e.target.checked ? null : (cameras.data?.map((c) => c.id) ?? []))} />
      {value !== null && <div className="choices-list">{ids.map((id) => <Checkbox key={id} label={name(id)} checked={value.includes(id)} onChange={(e) => onChange(e.target.checked ? [...value, id] : value.filter((x) => x !== id))} />)}</div>}
    </fieldset>
  );
}

export function useCameraNames(): (ids: string[] | null) => string {
  const t = useT();
  const cameras = useCameras();
  return (ids) => (ids === null ? t("common.all_cameras") : ids.length ? ids.map((id) => cameras.data?.find((c) => c.id === id)?.name ?? id).join(", ") : t("users.no_camera"));
}
