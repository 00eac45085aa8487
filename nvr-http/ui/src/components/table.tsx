import { ArrowDown, ArrowUp } from "lucide-react";
import { type ReactNode, useState } from "react";
import { useEdges } from "~/lib/edges";

export interface Column<T> {
  key: string;
  label: ReactNode;
  cell(row: T): ReactNode;
  /** Sorts by it when its head is clicked. */
  sort?(row: T): number | string;
  align?: "end";
  /** Left out on narrow displays. */
  wideOnly?: boolean;
}

/** A table that can be sorted; on narrow displays each row is a list of its own, with the names of the columns. */
export function Table<T>({ caption, columns, rows, rowKey, empty }: { caption: string; columns: Column<T>[]; rows: T[]; rowKey(row: T): string | number; empty?: ReactNode }) {
  const [by, setBy] = useState<{ key: string; down: boolean } | null>(null);
  const box = useEdges<HTMLDivElement>();
  const sort = columns.find((c) => c.key === by?.key)?.sort;
  const sorted = sort
    ? [...rows].sort((a, b) => {
        const [x, y] = [sort(a), sort(b)];
        return (x < y ? -1 : x > y ? 1 : 0) * (by?.down ? -1 : 1);
      })
    : rows;
  if (!rows.length && empty) return <>{empty}</>;
  return (
    <div ref={box} className="table-scroll edges" tabIndex={0} role="region" aria-label={caption}>
      <table className="table table-stack">
        <caption className="hidden">{caption}</caption>
        <thead>
          <tr>
            {columns.map((c) => {
              const now = by?.key === c.key ? by : null;
              return (
                <th key={c.key} scope="col" className={[c.align && "end", c.wideOnly && "wide-only"].filter(Boolean).join(" ")} aria-sort={now ? (now.down ? "descending" : "ascending") : undefined}>
                  {c.sort ? (
                    <button type="button" className="table-sort" onClick={() => setBy({ key: c.key, down: now ? !now.down : false })}>
                      {c.label}
                      {now && (now.down ? <ArrowDown size={12} /> : <ArrowUp size={12} />)}
                    </button>
                  ) : (
                    c.label
                  )}
                </th>
              );
            })}
          </tr>
        </thead>
        <tbody>
          {sorted.map((row) => (
            <tr key={rowKey(row)}>
              {columns.map((c) => (
                <td key={c.key} data-label={typeof c.label === "string" ? c.label : undefined} className={[c.align && "end", c.wideOnly && "wide-only"].filter(Boolean).join(" ")}>{c.cell(row)}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
