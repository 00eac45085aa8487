import { RotateCcw } from "lucide-react";
import { useId, useState } from "react";
import { Button } from "~/components/button";
import { useT } from "~/i18n";
import { type Draft, type Field, KEPT, title } from "./schema";

const ABOUT_UNITS = ["duration", "age", "size", "share"] as const;

/** A key of the configuration: its name and what it is about, and the control. */
export function FieldRow({ field, path, draft, changed, error, hint, onChange, place }: { field: Field; path: string; draft: Draft; changed: boolean; error: string | null; hint?: string | null; onChange(draft: Draft): void; place?: string }) {
  const t = useT();
  const id = useId();
  const described = [`${id}-about`, error && `${id}-error`].filter(Boolean).join(" ");
  const fallback = field.fallback === undefined || field.fallback === null ? "" : String(field.fallback);
  const common = { id, "aria-describedby": described, "aria-invalid": error ? true : undefined, "data-path": path };
  const units = ABOUT_UNITS.find((u) => u === field.kind);
  return (
    <div className="setting" data-changed={changed || undefined}>
      <div className="setting-about">
        <label htmlFor={id}>{place && <span className="muted">{place} · </span>}{title(field.key)}{field.required && <span className="muted"> *</span>}</label>
        <p id={`${id}-about`}>
          <Marked text={field.about} />
          {field.kind === "list" && <> <span className="nowrap">{t("settings.unit_list")}</span></>}
          {units && <> <span className="nowrap">{t(`settings.unit_${units}`)}</span></>}
        </p>
      </div>
      <div className="setting-control">
        <div className="setting-line">
          {field.kind === "boolean" && typeof field.fallback !== "boolean" ? (
            <select {...common} className="input select" value={draft === null ? "" : String(draft === true)} onChange={(e) => onChange(e.target.value === "" ? null : e.target.value === "true")}>
              <option value="">{t("settings.elsewhere")}</option>
              <option value="true">{t("settings.on")}</option>
              <option value="false">{t("settings.off")}</option>
            </select>
          ) : field.kind === "boolean" ? (
            <label className="switch">
              <input {...common} type="checkbox" role="switch" checked={draft === null ? field.fallback === true : draft === true} onChange={(e) => onChange(e.target.checked)} />
              <span>{(draft === null ? field.fallback === true : draft === true) ? t("settings.on") : t("settings.off")}</span>
            </label>
          ) : field.kind === "choice" ? (
            <select {...common} className="input select" value={draft === null ? "" : String(draft)} onChange={(e) => onChange(e.target.value || null)}>
              {!field.required && <option value="">{fallback ? t("settings.default", { value: fallback }) : "–"}</option>}
              {field.choices.map((c) => <option key={c.value} value={c.value}>{c.value}{c.about && ` – ${c.about.replace(/\.$/, "")}`}</option>)}
            </select>
          ) : field.kind === "list" ? (
            <textarea {...common} className="input setting-list" rows={3} autoComplete="off" spellCheck={false} placeholder="[]" value={draft === null ? "" : String(draft)} onChange={(e) => onChange(e.target.value === "" ? null : e.target.value)} />
          ) : field.secret ? (
            <SecretInput {...common} draft={draft} onChange={onChange} />
          ) : (
            <input {...common} className="input" type="text" inputMode={field.kind === "number" ? "decimal" : undefined} autoComplete="off" spellCheck={false} placeholder={fallback ? t("settings.default", { value: fallback }) : ""} value={draft === null ? "" : String(draft)} onChange={(e) => onChange(e.target.value === "" ? null : e.target.value)} />
          )}
          {draft !== null && !field.required && !field.secret && <Button kind="ghost" size="small" icon={<RotateCcw size={13} />} label={t("settings.reset", { field: title(field.key) })} onClick={() => onChange(null)} />}
        </div>
        {error && <p className="field-error" id={`${id}-error`} role="alert">{error}{hint && <span className="muted">{"\n"}{hint}</span>}</p>}
      </div>
    </div>
  );
}

/** A secret is only said to be set or not, and can be given anew. */
function SecretInput({ draft, onChange, ...rest }: { draft: Draft; onChange(draft: Draft): void; id: string; "aria-describedby": string; "aria-invalid": boolean | undefined; "data-path": string }) {
  const t = useT();
  const [open, setOpen] = useState(false);
  const kept = draft === KEPT;
  if (kept && !open) {
    return (
      <>
        <span className="tag tag-good" id={rest.id}>{t("settings.secret_set")}</span>
        <Button size="small" onClick={() => { setOpen(true); }}>{t("settings.secret_change")}</Button>
        <Button size="small" kind="ghost" onClick={() => onChange(null)}>{t("settings.secret_remove")}</Button>
      </>
    );
  }
  return <input {...rest} className="input" type="password" autoComplete="new-password" autoFocus={open} placeholder={kept ? t("settings.secret_keep") : t("settings.secret_unset")} value={kept || draft === null ? "" : String(draft)} onChange={(e) => onChange(e.target.value === "" ? (open ? KEPT : null) : e.target.value)} />;
}

/** Text in which `code` is marked. */
export function Marked({ text }: { text: string }) {
  return <>{text.split("`").map((part, n) => (n % 2 ? <code key={n}>{part}</code> : part))}</>;
}
