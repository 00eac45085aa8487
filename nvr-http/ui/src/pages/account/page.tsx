import { useState } from "react";
import { ApiError, post } from "~/api/client";
import { MIN_PASSWORD, session } from "~/api/session";
import { Button } from "~/components/button";
import { TextField } from "~/components/field";
import { Card, PageHead } from "~/components/misc";
import { toast } from "~/components/toast";
import { useT } from "~/i18n";
import { useStore } from "~/lib/store";
import { useCameraNames } from "../users/access";

/** The login that is used now, and its password. */
export default function AccountPage() {
  const t = useT();
  const who = useStore(session);
  const names = useCameraNames();
  const [form, setForm] = useState({ old: "", fresh: "", again: "" });
  const [error, setError] = useState<string | null>(null);
  const [wrong, setWrong] = useState(false);
  const [busy, setBusy] = useState(false);
  if (!who?.user) return <><PageHead title={t("users.own")} /><Card><p className="card-text muted">{t("users.no_login")}</p></Card></>;
  const send = async () => {
    setWrong(false);
    setError(form.fresh.length < MIN_PASSWORD ? t("common.setup_short") : form.fresh !== form.again ? t("common.setup_differs") : null);
    if (form.fresh.length < MIN_PASSWORD || form.fresh !== form.again) return;
    setBusy(true);
    try {
      await post("/session/password", { old: form.old, new: form.fresh });
      setForm({ old: "", fresh: "", again: "" });
      toast(t("users.password_changed"));
    } catch (e) {
      if (e instanceof ApiError && e.status === 401) setWrong(true);
      else setError(e instanceof ApiError ? e.message || t("common.offline_title") : String(e));
    }
    setBusy(false);
  };
  return (
    <>
      <PageHead title={t("users.own")} />
      <Card>
        <div className="card-text stack narrow">
          <p>{t("users.own_text", { name: who.user.name, role: t(`users.role_${who.user.role}`), cameras: names(who.user.cameras) })}</p>
          <p className="muted">{t("users.sessions_text")}</p>
          <form className="stack" onSubmit={(e) => { e.preventDefault(); void send(); }}>
            <input type="text" className="hidden" autoComplete="username" value={who.user.name} readOnly tabIndex={-1} aria-hidden="true" />
            <TextField label={t("users.password_old")} type="password" autoComplete="current-password" value={form.old} error={wrong ? t("users.password_wrong") : null} onChange={(e) => setForm({ ...form, old: e.target.value })} />
            <TextField label={t("users.password_new")} type="password" autoComplete="new-password" value={form.fresh} onChange={(e) => setForm({ ...form, fresh: e.target.value })} />
            <TextField label={t("common.setup_repeat")} type="password" autoComplete="new-password" value={form.again} error={error} onChange={(e) => setForm({ ...form, again: e.target.value })} />
            <div><Button kind="primary" type="submit" busy={busy} disabled={!form.old || !form.fresh}>{t("users.password_change")}</Button></div>
          </form>
        </div>
      </Card>
    </>
  );
}
