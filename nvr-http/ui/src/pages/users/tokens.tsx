import { Copy, Plus, Trash2 } from "lucide-react";
import { useState } from "react";
import { ApiError, ask, post, remove, wordsOf } from "~/api/client";
import type { Scope, Token } from "~/api/manage";
import { useQuery } from "~/api/query";
import { Unavailable } from "~/components/absent";
import { Button } from "~/components/button";
import { Dialog } from "~/components/dialog";
import { Checkbox, Select, TextField } from "~/components/field";
import { Card, Spinner } from "~/components/misc";
import { Table } from "~/components/table";
import { toast, toastError } from "~/components/toast";
import { useT } from "~/i18n";
import { ago, moment } from "~/lib/format";
import { CameraChoice, useCameraNames } from "./access";

const SCOPES: Scope[] = ["read", "control", "export", "events", "admin"];
const DAYS = [7, 30, 90, 365, 0];

export function Tokens() {
  const t = useT();
  const names = useCameraNames();
  const [adding, setAdding] = useState(false);
  const tokens = useQuery("tokens", (signal) => ask<Token[] | { tokens: Token[] }>("/tokens", { signal }));
  const list = Array.isArray(tokens.data) ? tokens.data : tokens.data?.tokens;
  if (tokens.error && !list) return <Card><Unavailable error={tokens.error} what={t("users.absent")} onRetry={() => void tokens.reload()} /></Card>;
  if (!list) return <div className="center"><Spinner /></div>;
  return (
    <Card title={t("users.tokens")} tools={<Button size="small" kind="primary" icon={<Plus size={14} />} onClick={() => setAdding(true)}>{t("users.add_token")}</Button>}>
      <Table
        caption={t("users.tokens")}
        rows={list}
        rowKey={(x) => x.id}
        empty={<p className="card-text muted">{t("users.no_tokens")}</p>}
        columns={[
          { key: "label", label: t("users.label"), sort: (x) => x.label, cell: (x) => <div className="two-lines"><b>{x.label}</b>{x.user && <span className="muted">{x.user}</span>}</div> },
          { key: "scopes", label: t("users.scopes"), cell: (x) => <span className="row">{x.scopes.map((s) => <span key={s} className="tag">{t(`users.scope_${s}`)}</span>)}</span> },
          { key: "cameras", label: t("common.cameras"), wideOnly: true, cell: (x) => names(x.cameras) },
          { key: "expires", label: t("users.expires"), sort: (x) => x.expires ?? "9", cell: (x) => (x.expires ? <span className={Date.parse(x.expires) < Date.now() ? "tone-warn" : ""}>{moment(x.expires)}</span> : t("common.never")) },
          { key: "used", label: t("users.last_used"), wideOnly: true, sort: (x) => x.last_used ?? "", cell: (x) => (x.last_used ? ago(x.last_used) : t("common.never")) },
          { key: "do", label: <span className="hidden">{t("recordings.actions")}</span>, align: "end", cell: (x) => <Button kind="ghost" size="small" icon={<Trash2 size={14} />} label={t("users.revoke", { name: x.label })} onClick={() => void remove(`/tokens/${x.id}`).then(() => { toast(t("users.revoked", { name: x.label })); void tokens.reload(); }, toastError)} /> },
        ]}
      />
      {adding && <AddToken onClose={() => { setAdding(false); void tokens.reload(); }} />}
    </Card>
  );
}

function AddToken({ onClose }: { onClose(): void }) {
  const t = useT();
  const [form, setForm] = useState<{ label: string; scopes: Scope[]; cameras: string[] | null; days: number }>({ label: "", scopes: ["read"], cameras: null, days: 90 });
  const [made, setMade] = useState<string | null>(null);
  const [error, setError] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const save = async () => {
    if (!form.label.trim() || !form.scopes.length) return setError(t(form.label.trim() ? "users.wrong_scopes" : "settings.wrong_required"));
    setBusy(true);
    setError(null);
    try {
      const expires = form.days ? new Date(Date.now() + form.days * 86_400_000).toISOString() : null;
      setMade((await post<Token>("/tokens", { label: form.label.trim(), scopes: form.scopes, cameras: form.cameras, expires })).token ?? "");
    } catch (e) {
      setError(e instanceof ApiError ? wordsOf(e) || t("common.offline_title") : String(e));
    }
    setBusy(false);
  };
  if (made !== null) {
    return (
      <Dialog title={t("users.token_made")} onClose={onClose} actions={<Button kind="primary" onClick={onClose}>{t("common.close")}</Button>}>
        <p>{t("users.token_text")}</p>
        <div className="row nowrap">
          <input className="input mono" readOnly value={made} aria-label={t("users.token")} onFocus={(e) => e.currentTarget.select()} />
          <Button icon={<Copy size={15} />} onClick={() => void navigator.clipboard.writeText(made).then(() => toast(t("common.copied")), toastError)}>{t("common.copy")}</Button>
        </div>
        <pre className="error-text mono">{`curl -H 'Authorization: Bearer ${made}' \\\n  ${location.origin}/api/v1/cameras`}</pre>
      </Dialog>
    );
  }
  return (
    <Dialog title={t("users.add_token")} onClose={onClose} actions={<><Button onClick={onClose}>{t("common.cancel")}</Button><Button kind="primary" busy={busy} onClick={() => void save()}>{t("users.make")}</Button></>}>
      <TextField label={t("users.label")} hint={t("users.label_hint")} value={form.label} onChange={(e) => setForm({ ...form, label: e.target.value })} />
      <fieldset className="choices">
        <legend className="field-label">{t("users.scopes")}</legend>
        {SCOPES.map((scope) => <Checkbox key={scope} label={t(`users.scope_${scope}`)} hint={t(`users.about_scope_${scope}`)} checked={form.scopes.includes(scope)} onChange={(e) => setForm({ ...form, scopes: e.target.checked ? [...form.scopes, scope] : form.scopes.filter((s) => s !== scope) })} />)}
      </fieldset>
      <Select label={t("users.expires")} value={form.days} onChange={(e) => setForm({ ...form, days: Number(e.target.value) })}>
        {DAYS.map((days) => <option key={days} value={days}>{days ? t("users.in_days", { n: days }) : t("common.never")}</option>)}
      </Select>
      <CameraChoice value={form.cameras} onChange={(cameras) => setForm({ ...form, cameras })} />
      {error && <p className="note note-bad" role="alert">{error}</p>}
    </Dialog>
  );
}
