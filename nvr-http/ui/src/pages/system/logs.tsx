import { Pause, Play } from "lucide-react";
import { useEffect, useRef, useState } from "react";
import { useLocation, useSearch } from "wouter";
import { useCameras } from "~/api/cameras";
import { ApiError, ask, url } from "~/api/client";
import { Unavailable } from "~/components/absent";
import { Button } from "~/components/button";
import { Select, TextField } from "~/components/field";
import { Badge, Card } from "~/components/misc";
import { useT } from "~/i18n";
import { dateFormat } from "~/lib/format";
import { Detail } from "./detail";
import { LEVELS, type Level, type Line, matches, readLine, withLines } from "./lines";

/** The log as it is written, from the last lines on; of all, or of the camera in the address (`/system?log=front`). */
export function Logs() {
  const t = useT();
  const [, go] = useLocation();
  const camera = new URLSearchParams(useSearch()).get("log") ?? "";
  const cameras = useCameras();
  const [level, setLevel] = useState<Level>("info");
  const [words, setWords] = useState("");
  const [paused, setPaused] = useState(false);
  const [lines, setLines] = useState<Line[]>([]);
  const [held, setHeld] = useState(0);
  const [error, setError] = useState<ApiError | null>(null);
  const [live, setLive] = useState(false);
  const waiting = useRef<Line[]>([]);
  const isPaused = useRef(false);
  isPaused.current = paused;
  const box = useRef<HTMLDivElement>(null);
  const atEnd = useRef(true);

  useEffect(() => {
    const controller = new AbortController();
    let source: EventSource | null = null;
    setLines([]);
    waiting.current = [];
    const take = (value: unknown) => {
      const line = readLine(value);
      if (line) waiting.current.push(line);
    };
    const path = camera ? `/cameras/${encodeURIComponent(camera)}/logs` : "/logs";
    ask<{ records?: unknown[]; last?: number }>(path, { signal: controller.signal, query: { level, limit: 500 } }).then(
      (answer) => {
        if (controller.signal.aborted) return;
        setError(null);
        const first = (answer.records ?? []).map(readLine).filter((l): l is Line => l !== null);
        setLines(first);
        source = new EventSource(url(path, { level, after: answer.last ?? null }));
        source.onopen = () => setLive(true);
        source.onerror = () => setLive(false);
        const heard = (e: MessageEvent<string>) => {
          try {
            take(JSON.parse(e.data));
          } catch {
            // Not a line.
          }
        };
        source.addEventListener("log", heard as (e: Event) => void);
      },
      (e: unknown) => !controller.signal.aborted && setError(e as ApiError),
    );
    // Many lines at once are drawn once.
    const timer = setInterval(() => {
      if (isPaused.current) return setHeld(waiting.current.length);
      setHeld(0);
      if (!waiting.current.length) return;
      const fresh = waiting.current;
      waiting.current = [];
      setLines((old) => withLines(old, fresh));
    }, 250);
    return () => {
      controller.abort();
      source?.close();
      clearInterval(timer);
      setLive(false);
    };
  }, [level, camera]);

  useEffect(() => {
    if (camera) box.current?.closest(".card")?.scrollIntoView({ block: "nearest" });
  }, [camera]);

  useEffect(() => {
    if (box.current && atEnd.current) box.current.scrollTop = box.current.scrollHeight;
  }, [lines, words]);

  const shown = lines.filter((line) => matches(line, level, words));
  return (
    <Card
      title={t("system.logs")}
      className="logs"
      tools={!error && <Badge tone={paused ? "warn" : live ? "good" : "none"} dot>{paused ? t("system.paused", { n: held }) : live ? t("system.live") : t("system.not_live")}</Badge>}
    >
      {error ? (
        <Unavailable error={error} what={t("system.logs_absent")} />
      ) : (
        <>
          <div className="filters card-filters">
            <Select label={t("system.level")} hideLabel value={level} onChange={(e) => setLevel(e.target.value as Level)}>
              {LEVELS.map((l) => <option key={l} value={l}>{t(`system.level_${l}`)}</option>)}
            </Select>
            <Select label={t("common.camera")} hideLabel value={camera} onChange={(e) => go(e.target.value ? `/system?log=${encodeURIComponent(e.target.value)}` : "/system", { replace: true })}>
              <option value="">{t("system.all_logs")}</option>
              {cameras.data?.map((c) => <option key={c.id} value={c.id}>{c.name}</option>)}
              {camera && cameras.data && !cameras.data.some((c) => c.id === camera) && <option value={camera}>{camera}</option>}
            </Select>
            <TextField label={t("system.find")} hideLabel type="search" placeholder={t("system.find")} value={words} onChange={(e) => setWords(e.target.value)} />
            <Button icon={paused ? <Play size={15} /> : <Pause size={15} />} pressed={paused} onClick={() => setPaused(!paused)}>{paused ? t("system.go_on") : t("system.pause")}</Button>
          </div>
          <Detail />
          <div
            ref={box}
            className="log-lines mono"
            role="log"
            aria-live="off"
            aria-label={t("system.logs")}
            tabIndex={0}
            onScroll={(e) => {
              const b = e.currentTarget;
              atEnd.current = b.scrollHeight - b.scrollTop - b.clientHeight < 40;
            }}
          >
            {shown.length ? (
              shown.slice(-1000).map((line) => (
                <div key={line.key} className={`log-line log-${line.level}`}>
                  <time dateTime={line.at}>{line.at && !Number.isNaN(Date.parse(line.at)) ? dateFormat({ hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3 }).format(new Date(line.at)) : line.at}</time>
                  <b>{line.level}</b>
                  <span>{line.target && <i>{line.target} </i>}{line.text}</span>
                </div>
              ))
            ) : (
              <p className="muted">{t("system.no_lines")}</p>
            )}
          </div>
        </>
      )}
    </Card>
  );
}
