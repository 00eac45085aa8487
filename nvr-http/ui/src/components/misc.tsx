import { TriangleAlert } from "lucide-react";
import type { ReactNode } from "react";
import type { ApiError } from "~/api/client";
import type { CameraState } from "~/api/types";
import { useT } from "~/i18n";
import { percent } from "~/lib/format";
import { Button } from "./button";

/** How far something is: 0 to 1, or null when that is not known. */
export function Progress({ value, label }: { value: number | null; label: string }) {
  return (
    <progress className="progress" aria-label={label} max={1} {...(value === null ? {} : { value })}>
      {value === null ? null : percent(value)}
    </progress>
  );
}

export function Spinner({ label }: { label?: string }) {
  const t = useT();
  return (
    <span className="spinner" role="status">
      <span className="hidden">{label ?? t("common.loading")}</span>
    </span>
  );
}

const TONES: Record<CameraState, string> = { recording: "good", standby: "none", connecting: "warn", stalled: "warn", backing_off: "warn", failed: "error", stopped: "none" };

export function StateBadge({ state }: { state: CameraState }) {
  const t = useT();
  return <Badge tone={TONES[state]} dot>{t(`common.state_${state}`)}</Badge>;
}

export function Badge({ tone = "none", dot, children }: { tone?: string; dot?: boolean; children: ReactNode }) {
  return <span className={`badge tone-${tone}`}>{dot && <i className="dot" />}{children}</span>;
}

/** What a page shows when there is nothing to show. */
export function Empty({ icon, title, children }: { icon?: ReactNode; title: string; children?: ReactNode }) {
  return (
    <div className="empty">
      {icon}
      <p className="empty-title">{title}</p>
      {children && <div className="empty-text">{children}</div>}
    </div>
  );
}

/** An error where the data would be. */
export function ErrorNote({ error, onRetry }: { error: ApiError; onRetry?(): void }) {
  const t = useT();
  return (
    <div className="note note-bad" role="alert">
      <TriangleAlert size={16} aria-hidden />
      <div>
        <p>{error.kind === "offline" ? t("common.offline_title") : error.message}</p>
        {error.hint && <p className="muted">{error.hint}</p>}
      </div>
      {onRetry && <Button size="small" onClick={onRetry}>{t("common.retry")}</Button>}
    </div>
  );
}

/** Head of a page: title, what can be done, and the content below. */
export function PageHead({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <header className="page-head">
      <h1>{title}</h1>
      <div className="page-tools">{children}</div>
    </header>
  );
}

/** A box with a heading. */
export function Card({ title, tools, children, className = "" }: { title?: ReactNode; tools?: ReactNode; children: ReactNode; className?: string }) {
  return (
    <section className={`card ${className}`}>
      {title && (
        <header className="card-head">
          <h2>{title}</h2>
          {tools}
        </header>
      )}
      {children}
    </section>
  );
}
