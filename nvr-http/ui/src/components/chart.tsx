import { Table2, ChartColumn } from "lucide-react";
import { type ReactNode, type RefObject, useEffect, useId, useLayoutEffect, useRef, useState } from "react";
import { useT } from "~/i18n";
import { useEdges } from "~/lib/edges";
import { area, line, niceMax, ticks } from "~/lib/plot";
import { Button } from "./button";

/** The colour of the nth thing; things beyond the eighth share colours. */
export const colour = (n: number): string => `var(--c${(n % 8) + 1})`;

export interface Series {
  key: string;
  label: string;
  colour: string;
  values: (number | null)[];
}

function useWidth(element: RefObject<HTMLElement | null>): number {
  const [width, setWidth] = useState(0);
  useLayoutEffect(() => {
    if (element.current) setWidth(element.current.clientWidth);
  }, [element]);
  useEffect(() => {
    const now = element.current;
    if (!now || typeof ResizeObserver === "undefined") return;
    const sizes = new ResizeObserver(() => setWidth(now.clientWidth));
    sizes.observe(now);
    return () => sizes.disconnect();
  }, [element]);
  return width;
}

/** A plot with a heading and a legend, which can be had as a table of the same numbers. */
export function Figure({ title, tools, series, labels, format, head, children }: { title: string; tools?: ReactNode; series: Series[]; labels: string[]; format(value: number): string; head: string; children: ReactNode }) {
  const t = useT();
  const [table, setTable] = useState(false);
  const box = useEdges<HTMLDivElement>();
  return (
    <section className="card figure">
      <header className="card-head">
        <h2>{title}</h2>
        <div className="row">
          {tools}
          <Button size="small" kind="ghost" icon={table ? <ChartColumn size={15} /> : <Table2 size={15} />} label={table ? t("common.as_plot") : t("common.as_table")} onClick={() => setTable(!table)} />
        </div>
      </header>
      {table ? (
        <div ref={box} className="table-scroll figure-table edges" tabIndex={0} role="region" aria-label={title}>
          <table className="table">
            <caption className="hidden">{title}</caption>
            <thead>
              <tr>
                <th scope="col">{head}</th>
                {series.map((s) => <th key={s.key} scope="col" className="end">{s.label}</th>)}
              </tr>
            </thead>
            <tbody>
              {labels.map((label, n) => (
                <tr key={label}>
                  <th scope="row">{label}</th>
                  {series.map((s) => <td key={s.key} className="end">{s.values[n] == null ? "–" : format(s.values[n])}</td>)}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      ) : (
        <div className="figure-body">
          {series.length > 1 && <Legend series={series} />}
          {children}
        </div>
      )}
    </section>
  );
}

export function Legend({ series }: { series: { key: string; label: string; colour: string }[] }) {
  return (
    <ul className="legend">
      {series.map((s) => (
        <li key={s.key}><i style={{ background: s.colour }} />{s.label}</li>
      ))}
    </ul>
  );
}

const LEFT = 56;
const BOTTOM = 20;

/** What is under the pointer, or chosen by arrow keys. */
function useHover(count: number) {
  const [at, setAt] = useState<number | null>(null);
  return {
    at: at === null || at >= count ? null : at,
    keys: {
      tabIndex: 0,
      onBlur: () => setAt(null),
      onKeyDown: (e: React.KeyboardEvent) => {
        const to = { ArrowRight: Math.min(count - 1, (at ?? -1) + 1), ArrowLeft: Math.max(0, (at ?? count) - 1), Home: 0, End: count - 1 }[e.key];
        if (to === undefined) return;
        e.preventDefault();
        setAt(to);
      },
    },
    over: (n: number | null) => setAt(n),
  };
}

function Tip({ x, width, label, rows }: { x: number; width: number; label: string; rows: { label: string; value: string; colour: string }[] }) {
  return (
    <div className="tip" role="status" style={x > width / 2 ? { right: width - x + 10 } : { left: x + 10 }}>
      <b>{label}</b>
      {rows.map((row) => (
        <span key={row.label}><i style={{ background: row.colour }} />{row.label}<em>{row.value}</em></span>
      ))}
    </div>
  );
}

function Axis({ max, width, height, format, unit }: { max: number; width: number; height: number; format(value: number): string; unit?: number }) {
  const y = (v: number) => height - BOTTOM - (v / max) * (height - BOTTOM - 8);
  return (
    <g className="axis">
      {ticks(max, unit).map((v) => (
        <g key={v}>
          <line x1={LEFT} x2={width} y1={y(v)} y2={y(v)} />
          <text x={LEFT - 8} y={y(v) + 4} textAnchor="end">{format(v)}</text>
        </g>
      ))}
    </g>
  );
}

/** Bars over labels, series stacked. */
export function Bars({ title, series, labels, shown, format, height = 180, unit }: { title: string; series: Series[]; labels: string[]; shown?: string[]; format(value: number): string; height?: number; unit?: number }) {
  const box = useRef<HTMLDivElement>(null);
  const width = useWidth(box);
  const hover = useHover(labels.length);
  const sums = labels.map((_, n) => series.reduce((sum, s) => sum + (s.values[n] ?? 0), 0));
  const max = niceMax(Math.max(...sums, 0), unit);
  const step = Math.max(1, (width - LEFT) / Math.max(1, labels.length));
  const bar = Math.max(2, Math.min(30, step * 0.66));
  const tall = height - BOTTOM - 8;
  const every = Math.max(1, Math.ceil(52 / step));
  return (
    <div className="plot" ref={box} role="group" aria-label={title} {...hover.keys}>
      {width > 0 && (
        <svg width={width} height={height} role="img" aria-label={title} onPointerLeave={() => hover.over(null)}>
          <Axis max={max} width={width} height={height} format={format} {...(unit ? { unit } : {})} />
          {labels.map((label, n) => {
            let top = height - BOTTOM;
            const x = LEFT + step * n + step / 2;
            return (
              <g key={label} onPointerEnter={() => hover.over(n)} onPointerDown={() => hover.over(n)}>
                <rect x={LEFT + step * n} y={0} width={step} height={height - BOTTOM} className={hover.at === n ? "plot-here" : "plot-hit"} />
                {series.map((s) => {
                  const h = ((s.values[n] ?? 0) / max) * tall;
                  if (h <= 0) return null;
                  top -= h;
                  return <rect key={s.key} x={x - bar / 2} y={top} width={bar} height={Math.max(0.75, h - 0.5)} rx={Math.min(2, h / 2)} fill={s.colour} />;
                })}
                {(labels.length - 1 - n) % every === 0 && <text className="plot-label" x={x} y={height - 5} textAnchor="middle">{shown?.[n] ?? label}</text>}
              </g>
            );
          })}
        </svg>
      )}
      {hover.at !== null && (
        <Tip x={LEFT + step * hover.at + step / 2} width={width} label={labels[hover.at] ?? ""} rows={series.map((s) => ({ label: s.label, colour: s.colour, value: s.values[hover.at ?? 0] == null ? "–" : format(s.values[hover.at ?? 0] ?? 0) }))} />
      )}
    </div>
  );
}

/** Lines over time; `max` is the least that the axis reaches. */
export function Lines({ title, series, labels, shown, format, height = 150, max: least = 0, fill = true }: { title: string; series: Series[]; labels: string[]; shown?: string[]; format(value: number): string; height?: number; max?: number; fill?: boolean }) {
  const id = useId();
  const box = useRef<HTMLDivElement>(null);
  const width = useWidth(box);
  const hover = useHover(labels.length);
  const max = niceMax(Math.max(least, ...series.flatMap((s) => s.values.map((v) => v ?? 0))));
  const step = (width - LEFT) / Math.max(1, labels.length - 1);
  const x = (n: number) => LEFT + step * n;
  const y = (v: number) => height - BOTTOM - (v / max) * (height - BOTTOM - 8);
  return (
    <div className="plot" ref={box} role="group" aria-label={title} {...hover.keys}>
      {width > 0 && (
        <svg
          width={width}
          height={height}
          role="img"
          aria-label={title}
          onPointerLeave={() => hover.over(null)}
          onPointerMove={(e) => {
            const n = Math.round((e.clientX - e.currentTarget.getBoundingClientRect().left - LEFT) / step);
            hover.over(Math.max(0, Math.min(labels.length - 1, n)));
          }}
        >
          <Axis max={max} width={width} height={height} format={format} />
          {series.map((s) => (
            <g key={s.key}>
              {fill && series.length === 1 && <path d={area(s.values, x, y, height - BOTTOM)} fill={s.colour} opacity={0.14} />}
              <path id={`${id}-${s.key}`} d={line(s.values, x, y)} fill="none" stroke={s.colour} strokeWidth={1.6} strokeLinejoin="round" />
            </g>
          ))}
          {[0, 0.5, 1].map((part) => {
            const n = Math.round((labels.length - 1) * part);
            return labels[n] ? <text key={part} className="plot-label" x={Math.max(LEFT, x(n))} y={height - 5} textAnchor={part === 0 ? "start" : part === 1 ? "end" : "middle"}>{shown?.[n] ?? labels[n]}</text> : null;
          })}
          {hover.at !== null && <line className="plot-cursor" x1={x(hover.at)} x2={x(hover.at)} y1={4} y2={height - BOTTOM} />}
        </svg>
      )}
      {hover.at !== null && labels[hover.at] && (
        <Tip x={x(hover.at)} width={width} label={labels[hover.at] ?? ""} rows={series.map((s) => ({ label: s.label, colour: s.colour, value: s.values[hover.at ?? 0] == null ? "–" : format(s.values[hover.at ?? 0] ?? 0) }))} />
      )}
    </div>
  );
}

/** A line so small that it stands beside a number. Its numbers are told elsewhere. */
export function Spark({ values, max: least = 0, colour: stroke = "var(--c1)", width = 96, height = 26 }: { values: (number | null)[]; max?: number; colour?: string; width?: number; height?: number }) {
  const max = Math.max(least, ...values.map((v) => v ?? 0)) || 1;
  const x = (n: number) => (values.length > 1 ? (n / (values.length - 1)) * width : 0);
  const y = (v: number) => height - 2 - (v / max) * (height - 4);
  return (
    <svg className="spark" width={width} height={height} viewBox={`0 0 ${width} ${height}`} preserveAspectRatio="none" aria-hidden>
      <path d={area(values, x, y, height)} fill={stroke} opacity={0.14} />
      <path d={line(values, x, y)} fill="none" stroke={stroke} strokeWidth={1.5} vectorEffect="non-scaling-stroke" />
    </svg>
  );
}

export interface Part {
  key: string;
  label: string;
  value: number;
  colour: string;
}

/** What a whole is made of, as one bar with its legend. */
export function Whole({ label, parts, format, mark }: { label: string; parts: Part[]; format(value: number): string; mark?: { at: number; label: string } | undefined }) {
  const whole = parts.reduce((sum, p) => sum + p.value, 0) || 1;
  return (
    <div className="whole">
      <div className="whole-bar" role="img" aria-label={`${label}: ${parts.map((p) => `${p.label} ${format(p.value)}`).join(", ")}`}>
        {parts.map((p) => (p.value > 0 ? <i key={p.key} style={{ flexGrow: p.value / whole, background: p.colour }} title={`${p.label}: ${format(p.value)}`} /> : null))}
        {mark && <u style={{ left: `${mark.at * 100}%` }} title={mark.label} />}
      </div>
      <ul className="legend">
        {parts.map((p) => (
          <li key={p.key}><i style={{ background: p.colour }} />{p.label} <b>{format(p.value)}</b></li>
        ))}
      </ul>
    </div>
  );
}
