import { ChevronLeft, ChevronRight, Film, RotateCw } from "lucide-react";
import { useCallback, useMemo, useState } from "react";
import { useLocation, useSearch } from "wouter";
import { useCameras } from "~/api/cameras";
import { Button } from "~/components/button";
import { Select, TextField } from "~/components/field";
import { Empty, ErrorNote, PageHead } from "~/components/misc";
import { Segmented } from "~/components/tabs";
import { useT } from "~/i18n";
import { dateText, dayRange } from "~/lib/days";
import { Files } from "./files";
import { type Filters, MARKS, type Mark, readFilters, writeFilters } from "./filters";
import { Ranges } from "./ranges";

export default function RecordingsPage() {
  const t = useT();
  const [, go] = useLocation();
  const search = useSearch();
  const filters = useMemo(() => readFilters(search), [search]);
  const cameras = useCameras();
  const [round, setRound] = useState(0);
  const set = useCallback((part: Partial<Filters>) => {
    const text = writeFilters({ ...filters, ...part });
    go(`/recordings${text ? `?${text}` : ""}`, { replace: true });
  }, [filters, go]);
  const names = useMemo(() => new Map(cameras.data?.map((c) => [c.id, c.name]) ?? []), [cameras.data]);
  const chosen = useMemo(() => (filters.camera ? [filters.camera] : (cameras.data?.map((c) => c.id) ?? [])), [filters.camera, cameras.data?.map((c) => c.id).join()]);
  const step = (by: number) => {
    const day = dayRange(filters.day || dateText(new Date()));
    if (day) set({ day: dateText(new Date(day.from.getFullYear(), day.from.getMonth(), day.from.getDate() + by)) });
  };
  const today = dateText(new Date());
  return (
    <div className="recordings">
      <PageHead title={t("common.nav_recordings")}>
        <Segmented label={t("recordings.view")} value={filters.view} onChange={(view) => set({ view })} options={[{ key: "files", label: t("recordings.files") }, { key: "ranges", label: t("recordings.ranges") }]} />
        <Button icon={<RotateCw size={15} />} label={t("common.refresh")} onClick={() => setRound((n) => n + 1)} />
      </PageHead>
      <div className="filters">
        <Select label={t("common.camera")} hideLabel value={filters.camera} onChange={(e) => set({ camera: e.target.value })}>
          <option value="">{t("common.all_cameras")}</option>
          {filters.camera && !names.has(filters.camera) && <option value={filters.camera}>{filters.camera}</option>}
          {cameras.data?.map((c) => <option key={c.id} value={c.id}>{c.name}</option>)}
        </Select>
        <div className="day-field">
          <Button icon={<ChevronLeft size={16} />} label={t("recordings.previous_day")} onClick={() => step(-1)} />
          <TextField label={t("recordings.day")} hideLabel type="date" max={today} value={filters.day} onChange={(e) => set({ day: e.target.value })} />
          <Button icon={<ChevronRight size={16} />} label={t("recordings.next_day")} disabled={!filters.day || filters.day >= today} onClick={() => step(1)} />
        </div>
        {filters.view === "files" && (
          <Select label={t("recordings.mark")} hideLabel value={filters.mark} onChange={(e) => set({ mark: e.target.value as Mark })}>
            {MARKS.map((mark) => <option key={mark} value={mark}>{t(`recordings.mark_${mark}`)}</option>)}
          </Select>
        )}
        {(filters.camera || filters.day || filters.mark !== "all") && <Button kind="ghost" onClick={() => set({ camera: "", day: "", mark: "all" })}>{t("recordings.clear")}</Button>}
      </div>
      {cameras.error && !cameras.data ? (
        <ErrorNote error={cameras.error} onRetry={() => void cameras.reload()} />
      ) : cameras.data && !chosen.length ? (
        <Empty icon={<Film size={22} />} title={t("recordings.none")} />
      ) : cameras.data ? (
        filters.view === "files" ? <Files key={`${writeFilters(filters)} ${chosen.join()} ${round}`} {...{ filters, names }} cameras={chosen} onClear={() => set({ camera: "", day: "", mark: "all" })} /> : <Ranges key={round} {...{ filters, names }} cameras={chosen} />
      ) : null}
    </div>
  );
}
