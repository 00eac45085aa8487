import { useEffect, useState } from "react";
import { useT } from "~/i18n";
import { bitRate, number } from "~/lib/format";
import { useStore } from "~/lib/store";
import { PATH_NAMES, type Path, type Sample } from "~/live/driver";
import type { LiveView } from "~/live/view";

interface Shown {
  sample: Sample;
  /** Bits and frames in the last second; null as long as there is nothing to compare with. */
  bits: number | null;
  fps: number | null;
}

/** What the path in use does, measured each second. */
export function Figures({ view }: { view: LiveView }) {
  const t = useT();
  const { path, stream, hasSub, reasons } = useStore(view.state);
  const [shown, setShown] = useState<Shown | null>(null);
  useEffect(() => {
    let before: { at: number; sample: Sample } | null = null;
    const look = async () => {
      const sample = await view.figures().catch(() => null);
      if (!sample) return setShown(null);
      const at = performance.now();
      const seconds = before ? (at - before.at) / 1000 : 0;
      const rate = (now: number | null, then: number | null | undefined) => (now !== null && typeof then === "number" && seconds > 0 && now >= then ? (now - then) / seconds : null);
      const bytes = rate(sample.bytes, before?.sample.bytes);
      setShown({ sample, bits: bytes === null ? null : bytes * 8, fps: rate(sample.frames, before?.sample.frames) });
      before = { at, sample };
    };
    void look();
    const timer = setInterval(() => void look(), 1000);
    return () => clearInterval(timer);
  }, [view, path]);

  const milliseconds = (seconds: number | null) => (seconds === null ? "–" : `${number(seconds * 1000)} ms`);
  const sample = shown?.sample;
  const rows: [string, string][] = [
    [t("live.stat_path"), path ? PATH_NAMES[path] : "–"],
    ...(hasSub ? [[t("live.stat_stream"), t(`live.stream_${stream}`)] as [string, string]] : []),
    [t("live.stat_size"), sample?.width ? `${sample.width} × ${sample.height}` : "–"],
    [t("live.stat_fps"), shown?.fps == null ? "–" : t("live.fps", { n: number(shown.fps, 1) })],
    [t("live.stat_rate"), shown?.bits == null ? "–" : bitRate(shown.bits)],
    [t("live.stat_delay"), milliseconds(sample?.latency ?? null)],
    [t("live.stat_rtt"), milliseconds(sample?.roundTrip ?? null)],
    [t("live.stat_lost"), sample?.lost == null ? "–" : number(sample.lost)],
  ];
  return (
    <dl className="figures" tabIndex={0} aria-label={t("live.stats")}>
      {rows.map(([name, value]) => (
        <div key={name}><dt>{name}</dt><dd>{value}</dd></div>
      ))}
      {(Object.entries(reasons) as [Path, string][]).filter(([p]) => p !== path).map(([p, why]) => (
        <div key={p} className="figures-why"><dt>{t("live.stat_why", { path: PATH_NAMES[p] })}</dt><dd>{why}</dd></div>
      ))}
    </dl>
  );
}
