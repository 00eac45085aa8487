import { ChartNoAxesColumn, ChevronLeft, ChevronRight, Maximize, Plus } from "lucide-react";
import { type KeyboardEvent, type PointerEvent, useCallback, useEffect, useLayoutEffect, useRef, useState } from "react";
import { Link, useSearchParams } from "wouter";
import { useCameras } from "~/api/cameras";
import { usePushes } from "~/api/pushes";
import { useMay } from "~/api/session";
import { Button } from "~/components/button";
import { Empty, ErrorNote, PageHead, Spinner } from "~/components/misc";
import { Segmented } from "~/components/tabs";
import { useT } from "~/i18n";
import { remembered, useStore } from "~/lib/store";
import { type LayoutChoice, type Place, cells, layOut, moved, ordered } from "./grid";
import { Tile, fullScreen } from "./tile";

const GAP = 4;
const LAYOUTS: LayoutChoice[] = ["1", "4", "9", "16", "fit"];
const layoutChosen = remembered<LayoutChoice>("live.layout", "fit", (v) => (LAYOUTS.includes(v as LayoutChoice) ? (v as LayoutChoice) : null));
const order = remembered<string[]>("live.order", [], (v) => (Array.isArray(v) && v.every((x) => typeof x === "string") ? v : null));
const statsShown = remembered("live.stats", false, (v) => (typeof v === "boolean" ? v : null));

export default function LivePage() {
  const t = useT();
  const { data, error, reload } = useCameras();
  const layout = useStore(layoutChosen);
  const stats = useStore(statsShown);
  const sorted = ordered((data ?? []).filter((c) => c.enabled), useStore(order));
  // In the address, so that Back returns to all of them, and loading again does not.
  const [search, setSearch] = useSearchParams();
  const alone = search.get("camera");
  const setAlone = (id: string | null) => id !== alone && setSearch(id ? { camera: id } : {});
  const [page, setPage] = useState(0);
  const [sound, setSound] = useState<string | null>(null);
  const grid = useRef<HTMLDivElement>(null);
  const administers = useMay("admin");
  const pushes = usePushes(useMay("operator"));

  const single = sorted.find((c) => c.id === alone);
  const perPage = single ? 1 : cells(layout, sorted.length);
  const pages = Math.max(1, Math.ceil(sorted.length / perPage));
  const shownPage = Math.min(page, pages - 1);
  const shown = single ? [single] : sorted.slice(shownPage * perPage, (shownPage + 1) * perPage);
  const { columns, tile } = layOut(single ? "1" : layout, shown.length, pages > 1, usePlace(grid), GAP);
  const { dragged, grab, move, message } = useReorder(sorted.map((c) => c.id), sorted, columns);

  const back = useRef(() => {});
  back.current = () => setAlone(null);
  useEffect(() => {
    const onKey = (e: globalThis.KeyboardEvent) => {
      // A dialog over the picture is what it closes first.
      if (e.key === "Escape" && !document.fullscreenElement && !document.querySelector("dialog[open]")) back.current();
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);
  const title = [single?.name, t("common.nav_live"), "nvr"].filter(Boolean).join(" · ");
  useEffect(() => {
    document.title = title;
  }, [title]);

  return (
    <div className="live">
      <PageHead title={t("common.nav_live")}>
        {!single && pages > 1 && (
          <div className="row live-pages">
            <Button kind="ghost" size="small" icon={<ChevronLeft size={16} />} label={t("live.previous")} disabled={shownPage === 0} onClick={() => setPage(shownPage - 1)} />
            <span className="muted">{t("live.page_of", { page: shownPage + 1, pages })}</span>
            <Button kind="ghost" size="small" icon={<ChevronRight size={16} />} label={t("live.next")} disabled={shownPage === pages - 1} onClick={() => setPage(shownPage + 1)} />
          </div>
        )}
        {single && <Button size="small" icon={<ChevronLeft size={15} />} onClick={() => setAlone(null)}>{t("live.all")}</Button>}
        <Segmented
          label={t("live.layout")}
          value={single ? "1" : layout}
          onChange={(key) => {
            setAlone(null);
            setPage(0);
            layoutChosen.set(key);
          }}
          options={LAYOUTS.map((key) => ({ key, label: key === "fit" ? t("live.layout_fit") : key, title: key === "fit" ? t("live.layout_fit_title") : t("live.layout_n", { n: Number(key) }) }))}
        />
        <Button icon={<ChartNoAxesColumn size={16} />} label={t("live.stats")} pressed={stats} onClick={() => statsShown.set(!stats)} />
        <Button icon={<Maximize size={16} />} label={t("live.full_screen")} onClick={() => fullScreen(grid.current)} />
      </PageHead>
      {error && !data && <ErrorNote error={error} onRetry={() => void reload()} />}
      {!data && !error && <div className="center"><Spinner /></div>}
      {data && !sorted.length && (
        <Empty title={t("live.no_cameras")}>
          <p>{t("live.no_cameras_text")}</p>
          {administers && <Link href="/settings" className="button button-primary"><Plus size={16} />{t("live.add_camera")}</Link>}
        </Empty>
      )}
      <div ref={grid} className={`live-grid live-grid-${single ? "1" : layout}`} style={{ gridTemplateColumns: `repeat(${columns}, ${tile ? `${tile}px` : "minmax(0, 1fr)"})`, ...(tile && { gridAutoRows: `${(tile * 9) / 16}px` }), gap: GAP }}>
        {shown.map((camera) => (
          <Tile
            key={camera.id}
            camera={camera}
            stats={stats}
            sound={sound === camera.id}
            onSound={(on) => setSound(on ? camera.id : null)}
            large={shown.length === 1}
            alone={camera.id === alone}
            onAlone={() => setAlone(camera.id === alone ? null : camera.id)}
            pushes={pushes}
            onGrab={(e) => grab(e, camera.id)}
            onMove={(e) => move(e, camera.id)}
            dragged={dragged === camera.id}
          />
        ))}
      </div>
      <p className="hidden" aria-live="assertive">{message}</p>
    </div>
  );
}

function usePlace(grid: { current: HTMLElement | null }): Place {
  const [place, setPlace] = useState<Place>({ width: 0, height: 0, scrolls: false });
  useLayoutEffect(() => {
    const element = grid.current;
    if (!element) return;
    // As in the style sheet.
    const phone = matchMedia("(max-width: 720px)");
    const observer = new ResizeObserver(([entry]) => {
      if (entry) setPlace({ width: entry.contentRect.width, height: entry.contentRect.height, scrolls: phone.matches && document.fullscreenElement !== element });
    });
    observer.observe(element);
    return () => observer.disconnect();
  }, [grid]);
  return place;
}

/** Moving tiles, by dragging their handle (mouse, finger, pen) or with the arrow keys on it. */
function useReorder(ids: string[], cameras: { id: string; name: string }[], columns: number) {
  const t = useT();
  const [dragged, setDragged] = useState<string | null>(null);
  const [message, setMessage] = useState("");
  const latest = useRef(ids);
  latest.current = ids;

  const grab = useCallback((e: PointerEvent, id: string) => {
    if (e.button !== 0) return;
    const handle = e.currentTarget;
    handle.setPointerCapture(e.pointerId);
    setDragged(id);
    const onMove = (e: Event) => {
      const { clientX, clientY } = e as globalThis.PointerEvent;
      const over = document.elementsFromPoint(clientX, clientY).find((x) => x.closest("[data-camera]"))?.closest<HTMLElement>("[data-camera]")?.dataset["camera"];
      if (over && over !== id) order.set(moved(latest.current, id, latest.current.indexOf(over)));
    };
    const onEnd = () => {
      setDragged(null);
      handle.removeEventListener("pointermove", onMove);
      handle.removeEventListener("lostpointercapture", onEnd);
    };
    handle.addEventListener("pointermove", onMove);
    handle.addEventListener("lostpointercapture", onEnd);
  }, []);

  const move = (e: KeyboardEvent, id: string) => {
    const step = { ArrowLeft: -1, ArrowUp: -columns, ArrowRight: 1, ArrowDown: columns }[e.key];
    if (!step) return;
    e.preventDefault();
    const to = Math.max(0, Math.min(ids.length - 1, ids.indexOf(id) + step));
    order.set(moved(ids, id, to));
    setMessage(t("live.moved", { camera: cameras.find((c) => c.id === id)?.name ?? id, n: to + 1 }));
    // React moves the element, and a moved element loses focus.
    const handle = e.currentTarget as HTMLElement;
    requestAnimationFrame(() => handle.focus());
  };
  return { dragged, grab, move, message };
}
